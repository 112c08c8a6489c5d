//! Whatever stands in the configuration file, and in a certificate: refused with every reason, or within the ranges that are promised.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop loudly")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cashgate_fuzz::{Verdict, fuzz};
use cashgate_gateway::config::Config;
use cashgate_gateway::identity::{Identity, ends_at};
use tempfile::TempDir;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(target)
}

/// A folder with the files that a configuration names.
fn folder() -> &'static TempDir {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        for file in ["gateway.pem", "gateway-key.pem", "ca.pem", "crl.pem", "hsm-pin", "module.so"] {
            fs::write(folder.path().join(file), "1234").unwrap();
        }
        fs::create_dir(folder.path().join("policies")).unwrap();
        folder
    })
}

#[test]
fn config() {
    fuzz(&corpus("config"), |bytes| {
        let file = folder().path().join("cashgate.toml");
        fs::write(&file, bytes).unwrap();
        match Config::load(&file) {
            Ok(config) => {
                assert!((5..=300).contains(&config.qr_lifetime.as_secs()));
                assert!(!config.institutions.is_empty() && config.drain <= Duration::from_secs(600));
                assert!(config.guard.atm_connections_max > 0 && config.guard.requests_per_peer_s > 0);
                Verdict::Accepted
            }
            Err(error) => {
                assert!(error.to_string().contains("cashgate.toml"), "a refusal names the file: {error}");
                Verdict::Refused
            }
        }
    });
}

#[test]
fn certificates() {
    fuzz(&corpus("certificates"), |bytes| {
        let domain: Arc<str> = "cashgate.test".into();
        let _ = ends_at(bytes);
        let Ok(identity) = Identity::from_certificate(bytes, &domain) else { return Verdict::Refused };
        let again = Identity::from_uri(&format!("spiffe://cashgate.test/{}", identity.path()), &domain);
        assert_eq!(again, Ok(identity), "who it is can be said as it was read");
        Verdict::Accepted
    });
}

/// Makes the corpora: `cargo test -p cashgate-gateway --test fuzz -- --ignored`.
#[test]
#[ignore = "writes files"]
fn write_corpus() {
    let put = |target: &str, name: &str, bytes: &[u8]| {
        fs::create_dir_all(corpus(target)).unwrap();
        fs::write(corpus(target).join(name), bytes).unwrap();
    };
    let home = tempfile::tempdir().unwrap();
    let plan = cashgate_gateway::init::Plan {
        dir: home.path().join("gateway"),
        ports: (7443, 7444, 7445),
        institutions: vec![("sakura".parse().unwrap(), 7450), ("momiji".parse().unwrap(), 7451)],
    };
    let text = cashgate_gateway::init::configuration_text(&plan, "module.so");
    put("config", "init.toml", text.as_bytes());
    let more = "[guard]\natm_connections_max = 100\nconnection_age_s = 600\n[limits.atm]\n";
    put(
        "config",
        "guarded.toml",
        text.replace("ca = \"ca.pem\"", "ca = \"ca.pem\"\ncrl = \"crl.pem\"")
            .replace("[policy]", &format!("{more}\n[policy]"))
            .as_bytes(),
    );
    put("config", "wrong.toml", text.replace("qr_lifetime_s = 30", "qr_lifetime_s = 3000").as_bytes());
    put("config", "empty.toml", b"");
    let certificate = |uris: &[&str]| {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.subject_alt_names.extend(uris.iter().map(|uri| rcgen::SanType::URI((*uri).try_into().unwrap())));
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
    };
    put("certificates", "atm.der", &certificate(&["spiffe://cashgate.test/atm/A1"]));
    put("certificates", "operator.der", &certificate(&["spiffe://cashgate.test/operator/mori"]));
    put(
        "certificates",
        "two-names.der",
        &certificate(&["spiffe://cashgate.test/atm/A1", "spiffe://cashgate.test/atm/A2"]),
    );
    put("certificates", "no-name.der", &certificate(&[]));
}
