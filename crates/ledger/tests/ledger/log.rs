//! What a crash and what damage leave in the write-ahead log, and what opening says about it.

use std::path::{Path, PathBuf};

use cashgate_ledger::{Finding, Ledger, LedgerOpenError, Sequence, TornTail, verify};
use rusqlite::Connection;

#[allow(unused_imports)]
use crate::on_file::store::*;
use crate::sample::*;

/// A copy of a ledger of 20 withdrawals with one step each, as `kill -9` leaves it: all of it is in the log.
async fn killed() -> (PathBuf, Place) {
    let (ledger, place) = new_ledger();
    let path = place.file().unwrap();
    for n in 1..=20 {
        ledger.append(vec![hold_requested(n)]).await.unwrap();
    }
    let copy = path.with_file_name("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::copy(log_of(&path), log_of(&copy)).unwrap();
    (copy, place)
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
        torn.to_string().contains("after sequence 19") && torn.to_string().contains("no end of a commit"),
        "{torn}"
    );
    assert_eq!(last_step(&ledger), 19);
    assert_eq!(std::fs::metadata(log_of(&path)).unwrap().len(), 0, "what is left of it could look like damage later");
    assert!(!path.with_extension("db-wal.torn").exists(), "there is nothing to look at");
    assert_eq!(ledger.append(vec![hold_requested(20)]).await, Ok(Sequence(20)));
    ledger.close().await.unwrap();
    assert_eq!(Ledger::open(&path, options()).unwrap().torn_tail(), None);
}

/// It cannot be told from a crash, so it is said loudly.
#[tokio::test]
async fn damage_in_the_very_last_commit_is_reported_as_what_it_may_be() {
    let (path, _folder) = killed().await;
    change_log(&path, |bytes| *bytes.last_mut().unwrap() ^= 1);
    let whole = std::fs::read(log_of(&path)).unwrap();
    let mut findings = Vec::new();
    let report = verify(&path, &mut |finding| findings.push(finding), &mut |_, _| vec![]).unwrap();
    let ledger = Ledger::open(&path, options()).unwrap();
    let torn = ledger.torn_tail().unwrap();
    assert!(matches!(torn, TornTail { after_sequence: Sequence(19), commit_mark: true, .. }), "{torn:?}");
    let said = torn.to_string();
    assert!(said.contains("may have been the last acknowledged commit") && said.contains("last minutes"), "{torn}");
    assert_eq!(report.torn_tail, Some(torn));
    assert_eq!((findings, report.findings), (vec![Finding::Log(said)], 1));
    let kept = path.with_extension("db-wal.torn");
    assert_eq!(std::fs::read(&kept).unwrap(), whole, "for whoever looks");

    // The next one overwrites nothing.
    ledger.append(vec![hold_requested(20)]).await.unwrap();
    ledger.append(vec![hold_requested(21)]).await.unwrap();
    drop_and_wait(ledger, &path).await;
    change_log(&path, |bytes| *bytes.last_mut().unwrap() ^= 1);
    Ledger::open(&path, options()).unwrap();
    assert_eq!(std::fs::read(&kept).unwrap(), whole);
    assert!(path.with_extension("db-wal.torn.2").exists());
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
        assert!(findings.iter().any(|line| line.starts_with("log: frame")), "{findings:?}");
        assert_eq!((std::fs::read(&path).unwrap(), std::fs::read(log_of(&path)).unwrap()), before);
    }
}

/// The writer thread ends a moment after the last handle.
async fn drop_and_wait(ledger: Ledger, path: &Path) {
    drop(ledger);
    let lock = std::fs::File::open(path.with_extension("db.lock")).unwrap();
    let free = async {
        while lock.try_lock_shared().is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), free).await.expect("the writer did not end");
}

#[tokio::test]
async fn only_a_close_folds_the_log() {
    let (path, _folder) = killed().await;
    let log = std::fs::read(log_of(&path)).unwrap();
    let ledger = Ledger::open(&path, options()).unwrap();
    drop_and_wait(ledger, &path).await;
    assert_eq!(std::fs::read(log_of(&path)).unwrap(), log, "a start that was refused changed the log");
    let ledger = Ledger::open(&path, options()).unwrap();
    ledger.append(vec![hold_requested(21)]).await.unwrap();
    drop_and_wait(ledger, &path).await;
    let ledger = Ledger::open(&path, options()).unwrap();
    assert_eq!(last_step(&ledger), 21);
    ledger.close().await.unwrap();
    assert!(std::fs::metadata(log_of(&path)).map_or(0, |log| log.len()) == 0);
}

#[tokio::test]
async fn a_damaged_log_is_refused_until_a_person_removes_the_marker() {
    let (path, _folder) = killed().await;
    change_log(&path, |bytes| bytes[32 + 24 + 100] ^= 4);
    assert!(matches!(Ledger::open(&path, options()), Err(LedgerOpenError::LogDamaged { .. })));
    // `sqlite3 ledger.db 'select ...'`, without -readonly.
    let plain = Connection::open(&path).unwrap();
    let _ = plain.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
    drop(plain);
    std::fs::remove_file(log_of(&path)).unwrap_or_default();
    for _ in 0..2 {
        let error = Ledger::open(&path, options()).err().unwrap();
        assert!(matches!(error, LedgerOpenError::MarkedDamaged { .. }), "{error}");
        let line = error.to_string();
        for said in ["copy.db.damaged", "frame 1, byte 32", "restore the ledger from backup", "remove that file"] {
            assert!(line.contains(said), "{line}");
        }
        assert!(!line.contains('\n') && !line.contains("  "), "{line}");
    }
    let text = std::fs::read_to_string(path.with_extension("db.damaged")).unwrap();
    assert!(text.contains("acknowledged commits follow") && text.contains("removes it"), "{text}");

    let (restored, _other) = killed().await;
    std::fs::copy(&restored, &path).unwrap();
    std::fs::copy(log_of(&restored), log_of(&path)).unwrap();
    let mut findings = Vec::new();
    verify(&path, &mut |finding| findings.push(finding), &mut |_, _| vec![]).unwrap();
    assert!(matches!(findings.as_slice(), [Finding::Log(said)] if said.contains("copy.db.damaged")), "{findings:?}");
    std::fs::remove_file(path.with_extension("db.damaged")).unwrap();
    assert_eq!(last_step(&Ledger::open(&path, options()).unwrap()), 20);
}

#[tokio::test]
async fn a_reader_in_another_process_does_not_keep_the_ledger_from_opening() {
    for torn in [0, 1000] {
        let (path, _folder) = killed().await;
        change_log(&path, |bytes| bytes.truncate(bytes.len() - torn));
        let plain = Connection::open(&path).unwrap();
        plain.execute_batch("BEGIN; SELECT count(*) FROM steps").unwrap();
        let opening = tokio::task::spawn_blocking(move || Ledger::open(&path, options()).unwrap());
        let opened = tokio::time::timeout(std::time::Duration::from_secs(10), opening).await;
        let ledger = opened.expect("it waited for a reader").unwrap();
        assert_eq!(last_step(&ledger), if torn == 0 { 20 } else { 19 });
        ledger.append(vec![hold_requested(30)]).await.unwrap();
    }
}

#[tokio::test]
async fn damage_to_the_ledger_file_refuses_to_open_with_advice() {
    let (ledger, place) = new_ledger();
    let path = place.file().unwrap();
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
