//! Phones in a file whose process is killed.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use cashgate_ledger::{FeedEntry, Ledger, Notice, PAGE_SIZE_MAX, Sequence};

use crate::durability::{PATH_VARIABLE, acknowledgement};
use crate::on_file::store::*;
use crate::sample::*;

#[test]
fn a_phone_and_its_notice_survive_kill_9_together_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut acknowledged = 0;
    for round in 0..3_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed_phones::registers_until_it_is_killed", "--ignored", "--nocapture"])
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
