//! Acknowledged is durable: a process is killed in the middle of its work, and what it was told must be there.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use cashgate_ledger::{Ledger, LedgerOptions, LedgerReader, PAGE_SIZE_MAX, Sequence, WithdrawalFilter};
use tokio::task::JoinSet;

#[allow(unused_imports)]
use crate::on_file::store::*;
use crate::sample::*;

/// Where a child process finds the ledger that its parent chose.
pub(crate) const PATH_VARIABLE: &str = "CASHGATE_TEST_LEDGER";

#[test]
fn what_was_acknowledged_survives_kill_9_and_no_append_is_halved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut acknowledged = BTreeSet::new();
    for round in 0..4_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "durability::writes_until_it_is_killed", "--ignored", "--nocapture"])
            .env(PATH_VARIABLE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut seen = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let Some(n) = acknowledgement(&line.unwrap()) else { continue };
            acknowledged.insert(n);
            seen += 1;
            if seen == 200 + round * 61 {
                child.kill().unwrap(); // SIGKILL; then the pipe is read to its end, for it holds acknowledgements too.
            }
        }
        assert!(!child.wait().unwrap().success(), "it was to be killed, not to end");
        assert!(seen >= 200, "it ended early");
        check_nothing_is_lost_or_halved(&path, &acknowledged);
    }
}

/// `n` counts appends: append 2k makes the first two steps of withdrawal k, append 2k + 1 the last two.
pub(crate) fn check_nothing_is_lost_or_halved(path: &PathBuf, acknowledged: &BTreeSet<u64>) {
    let ledger = Ledger::open(path, options()).unwrap();
    let reader = ledger.reader();
    let mut present = BTreeSet::new();
    let mut steps = 0;
    let mut before = None;
    loop {
        let page = reader.list(&WithdrawalFilter::default(), before, PAGE_SIZE_MAX).unwrap();
        for withdrawal in page.withdrawals {
            let n = number_of(withdrawal.id);
            let (_, history) = reader.withdrawal(withdrawal.id).unwrap().unwrap();
            assert_eq!(history.len() as u32, withdrawal.last_step);
            steps += history.len() as u64;
            match withdrawal.last_step {
                2 => assert_eq!(withdrawal.row, dispensing(n)),
                4 => assert_eq!(withdrawal.row, closed(n)),
                half => panic!("withdrawal {n} stands after step {half}: half an append"),
            }
            present.insert(2 * n);
            if withdrawal.last_step == 4 {
                present.insert(2 * n + 1);
            }
        }
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    let lost: Vec<_> = acknowledged.difference(&present).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert_eq!(reader.last_sequence().unwrap(), Sequence(steps));
    assert_eq!(
        reader.open_withdrawals().unwrap().len(),
        present.iter().filter(|n| **n % 2 == 0).count() * 2 - present.len()
    );
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(ledger.close()).unwrap();
}

pub(crate) fn acknowledgement(line: &str) -> Option<u64> {
    line.split_once("acknowledged ")?.1.trim().parse().ok()
}

#[test]
#[ignore = "the child process of the test above"]
fn writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(PATH_VARIABLE) else { return };
    // Small limits, so that checkpoints and full groups are among what gets interrupted.
    let options = LedgerOptions { group_steps_max: 16, log_pages_max: 50, ..options() };
    let ledger = Ledger::open(path, options).unwrap();
    let begun = first_free(ledger.reader());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let next = std::sync::Arc::new(AtomicU64::new(begun));
        let mut lanes = JoinSet::new();
        for _ in 0..24 {
            let (ledger, next) = (ledger.clone(), next.clone());
            lanes.spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    ledger.append(vec![hold_requested(n), hold_granted(n)]).await.unwrap();
                    println!("acknowledged {}", 2 * n);
                    ledger.append(vec![dispense_commanded(n), ended(n)]).await.unwrap();
                    println!("acknowledged {}", 2 * n + 1);
                }
            });
        }
        lanes.join_all().await;
    });
}

fn first_free(reader: &LedgerReader) -> u64 {
    let newest = reader.list(&WithdrawalFilter::default(), None, 1).unwrap();
    newest.withdrawals.first().map_or(0, |withdrawal| number_of(withdrawal.id) + 1)
}
