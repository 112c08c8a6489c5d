//! Whether those whom a certificate is shown to will believe it, as far as that can be known before they see it.

use std::sync::Arc;

use rustls::CertificateError;
use rustls::client::danger::ServerCertVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{TlsError, TlsFiles};
use crate::identity::Identity;

/// Whom a certificate is shown to.
#[derive(Clone, Debug)]
pub enum Believers {
    /// Machines, app back ends and core banking. Which authorities they know is not known here, so nothing can be said beforehand.
    Outside,
    /// The other replicas. They have the same authorities and revocation lists, call this one and are called by it.
    Replicas(ReplicaName),
}

/// What a replica's certificate must say for the others to take it for that replica's.
#[derive(Clone, Debug)]
pub struct ReplicaName {
    /// The domain of every SPIFFE id.
    pub trust_domain: Arc<str>,
    /// The replica's number.
    pub number: u16,
    /// The name by which every replica is called.
    pub server_name: ServerName<'static>,
}

/// A set's verifiers, which are its peers' as well where they have the same files.
pub(super) struct Verifiers<'a> {
    pub(super) clients: &'a dyn ClientCertVerifier,
    pub(super) servers: &'a dyn ServerCertVerifier,
}

impl Believers {
    /// Refuses a certificate that they would not believe.
    pub(super) fn believe(
        &self,
        chain: &[CertificateDer<'_>],
        verifiers: &Verifiers<'_>,
        files: &TlsFiles,
        now: UnixTime,
    ) -> Result<(), TlsError> {
        let Self::Replicas(name) = self else { return Ok(()) };
        name.would_be_believed(chain, verifiers, now).map_err(|refusal| {
            let (file, ca) = (files.certificate.display().to_string(), files.ca.display().to_string());
            match refusal {
                Refusal::Verifier(source) if is_of_no_known_authority(&source) => {
                    TlsError::Stranger { file, ca, source }
                }
                Refusal::Verifier(source) => {
                    TlsError::NotAReplicas { file, why: source.to_string(), needs: name.needs() }
                }
                Refusal::Name(why) => TlsError::NotAReplicas { file, why, needs: name.needs() },
            }
        })
    }

    /// What the ends of certificate, authorities and lists are called in metrics. Two sets must not tell theirs under one name: the later would hide
    /// the one that ends first.
    pub(crate) const fn ends_are_called(&self) -> [&'static str; 3] {
        match self {
            Self::Outside => ["certificate", "ca", "crl"],
            Self::Replicas(_) => ["replica_certificate", "replica_ca", "replica_crl"],
        }
    }
}

/// Why peers would not believe a certificate.
enum Refusal {
    Verifier(rustls::Error),
    Name(String),
}

impl ReplicaName {
    /// As a peer judges it: once when it is called by this replica, once when it calls, and then by the name.
    fn would_be_believed(
        &self,
        chain: &[CertificateDer<'_>],
        verifiers: &Verifiers<'_>,
        now: UnixTime,
    ) -> Result<(), Refusal> {
        let (leaf, others) = chain.split_first().ok_or(Refusal::Verifier(rustls::Error::NoCertificatesPresented))?;
        verifiers.clients.verify_client_cert(leaf, others, now).map_err(Refusal::Verifier)?;
        verifiers.servers.verify_server_cert(leaf, others, &self.server_name, &[], now).map_err(Refusal::Verifier)?;
        match Identity::from_certificate(leaf, &self.trust_domain) {
            Ok(Identity::Replica(number)) if number == self.number => Ok(()),
            Ok(other) => Err(Refusal::Name(format!("it is {}", other.path()))),
            Err(error) => Err(Refusal::Name(error.to_string())),
        }
    }

    fn needs(&self) -> String {
        let Self { trust_domain, number, server_name } = self;
        format!(
            "spiffe://{trust_domain}/replica/{number} as its only URI, {} as a name, and both client and server authentication",
            server_name.to_str()
        )
    }
}

/// An authority of the same name but with another key is another authority.
const fn is_of_no_known_authority(error: &rustls::Error) -> bool {
    use rustls::Error::InvalidCertificate;
    matches!(error, InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature))
}
