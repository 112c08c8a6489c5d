//! Phones, and the notice that comes with each change: both or neither.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use cashgate_ledger::{AppendError, DeviceRow, FeedEntry, Ledger, Notice, PAGE_SIZE_MAX, Sequence};

use crate::durability::{PATH_VARIABLE, acknowledgement};
use crate::sample::*;

#[tokio::test]
async fn phones_are_registered_and_replaced_as_a_whole() {
    let (ledger, path, _folder) = new_ledger();
    let registered = |n| notice_of("aozora", "device_registered", n);
    assert_eq!(ledger.put_device(phone("phone-1"), registered(1)).await, Ok(Sequence(1)));
    assert_eq!(ledger.put_device(phone("phone-2"), registered(2)).await, Ok(Sequence(2)));
    let elsewhere = DeviceRow { institution: "hinode".parse().unwrap(), ..phone("phone-1") };
    ledger.put_device(elsewhere.clone(), notice_of("hinode", "device_registered", 3)).await.unwrap();

    let revoked = DeviceRow { revoked_at: Some(at(10)), ..phone("phone-1") };
    ledger.put_device(revoked.clone(), notice_of("aozora", "device_revoked", 10)).await.unwrap();
    let with_new_key = DeviceRow {
        public_key: vec![5; 65],
        key_since: at(30),
        bound_at: at(29),
        channel: String::new(),
        attestation: None,
        failed_attempts: 5,
        locked_at: Some(at(31)),
        ..phone("phone-2")
    };
    ledger.put_device(with_new_key.clone(), notice_of("aozora", "device_locked", 31)).await.unwrap();
    ledger.close().await.unwrap();

    let ledger = Ledger::open(&path, options()).unwrap();
    assert_eq!(ledger.reader().devices().unwrap(), [revoked, with_new_key, elsewhere]);
    let page = ledger.reader().feed_after(Sequence(0), None, 10).unwrap();
    assert_eq!(page.entries.len(), 5);
    ledger.close().await.unwrap();
    assert_eq!(verified(&path).1, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_not_known_of_a_phone_reads_back_as_that() {
    let (ledger, _path, _folder) = new_ledger();
    for (name, attestation) in [("a", None), ("b", Some(false)), ("c", Some(true))] {
        let row = DeviceRow { attestation, failed_attempts: 255, ..phone(name) };
        ledger.put_device(row, notice("device_registered", 1)).await.unwrap();
    }
    let found: Vec<_> = ledger.reader().devices().unwrap().iter().map(|row| row.attestation).collect();
    assert_eq!(found, [None, Some(false), Some(true)]);
}

#[tokio::test]
async fn a_phone_whose_notice_is_refused_is_not_registered() {
    let (ledger, _path, _folder) = new_ledger();
    ledger.put_device(phone("phone-1"), notice("device_registered", 1)).await.unwrap();
    let changed = DeviceRow { channel: "call_centre".to_owned(), ..phone("phone-1") };
    let too_long = Notice { body: vec![0; Notice::BODY_BYTES_MAX + 1], ..notice("device_changed", 2) };
    let refused = ledger.put_device(changed.clone(), too_long).await;
    assert_eq!(refused, Err(AppendError::NoticeTooLong { kind: "device_changed", bytes: 8_193 }));
    let refused = ledger.put_device(changed, notice("", 2)).await;
    assert!(matches!(refused, Err(AppendError::Constraint(_))), "{refused:?}");
    assert_eq!(ledger.reader().devices().unwrap(), [phone("phone-1")]);
    assert_eq!(ledger.reader().last_sequence().unwrap(), Sequence(1));
}

#[test]
fn a_phone_and_its_notice_survive_kill_9_together_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut acknowledged = 0;
    for round in 0..3_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "devices::registers_until_it_is_killed", "--ignored", "--nocapture"])
            .env(PATH_VARIABLE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut seen = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let Some(_) = acknowledgement(&line.unwrap()) else { continue };
            seen += 1;
            if seen == 60 + round * 17 {
                child.kill().unwrap();
            }
        }
        assert!(!child.wait().unwrap().success() && seen >= 60, "it was to be killed, not to end");
        acknowledged += seen;
        let present = check_each_phone_has_its_notice(&path);
        assert!(present >= acknowledged, "{present} of {acknowledged} acknowledged ones are there");
        acknowledged = present;
    }
}

fn check_each_phone_has_its_notice(path: &std::path::Path) -> u64 {
    let ledger = Ledger::open(path, options()).unwrap();
    let (mut noticed, mut through) = (Vec::new(), Sequence(0));
    loop {
        let page = ledger.reader().feed_after(through, None, PAGE_SIZE_MAX).unwrap();
        if page.entries.is_empty() {
            break;
        }
        through = page.through;
        noticed.extend(page.entries.into_iter().map(|entry| match entry {
            FeedEntry::Notice(notice) => String::from_utf8(notice.body).unwrap(),
            FeedEntry::Step(step) => panic!("{step:?}"),
        }));
    }
    let mut phones: Vec<_> =
        ledger.reader().devices().unwrap().iter().map(|row| row.device.as_str().to_owned()).collect();
    phones.sort_unstable();
    noticed.sort_unstable();
    assert_eq!(phones, noticed, "one stands without the other");
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(ledger.close()).unwrap();
    assert_eq!(verified(path).1, Vec::<String>::new());
    phones.len() as u64
}

#[test]
#[ignore = "the child process of the test above"]
fn registers_until_it_is_killed() {
    let Some(path) = std::env::var_os(PATH_VARIABLE) else { return };
    let ledger = Ledger::open(path, options()).unwrap();
    let begun = ledger.reader().devices().unwrap().len() as u64;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let mut lanes = tokio::task::JoinSet::new();
        for lane in 0..8_u64 {
            let ledger = ledger.clone();
            lanes.spawn(async move {
                for n in 0_u64.. {
                    let name = format!("phone-{begun}-{lane}-{n}");
                    let notice = Notice { body: name.clone().into_bytes(), ..notice("device_registered", n) };
                    ledger.put_device(phone(&name), notice).await.unwrap();
                    println!("acknowledged {n}");
                }
            });
        }
        lanes.join_all().await;
    });
}
