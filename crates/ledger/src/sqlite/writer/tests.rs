//! The full disk, by SQLite's own limit on the file, which fails like one (SQLITE_FULL). On a real one: `tests/ledger/full_disk.rs`.

use std::path::Path;
use std::time::Duration;

use cashgate_withdrawal::time::Timestamp;

use super::*;
use crate::devices::DeviceRow;
use crate::ledger::Ledger;
use crate::notices::Notice;
use crate::records::{Remark, Sequence, StepRecord};
use crate::sample::hold_requested;
use crate::sqlite::open::adjusted_ledger;

const RESERVE_BYTES: u64 = 64 * 1024;

/// A ledger whose file may have `pages` pages, and `more` when the reserve is given up.
fn ledger_of(path: &Path, reserve_bytes: u64, pages: u32, more: u32) -> Ledger {
    let options = LedgerOptions { reserve_bytes, readers: 1, ..LedgerOptions::default() };
    adjusted_ledger(path, &options, |writer| {
        let limit = |connection: &Connection, pages: u32| {
            connection.pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, u32>(0)).unwrap();
        };
        limit(&writer.connection, pages);
        writer.after_release = Some(Box::new(move |connection| limit(connection, pages + more)));
    })
    .unwrap()
}

/// Appends one by one until the room is not ample any more; returns how many there are.
async fn fill(ledger: &Ledger) -> u64 {
    for n in 1..10_000 {
        ledger.append(vec![hold_requested(n)]).await.unwrap();
        if ledger.room() == Room::Reserve {
            return n;
        }
    }
    panic!("it never got full")
}

#[tokio::test]
async fn a_full_disk_costs_the_reserve_and_loses_no_append() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let reserve = folder.path().join("ledger.db.reserve");
    let ledger = ledger_of(&path, RESERVE_BYTES, 60, 100_000);
    assert!(ledger.room() == Room::Ample && reserve.metadata().unwrap().len() == RESERVE_BYTES);
    let mut room = ledger.subscribe_room();
    let n = fill(&ledger).await;
    assert!(room.has_changed().unwrap() && *room.borrow_and_update() == Room::Reserve);
    assert!(!reserve.exists());
    // What is open goes on, and nothing has a gap.
    ledger.append(vec![StepRecord { number: 2, ..hold_requested(1) }]).await.unwrap();
    let page = ledger.reader().feed_after(Sequence(0), None, 1000).unwrap();
    assert_eq!(page.entries.len() as u64, n + 1);

    // Evidence does not eat what outcomes need.
    let remark = Remark {
        withdrawal: hold_requested(1).withdrawal,
        at: Timestamp::from_unix_ms(1),
        kind: "asked",
        detail: String::new(),
    };
    ledger.remark(vec![remark]);
    assert_eq!((ledger.stats().remarks, ledger.stats().remarks_dropped), (0, 1));

    check_what_may_use_the_reserve(&ledger).await;

    ledger.try_restore_reserve();
    tokio::time::timeout(Duration::from_secs(10), room.changed()).await.expect("it was not tried").unwrap();
    assert_eq!((ledger.room(), reserve.metadata().unwrap().len()), (Room::Ample, RESERVE_BYTES));
    ledger.close().await.unwrap();
}

fn notice(kind: &'static str) -> Notice {
    Notice { at: Timestamp::from_unix_ms(1), kind, institution: None, body: vec![1] }
}

fn phone(name: &str, revoked: bool, locked: bool) -> DeviceRow {
    let at = Timestamp::from_unix_ms(1);
    DeviceRow {
        institution: "aozora".parse().unwrap(),
        device: name.parse().unwrap(),
        public_key: vec![4; 65],
        key_since: at,
        registered_at: at,
        bound_at: at,
        channel: String::new(),
        attestation: None,
        failed_attempts: 0,
        locked_at: locked.then_some(at),
        revoked_at: revoked.then_some(at),
    }
}

/// What bars somebody does not wait for room; all else does.
async fn check_what_may_use_the_reserve(ledger: &Ledger) {
    let last = ledger.reader().last_sequence().unwrap();
    assert_eq!(ledger.record_notice(notice("alarm")).await, Err(AppendError::NoRoom));
    let registered = ledger.put_device(phone("phone-1", false, false), notice("device_registered")).await;
    assert_eq!(registered, Err(AppendError::NoRoom));
    ledger.notice_later(notice("approval_refused"));
    assert_eq!((ledger.stats().notices, ledger.stats().notices_dropped), (0, 1));
    assert_eq!(ledger.reader().last_sequence().unwrap(), last);

    for (name, revoked, locked) in [("phone-2", true, false), ("phone-3", false, true)] {
        ledger.put_device(phone(name, revoked, locked), notice("device_barred")).await.unwrap();
    }
    let stopped = ledger.record_urgent_notice(notice("stopped")).await;
    assert_eq!(stopped, Ok(Sequence(last.0 + 3)));
    assert_eq!(ledger.reader().devices().unwrap().len(), 2);
}

#[tokio::test]
async fn commits_look_for_room_without_being_asked() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger_of(&folder.path().join("ledger.db"), RESERVE_BYTES, 60, 100_000);
    let n = fill(&ledger).await;
    for more in 1..2 * u64::from(COMMITS_BEFORE_RESTORING) {
        ledger.append(vec![hold_requested(n + more)]).await.unwrap();
    }
    assert_eq!(ledger.room(), Room::Ample);
}

/// All wait when the writer takes them, so the disk gets full in the middle of a group.
#[tokio::test(flavor = "current_thread")]
async fn a_group_that_finds_no_room_is_written_whole_when_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger_of(&folder.path().join("ledger.db"), RESERVE_BYTES, 60, 100_000);
    let mut waiting = tokio::task::JoinSet::new();
    for n in 1..=400 {
        let ledger = ledger.clone();
        waiting.spawn(async move { ledger.append(vec![hold_requested(n)]).await.unwrap() });
    }
    let mut sequences: Vec<u64> = waiting.join_all().await.into_iter().map(|sequence| sequence.0).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=400).collect::<Vec<_>>());
    assert_eq!(ledger.room(), Room::Reserve);
    assert!(ledger.stats().commits < 100, "{:?}: there were no groups", ledger.stats());
}

#[tokio::test]
async fn when_even_the_reserve_is_used_up_the_ledger_stops_and_has_all_it_acknowledged() {
    for (reserve_bytes, more) in [(RESERVE_BYTES, 20), (RESERVE_BYTES, 0), (0, 100_000)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let ledger = ledger_of(&path, reserve_bytes, 60, more);
        let mut acknowledged = 0;
        let failure = loop {
            match ledger.append(vec![hold_requested(acknowledged + 1)]).await {
                Ok(_) => acknowledged += 1,
                Err(AppendError::Fatal(failure)) => break failure,
                Err(other) => panic!("{other}"),
            }
            assert!(acknowledged < 10_000, "it never got full");
        };
        assert_eq!(ledger.room(), Room::Reserve);
        assert!(failure.cause.contains("full"), "{failure}");
        assert_eq!(ledger.append(vec![hold_requested(1)]).await, Err(AppendError::Fatal(failure)));
        drop(ledger);
        let again = loop {
            match Ledger::open(&path, LedgerOptions { reserve_bytes, ..LedgerOptions::default() }) {
                Ok(ledger) => break ledger,
                Err(crate::open_error::LedgerOpenError::InUse { .. }) => tokio::task::yield_now().await,
                Err(other) => panic!("{other}"),
            }
        };
        assert_eq!(again.reader().last_sequence().unwrap(), Sequence(acknowledged));
        assert_eq!(again.room(), Room::Ample);
        again.append(vec![hold_requested(acknowledged + 1)]).await.unwrap();
    }
}
