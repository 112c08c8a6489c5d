//! What a replica may show to its peers, at its start and later.

use std::time::Duration;

use rcgen::{ExtendedKeyUsagePurpose, SanType};

use super::super::watching::TlsKeeper;
use super::*;
use crate::guard::GuardMetrics;
use crate::metrics::Metrics;

const URI: &str = "spiffe://bank.test/replica/3";
const NAME: &str = "replicas";

fn believers() -> Believers {
    let server_name = NAME.try_into().unwrap();
    Believers::Replicas(ReplicaName { trust_domain: "bank.test".into(), number: 3, server_name })
}

/// What a replica's certificate is to say.
struct Said {
    serial: u64,
    name: &'static str,
    uri: &'static str,
    usages: Vec<ExtendedKeyUsagePurpose>,
}

impl Said {
    /// As it should be.
    fn well() -> Self {
        let usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        Self { serial: 1, name: NAME, uri: URI, usages }
    }
}

/// A replica's folder, whose key stays: a certificate is then replaced with one file.
struct Replica {
    folder: Folder,
    key: KeyPair,
}

impl Replica {
    /// One whose certificate says this.
    fn showing(said: Said) -> Self {
        let (folder, key) = (Folder::whole(), KeyPair::generate().unwrap());
        folder.put("key.pem", &key.serialize_pem());
        let replica = Self { folder, key };
        replica.is_issued(&replica.folder.ours, said);
        replica
    }

    fn is_issued(&self, by: &Authority, said: Said) {
        let mut params = CertificateParams::new(vec![said.name.to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from(said.serial));
        params.subject_alt_names.push(SanType::URI(said.uri.try_into().unwrap()));
        params.extended_key_usages = said.usages;
        self.folder.put("gateway.pem", &params.signed_by(&self.key, &by.issuer).unwrap().pem());
    }

    /// Its peers know this authority as well.
    fn trusts_too(&self, authority: &Authority) {
        // With two authorities there would have to be two lists.
        fs::remove_file(self.folder.dir.path().join("crl.pem")).unwrap();
        self.folder.put("ca.pem", &(self.folder.ours.pem.clone() + &authority.pem));
    }

    fn loads(&self) -> Result<TlsSet, TlsError> {
        TlsSet::load(&self.folder.files(), &believers(), clock::now())
    }
}

#[test]
fn a_replica_shows_what_its_peers_believe() {
    Replica::showing(Said::well()).loads().unwrap();
    Replica::showing(Said { usages: Vec::new(), ..Said::well() }).loads().unwrap();
    for (said, why) in [
        (Said { serial: 7, ..Said::well() }, "Revoked"),
        (Said { name: "others", ..Said::well() }, "not valid for name"),
        (Said { usages: vec![ExtendedKeyUsagePurpose::ServerAuth], ..Said::well() }, "extended key usage"),
        (Said { usages: vec![ExtendedKeyUsagePurpose::ClientAuth], ..Said::well() }, "extended key usage"),
        (Said { uri: "spiffe://bank.test/replica/4", ..Said::well() }, "it is replica/4"),
        (Said { uri: "spiffe://bank.test/gateway", ..Said::well() }, "URI is not"),
    ] {
        let replica = Replica::showing(said);
        assert!(replica.folder.load().is_ok(), "{why}: towards machines that is fit");
        let refused = replica.loads().expect_err(why).to_string();
        for words in ["gateway.pem", "would not believe it", why, URI, NAME] {
            assert!(refused.contains(words), "{words}: {refused}");
        }
    }
}

#[test]
fn who_shows_a_certificate_of_another_authority_is_told_where_that_is_missing() {
    for name in ["of the machines", "ours"] {
        let (replica, others) = (Replica::showing(Said::well()), Authority::named(name));
        replica.is_issued(&others, Said::well());
        assert!(replica.folder.load().is_ok(), "towards machines that is fit");
        let refused = TlsKeeper::load(replica.folder.files(), believers()).expect_err("no start").to_string();
        for words in ["gateway.pem", "would not believe it", "ca.pem", "put its own authority there"] {
            assert!(refused.contains(words), "{words}: {refused}");
        }
        replica.trusts_too(&others);
        TlsKeeper::load(replica.folder.files(), believers()).unwrap();
    }
}

/// How often new files were taken, and how often refused.
fn reloads(metrics: &Metrics) -> [u64; 2] {
    let text = metrics.text();
    ["taken", "refused"].map(|result| {
        let counted = |line: &&str| line.starts_with("cashgate_tls_reloads_total{") && line.contains(result);
        text.lines().find(counted).and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap()
    })
}

async fn has_judged(metrics: &Metrics, times: u64) -> [u64; 2] {
    let judged = async {
        loop {
            match reloads(metrics) {
                [taken, refused] if taken + refused >= times => return [taken, refused],
                _ => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), judged).await.expect("the files are looked at")
}

#[tokio::test]
async fn a_certificate_that_peers_would_not_believe_is_not_taken_later_either() {
    let (replica, others) = (Replica::showing(Said::well()), Authority::named("of the machines"));
    let keeper = TlsKeeper::load(replica.folder.files(), believers()).unwrap();
    let (tls, metrics) = (keeper.tls(), Metrics::new().unwrap());
    let before = tls.now();
    let every = Duration::from_millis(5);
    let watching = tokio::spawn(keeper.watch(every, GuardMetrics::new(&metrics.meter()), || {}));

    replica.is_issued(&others, Said::well());
    assert_eq!(has_judged(&metrics, 1).await, [0, 1]);
    assert!(Arc::ptr_eq(&before, &tls.now()), "what they believe goes on");
    replica.is_issued(&replica.folder.ours, Said { uri: "spiffe://bank.test/replica/4", ..Said::well() });
    assert_eq!(has_judged(&metrics, 2).await, [0, 2]);
    assert!(Arc::ptr_eq(&before, &tls.now()));
    replica.is_issued(&replica.folder.ours, Said { serial: 2, ..Said::well() });
    assert_eq!(has_judged(&metrics, 3).await, [1, 2]);
    assert!(!Arc::ptr_eq(&before, &tls.now()));
    let ends = |what: &str| metrics.text().contains(&format!("what=\"{what}\""));
    assert!(ends("replica_certificate") && !ends("certificate"), "the gateway's own set tells its ends itself");
    watching.abort();
}
