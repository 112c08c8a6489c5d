//! Certificates that `cashgate issue-cert` would not issue.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use tonic::transport::Identity;

use super::Site;

/// One from the gateway's own authority, with these URI names.
pub(crate) fn with_uris(site: &Site, uris: &[&str]) -> Identity {
    let read = |file: &str| std::fs::read_to_string(site.path(file)).unwrap();
    let key = KeyPair::from_pem(&read("ca-key.pem")).unwrap();
    signed_by(&Issuer::from_ca_cert_pem(&read("ca.pem"), key).unwrap(), uris)
}

/// One from an authority that the gateway does not know.
pub(crate) fn from_another_authority(uris: &[&str]) -> Identity {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    signed_by(&Issuer::new(params, KeyPair::generate().unwrap()), uris)
}

fn signed_by(issuer: &Issuer<'_, KeyPair>, uris: &[&str]) -> Identity {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
    let certificate = params.signed_by(&key, issuer).unwrap();
    Identity::from_pem(certificate.pem(), key.serialize_pem())
}
