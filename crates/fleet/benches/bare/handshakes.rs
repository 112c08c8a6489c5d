//! Mutual TLS alone: connections that are made, proven on both sides, and closed.

use std::sync::Arc;
use std::time::Instant;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{CONNECTIONS, IN_FLIGHT_EACH, Options, last_number, print_us, processor_time};

/// The figures of a server whose client is the other process.
pub(super) async fn measure(options: &Options) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let acceptor = TlsAcceptor::from(Arc::new(server(options)));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let acceptor = acceptor.clone();
            // A client that ends at the end of its time may be in the middle of one.
            tokio::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let _ = stream.write_all(&[1]).await;
                    let _ = stream.shutdown().await;
                }
            });
        }
    });
    let before = processor_time();
    let mut client = options.peer(&["--role", "client", "--what", "handshakes", "--address", &address.to_string()]);
    let made = tokio::task::spawn_blocking(move || last_number(&mut client)).await.expect("a peer");
    print_us(processor_time() - before, made);
}

/// As many as can be made in the time asked for, with as many at once as there are callers elsewhere here.
pub(super) async fn made(options: &Options, address: &str) -> u64 {
    let over = Instant::now() + options.seconds();
    let mut callers = JoinSet::new();
    for _ in 0..CONNECTIONS * IN_FLIGHT_EACH {
        let (connector, address) = (TlsConnector::from(Arc::new(client(options))), address.to_owned());
        callers.spawn(async move {
            let mut made = 0;
            while Instant::now() < over {
                let stream = TcpStream::connect(&address).await.expect("a connection");
                let name = ServerName::try_from("localhost").expect("a name");
                let mut stream = connector.connect(name, stream).await.expect("a handshake");
                // The server's byte comes when it has believed the client too.
                stream.read_u8().await.expect("a byte");
                made += 1;
            }
            made
        });
    }
    callers.join_all().await.into_iter().sum()
}

fn server(options: &Options) -> ServerConfig {
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(options)), Arc::clone(&provider));
    let (chain, key) = identity(options);
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]).expect("TLS 1.3");
    let builder = builder.with_client_cert_verifier(verifier.build().expect("an authority"));
    builder.with_single_cert(chain, key).expect("a certificate")
}

/// Never resumes: a machine that comes back after its power was cut remembers nothing.
fn client(options: &Options) -> ClientConfig {
    let (chain, key) = identity(options);
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_protocol_versions(&[&TLS13]).expect("TLS 1.3").with_root_certificates(roots(options));
    let mut config = builder.with_client_auth_cert(chain, key).expect("a certificate");
    config.resumption = rustls::client::Resumption::disabled();
    config
}

fn roots(options: &Options) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(options.text("--ca")).expect("an authority")).expect("an authority");
    roots
}

fn identity(options: &Options) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_file_iter(options.text("--cert")).expect("a certificate");
    let chain = chain.collect::<Result<_, _>>().expect("a certificate");
    (chain, PrivateKeyDer::from_pem_file(options.text("--key")).expect("a key"))
}
