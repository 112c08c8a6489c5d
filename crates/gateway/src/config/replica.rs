//! `[replica]` and the ledger that replicas share. Without them there is one gateway with a ledger file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use cashgate_ledger::{LedgerOpenError, LedgerReader, PostgresOptions, ReplicaId, ReplicaIdentity};
use rustls_pki_types::ServerName;

use super::reader::Reader;
use crate::replica::DEAD_AFTER_USUAL;
use crate::tls::TlsFiles;

/// Where the ledger is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerSection {
    /// A file of this gateway alone.
    File(PathBuf),
    /// A database that replicas share.
    Database(Box<DatabaseSection>),
}

/// How the database is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseSection {
    /// The file with the connection string.
    pub dsn_file: PathBuf,
    /// The authorities of its certificate, if TLS is asked for.
    pub ca_file: Option<PathBuf>,
    /// The certificate and key that this gateway shows, if any.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
}

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
    /// Its TLS files towards the others, beside the gateway's own.
    #[must_use]
    pub fn tls(&self, gateway: &TlsFiles) -> TlsFiles {
        TlsFiles { certificate: self.certificate.clone(), key: self.key.clone(), ..gateway.clone() }
    }
}

impl LedgerSection {
    /// The file, if the ledger is one.
    #[must_use]
    pub fn into_file(self) -> Option<PathBuf> {
        match self {
            Self::File(path) => Some(path),
            Self::Database(_) => None,
        }
    }

    /// Its reading side. Blocking.
    ///
    /// # Errors
    /// The ledger cannot be opened.
    pub fn reader(&self, connections: usize) -> Result<LedgerReader, LedgerOpenError> {
        match self {
            Self::File(path) => LedgerReader::open(path, connections),
            Self::Database(database) => LedgerReader::connect(&database.options(None)),
        }
    }
}

impl DatabaseSection {
    /// As the ledger takes it. A process that only reads needs no replica.
    #[must_use]
    pub fn options(&self, replica: Option<&ReplicaSection>) -> PostgresOptions {
        let identity = replica.map_or_else(
            || ReplicaIdentity { id: ReplicaId(0), name: String::new(), address: String::new() },
            |replica| ReplicaIdentity { id: replica.id, name: replica.name.clone(), address: replica.address.clone() },
        );
        let usual = PostgresOptions::new(self.dsn_file.clone(), identity);
        PostgresOptions {
            ca_file: self.ca_file.clone(),
            client_certificate: self.client_certificate.clone(),
            // A lane that is taken over reads, and so does each first approval of an account here.
            readers: 8,
            ..usual
        }
    }
}

pub(super) fn read_ledger(root: &Reader) -> Option<LedgerSection> {
    let ledger = root.table("ledger");
    let section = if ledger.has("dsn_file") {
        if ledger.has("path") {
            ledger.error("path", "stands beside dsn_file: the ledger is a file or a database, not both");
        }
        let existing = |key: &str| ledger.existing_file(key, "put the file there, or correct the name");
        let dsn_file = existing("dsn_file");
        let ca_file = if ledger.has("ca_file") { existing("ca_file").map(Some) } else { Some(None) };
        let client_certificate = if ledger.has("client_certificate") || ledger.has("client_key") {
            existing("client_certificate").zip(existing("client_key")).map(Some)
        } else {
            Some(None)
        };
        read_database(dsn_file, ca_file, client_certificate)
    } else {
        ledger.file_in_folder("path").map(LedgerSection::File)
    };
    ledger.close();
    section
}

fn read_database(
    dsn_file: Option<PathBuf>,
    ca_file: Option<Option<PathBuf>>,
    client_certificate: Option<Option<(PathBuf, PathBuf)>>,
) -> Option<LedgerSection> {
    let section = DatabaseSection { dsn_file: dsn_file?, ca_file: ca_file?, client_certificate: client_certificate? };
    Some(LedgerSection::Database(Box::new(section)))
}

/// `listen` is `listen.replica`, if it is there.
pub(super) fn read(
    root: &Reader,
    listen: Option<SocketAddr>,
    ledger: Option<&LedgerSection>,
) -> Option<Option<ReplicaSection>> {
    let is_shared = matches!(ledger, Some(LedgerSection::Database(_)));
    if !root.has("replica") {
        if is_shared {
            root.error("replica", "is missing: a ledger in a database (ledger.dsn_file) is written by replicas");
            return None;
        }
        return Some(None);
    }
    if ledger.is_some() && !is_shared {
        root.error("replica", "needs a ledger in a database (ledger.dsn_file): a ledger file has one writer");
    }
    let replica = root.table("replica");
    let id = replica.number("id", None, 0..=ReplicaId::MAX.0.into()).and_then(|id| u16::try_from(id).ok());
    let address = replica.text("address");
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
    let existing = |key| replica.existing_file(key, "put the PEM file there, or correct the name");
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
