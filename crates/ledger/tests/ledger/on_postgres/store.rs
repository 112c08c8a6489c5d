//! The ledger on PostgreSQL, for tests: a database each on one server.

use std::path::PathBuf;
use std::sync::LazyLock;

use cashgate_ledger::{
    Finding, Ledger, LedgerReader, PostgresOptions, ReplicaId, ReplicaIdentity, StoredStep, VerifyReport,
    WithdrawalSummary, migrate, verify_open,
};
use cashgate_postgres_server::{Database, Server};

pub(crate) const IS_FILE: bool = false;

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let server = Server::start_with("max_connections = 300");
    let _ = server.sql("postgres", "CREATE DATABASE ledger");
    let folder = tempfile::tempdir().unwrap();
    let dsn_file = folder.path().join("dsn");
    std::fs::write(&dsn_file, server.dsn("ledger")).unwrap();
    migrate(&options_of(dsn_file, 0)).unwrap();
    server
});

pub(crate) fn options_of(dsn_file: PathBuf, replica: u16) -> PostgresOptions {
    let identity = ReplicaIdentity { id: ReplicaId(replica), name: format!("test-{replica}"), address: String::new() };
    PostgresOptions::new(dsn_file, identity)
}

/// A new database with an empty ledger in it.
pub(crate) fn database() -> Database<'static> {
    // Whoever migrated has closed its connections by now, or is about to.
    let free = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'ledger'";
    while SERVER.sql("postgres", free) != "0" {
        std::thread::yield_now();
    }
    SERVER.database("ledger")
}

/// Where a ledger is, as long as the test lives.
pub(crate) struct Place {
    database: Database<'static>,
}

impl Place {
    pub(crate) fn options(&self) -> PostgresOptions {
        options_of(self.database.dsn_file(), 0)
    }

    pub(crate) fn open(&self) -> Ledger {
        Ledger::connect(&self.options()).unwrap()
    }

    pub(crate) fn reader(&self) -> LedgerReader {
        LedgerReader::connect(&self.options()).unwrap()
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.database.sql(&format!("SET search_path = cashgate; {sql}"))
    }

    /// Changes it as a hand with all rights would, past triggers and checks. Takes what is said in SQLite's words.
    pub(crate) fn damage(&self, sql: &str) {
        let checks = "SELECT string_agg(format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname), '; ')
            FROM pg_constraint WHERE contype = 'c' AND connamespace = 'cashgate'::regnamespace AND conislocal";
        let drops = self.sql(checks);
        let sql = sql
            .replace("zeroblob(32)", "decode(repeat('00', 32), 'hex')")
            .replace("zeroblob(16)", "decode(repeat('00', 16), 'hex')")
            .replace("zeroblob(65)", "decode(repeat('00', 65), 'hex')")
            .replace("x''", "''::bytea")
            .replace("x'00'", "'\\x00'::bytea")
            .replace("x'05'", "'\\x05'::bytea")
            .replace("CAST('hold_grantee 1' AS BLOB)", "convert_to('hold_grantee 1', 'UTF8')")
            .replace("1 << 60", "1::bigint << 60");
        let _ = self.sql(&format!("SET session_replication_role = replica; {drops}; {sql}"));
    }

    pub(crate) fn verified(&self) -> (VerifyReport, Vec<String>) {
        let mut findings = Vec::new();
        let report = self.verify(&mut |finding| findings.push(finding.to_string()), &mut |_, _| vec![]);
        assert_eq!(report.findings, findings.len() as u64);
        (report, findings)
    }

    pub(crate) fn verify(
        &self,
        on_finding: &mut dyn FnMut(Finding),
        check_history: &mut dyn FnMut(&WithdrawalSummary, &[StoredStep]) -> Vec<String>,
    ) -> VerifyReport {
        verify_open(&self.reader(), on_finding, check_history)
    }

    pub(crate) fn file(&self) -> Option<PathBuf> {
        None
    }

    /// Changes with every count of remarks left out that is written.
    pub(crate) fn left_out_written(&self) -> Vec<u8> {
        self.sql("SELECT count FROM remarks_left_out").into_bytes()
    }
}

pub(crate) fn new_ledger_of(queue_length_max: usize, readers: usize) -> (Ledger, Place) {
    let place = Place { database: database() };
    let options = PostgresOptions { queue_length_max, readers, ..place.options() };
    (Ledger::connect(&options).unwrap(), place)
}

pub(crate) fn new_ledger() -> (Ledger, Place) {
    new_ledger_of(1024, 4)
}
