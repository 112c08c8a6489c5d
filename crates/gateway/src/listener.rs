//! Accepts TLS connections and hands them on with the peer's identity.
//!
//! A peer that says nothing, or stops in the middle of its handshake, is dropped after a few seconds; only so many handshakes run at once.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::identity::{Identity, IdentityError};

/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// How many handshakes run at once.
const HANDSHAKES_MAX: usize = 256;
/// How long accepting pauses when the system has no more sockets to give.
const PAUSE_ON_ERROR: Duration = Duration::from_millis(100);

/// What a service knows of its peer.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Who it is, or why its certificate names nobody.
    pub identity: Result<Identity, IdentityError>,
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct TlsConnection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
}

/// Why the TLS files were not accepted.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or not PEM.
    #[error("{file} cannot be read as PEM: {source}")]
    Pem {
        /// The file.
        file: String,
        /// Why.
        source: rustls_pki_types::pem::Error,
    },
    /// A file holds nothing of use.
    #[error("{file} holds no certificate")]
    Empty {
        /// The file.
        file: String,
    },
    /// Certificate, key and authority do not go together.
    #[error("the TLS certificate, key and authority do not go together: {0}")]
    Mismatch(String),
}

/// The server side of every port: TLS 1.3 only, HTTP/2 only, a client certificate of our authority, no early data.
pub fn server_config(certificate: &Path, key: &Path, ca: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for authority in certificates(ca)? {
        roots.add(authority).map_err(|error| TlsError::Mismatch(error.to_string()))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| TlsError::Mismatch(error.to_string()))?;
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|source| pem(key, source))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| builder.with_client_cert_verifier(verifier).with_single_cert(chain, private))
        .map_err(|error| TlsError::Mismatch(error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// The client side, towards core banking: TLS 1.3 only, HTTP/2 only, with the gateway's own certificate.
pub fn client_config(certificate: &Path, key: &Path, ca: &Path) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(ca)? {
        roots.add(authority).map_err(|error| TlsError::Mismatch(error.to_string()))?;
    }
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|source| pem(key, source))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| builder.with_root_certificates(roots).with_client_auth_cert(chain, private))
        .map_err(|error| TlsError::Mismatch(error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(|source| pem(file, source))?.collect();
    let found = found.map_err(|source| pem(file, source))?;
    if found.is_empty() { Err(TlsError::Empty { file: file.display().to_string() }) } else { Ok(found) }
}

fn pem(file: &Path, source: rustls_pki_types::pem::Error) -> TlsError {
    TlsError::Pem { file: file.display().to_string(), source }
}

/// Binds a port.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Connections of a port, one by one, until the receiver is dropped.
pub fn connections(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    trust_domain: Arc<str>,
) -> mpsc::Receiver<io::Result<TlsConnection>> {
    let (ready, connections) = mpsc::channel(64);
    let acceptor = TlsAcceptor::from(config);
    let permits = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    tokio::spawn(async move {
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = ready.closed() => return,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE_ON_ERROR).await;
                    continue;
                }
            };
            let (acceptor, trust_domain, ready) = (acceptor.clone(), Arc::clone(&trust_domain), ready.clone());
            tokio::spawn(async move {
                let handshake = handshake(stream, &acceptor, &trust_domain);
                match tokio::time::timeout(HANDSHAKE_MAX, handshake).await {
                    Ok(Ok(connection)) => drop(ready.send(Ok(connection)).await),
                    Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!("a TLS handshake took too long"),
                }
                drop(permit);
            });
        }
    });
    connections
}

async fn handshake(stream: TcpStream, acceptor: &TlsAcceptor, domain: &Arc<str>) -> io::Result<TlsConnection> {
    // Nagle's algorithm would hold small messages back for tens of milliseconds.
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let identity = match certificate {
        Some(certificate) => Identity::from_certificate(certificate, domain),
        None => Err(IdentityError::Unreadable),
    };
    Ok(TlsConnection { stream, peer: Peer { identity } })
}

impl Connected for TlsConnection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for TlsConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
