//! What the TLS files hold, read and checked.

use std::path::Path;
use std::sync::Arc;

use cashgate_withdrawal::time::Timestamp;
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use x509_parser::prelude::{ASN1Time, CertificateRevocationList, FromDer, X509Certificate};

use super::{Expiry, TlsError, TlsFiles};

/// Everything that is needed for both sides of TLS.
pub(super) struct Material {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) roots: Arc<RootCertStore>,
    pub(super) crls: Vec<CertificateRevocationListDer<'static>>,
    pub(super) expiry: Expiry,
}

impl Material {
    pub(super) fn read(files: &TlsFiles, now: Timestamp) -> Result<Self, TlsError> {
        let now_s = now.unix_ms() / 1_000;
        let chain = certificates(&files.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| pem(&files.key, source))?;
        let certificate_s = not_expired(&files.certificate, chain.get(..1).unwrap_or_default(), now_s)?;
        let authorities = certificates(&files.ca)?;
        let ca_s = not_expired(&files.ca, &authorities, now_s)?;
        let (crls, crl_s) = match &files.crl {
            None => (Vec::new(), 0),
            Some(file) => revocation_lists(file, files, &authorities, now_s)?,
        };
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority).map_err(|error| TlsError::Mismatch(error.to_string()))?;
        }
        Ok(Self { chain, key, roots: Arc::new(roots), crls, expiry: Expiry { certificate_s, ca_s, crl_s } })
    }
}

pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(|source| pem(file, source))?.collect();
    let found = found.map_err(|source| pem(file, source))?;
    if found.is_empty() { Err(TlsError::Empty { file: named(file), what: "certificate" }) } else { Ok(found) }
}

/// When the first of these certificates ends; none may have ended.
fn not_expired(file: &Path, certificates: &[CertificateDer<'_>], now_s: u64) -> Result<u64, TlsError> {
    let mut first = u64::MAX;
    for certificate in certificates {
        let (_, certificate) = X509Certificate::from_der(certificate)
            .map_err(|_| TlsError::Unreadable { file: named(file), what: "a certificate" })?;
        first = first.min(seconds(certificate.validity().not_after));
    }
    if first <= now_s { Err(TlsError::Expired { file: named(file), what: "a certificate" }) } else { Ok(first) }
}

/// The lists, and when the first of them ends. Each must be signed by one of our authorities, and each authority must have one: a wrong file would
/// otherwise keep every peer out.
fn revocation_lists(
    file: &Path,
    files: &TlsFiles,
    authorities: &[CertificateDer<'_>],
    now_s: u64,
) -> Result<(Vec<CertificateRevocationListDer<'static>>, u64), TlsError> {
    let found: Result<Vec<CertificateRevocationListDer<'static>>, _> =
        CertificateRevocationListDer::pem_file_iter(file).map_err(|source| pem(file, source))?.collect();
    let found = found.map_err(|source| pem(file, source))?;
    if found.is_empty() {
        return Err(TlsError::Empty { file: named(file), what: "revocation list" });
    }
    let unreadable = |what| move || TlsError::Unreadable { file: named(file), what };
    let (mut first, mut covered) = (u64::MAX, vec![false; authorities.len()]);
    for list in &found {
        let (_, list) = CertificateRevocationList::from_der(list).map_err(|_| unreadable("a revocation list")())?;
        let mut signed = false;
        for (authority, covered) in authorities.iter().zip(&mut covered) {
            let (_, authority) = X509Certificate::from_der(authority).map_err(|_| unreadable("an authority")())?;
            if authority.subject() == list.issuer() && list.verify_signature(authority.public_key()).is_ok() {
                (signed, *covered) = (true, true);
            }
        }
        if !signed {
            return Err(TlsError::ForeignCrl { file: named(file), ca: named(&files.ca) });
        }
        // RFC 5280 demands the time of the next list; one without it would never be too old.
        let next = list.next_update().ok_or_else(unreadable("the time of the next revocation list"))?;
        first = first.min(seconds(next));
    }
    if covered.contains(&false) {
        return Err(TlsError::MissingCrl { file: named(file), ca: named(&files.ca) });
    }
    if first <= now_s {
        return Err(TlsError::Expired { file: named(file), what: "a revocation list" });
    }
    Ok((found, first))
}

fn seconds(time: ASN1Time) -> u64 {
    u64::try_from(time.timestamp()).unwrap_or(0)
}

fn named(file: &Path) -> String {
    file.display().to_string()
}

pub(super) fn pem(file: &Path, source: rustls_pki_types::pem::Error) -> TlsError {
    TlsError::Pem { file: named(file), source }
}
