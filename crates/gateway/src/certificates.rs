//! The development authority and the certificates that it issues. A bank has its own.

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

/// The files of an authority.
const CA: &str = "ca.pem";
const CA_KEY: &str = "ca-key.pem";

/// Why a certificate was not made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file.
    #[error("{file}: {source}")]
    File {
        /// Which.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// A certificate of that name is there already.
    #[error("{0} exists already; it was left as it is. Remove it first if it is to be replaced")]
    Exists(String),
    /// There is no authority.
    #[error("{0} holds no development authority; `cashgate init` makes one")]
    NoAuthority(String),
    /// The role or id.
    #[error(
        "{0:?} is none of atm/<id>, institution/<id>, operator/<name>, corebank/<institution id>, replica/<number>"
    )]
    NoSuchPeer(String),
    /// The certificate itself.
    #[error("the certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// Makes an authority in `dir`.
pub fn make_authority(dir: &Path) -> Result<(), CertificateError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = name("Cashgate development authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?;
    write_new(&dir.join(CA), certificate.pem().as_bytes(), 0o644)?;
    write_new(&dir.join(CA_KEY), key.serialize_pem().as_bytes(), 0o600)
}

/// Issues the gateway's own certificate into `dir`.
pub fn issue_gateway(dir: &Path, trust_domain: &str) -> Result<(), CertificateError> {
    issue(dir, &format!("spiffe://{trust_domain}/gateway"), &dir.join("gateway")).map(drop)
}

/// Issues a peer's certificate, such as for `atm/A1`, and returns the two files.
pub fn issue_peer(dir: &Path, trust_domain: &str, peer: &str) -> Result<(PathBuf, PathBuf), CertificateError> {
    if !dir.join(CA_KEY).is_file() {
        return Err(CertificateError::NoAuthority(dir.display().to_string()));
    }
    let uri = format!("spiffe://{trust_domain}/{peer}");
    crate::identity::Identity::from_uri(&uri, &trust_domain.into())
        .map_err(|_| CertificateError::NoSuchPeer(peer.to_owned()))?;
    let folder = dir.join("certs");
    fs::create_dir_all(&folder).map_err(|source| at(&folder, source))?;
    issue(dir, &uri, &folder.join(peer.replace('/', "-")))
}

fn issue(dir: &Path, uri: &str, stem: &Path) -> Result<(PathBuf, PathBuf), CertificateError> {
    let read = |file: &str| fs::read_to_string(dir.join(file)).map_err(|source| at(&dir.join(file), source));
    let issuer = Issuer::from_ca_cert_pem(&read(CA)?, KeyPair::from_pem(&read(CA_KEY)?)?)?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
    params.distinguished_name = name(uri);
    params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    params.subject_alt_names.push(SanType::URI(uri.try_into()?));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    // Only who answers calls may stand where a caller looks for a server.
    if ["/gateway", "/corebank/", "/replica/"].iter().any(|server| uri.contains(server)) {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer)?;
    let named =
        |suffix: &str| stem.with_file_name(format!("{}{suffix}", stem.file_name().unwrap_or_default().display()));
    let (certificate_file, key_file) = (named(".pem"), named("-key.pem"));
    write_new(&key_file, key.serialize_pem().as_bytes(), 0o600)?;
    write_new(&certificate_file, certificate.pem().as_bytes(), 0o644)?;
    Ok((certificate_file, key_file))
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

/// Writes a file that must not be there yet.
pub fn write_new(file: &Path, content: &[u8], mode: u32) -> Result<(), CertificateError> {
    let opened = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(file);
    opened.and_then(|mut opened| opened.write_all(content)).map_err(|source| at(file, source))
}

fn at(file: &Path, source: io::Error) -> CertificateError {
    if source.kind() == io::ErrorKind::AlreadyExists {
        return CertificateError::Exists(file.display().to_string());
    }
    CertificateError::File { file: file.display().to_string(), source }
}
