//! `[ledger]`: a file, or PostgreSQL.

use std::path::PathBuf;
use std::time::Duration;

use cashgate_ledger::{LedgerOpenError, LedgerReader, PostgresOptions, ReplicaId, ReplicaIdentity};

use super::reader::Reader;
use super::replica::ReplicaSection;

const READERS_OF_A_REPLICA: usize = 8;

/// Where the ledger is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerSection {
    /// In a file beside this one gateway.
    File(PathBuf),
    /// In a database that several gateways share.
    Postgres(Box<PostgresOptions>),
}

impl LedgerSection {
    /// The same ledger as one of several replicas writes it.
    pub(super) fn of_replica(self, replica: Option<&ReplicaSection>) -> Self {
        match (self, replica) {
            (Self::Postgres(options), Some(replica)) => {
                // A lane that is taken over reads, and so does each first approval of an account here.
                let readers = options.readers.max(READERS_OF_A_REPLICA);
                Self::Postgres(Box::new(PostgresOptions { replica: replica.identity(), readers, ..*options }))
            }
            (alone, _) => alone,
        }
    }

    /// Opens it for reading alone, also while gateways write it. Blocking.
    ///
    /// # Errors
    /// [`LedgerOpenError`], when it is not there or not one that this program knows.
    pub fn reader(&self) -> Result<LedgerReader, LedgerOpenError> {
        match self {
            Self::File(path) => LedgerReader::open(path, 1),
            Self::Postgres(options) => {
                LedgerReader::connect(&PostgresOptions { readers: 1, ..options.as_ref().clone() })
            }
        }
    }
}

pub(super) fn read(root: &Reader) -> Option<LedgerSection> {
    let ledger = root.table("ledger");
    let section = match (ledger.has("path"), ledger.has("postgres")) {
        (true, true) => {
            ledger.error(
                "postgres",
                "stands beside path: the ledger is either in a file or in PostgreSQL; remove one of them",
            );
            // Read all the same, so that their own errors are told at once.
            let _ = (ledger.file_in_folder("path"), read_postgres(&ledger));
            None
        }
        (_, true) => read_postgres(&ledger).map(|options| LedgerSection::Postgres(Box::new(options))),
        (_, false) => ledger.file_in_folder("path").map(LedgerSection::File),
    };
    ledger.close();
    section
}

fn read_postgres(ledger: &Reader) -> Option<PostgresOptions> {
    let table = ledger.table("postgres");
    let file = |key: &str| table.existing_file(key, "put the PEM file there, or correct the name");
    let optional = |key: &str| if table.has(key) { file(key).map(Some) } else { Some(None) };
    let dsn_file = table.existing_file(
        "dsn_file",
        "put the connection string there (postgresql://user@host/database), or correct the name",
    );
    let (ca_file, certificate, key) = (optional("ca"), optional("certificate"), optional("key"));
    let client_certificate = match (certificate, key) {
        (Some(Some(certificate)), Some(Some(key))) => Some(Some((certificate, key))),
        (Some(None), Some(None)) => Some(None),
        (Some(Some(_)), Some(None)) => table_error(&table, "key", "is missing beside certificate"),
        (Some(None), Some(Some(_))) => table_error(&table, "certificate", "is missing beside key"),
        _ => None,
    };
    let readers = table.number("readers", Some(4), 1..=64);
    let connect_timeout = table.milliseconds("connect_timeout_ms", Duration::from_secs(5), 100..=60_000);
    let statement_timeout = table.milliseconds("statement_timeout_ms", Duration::from_secs(5), 100..=60_000);
    let look_every = table.milliseconds("look_every_ms", Duration::from_millis(250), 50..=1_000);
    table.close();
    // One gateway on one database. Several are told apart by `replica`.
    let replica = ReplicaIdentity { id: ReplicaId(0), name: "gateway".to_owned(), address: String::new() };
    Some(PostgresOptions {
        ca_file: ca_file?,
        client_certificate: client_certificate?,
        readers: usize::try_from(readers?).unwrap_or(1),
        connect_timeout: connect_timeout?,
        statement_timeout: statement_timeout?,
        look_every: look_every?,
        ..PostgresOptions::new(dsn_file?, replica)
    })
}

fn table_error<T>(table: &Reader, key: &str, what: &str) -> Option<T> {
    table.error(key, what);
    None
}
