use std::path::Path;

use cashgate_ledger::{Ledger, LedgerOpenError, LedgerReader};
use rusqlite::Connection;

#[allow(unused_imports)]
use crate::on_file::store::*;
use crate::sample::*;

fn open(path: &Path) -> Result<Ledger, LedgerOpenError> {
    Ledger::open(path, options())
}

#[tokio::test]
async fn an_empty_folder_becomes_a_ledger() {
    let (ledger, place) = new_ledger();
    let path = place.file().unwrap();
    let plain = Connection::open(&path).unwrap();
    let number = |sql: &str| plain.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(number("PRAGMA user_version"), 4);
    assert_eq!(number("PRAGMA application_id"), i64::from(u32::from_be_bytes(*b"CASH")));
    let mode: String = plain.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    drop(plain);
    ledger.close().await.unwrap();
    open(&path).unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_second_writer_is_refused_until_the_first_has_closed() {
    let (ledger, place) = new_ledger();
    let path = place.file().unwrap();
    let error = open(&path).err().unwrap();
    assert!(matches!(error, LedgerOpenError::InUse { .. }), "{error}");
    let line = error.to_string();
    assert!(line.contains(&format!("in use by another process (process {})", std::process::id())), "{line}");
    assert!(!line.contains('\n'), "{line}");

    #[cfg(unix)]
    {
        let alias = path.with_file_name("alias.db");
        std::os::unix::fs::symlink(&path, &alias).unwrap();
        let error = open(&alias).err().unwrap();
        assert!(matches!(error, LedgerOpenError::InUse { .. }), "another name for it opened it: {error}");
    }

    // A reader needs no lock, and a clone does not keep it.
    LedgerReader::open(&path, 1).unwrap().counts_by_state().unwrap();
    let _clone = ledger.clone();
    ledger.close().await.unwrap();
    open(&path).unwrap().close().await.unwrap();
    drop(place);
}

#[tokio::test]
async fn a_later_schema_is_refused_and_left_alone() {
    let (ledger, place) = new_ledger();
    let path = place.file().unwrap();
    ledger.close().await.unwrap();
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 7).unwrap();
    for error in [open(&path).err().unwrap(), LedgerReader::open(&path, 1).err().unwrap()] {
        assert!(matches!(error, LedgerOpenError::NewerSchema { found: 7, known: 4, .. }), "{error}");
        assert!(error.to_string().contains("run the newer Cashgate"), "{error}");
    }
}

/// As the first version 1 was.
#[tokio::test]
async fn a_ledger_from_before_seals_is_refused_for_what_it_is() {
    let (ledger, place) = new_ledger();
    let path = place.file().unwrap();
    ledger.close().await.unwrap();
    let plain = Connection::open(&path).unwrap();
    plain
        .execute_batch("ALTER TABLE withdrawals DROP COLUMN last_seal; DROP TABLE key_events; PRAGMA user_version = 1")
        .unwrap();
    drop(plain);
    for error in [open(&path).err().unwrap(), LedgerReader::open(&path, 1).err().unwrap()] {
        assert!(matches!(error, LedgerOpenError::WithoutSeals { .. }), "{error}");
        let line = error.to_string();
        assert!(line.contains("start a new ledger") && !line.contains("damaged") && !line.contains("  "), "{line}");
    }
}

#[test]
fn a_file_that_is_no_ledger_is_refused_and_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE songs (title TEXT)").unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(
        &text,
        "a shopping list, long enough to be mistaken for the header of something else entirely".repeat(20),
    )
    .unwrap();
    for path in [other, text] {
        let before = std::fs::read(&path).unwrap();
        let error = open(&path).err().unwrap();
        assert!(matches!(error, LedgerOpenError::NotALedger { .. }), "{error}");
        assert!(LedgerReader::open(&path, 1).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), before, "{} was changed", path.display());
    }
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = open(&folder.path().join("no/such/folder/ledger.db")).err().unwrap();
    assert!(matches!(error, LedgerOpenError::Lock { .. }), "{error}");
    assert!(error.to_string().contains("folder must exist"), "{error}");

    let absent = folder.path().join("absent.db");
    assert!(matches!(LedgerReader::open(&absent, 1), Err(LedgerOpenError::Storage { .. })));
    assert!(!absent.exists(), "a reader must not create a ledger");

    let empty = folder.path().join("empty.db");
    std::fs::write(&empty, "").unwrap();
    assert!(matches!(LedgerReader::open(&empty, 1), Err(LedgerOpenError::OlderSchema { found: 0, .. })));
}
