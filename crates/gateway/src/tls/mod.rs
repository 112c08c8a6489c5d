//! TLS of every port and of the calls to core banking and the collector: 1.3 only, HTTP/2 only, both sides with a certificate, and revocation lists if
//! there are any.
//!
//! Everything that comes out of the files is one [`TlsSet`], taken whole or not at all; [`watching`] replaces it when the files change.

mod believing;
mod client;
mod material;
pub mod watching;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cashgate_withdrawal::time::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;

use crate::clock;
use believing::Verifiers;
pub use believing::{Believers, ReplicaName};
pub use client::{client_towards, dial};
use material::Material;

/// Where the TLS files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The gateway's certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The authorities that every peer's certificate comes from, PEM.
    pub ca: PathBuf,
    /// Their revocation lists, PEM: one of each authority, or no file at all.
    pub crl: Option<PathBuf>,
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
    #[error("{file} holds no {what}")]
    Empty {
        /// The file.
        file: String,
        /// What should be in it.
        what: &'static str,
    },
    /// Something in a file is PEM, but not what it should be.
    #[error("{file}: {what} cannot be read")]
    Unreadable {
        /// The file.
        file: String,
        /// What.
        what: &'static str,
    },
    /// A certificate or list whose time is over. With it nobody could connect.
    #[error("{file}: {what} has expired; put a new one there")]
    Expired {
        /// The file.
        file: String,
        /// What.
        what: &'static str,
    },
    /// A list that no authority of ours has signed.
    #[error("{file}: a revocation list is not signed by an authority in {ca}")]
    ForeignCrl {
        /// The file.
        file: String,
        /// The authorities' file.
        ca: String,
    },
    /// With lists, an authority without one could revoke nothing, so none of its certificates is accepted.
    #[error("{file}: an authority in {ca} has no revocation list here; each needs one")]
    MissingCrl {
        /// The file.
        file: String,
        /// The authorities' file.
        ca: String,
    },
    /// A replica's certificate of an authority that its peers do not know.
    #[error(
        "{file}: the other replicas would not believe it ({source}). They hold it against the authorities in {ca}: put its own authority there as well"
    )]
    Stranger {
        /// The certificate.
        file: String,
        /// The authorities' file.
        ca: String,
        /// Why.
        source: rustls::Error,
    },
    /// A replica's certificate that its peers would refuse for something else.
    #[error(
        "{file}: the other replicas would not believe it ({why}): put one there that has {needs}, and is not revoked"
    )]
    NotAReplicas {
        /// The certificate.
        file: String,
        /// Why.
        why: String,
        /// What peers ask for.
        needs: String,
    },
    /// Certificate, key and authority do not go together.
    #[error("the TLS certificate, key, authority and revocation lists do not go together: {0}")]
    Mismatch(String),
}

/// What the files held at one moment.
#[derive(Debug)]
pub struct TlsSet {
    /// The side of every port: a client certificate of our authority is demanded, sessions are not resumed, no early data.
    pub server: Arc<ServerConfig>,
    /// The side towards core banking, with the gateway's own certificate.
    pub client: Arc<ClientConfig>,
    verifier: Arc<dyn ClientCertVerifier>,
    /// When what ends: for whoever watches.
    pub expiry: Expiry,
}

/// When certificates and lists end, as seconds since 1970. Zero where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expiry {
    /// The gateway's own certificate.
    pub certificate_s: u64,
    /// The first authority to end.
    pub ca_s: u64,
    /// The first revocation list to end: from then on nobody is let in.
    pub crl_s: u64,
}

impl TlsSet {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// Anything that would keep peers out: files that cannot be read or do not go together, what has expired, lists that are not our authorities' or
    /// do not cover them all, a certificate that those whom it is shown to would not believe.
    pub fn load(files: &TlsFiles, believers: &Believers, now: Timestamp) -> Result<Self, TlsError> {
        let Material { chain, key, roots, crls, expiry } = Material::read(files, now)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mismatch = |error: &dyn std::fmt::Display| TlsError::Mismatch(error.to_string());
        let mut clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        let mut servers = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider));
        if !crls.is_empty() {
            // A list that is too old says nothing about who was revoked since: then nobody is let in, and the gateway says so.
            clients = clients.with_crls(crls.clone()).enforce_revocation_expiration();
            servers = servers.with_crls(crls).enforce_revocation_expiration();
        }
        let verifier = clients.build().map_err(|error| mismatch(&error))?;
        let servers = servers.build().map_err(|error| mismatch(&error))?;
        let verifiers = Verifiers { clients: &*verifier, servers: &*servers };
        believers.believe(&chain, &verifiers, files, unix_time(now))?;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map(|builder| builder.with_client_cert_verifier(Arc::clone(&verifier)))
            .and_then(|builder| builder.with_single_cert(chain.clone(), key.clone_key()))
            .map_err(|error| mismatch(&error))?;
        server.alpn_protocols = vec![b"h2".to_vec()];
        // A resumed session would not look at the certificate again, and so let in one that was revoked meanwhile.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        // Early data can be replayed by whoever records it.
        server.max_early_data_size = 0;
        let client = client::client(servers, chain, key).map_err(|error| mismatch(&error))?;
        Ok(Self { server: Arc::new(server), client: Arc::new(client), verifier, expiry })
    }

    /// Whether a peer that is connected would be let in now.
    ///
    /// # Errors
    /// It would not: revoked, expired, or of an authority that is no longer ours.
    pub fn would_accept(&self, chain: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        let (leaf, others) = chain.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
        self.verifier.verify_client_cert(leaf, others, unix_time(clock::now())).map(drop)
    }
}

fn unix_time(now: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(now.unix_ms()))
}

/// The set that holds now. Cheap to clone; every clone sees a new set at once.
#[derive(Clone, Debug)]
pub struct Tls(watch::Receiver<Arc<TlsSet>>);

impl Tls {
    /// The set that holds now.
    #[must_use]
    pub fn now(&self) -> Arc<TlsSet> {
        Arc::clone(&self.0.borrow())
    }

    /// Whether another set holds since [`Tls::seen`] was called last on this clone.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.0.has_changed().unwrap_or(false)
    }

    /// The set that holds now, which then counts as seen.
    #[must_use]
    pub fn seen(&mut self) -> Arc<TlsSet> {
        Arc::clone(&self.0.borrow_and_update())
    }
}

#[cfg(test)]
mod tests;
