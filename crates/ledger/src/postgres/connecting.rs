//! One connection: from the files that say how, to a session that takes writes.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Connect;
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::faults;
use crate::error::StorageError;
use crate::open_error::LedgerOpenError;
use crate::options::PostgresOptions;

/// How to connect.
#[derive(Clone)]
pub(super) struct Connector {
    dsn_file: PathBuf,
    tls_files: TlsFiles,
    /// As they were at the start.
    tls: Option<MakeRustlsConnect>,
    connect_timeout: Duration,
    statement_timeout: Duration,
}

/// Where the files of TLS are.
#[derive(Clone)]
struct TlsFiles {
    /// The authorities of the server's certificate. Without them there is no TLS.
    ca: Option<PathBuf>,
    /// This client's certificate and key.
    client: Option<(PathBuf, PathBuf)>,
}

/// Why there is no connection.
pub(super) enum ConnectFault {
    /// Which file cannot be used, and why.
    File(PathBuf, String),
    Database(tokio_postgres::Error),
    /// Nobody answered.
    Late,
}

impl ConnectFault {
    pub(super) fn opening(self, dsn_file: &Path, doing: &'static str) -> LedgerOpenError {
        match self {
            Self::File(path, why) => LedgerOpenError::DatabaseFile { path, why },
            other => LedgerOpenError::Database { dsn_file: dsn_file.to_path_buf(), doing, source: other.storage() },
        }
    }

    pub(super) fn storage(&self) -> StorageError {
        match self {
            Self::File(path, why) => StorageError::said(format!("{}: {why}", path.display())),
            Self::Database(error) => faults::storage(error),
            Self::Late => StorageError::lost("nobody answered in time"),
        }
    }
}

impl Connector {
    pub(super) fn new(options: &PostgresOptions) -> Result<Self, LedgerOpenError> {
        let tls_files = TlsFiles { ca: options.ca_file.clone(), client: options.client_certificate.clone() };
        let connector = Self {
            dsn_file: options.dsn_file.clone(),
            tls: tls(&tls_files)?,
            tls_files,
            connect_timeout: options.connect_timeout,
            statement_timeout: options.statement_timeout,
        };
        match connector.config() {
            Ok(_) => Ok(connector),
            Err(fault) => Err(fault.opening(&options.dsn_file, "reading how to connect")),
        }
    }

    pub(super) fn dsn_file(&self) -> &Path {
        &self.dsn_file
    }

    /// After how long a silent connection is given up.
    pub(super) fn patience(&self) -> Duration {
        self.statement_timeout.saturating_mul(2)
    }

    pub(super) fn config(&self) -> Result<Config, ConnectFault> {
        let fault = |why: String| ConnectFault::File(self.dsn_file.clone(), why);
        let text = fs::read_to_string(&self.dsn_file).map_err(|error| fault(error.to_string()))?;
        // The parser's message may show parts of the text, and so of a password.
        let mut config: Config = text
            .trim()
            .parse()
            .map_err(|_| fault("it holds no connection string such as postgresql://user@host/database".to_owned()))?;
        config
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .application_name("cashgate")
            .connect_timeout(self.connect_timeout)
            .keepalives_idle(Duration::from_secs(5))
            .keepalives_interval(Duration::from_secs(2))
            .keepalives_retries(3)
            .tcp_user_timeout(self.patience());
        match &self.tls {
            Some(_) => drop(config.ssl_mode(SslMode::Require)),
            None if config.get_ssl_mode() == SslMode::Require => {
                return Err(fault("it asks for TLS: name the authorities of the server's certificate (ca)".to_owned()));
            }
            None => drop(config.ssl_mode(SslMode::Disable)),
        }
        Ok(config)
    }

    /// A session that takes writes, with its settings. Must be called within the runtime.
    pub(super) async fn connect(&self) -> Result<Client, ConnectFault> {
        self.connect_notified(Arc::default()).await
    }

    /// The same, and has somebody hear of what the server notifies.
    pub(super) async fn connect_notified(&self, notified: Arc<Notify>) -> Result<Client, ConnectFault> {
        let config = self.config()?;
        let session = self.session(&config, notified);
        let connected = tokio::time::timeout(self.connect_timeout.saturating_mul(2), session).await;
        let (client, _) = connected.map_err(|_| ConnectFault::Late)?.map_err(|error| self.fault(error))?;
        Ok(client)
    }

    /// A certificate that is refused is told with the authorities that it was held against: one of the two is the wrong one.
    fn fault(&self, error: tokio_postgres::Error) -> ConnectFault {
        match (&self.tls_files.ca, refused_certificate(&error)) {
            (Some(ca), Some(why)) => ConnectFault::File(
                ca.clone(),
                format!("the server's certificate is not accepted by these authorities, or not for this host ({why})"),
            ),
            _ => ConnectFault::Database(error),
        }
    }

    /// As the files say now: certificates are replaced while a gateway runs. As they said at the start while they cannot be used.
    fn tls_now(&self) -> Option<MakeRustlsConnect> {
        let at_start = self.tls.clone()?;
        match tls(&self.tls_files) {
            Ok(now) => Some(now.unwrap_or(at_start)),
            Err(error) => {
                tracing::error!(%error, "the TLS files of the database cannot be used; those of the start go on");
                Some(at_start)
            }
        }
    }

    async fn session(
        &self,
        config: &Config,
        notified: Arc<Notify>,
    ) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        let (client, driver) = match self.tls_now() {
            Some(tls) => {
                let (client, connection) = config.connect(tls).await?;
                (client, driven(connection, notified))
            }
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                (client, driven(connection, notified))
            }
        };
        let timeout_ms = self.statement_timeout.as_millis();
        let idle_ms = self.patience().as_millis();
        // A process that stands still in the middle of a read must not keep its locks and its view of old rows: who migrates or archives waits for them.
        // Few rows are looked for by keys, always: plans are kept, and never walk through a table because it was small once.
        client
            .batch_execute(&format!(
                "SET search_path = cashgate; SET statement_timeout = {timeout_ms};
                 SET idle_in_transaction_session_timeout = {idle_ms}; SET plan_cache_mode = force_generic_plan;
                 SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off"
            ))
            .await?;
        Ok((client, driver))
    }
}

impl Connect for Connector {
    fn connect(
        &self,
        given: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + '_>> {
        // As the file says now; as it said at the start while it cannot be read.
        let config = self.config().unwrap_or_else(|_| given.clone());
        Box::pin(async move { self.session(&config, Arc::default()).await })
    }
}

/// Why the certificate that the server showed was refused here, if that is what happened.
fn refused_certificate(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause {
        let wrapped = deeper.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let found = wrapped.and_then(|inner| inner.downcast_ref()).or_else(|| deeper.downcast_ref());
        if let Some(refused @ rustls::Error::InvalidCertificate(_)) = found {
            return Some(refused);
        }
        cause = deeper.source();
    }
    None
}

/// Has a connection work until its client is gone.
fn driven<T>(mut connection: Connection<Socket, T>, notified: Arc<Notify>) -> JoinHandle<()>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        loop {
            match std::future::poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(_))) => notified.notify_one(),
                Some(Ok(AsyncMessage::Notice(said))) => tracing::debug!(said = said.message(), "the database remarks"),
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    tracing::warn!(error = %faults::storage(&error), "a connection to the database ended");
                    return;
                }
                None => return,
            }
        }
    })
}

fn tls(files: &TlsFiles) -> Result<Option<MakeRustlsConnect>, LedgerOpenError> {
    let Some(ca_file) = &files.ca else { return Ok(None) };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca_file)? {
        roots.add(certificate).map_err(|error| unusable(ca_file, error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable(ca_file, "it holds no certificate in PEM".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(ca_file, error.to_string()))?
        .with_root_certificates(roots);
    let config = match &files.client {
        None => builder.with_no_client_auth(),
        Some((chain, key_file)) => {
            let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| unusable(key_file, error.to_string()))?;
            builder
                .with_client_auth_cert(certificates(chain)?, key)
                .map_err(|error| unusable(chain, error.to_string()))?
        }
    };
    Ok(Some(MakeRustlsConnect::new(config)))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, LedgerOpenError> {
    CertificateDer::pem_file_iter(file).and_then(Iterator::collect).map_err(|error| unusable(file, error.to_string()))
}

fn unusable(path: &Path, why: String) -> LedgerOpenError {
    LedgerOpenError::DatabaseFile { path: path.to_path_buf(), why }
}
