//! Certificates that `cashgate issue-cert` would not issue, and files that are replaced while a gateway runs.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use tonic::transport::Identity;

use super::{Site, eventually};

/// One from the gateway's own authority, with these URI names.
pub(crate) fn with_uris(site: &Site, uris: &[&str]) -> Identity {
    let read = |file: &str| std::fs::read_to_string(site.path(file)).unwrap();
    let key = KeyPair::from_pem(&read("ca-key.pem")).unwrap();
    signed_by(&Issuer::from_ca_cert_pem(&read("ca.pem"), key).unwrap(), uris)
}

/// One from an authority that the gateway does not know.
pub(crate) fn from_another_authority(uris: &[&str]) -> Identity {
    signed_by(&another_authority().0, uris)
}

/// Puts one of an authority that the gateway does not know in the place of these files, and returns the authority, PEM.
pub(crate) fn replace_by_one_of_another_authority(certificate: &Path, key_file: &Path, uri: &str) -> String {
    let (issuer, authority) = another_authority();
    let (certificate_pem, key_pem) = pair_signed_by(&issuer, &[uri]);
    std::fs::write(certificate, certificate_pem).unwrap();
    std::fs::write(key_file, key_pem).unwrap();
    authority
}

/// Waits until TLS files were so often `taken` or `refused`.
pub(crate) async fn reloads(site: &Site, result: &str, many: u64) {
    eventually(&format!("the TLS files are {result}"), async || {
        (site.metric("cashgate_tls_reloads_total", &[("result", result)]).await >= many).then_some(())
    })
    .await;
}

/// An authority, and its certificate, PEM.
fn another_authority() -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.distinguished_name.push(DnType::CommonName, "another authority");
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), pem)
}

fn signed_by(issuer: &Issuer<'_, KeyPair>, uris: &[&str]) -> Identity {
    let (certificate, key) = pair_signed_by(issuer, uris);
    Identity::from_pem(certificate, key)
}

fn pair_signed_by(issuer: &Issuer<'_, KeyPair>, uris: &[&str]) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
    let certificate = params.signed_by(&key, issuer).unwrap();
    (certificate.pem(), key.serialize_pem())
}
