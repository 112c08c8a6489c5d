//! Who a simulated party is: its certificate, its key, and the authority that it trusts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, ServerTlsConfig};

/// The DNS name that every certificate of a development installation carries, whatever address it is reached at.
const SERVER_NAME: &str = "localhost";

/// A certificate with its key, and the authority that signed the others' certificates. All PEM.
#[derive(Clone)]
pub struct Credentials {
    ca: Certificate,
    identity: Identity,
    server_name: String,
}

/// Why credentials or a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file could not be read.
    #[error("cannot read {path}: {source}; `cashgate init` makes an authority, `cashgate issue-cert` a certificate")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The address is not a URI such as `https://127.0.0.1:7443`, or the PEM files hold no certificate and key.
    #[error("cannot connect to {uri}: {source}")]
    Endpoint {
        /// The address.
        uri: String,
        /// Why.
        source: tonic::transport::Error,
    },
}

impl Credentials {
    /// Reads three PEM files: the authority, the own certificate and its PKCS#8 key.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn read(ca: &Path, certificate: &Path, key: &Path) -> Result<Self, CredentialsError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| CredentialsError::Unreadable { path: path.to_owned(), source })
        };
        Ok(Self::from_pem(read(ca)?, read(certificate)?, read(key)?))
    }

    /// The same from PEM texts.
    #[must_use]
    pub fn from_pem(ca: impl AsRef<[u8]>, certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        let (ca, identity) = (Certificate::from_pem(ca), Identity::from_pem(certificate, key));
        Self { ca, identity, server_name: SERVER_NAME.to_owned() }
    }

    /// The same for servers whose certificates carry another DNS name than `localhost`.
    #[must_use]
    pub fn for_server(mut self, name: &str) -> Self {
        name.clone_into(&mut self.server_name);
        self
    }

    /// Where and how to call a server with these credentials (mTLS).
    ///
    /// # Errors
    /// The address is no URI or the PEM is not usable.
    pub fn endpoint(&self, uri: &str) -> Result<Endpoint, CredentialsError> {
        let with_source = |source| CredentialsError::Endpoint { uri: uri.to_owned(), source };
        let tls = ClientTlsConfig::new()
            .ca_certificate(self.ca.clone())
            .identity(self.identity.clone())
            .domain_name(self.server_name.as_str());
        let endpoint = Endpoint::from_shared(uri.to_owned()).map_err(with_source)?;
        Ok(endpoint
            .tls_config(tls)
            .map_err(with_source)?
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(5))
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true))
    }

    /// A channel that connects when it is first used, and again whenever that is needed.
    ///
    /// # Errors
    /// As [`Self::endpoint`].
    pub fn channel(&self, uri: &str) -> Result<Channel, CredentialsError> {
        Ok(self.endpoint(uri)?.connect_lazy())
    }

    /// TLS for a server that takes only callers with a certificate of the same authority.
    #[must_use]
    pub fn server_tls(&self) -> ServerTlsConfig {
        ServerTlsConfig::new().identity(self.identity.clone()).client_ca_root(self.ca.clone())
    }
}
