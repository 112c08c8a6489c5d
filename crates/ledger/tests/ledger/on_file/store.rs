//! The ledger in a file, for tests: new ones, damage, and the check of all of it.

use std::path::{Path, PathBuf};

use cashgate_ledger::{
    Finding, Ledger, LedgerOptions, LedgerReader, StoredStep, VerifyReport, WithdrawalSummary, verify,
};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::sample::options;

pub(crate) const IS_FILE: bool = true;

/// Where a ledger is, as long as the test lives.
pub(crate) struct Place {
    path: PathBuf,
    _folder: TempDir,
}

impl Place {
    pub(crate) fn open(&self) -> Ledger {
        Ledger::open(&self.path, options()).unwrap()
    }

    pub(crate) fn reader(&self) -> LedgerReader {
        LedgerReader::open(&self.path, 1).unwrap()
    }

    pub(crate) fn damage(&self, sql: &str) {
        damage(&self.path, sql);
    }

    pub(crate) fn verified(&self) -> (VerifyReport, Vec<String>) {
        verified(&self.path)
    }

    pub(crate) fn verify(
        &self,
        on_finding: &mut dyn FnMut(Finding),
        check_history: &mut dyn FnMut(&WithdrawalSummary, &[StoredStep]) -> Vec<String>,
    ) -> VerifyReport {
        verify(&self.path, on_finding, check_history).unwrap()
    }

    /// The file, for what only a file can show.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        Some(self.path.clone())
    }

    /// Changes with every count of remarks left out that is written.
    pub(crate) fn left_out_written(&self) -> Vec<u8> {
        std::fs::read(self.path.with_extension("db-wal")).unwrap()
    }
}

pub(crate) fn new_ledger_of(queue_length_max: usize, readers: usize) -> (Ledger, Place) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let options = LedgerOptions { queue_length_max, readers, ..options() };
    (Ledger::open(&path, options).unwrap(), Place { path, _folder: folder })
}

pub(crate) fn new_ledger() -> (Ledger, Place) {
    new_ledger_of(1024, 4)
}

/// What the check of the whole ledger says.
pub(crate) fn verified(path: &Path) -> (VerifyReport, Vec<String>) {
    let mut findings = Vec::new();
    let report = verify(path, &mut |finding: Finding| findings.push(finding.to_string()), &mut |_, _| vec![]).unwrap();
    assert_eq!(report.findings, findings.len() as u64);
    (report, findings)
}

/// Changes the file as a hand with all rights would, past triggers and foreign keys.
pub(crate) fn damage(path: &Path, sql: &str) {
    let plain = Connection::open(path).unwrap();
    let triggers: Vec<String> = {
        let mut statement = plain.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    for trigger in triggers {
        plain.execute_batch(&format!("DROP TRIGGER {trigger}")).unwrap();
    }
    plain.pragma_update(None, "foreign_keys", false).unwrap();
    plain.pragma_update(None, "ignore_check_constraints", true).unwrap();
    plain.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}
