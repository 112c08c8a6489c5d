//! The disk refuses for another reason than being full: the ledger stops, once and for all, and everyone hears of it.

#![cfg(unix)]

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use cashgate_ledger::{AppendError, Ledger, LedgerFailure, Sequence, StepRecord};
use tokio::task::JoinSet;

use crate::durability::{PATH_VARIABLE, acknowledgement, check_nothing_is_lost_or_halved};
#[allow(unused_imports)]
use crate::on_file::store::*;
use crate::sample::*;

#[test]
fn a_write_that_fails_is_fatal_for_all_and_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    // No file of the child may grow beyond a few hundred KiB; with the signal ignored, its writes fail with EFBIG.
    let limited = r#"trap "" XFSZ; ulimit -f 1200; exec "$0" "$@""#;
    let output = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "failure::writes_until_the_disk_refuses", "--ignored", "--nocapture"])
        .env(PATH_VARIABLE, &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let acknowledged: BTreeSet<u64> = said.lines().filter_map(acknowledgement).collect();
    assert!(acknowledged.len() >= 10, "it failed before it began: {said}");
    check_nothing_is_lost_or_halved(&path, &acknowledged);
}

/// A disk that is full only when the log is synced: its pages may be gone, so nothing is tried again and the reserve stays where it is.
#[test]
fn a_sync_that_fails_is_fatal_even_if_the_disk_was_only_full() {
    if !Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success()) {
        println!("NOT RUN: strace is not installed; which failures are tried again is also shown in src/commit.rs");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let output = Command::new("strace")
        .args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=fsync,fdatasync",
            "-e",
            "inject=fsync,fdatasync:error=ENOSPC:when=40+",
        ])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "failure::writes_until_the_disk_refuses", "--ignored", "--nocapture"])
        .env(PATH_VARIABLE, &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("(SQLite code 1034)"), "it did not fail in a sync: {said}");
    assert!(folder.path().join("ledger.db.reserve").exists(), "it was taken for a write that found no room");
    check_nothing_is_lost_or_halved(&path, &said.lines().filter_map(acknowledgement).collect());
}

#[test]
#[ignore = "the child process of the tests above"]
fn writes_until_the_disk_refuses() {
    let Some(path) = std::env::var_os(PATH_VARIABLE) else { return };
    let ledger = Ledger::open(path, options()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        assert_eq!(ledger.failure(), None);
        let mut lanes = JoinSet::new();
        for lane in 0..64 {
            let ledger = ledger.clone();
            lanes.spawn(async move { until_refused(&ledger, lane).await });
        }
        let ends = tokio::time::timeout(Duration::from_secs(60), lanes.join_all()).await.expect("some still wait");
        let failure = tokio::time::timeout(Duration::from_secs(5), ledger.fatal()).await.expect("nobody was told");
        println!("{failure}");
        assert_eq!(ends, vec![AppendError::Fatal(failure.clone()); 64]);

        tokio::time::timeout(Duration::from_secs(5), check_nothing_is_taken(ledger, failure)).await.expect("it hangs");
    });
}

/// Nothing is tried again, whatever it is, and small as it is.
async fn check_nothing_is_taken(ledger: Ledger, failure: LedgerFailure) {
    assert_eq!(ledger.append(vec![hold_requested(999_999)]).await, Err(AppendError::Fatal(failure.clone())));
    let registered = ledger.put_device(phone("phone-1"), notice("device_registered", 1)).await;
    assert_eq!(registered, Err(AppendError::Fatal(failure.clone())));
    assert_eq!(ledger.record_notice(notice("stopped", 1)).await, Err(AppendError::Fatal(failure.clone())));
    ledger.notice_later(notice("alarm", 1));
    assert_eq!(ledger.stats().notices_dropped, 1);
    assert_eq!(ledger.failure(), Some(failure.clone()));
    assert!(ledger.reader().last_sequence().unwrap() >= Sequence(20), "reading goes on");
    assert_eq!(ledger.close().await, Err(AppendError::Fatal(failure)));
}

async fn until_refused(ledger: &Ledger, lane: u64) -> AppendError {
    let large = |step: StepRecord| StepRecord { body: vec![1; 1000], ..step };
    for k in 0_u64.. {
        let n = lane + 64 * k;
        if let Err(error) = ledger.append(vec![large(hold_requested(n)), large(hold_granted(n))]).await {
            assert!(ledger.failure().is_some(), "whoever hears of a failure must find the ledger failed");
            return error;
        }
        println!("acknowledged {}", 2 * n);
    }
    unreachable!("the disk never refused")
}
