//! Where a site's ledger is: in a file of its folder, or in a database of its own on one PostgreSQL that all tests of a program share.

use std::fs;
use std::path::Path;
use std::sync::{LazyLock, OnceLock};

use cashgate_ledger::{Ledger, LedgerOptions, LedgerReader, PostgresOptions, ReplicaId, ReplicaIdentity, migrate};
use cashgate_postgres_server::{Database, Server, Session};

/// The two kinds of ledger. A test program is about one of them: `LEDGER` of its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LedgerKind {
    File,
    Postgresql,
}

/// The database that every other one is a copy of.
const TEMPLATE: &str = "ledger";

/// Ends with the process.
static SERVER: LazyLock<Server> = LazyLock::new(|| {
    // Two gateways a test, and as many tests at once as there are cores.
    let server = Server::start_with("max_connections = 500");
    let _ = server.sql("postgres", &format!("CREATE DATABASE {TEMPLATE}"));
    let folder = tempfile::tempdir().unwrap();
    let dsn_file = folder.path().join("dsn");
    fs::write(&dsn_file, server.dsn(TEMPLATE)).unwrap();
    migrate(&options(&dsn_file)).unwrap();
    // A database that somebody is connected to cannot be copied.
    let connected = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{TEMPLATE}'");
    while server.sql("postgres", &connected) != "0" {
        std::thread::yield_now();
    }
    server
});

/// A site's ledger, seen from outside the gateway.
pub(crate) enum Store {
    File,
    Postgresql { database: Database<'static>, reader: OnceLock<LedgerReader> },
}

impl Store {
    /// An empty ledger.
    pub(crate) fn new(kind: LedgerKind) -> Self {
        match kind {
            LedgerKind::File => Self::File,
            LedgerKind::Postgresql => Self::Postgresql { database: SERVER.database(TEMPLATE), reader: OnceLock::new() },
        }
    }

    /// Puts into a site's folder what leads to it: a gateway makes its file by itself.
    pub(crate) fn lead_from(&self, folder: &Path) {
        if let Self::Postgresql { database, .. } = self {
            fs::copy(database.dsn_file(), folder.join(LedgerKind::Postgresql.file())).unwrap();
        }
    }

    pub(crate) fn reader(&self, folder: &Path) -> LedgerReader {
        match self {
            Self::File => LedgerReader::open(folder.join(LedgerKind::File.file()), 1).unwrap(),
            Self::Postgresql { reader, .. } => {
                let connect = || LedgerReader::connect(&options(&folder.join(LedgerKind::Postgresql.file()))).unwrap();
                reader.get_or_init(connect).clone()
            }
        }
    }

    /// The ledger itself, to write as some other program does; on a file no gateway may run. Blocking.
    pub(crate) fn opened(&self, folder: &Path) -> Ledger {
        match self {
            Self::File => Ledger::open(folder.join(LedgerKind::File.file()), LedgerOptions::default()).unwrap(),
            Self::Postgresql { .. } => Ledger::connect(&options(&folder.join(LedgerKind::Postgresql.file()))).unwrap(),
        }
    }

    /// A session that holds a table, as only a database has them.
    pub(crate) fn hold(&self, table: &str) -> Session {
        let Self::Postgresql { database, .. } = self else { panic!("a file has no sessions") };
        database.session(&format!("LOCK TABLE cashgate.{table} IN ACCESS EXCLUSIVE MODE"))
    }

    /// A session that has given a machine's lane to a replica, which nobody sees before it commits. Whatever is written meanwhile waits for it.
    pub(crate) fn give_lane(&self, atm: &str, to: u16) -> Session {
        let Self::Postgresql { database, .. } = self else { panic!("a file has no sessions") };
        database.session(&format!(
            "SELECT 1 FROM cashgate.ledger_head FOR UPDATE;
             UPDATE cashgate.lanes SET replica = r.id, incarnation = r.incarnation, epoch = epoch + 1
                FROM cashgate.replicas r WHERE r.id = {to} AND atm = '{atm}'"
        ))
    }

    /// How many writes wait for somebody else's.
    pub(crate) fn waiting_writes(&self) -> u64 {
        let Self::Postgresql { database, .. } = self else { panic!("a file has no sessions") };
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
            AND (query LIKE '%cashgate_commit(%' OR query LIKE '%cashgate_claim(%')";
        database.sql(waiting).parse().unwrap()
    }

    /// Whether a gateway has opened it.
    pub(crate) fn is_begun(&self, folder: &Path) -> bool {
        match self {
            Self::File => folder.join(LedgerKind::File.file()).exists(),
            Self::Postgresql { database, .. } => database.sql("SELECT count(*) FROM cashgate.replicas") != "0",
        }
    }

    /// Changes a phone's row behind the back of every gateway, with all the rights that the system's administrator has.
    pub(crate) fn damage_phone(&self, folder: &Path, device: &str) {
        match self {
            Self::File => {
                let file = folder.join(LedgerKind::File.file());
                let mut bytes = fs::read(&file).unwrap();
                // Wherever the name stands: some of these places are free space, which means nothing, or an index.
                let is_it = |place: &usize| bytes[*place..].starts_with(device.as_bytes());
                let places: Vec<usize> = (0..bytes.len()).filter(is_it).collect();
                assert!(!places.is_empty(), "a name in a row");
                places.into_iter().for_each(|place| bytes[place] ^= 1);
                fs::write(&file, bytes).unwrap();
            }
            Self::Postgresql { database, .. } => {
                let changed = database.sql(&format!(
                    "WITH changed AS (UPDATE cashgate.devices SET device = 'qhone' WHERE device = '{device}' RETURNING 1)
                     SELECT count(*) FROM changed"
                ));
                assert_eq!(changed, "1", "a name in a row");
            }
        }
    }

    /// All that it holds, in a form in which texts and bytes are found: every byte of the file and of its log, or every row, once with bytes in hex
    /// and once as they are.
    pub(crate) fn everything(&self, folder: &Path) -> Vec<u8> {
        match self {
            Self::File => {
                ["ledger.db", "ledger.db-wal"].map(|file| fs::read(folder.join(file)).unwrap_or_default()).concat()
            }
            Self::Postgresql { database, .. } => {
                let tables = database.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'cashgate'");
                let rows: String = tables.lines().map(|table| format!("SELECT t FROM cashgate.{table} t;")).collect();
                let printed = |form: &str| database.sql(&format!("SET bytea_output = '{form}'; {rows}"));
                [printed("hex"), printed("escape")].concat().into_bytes()
            }
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Self::Postgresql { database, .. } = self {
            database.discard();
        }
    }
}

impl LedgerKind {
    /// The file in the site's folder that the configuration names.
    pub(crate) const fn file(self) -> &'static str {
        match self {
            Self::File => "ledger.db",
            Self::Postgresql => "ledger-dsn",
        }
    }

    /// The key of the configuration that names it.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::File => "path",
            Self::Postgresql => "postgres.dsn_file",
        }
    }
}

fn options(dsn_file: &Path) -> PostgresOptions {
    PostgresOptions::new(
        dsn_file,
        // No gateway's number: it puts none out.
        ReplicaIdentity { id: ReplicaId(99), name: "test".to_owned(), address: String::new() },
    )
}
