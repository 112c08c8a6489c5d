//! What a crash and what damage leave in the write-ahead log, and what opening says about it.

use std::path::{Path, PathBuf};

use cashgate_ledger::{Ledger, LedgerOpenError, Sequence, TornTail, verify};
use tempfile::TempDir;

use crate::sample::*;

/// A copy of a ledger of 20 withdrawals with one step each, as `kill -9` leaves it: all of it is in the log.
async fn killed() -> (PathBuf, TempDir) {
    let (ledger, path, folder) = new_ledger();
    for n in 1..=20 {
        ledger.append(vec![hold_requested(n)]).await.unwrap();
    }
    let copy = folder.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::copy(log_of(&path), log_of(&copy)).unwrap();
    (copy, folder)
}

fn log_of(path: &Path) -> PathBuf {
    path.with_extension("db-wal")
}

fn change_log(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(log_of(path)).unwrap();
    change(&mut bytes);
    std::fs::write(log_of(path), bytes).unwrap();
}

fn last_step(ledger: &Ledger) -> u64 {
    ledger.reader().last_sequence().unwrap().0
}

#[tokio::test]
async fn a_log_that_ends_with_a_commit_is_taken_whole() {
    let (path, _folder) = killed().await;
    let ledger = Ledger::open(&path, options()).unwrap();
    assert_eq!((last_step(&ledger), ledger.torn_tail()), (20, None));
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_torn_tail_is_cut_and_reported_and_the_ledger_goes_on() {
    let (path, _folder) = killed().await;
    change_log(&path, |bytes| bytes.truncate(bytes.len() - 1000));
    let ledger = Ledger::open(&path, options()).unwrap();
    let torn = ledger.torn_tail().unwrap();
    assert!(matches!(torn, TornTail { after_sequence: Sequence(19), commit_mark: false, .. }), "{torn:?}");
    assert!(torn.bytes > 3000, "{torn:?}");
    assert!(
        torn.to_string().contains("after sequence 19") && torn.to_string().contains("never acknowledged"),
        "{torn}"
    );
    assert_eq!(last_step(&ledger), 19);
    assert_eq!(ledger.append(vec![hold_requested(20)]).await, Ok(Sequence(20)));
    ledger.close().await.unwrap();
    assert_eq!(Ledger::open(&path, options()).unwrap().torn_tail(), None);
}

/// It cannot be told from a crash, so it is said loudly.
#[tokio::test]
async fn damage_in_the_very_last_commit_is_reported_as_what_it_may_be() {
    let (path, _folder) = killed().await;
    change_log(&path, |bytes| *bytes.last_mut().unwrap() ^= 1);
    let report = verify(&path, &mut |finding| panic!("{finding}"), &mut |_, _| vec![]).unwrap();
    let ledger = Ledger::open(&path, options()).unwrap();
    let torn = ledger.torn_tail().unwrap();
    assert!(matches!(torn, TornTail { after_sequence: Sequence(19), commit_mark: true, .. }), "{torn:?}");
    assert!(torn.to_string().contains("may have been the last acknowledged commit"), "{torn}");
    assert_eq!(report.torn_tail, Some(torn));
}

#[tokio::test]
async fn damage_in_the_middle_of_the_log_refuses_to_open_and_leaves_all_as_it_was() {
    for (at, place) in [
        (32 + 24 + 100, "in frame 1 (byte 32)"),
        (5, "in its header"),
        (32 + 3 * 4120 + 4100, "in frame 4 (byte 12392)"),
    ] {
        let (path, _folder) = killed().await;
        change_log(&path, |bytes| bytes[at] ^= 4);
        let before = (std::fs::read(&path).unwrap(), std::fs::read(log_of(&path)).unwrap());
        for _ in 0..2 {
            let error = Ledger::open(&path, options()).err().unwrap();
            assert!(matches!(error, LedgerOpenError::LogDamaged { .. }), "{error}");
            let line = error.to_string();
            for said in
                [place, "copy.db-wal", "acknowledged commits follow", "restore from backup", "cashgate ledger verify"]
            {
                assert!(line.contains(said), "{line}");
            }
            assert!(!line.contains('\n') && !line.contains("  "), "{line}");
        }
        let mut findings = Vec::new();
        let _ = verify(&path, &mut |finding| findings.push(finding.to_string()), &mut |_, _| vec![]);
        assert!(findings[0].starts_with("log: frame"), "{findings:?}");
        assert_eq!((std::fs::read(&path).unwrap(), std::fs::read(log_of(&path)).unwrap()), before);
    }
}

#[tokio::test]
async fn damage_to_the_ledger_file_refuses_to_open_with_advice() {
    let (ledger, path, _folder) = new_ledger();
    ledger.append(whole_life(1)).await.unwrap();
    ledger.close().await.unwrap();
    let whole = std::fs::read(&path).unwrap();
    type Change = fn(&mut Vec<u8>);
    let damages: [(&str, Change, &str); 5] = [
        ("the magic", |bytes| bytes[3] ^= 1, "first page is damaged"),
        ("the application id", |bytes| bytes[70] ^= 1, "its tables are a ledger's"),
        ("the page of the schema", |bytes| bytes[100..4096].fill(0x55), "is damaged"),
        ("a cut file", |bytes| bytes.truncate(4096), "is damaged"),
        ("the page of the steps", |bytes| bytes[4096..].fill(0x55), "is damaged"),
    ];
    for (what, change, said) in damages {
        let mut bytes = whole.clone();
        change(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        let line = Ledger::open(&path, options()).err().unwrap_or_else(|| panic!("{what}: it opened")).to_string();
        assert!(line.contains(said), "{what}: {line}");
        assert!(said.contains("first page") || line.contains("restore from backup"), "{what}: {line}");
    }
}
