//! Certificates: those of a folder, and new ones of a development authority for a load test on one's own machine.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cashgate_fleet::credentials::{Credentials, CredentialsError};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, SanType};

/// Why certificates were not made or found.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file or folder.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder of certificates.
    #[error(
        "--certs {path}: {source}; name the folder of everybody's certificates, or make one with `cashgate-loadtest certificates`"
    )]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The authority or a certificate could not be made or read.
    #[error("the certificate of {peer} could not be made: {source}")]
    Make {
        /// Whose.
        peer: String,
        /// Why.
        source: rcgen::Error,
    },
    /// The folder has fewer ATMs' certificates than the scenario has ATMs.
    #[error(
        "{folder} has certificates of {found} ATMs (atm-ID.pem with atm-ID-key.pem) and the scenario needs {needed}: issue more, \
         or lower the number with --atms"
    )]
    TooFew {
        /// The folder.
        folder: PathBuf,
        /// How many there are.
        found: usize,
        /// How many are needed.
        needed: usize,
    },
    /// A certificate cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// A folder of certificates as `cashgate issue-cert` names them: `atm-ID.pem`, `institution-ID.pem`, `corebank-ID.pem`, `operator-NAME.pem`, each with
/// its PKCS#8 key in `...-key.pem`.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The authority, PEM.
    pub ca: PathBuf,
    /// The folder.
    pub certificates: PathBuf,
    /// The DNS name in the gateway's certificate.
    pub server_name: String,
}

impl Folder {
    /// The credentials of a peer, such as `atm-A1`.
    ///
    /// # Errors
    /// A file is missing or cannot be read.
    pub fn credentials(&self, peer: &str) -> Result<Credentials, CertificateError> {
        let file = |ending: &str| self.certificates.join(format!("{peer}{ending}.pem"));
        Ok(Credentials::read(&self.ca, &file(""), &file("-key"))?.for_server(&self.server_name))
    }

    /// The ids of so many ATMs with certificates, in their order.
    ///
    /// # Errors
    /// There are fewer, or the folder cannot be read.
    pub fn atms(&self, needed: usize) -> Result<Vec<String>, CertificateError> {
        let unreadable = |source| CertificateError::Folder { path: self.certificates.clone(), source };
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.certificates).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            let id = name.to_str().and_then(|name| name.strip_prefix("atm-")?.strip_suffix("-key.pem"));
            if let Some(id) = id.filter(|id| self.certificates.join(format!("atm-{id}.pem")).is_file()) {
                ids.push(id.to_owned());
            }
        }
        ids.sort_unstable();
        if ids.len() < needed {
            return Err(CertificateError::TooFew { folder: self.certificates.clone(), found: ids.len(), needed });
        }
        ids.truncate(needed);
        Ok(ids)
    }
}

/// Has the development authority of a folder that `cashgate init` made issue what a run needs into its `certs`: ATMs `L00001` and so on, the institution and
/// its core bank, and the operator who reads the gateway's books. What is there already is left as it is. Gives how many were made.
///
/// # Errors
/// There is no authority in the folder, or a file cannot be written.
pub fn issue(
    development: &Path,
    trust_domain: &str,
    institution: &str,
    operator: &str,
    atms: u32,
) -> Result<usize, CertificateError> {
    let read = |name: &str| {
        let path = development.join(name);
        fs::read_to_string(&path).map_err(|source| CertificateError::File { path, source })
    };
    let of_authority = |source| CertificateError::Make { peer: "the authority".to_owned(), source };
    let key = KeyPair::from_pem(&read("ca-key.pem")?).map_err(of_authority)?;
    let issuer = Issuer::from_ca_cert_pem(&read("ca.pem")?, key).map_err(of_authority)?;
    let folder = development.join("certs");
    fs::create_dir_all(&folder).map_err(|source| CertificateError::File { path: folder.clone(), source })?;
    let atms = (1..=atms).map(|number| format!("atm/L{number:05}"));
    let others =
        [format!("institution/{institution}"), format!("corebank/{institution}"), format!("operator/{operator}")];
    let mut made = 0;
    for peer in others.into_iter().chain(atms) {
        let stem = folder.join(peer.replace('/', "-"));
        let certificate_file = stem.with_extension("pem");
        if certificate_file.exists() {
            continue;
        }
        let (certificate, key) = certificate(&issuer, trust_domain, &peer)
            .map_err(|source| CertificateError::Make { peer: peer.clone(), source })?;
        write_new(&folder.join(format!("{}-key.pem", peer.replace('/', "-"))), &key)?;
        write_new(&certificate_file, &certificate)?;
        made += 1;
    }
    Ok(made)
}

/// A certificate and its key, PEM, as `cashgate issue-cert` makes them.
fn certificate(issuer: &Issuer<'_, KeyPair>, trust_domain: &str, peer: &str) -> Result<(String, String), rcgen::Error> {
    let uri = format!("spiffe://{trust_domain}/{peer}");
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, uri.as_str());
    params.subject_alt_names.push(SanType::URI(uri.as_str().try_into()?));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if peer.starts_with("corebank/") {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    params.use_authority_key_identifier_extension = true;
    Ok((params.signed_by(&key, issuer)?.pem(), key.serialize_pem()))
}

fn write_new(path: &Path, text: &str) -> Result<(), CertificateError> {
    let file = |source| CertificateError::File { path: path.to_owned(), source };
    let mut opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(file)?;
    io::Write::write_all(&mut opened, text.as_bytes()).map_err(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, IsCa};

    fn development() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(folder.path().join("ca-key.pem"), key.serialize_pem()).unwrap();
        folder
    }

    fn of(folder: &Path) -> Folder {
        Folder { ca: folder.join("ca.pem"), certificates: folder.join("certs"), server_name: "localhost".to_owned() }
    }

    #[test]
    fn what_is_issued_is_found_and_can_be_used() {
        let development = development();
        assert_eq!(issue(development.path(), "cashgate.test", "sakura", "dev", 3).unwrap(), 6);
        assert_eq!(issue(development.path(), "cashgate.test", "sakura", "dev", 4).unwrap(), 1, "only what was missing");
        let folder = of(development.path());
        assert_eq!(folder.atms(4).unwrap(), ["L00001", "L00002", "L00003", "L00004"]);
        for peer in ["atm-L00004", "institution-sakura", "corebank-sakura"] {
            folder.credentials(peer).unwrap().endpoint("https://127.0.0.1:1").unwrap();
        }
    }

    #[test]
    fn too_few_and_missing_ones_are_named() {
        let development = development();
        issue(development.path(), "cashgate.test", "sakura", "dev", 1).unwrap();
        let folder = of(development.path());
        let said = folder.atms(2).unwrap_err().to_string();
        assert!(said.contains("1 ATMs") && said.contains("needs 2"), "{said}");
        assert!(folder.credentials("operator-nobody").err().unwrap().to_string().contains("operator-nobody.pem"));
        let said = issue(Path::new("/nowhere"), "cashgate.test", "sakura", "dev", 1).unwrap_err().to_string();
        assert!(said.contains("ca-key.pem"), "{said}");
    }
}
