//! The connection to a core banking system: TLS 1.3, and only to the one whose certificate says that it is this institution's.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use cashgate_withdrawal::ids::InstitutionId;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::identity::Identity;
use crate::tls::{Tls, dial};

/// How long a connection may take to come up.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// Whom to connect to, and as whom it must show itself.
#[derive(Clone, Debug)]
pub(super) struct Counterpart {
    pub(super) endpoint: String,
    pub(super) server_name: ServerName<'static>,
    pub(super) institution: InstitutionId,
    pub(super) trust_domain: Arc<str>,
    /// As it is when a connection is made: a new certificate of ours, or a new list of revoked ones, holds from the next connection on.
    pub(super) tls: Tls,
}

impl Counterpart {
    /// A channel that connects when it is first used, and again whenever it has to.
    pub(super) fn channel(self) -> Result<Channel, tonic::transport::Error> {
        // The connector brings the TLS, so tonic is given a plain address to dial and the real one to name in requests.
        let plain = format!("http://{}", self.endpoint.trim_start_matches("https://"));
        let origin = Endpoint::from_shared(self.endpoint.clone())?.uri().clone();
        let endpoint = Endpoint::from_shared(plain)?
            .origin(origin)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10));
        Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |to: Uri| {
            let this = self.clone();
            async move {
                let connected = tokio::time::timeout(CONNECT_MAX, this.connect(&to)).await;
                connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?.map(TokioIo::new)
            }
        })))
    }

    async fn connect(&self, to: &Uri) -> io::Result<TlsStream<TcpStream>> {
        let stream = dial(to, self.server_name.clone(), Arc::clone(&self.tls.now().client)).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let identity = certificate.map(|certificate| Identity::from_certificate(certificate, &self.trust_domain));
        match identity {
            Some(Ok(Identity::CoreBanking(found))) if found == self.institution => Ok(stream),
            _ => {
                let what = format!("its certificate is not corebank/{}", self.institution);
                tracing::error!(endpoint = self.endpoint, what, "core banking was not believed");
                Err(io::Error::new(io::ErrorKind::PermissionDenied, what))
            }
        }
    }
}
