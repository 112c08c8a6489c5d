//! A disk that is really full: a small tmpfs. Where none can be mounted, the tests in `src/writer/tests.rs` show the same with
//! SQLite's own limit.

#![cfg(target_os = "linux")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cashgate_ledger::{AppendError, Ledger, LedgerOptions, Room, Sequence, StepRecord};
use tempfile::TempDir;

#[allow(unused_imports)]
use crate::on_file::store::*;
use crate::sample::*;

struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// `None` where this process may not mount; the caller says so.
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .output()
            .is_ok_and(|output| output.status.success());
        if !mounted {
            println!("NOT RUN: no tmpfs can be mounted here (not root?)");
        }
        mounted.then_some(Self { folder })
    }

    fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger.db")
    }

    fn reserve(&self) -> PathBuf {
        self.folder.path().join("ledger.db.reserve")
    }

    /// Takes all room but about `left` bytes.
    fn fill(&self, left: usize) {
        let mut ballast = std::fs::OpenOptions::new().create(true).append(true).open(self.ballast()).unwrap();
        while ballast.write_all(&[1; 4096]).is_ok() {}
        let length = ballast.metadata().unwrap().len();
        ballast.set_len(length.saturating_sub(left as u64)).unwrap();
    }

    fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.folder.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

fn open(path: &Path) -> Ledger {
    Ledger::open(path, small()).unwrap()
}

fn small() -> LedgerOptions {
    LedgerOptions { reserve_bytes: 1024 * 1024, log_pages_max: 100, ..LedgerOptions::default() }
}

fn large(step: StepRecord) -> StepRecord {
    StepRecord { body: vec![3; 2000], ..step }
}

/// Begins withdrawals, as a gateway does while the room is ample; returns how many began.
async fn begin_until_refused(ledger: &Ledger, first: u64) -> u64 {
    let mut n = first;
    while ledger.room() == Room::Ample {
        ledger.append(vec![large(hold_requested(n))]).await.unwrap();
        n += 1;
        assert!(n < first + 10_000, "the disk never got full");
    }
    n - first
}

#[tokio::test]
async fn on_a_full_disk_what_is_open_is_recorded_to_its_end_and_room_is_found_again() {
    let Some(disk) = SmallDisk::mount("4m") else { return };
    let ledger = open(&disk.ledger());
    assert_eq!(ledger.room(), Room::Ample);
    ledger.append(vec![hold_requested(0)]).await.unwrap();
    disk.fill(200_000);
    let begun = begin_until_refused(&ledger, 1).await;
    assert!(begun >= 3, "it was full from the beginning");
    assert!(!disk.reserve().exists());

    let outcomes = begun.min(50);
    for n in 1..=outcomes {
        ledger.append(vec![hold_granted(n), dispense_commanded(n), ended(n)]).await.unwrap();
    }
    assert_eq!(ledger.record_notice(notice("alarm", 1)).await, Err(AppendError::NoRoom));
    ledger.record_urgent_notice(notice("stopped", 1)).await.unwrap();
    // The disk is still full: nobody may think otherwise.
    disk.fill(0);
    for _ in 0..3 {
        ledger.try_restore_reserve();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(ledger.room() == Room::Reserve && !disk.reserve().exists());
    }
    disk.free();
    let mut room = ledger.subscribe_room();
    ledger.try_restore_reserve();
    tokio::time::timeout(Duration::from_secs(10), room.changed()).await.expect("no room was found").unwrap();
    assert_eq!(ledger.room(), Room::Ample);
    ledger.close().await.unwrap();

    let ledger = open(&disk.ledger());
    assert_eq!(ledger.reader().last_sequence().unwrap(), Sequence(1 + begun + 3 * outcomes + 1));
    assert_eq!(ledger.reader().open_withdrawals().unwrap().len() as u64, 1 + begun - outcomes);
}

/// Twenty withdrawals wait for their outcomes. The gateway was stopped, and starts again.
async fn end_twenty_on(disk: &SmallDisk, room: Room) {
    let ledger = open(&disk.ledger());
    assert_eq!(ledger.room(), room);
    for n in 1..=20 {
        ledger.append(vec![hold_granted(n), dispense_commanded(n), ended(n)]).await.unwrap();
    }
    let last = ledger.reader().last_sequence().unwrap();
    // Closing needs no room either.
    ledger.close().await.unwrap();
    let ledger = open(&disk.ledger());
    assert_eq!(ledger.reader().last_sequence().unwrap(), last);
    assert!(ledger.reader().open_withdrawals().unwrap().iter().all(|(open, _)| number_of(open.id) >= 1000));
}

#[tokio::test]
async fn a_start_on_a_full_disk_lives_on_the_reserve_that_was_left() {
    let Some(disk) = SmallDisk::mount("6m") else { return };
    let ledger = open(&disk.ledger());
    for n in 1..=20 {
        ledger.append(vec![hold_requested(n)]).await.unwrap();
    }
    ledger.close().await.unwrap();
    // As after `kill -9` in a folder that was tidied up: the index of the log must be made anew, and there is no room.
    let _ = std::fs::remove_file(disk.folder.path().join("ledger.db-shm"));
    disk.fill(0);
    assert!(disk.reserve().exists());
    end_twenty_on(&disk, Room::Reserve).await;
}

#[tokio::test]
async fn a_start_on_a_full_disk_without_reserve_lives_on_what_is_left() {
    let Some(disk) = SmallDisk::mount("6m") else { return };
    let ledger = open(&disk.ledger());
    for n in 1..=20 {
        ledger.append(vec![hold_requested(n)]).await.unwrap();
    }
    disk.fill(0);
    begin_until_refused(&ledger, 1000).await;
    ledger.close().await.unwrap();
    disk.fill(900_000); // Too little for a reserve.
    end_twenty_on(&disk, Room::Reserve).await;
}

#[tokio::test]
async fn when_nothing_is_left_the_ledger_stops_and_has_all_it_acknowledged() {
    let Some(disk) = SmallDisk::mount("4m") else { return };
    let ledger = open(&disk.ledger());
    let mut acknowledged = 0;
    let failure = loop {
        match ledger.append(vec![large(hold_requested(acknowledged + 1))]).await {
            Ok(_) => acknowledged += 1,
            Err(AppendError::Fatal(failure)) => break failure,
            Err(other) => panic!("{other}"),
        }
    };
    assert!(failure.cause.contains("full") && ledger.room() == Room::Reserve, "{failure}");
    drop(ledger);
    tokio::time::sleep(Duration::from_millis(300)).await;
    // A person made room, and nothing acknowledged is missing.
    let copy = tempfile::tempdir().unwrap();
    for name in ["ledger.db", "ledger.db-wal"] {
        std::fs::copy(disk.folder.path().join(name), copy.path().join(name)).unwrap();
    }
    let ledger = open(&copy.path().join("ledger.db"));
    let last = ledger.reader().last_sequence().unwrap().0;
    assert!(last == acknowledged || last == acknowledged + 1, "{last} of {acknowledged}");
    for n in 1..=acknowledged {
        assert!(ledger.reader().withdrawal(id(n)).unwrap().is_some(), "{n} was acknowledged and is lost");
    }
}
