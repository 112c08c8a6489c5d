//! The side of TLS that calls.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::Uri;

use super::{TlsError, material};

/// TLS 1.3 and HTTP/2, with a certificate of our own and no sessions that are resumed.
pub(super) fn client(
    servers: Arc<WebPkiServerVerifier>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_webpki_verifier(servers)
        .with_client_auth_cert(chain, key)?;
    client.alpn_protocols = vec![b"h2".to_vec()];
    client.resumption = Resumption::disabled();
    Ok(client)
}

/// The same towards somebody whose authorities may be others than those of the gateway's peers and are not ours to judge: they may be a whole
/// bundle, in which some have ended.
///
/// # Errors
/// A file cannot be read, or certificate and key do not go together.
pub fn client_towards(ca: &Path, certificate: &Path, key: &Path) -> Result<ClientConfig, TlsError> {
    let mismatch = |error: &dyn std::fmt::Display| TlsError::Mismatch(error.to_string());
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(material::certificates(ca)?);
    if added == 0 {
        return Err(TlsError::Unreadable { file: ca.display().to_string(), what: "every authority" });
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let servers = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let chain = material::certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|source| material::pem(key, source))?;
    client(servers.map_err(|error| mismatch(&error))?, chain, key).map_err(|error| mismatch(&error))
}

/// A connection over TLS to the host and port of an address, whose certificate must be for `server_name`. It has no end of its own: whoever calls
/// gives it a time.
///
/// # Errors
/// What the network or the handshake says.
pub async fn dial(
    to: &Uri,
    server_name: ServerName<'static>,
    client: Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    // An address of IPv6 stands in brackets.
    let (host, port) = (to.host().unwrap_or_default(), to.port_u16().unwrap_or(443));
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(client).connect(server_name, stream).await
}
