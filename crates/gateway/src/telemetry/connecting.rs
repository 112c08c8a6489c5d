//! The client of the collector. Who collects is known by its files' authority, and the gateway by its own certificate; both are read for each new
//! connection, because they are replaced while a gateway runs.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use opentelemetry_otlp::{WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::config::{Config, TelemetrySection};
use crate::tls::{TlsError, client_towards, dial};

/// Tells the collector, in plain text for `http://`, over TLS with the gateway's own certificate for `https://`. Each connection and each request has
/// so long.
pub(super) fn exporter(
    section: &TelemetrySection,
    config: &Config,
    resource: &Resource,
    patience: Duration,
) -> Result<opentelemetry_otlp::SpanExporter, String> {
    let channel = if section.endpoint.starts_with("https://") {
        let files = Files {
            ca: section.ca.clone().unwrap_or_else(|| config.tls.ca.clone()),
            certificate: config.tls.certificate.clone(),
            key: config.tls.key.clone(),
        };
        over_tls(&section.endpoint, files, patience)?
    } else {
        let endpoint = Endpoint::from_shared(section.endpoint.clone()).map_err(|error| error.to_string())?;
        endpoint.connect_timeout(patience).timeout(patience).connect_lazy()
    };
    let mut exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_channel(channel)
        .with_timeout(patience)
        .build()
        .map_err(|error| error.to_string())?;
    exporter.set_resource(resource);
    Ok(exporter)
}

fn over_tls(endpoint: &str, files: Files, patience: Duration) -> Result<Channel, String> {
    let origin = Endpoint::from_shared(endpoint.to_owned()).map_err(|error| error.to_string())?.uri().clone();
    let connector = Arc::new(Connector::new(&origin, files)?);
    // The connector brings the TLS, so tonic is given a plain address to dial and the real one to name in requests.
    let plain = format!("http://{}", endpoint.trim_start_matches("https://"));
    let endpoint = Endpoint::from_shared(plain).map_err(|error| error.to_string())?;
    let endpoint = endpoint.origin(origin).connect_timeout(patience).timeout(patience);
    Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |to: Uri| {
        let connector = Arc::clone(&connector);
        async move { connector.connect(&to).await.map(TokioIo::new) }
    })))
}

/// Where the TLS files are.
#[derive(Clone, Debug)]
struct Files {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn read(&self) -> Result<Arc<ClientConfig>, TlsError> {
        client_towards(&self.ca, &self.certificate, &self.key).map(Arc::new)
    }
}

/// Connects to the collector.
#[derive(Debug)]
struct Connector {
    server_name: ServerName<'static>,
    files: Files,
    known: Mutex<Known>,
}

/// What is known of the files.
#[derive(Debug)]
struct Known {
    /// What they held when they could be used last.
    usable: Arc<ClientConfig>,
    /// Since then they cannot, and it was said.
    unusable_since: bool,
}

impl Connector {
    fn new(to: &Uri, files: Files) -> Result<Self, String> {
        let host = to.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let server_name = ServerName::try_from(host.clone()).map_err(|error| format!("{host:?}: {error}"))?;
        let usable = files.read().map_err(|error| error.to_string())?;
        let known = Mutex::new(Known { usable, unusable_since: false });
        Ok(Self { server_name, files, known })
    }

    async fn connect(&self, to: &Uri) -> io::Result<TlsStream<TcpStream>> {
        dial(to, self.server_name.clone(), self.tls_now().await).await
    }

    /// As the files say now, or as they said last while they cannot be used: certificate and key are not replaced in one moment.
    async fn tls_now(&self) -> Arc<ClientConfig> {
        let files = self.files.clone();
        let read = tokio::task::spawn_blocking(move || files.read()).await;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(Ok(usable)) => *known = Known { usable, unusable_since: false },
            Ok(Err(error)) => {
                // Said when it begins: a collector that is away is dialled with every batch.
                if !known.unusable_since {
                    tracing::error!(%error, "the TLS files towards the collector cannot be used; those from before go on");
                }
                known.unusable_since = true;
            }
            Err(error) => tracing::error!(%error, "the TLS files towards the collector could not be looked at"),
        }
        Arc::clone(&known.usable)
    }
}
