//! Certificates that honest peers and attackers show.

use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The trust domain of what `cashgate init` makes.
const TRUST_DOMAIN: &str = "cashgate.test";

/// An authority: the gateway's, or one that it does not know.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
}

impl Authority {
    /// The one in a folder that `cashgate init` made.
    pub(crate) fn of_folder(folder: &Path) -> Result<Self, String> {
        let read = |file: &str| {
            std::fs::read_to_string(folder.join(file)).map_err(|error| format!("{}/{file}: {error}", folder.display()))
        };
        let (ca_pem, key) = (read("ca.pem")?, KeyPair::from_pem(&read("ca-key.pem")?).map_err(made)?);
        let issuer = Issuer::from_ca_cert_pem(&ca_pem, key).map_err(made)?;
        Ok(Self { issuer, ca_pem })
    }

    /// One that only calls itself like the gateway's.
    pub(crate) fn foreign() -> Result<Self, String> {
        let key = KeyPair::generate().map_err(made)?;
        let mut params = CertificateParams::new(Vec::new()).map_err(made)?;
        params.distinguished_name.push(DnType::CommonName, "Cashgate development authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_pem = params.self_signed(&key).map_err(made)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), ca_pem })
    }

    /// A certificate for a path such as `atm/A1`, or with no URI name at all; it ends with a year.
    pub(crate) fn issue(&self, path: Option<&str>, serial: u64, ends: i32) -> Result<Credentials, String> {
        let key = KeyPair::generate().map_err(made)?;
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).map_err(made)?;
        if let Some(path) = path {
            let uri = format!("spiffe://{TRUST_DOMAIN}/{path}");
            params.subject_alt_names.push(SanType::URI(uri.as_str().try_into().map_err(made)?));
        }
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_after = date_time_ymd(ends, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).map_err(made)?;
        Ok(Credentials { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    /// A list that revokes these serial numbers.
    pub(crate) fn revocation_list(&self, serials: &[u64]) -> Result<String, String> {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).and_then(|list| list.pem()).map_err(made)
    }

    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }
}

impl Credentials {
    /// The client side of TLS with these, towards a gateway of this authority.
    pub(crate) fn client_config(&self, gateway: &Authority) -> Result<Arc<ClientConfig>, String> {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(gateway.ca_pem.as_bytes()).map_err(made)?;
        roots.add(ca).map_err(made)?;
        let chain = vec![CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).map_err(made)?];
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).map_err(made)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .and_then(|builder| builder.with_root_certificates(roots).with_client_auth_cert(chain, key))
            .map_err(made)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

fn made(error: impl std::fmt::Display) -> String {
    format!("a certificate could not be made: {error}")
}
