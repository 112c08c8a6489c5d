//! `[replica]`: this gateway among others that share a ledger. Without it there is one gateway.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use cashgate_ledger::{ReplicaId, ReplicaIdentity};
use rustls_pki_types::ServerName;

use super::ledger::LedgerSection;
use super::reader::Reader;
use crate::replica::DEAD_AFTER_USUAL;
use crate::tls::{Believers, ReplicaName, TlsFiles};

/// This replica among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaSection {
    /// Its number.
    pub id: ReplicaId,
    /// Its name for people.
    pub name: String,
    /// Where the others reach it, `host:port`.
    pub address: String,
    /// The name in the certificate of every replica.
    pub server_name: ServerName<'static>,
    /// Its certificate and key towards them, which name its number.
    pub certificate: PathBuf,
    /// See `certificate`.
    pub key: PathBuf,
    /// The port that it listens on for them.
    pub listen: SocketAddr,
    /// After how long without a heartbeat a replica counts as dead.
    pub dead_after: Duration,
    /// How often it says that it lives.
    pub heartbeat_every: Duration,
}

impl ReplicaSection {
    /// As the ledger knows it.
    #[must_use]
    pub fn identity(&self) -> ReplicaIdentity {
        ReplicaIdentity { id: self.id, name: self.name.clone(), address: self.address.clone() }
    }

    /// Its TLS files towards the others, beside the gateway's own.
    #[must_use]
    pub fn tls(&self, gateway: &TlsFiles) -> TlsFiles {
        TlsFiles { certificate: self.certificate.clone(), key: self.key.clone(), ..gateway.clone() }
    }

    /// Those who must believe what these files hold: the others, who ask for this replica's name.
    #[must_use]
    pub fn believers(&self, trust_domain: &str) -> Believers {
        Believers::Replicas(ReplicaName {
            trust_domain: trust_domain.into(),
            number: self.id.0,
            server_name: self.server_name.clone(),
        })
    }
}

/// `listen` is `listen.replica`, if it is there.
pub(super) fn read(
    root: &Reader,
    listen: Option<SocketAddr>,
    ledger: Option<&LedgerSection>,
) -> Option<Option<ReplicaSection>> {
    if !root.has("replica") {
        return Some(None);
    }
    if matches!(ledger, Some(LedgerSection::File(_))) {
        root.error("replica", "needs a ledger in a database (ledger.postgres): a ledger file has one writer");
    }
    let replica = root.table("replica");
    // What each replica is told by its own environment is not known elsewhere.
    let may_lack = |key: &str| !root.wants_what_is_named() && !replica.has(key);
    let first = may_lack("id").then_some(0);
    let id = replica.number("id", first, 0..=ReplicaId::MAX.0.into()).and_then(|id| u16::try_from(id).ok());
    let address = if may_lack("address") { Some("localhost:0".to_owned()) } else { replica.text("address") };
    let is_address = |text: &String| {
        text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if address.as_ref().is_some_and(|text| !is_address(text)) {
        replica.error("address", "must be host:port, as the other replicas reach this one");
    }
    let server_name = replica.text("server_name").and_then(|name| {
        ServerName::try_from(name.clone())
            .map_err(|_| replica.error("server_name", format!("{name:?} is not a host name")))
            .ok()
    });
    let existing = |key| {
        let file = || replica.existing_file(key, "put the PEM file there, or correct the name");
        if may_lack(key) { Some(PathBuf::new()) } else { file() }
    };
    let (certificate, key) = (existing("certificate"), existing("key"));
    let name = if replica.has("name") { replica.text("name") } else { id.map(|id| format!("replica-{id}")) };
    let dead_after = replica.seconds("dead_after_s", DEAD_AFTER_USUAL, 3..=60);
    let heartbeat_every = replica.milliseconds("heartbeat_ms", Duration::from_secs(1), 100..=10_000);
    if let (Some(dead), Some(every)) = (dead_after, heartbeat_every)
        && every.saturating_mul(3) > dead
    {
        replica.error("heartbeat_ms", "must fit into dead_after_s three times: one lost heartbeat is no death");
    }
    replica.close();
    if listen.is_none() {
        root.error("listen.replica", "is missing: the port that the other replicas reach");
    }
    Some(Some(ReplicaSection {
        id: ReplicaId(id?),
        name: name?,
        address: address?,
        server_name: server_name?,
        certificate: certificate?,
        key: key?,
        listen: listen?,
        dead_after: dead_after?,
        heartbeat_every: heartbeat_every?,
    }))
}
