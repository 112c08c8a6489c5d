//! Which sets of files are fit to serve with.

mod replicas;

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevocationReason, RevokedCertParams, SerialNumber, date_time_ymd,
};
use tempfile::TempDir;

use super::*;

/// A bank's authority, with the year in which what it signs ends.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn named(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Certificate and key, PEM and DER.
    fn issues(&self, serial: u64, ends: i32) -> (String, String, CertificateDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_after = date_time_ymd(ends, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem(), certificate.der().clone())
    }

    fn revokes(&self, serials: &[u64], ends: i32) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(ends, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

const FAR: i32 = 2_090;

/// A folder that the gateway can serve with.
struct Folder {
    dir: TempDir,
    ours: Authority,
}

impl Folder {
    fn whole() -> Self {
        let (dir, ours) = (tempfile::tempdir().unwrap(), Authority::named("ours"));
        let (certificate, key, _) = ours.issues(1, FAR);
        let folder = Self { dir, ours };
        folder.put("gateway.pem", &certificate);
        folder.put("key.pem", &key);
        folder.put("ca.pem", &folder.ours.pem);
        folder.put("crl.pem", &folder.ours.revokes(&[7], FAR));
        folder
    }

    /// In one moment: who watches never sees half of it.
    fn put(&self, name: &str, text: &str) {
        let beside = self.dir.path().join("new");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, self.dir.path().join(name)).unwrap();
    }

    fn files(&self) -> TlsFiles {
        let file = |name: &str| Path::new(self.dir.path()).join(name);
        TlsFiles {
            certificate: file("gateway.pem"),
            key: file("key.pem"),
            ca: file("ca.pem"),
            crl: Some(file("crl.pem")).filter(|file| file.exists()),
        }
    }

    fn load(&self) -> Result<TlsSet, TlsError> {
        TlsSet::load(&self.files(), &Believers::Outside, clock::now())
    }

    fn why_not(&self) -> String {
        self.load().expect_err("a set that is not fit").to_string()
    }
}

#[test]
fn a_revoked_certificate_and_one_of_another_authority_are_not_accepted() {
    let folder = Folder::whole();
    let set = folder.load().unwrap();
    let (_, _, good) = folder.ours.issues(6, FAR);
    let (_, _, revoked) = folder.ours.issues(7, FAR);
    let (_, _, expired) = folder.ours.issues(8, 2_021);
    let (_, _, foreign) = Authority::named("ours").issues(6, FAR);
    assert!(set.would_accept(&[good]).is_ok());
    for (what, chain) in [("Revoked", revoked), ("Expired", expired), ("BadSignature", foreign)] {
        let error = set.would_accept(&[chain]).unwrap_err();
        assert!(format!("{error:?}").contains(what), "{what}: {error:?}");
    }
}

#[test]
fn without_a_list_nobody_is_revoked() {
    let folder = Folder::whole();
    fs::remove_file(folder.dir.path().join("crl.pem")).unwrap();
    let (_, _, certificate) = folder.ours.issues(7, FAR);
    assert!(folder.load().unwrap().would_accept(&[certificate]).is_ok());
}

#[test]
fn what_would_keep_everybody_out_is_not_taken() {
    let folder = Folder::whole();
    let whole = folder.load().unwrap();
    assert!(whole.expiry.certificate_s > 0 && whole.expiry.crl_s > 0);

    folder.put("crl.pem", &folder.ours.revokes(&[], 2_021));
    assert!(folder.why_not().contains("a revocation list has expired"));
    folder.put("crl.pem", &Authority::named("ours").revokes(&[], FAR));
    assert!(folder.why_not().contains("not signed by an authority"), "the same name, another key");
    folder.put("crl.pem", "nothing");
    assert!(folder.why_not().contains("holds no revocation list"));
    let second = Authority::named("second");
    folder.put("crl.pem", &folder.ours.revokes(&[], FAR));
    folder.put("ca.pem", &(folder.ours.pem.clone() + &second.pem));
    assert!(folder.why_not().contains("each needs one"));
    folder.put("crl.pem", &(folder.ours.revokes(&[], FAR) + &second.revokes(&[], FAR)));
    assert!(folder.load().is_ok(), "two authorities, two lists");
}

#[test]
fn a_certificate_without_its_key_or_past_its_end_is_not_taken() {
    let folder = Folder::whole();
    let (other, other_key, _) = folder.ours.issues(2, FAR);
    folder.put("gateway.pem", &other);
    assert!(folder.why_not().contains("do not go together"), "half replaced");
    folder.put("key.pem", &other_key);
    assert!(folder.load().is_ok());
    let (old, old_key, _) = folder.ours.issues(3, 2_021);
    folder.put("gateway.pem", &old);
    folder.put("key.pem", &old_key);
    assert!(folder.why_not().contains("a certificate has expired"));
}
