//! Durable steps a second through the group commit, against the bare disk: a file that grows by as many records and is synced as often.
//!
//! For `cargo xtask bench`; prints one JSON line. Both in turn, in one folder: `durable_steps --folder DIR --seconds S --rounds R`
//!
//! Ours is what 512 ATMs ask of the ledger at once, each waiting for its step before it comes with the next: seals, indexes and current rows
//! are in it. The baseline appends records of [`RECORD_BYTES`] in groups of the size that ours had, each group followed by `fdatasync`.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "a bench stops loudly, reads the clock and prints its figures"
)]

#[path = "../tests/ledger/sample.rs"]
#[allow(dead_code, reason = "the tests' withdrawals, of which a bench needs few")]
mod sample;

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cashgate_ledger::{Ledger, LedgerOptions, StepRecord};
use tokio::task::JoinSet;

/// ATMs that have a step to write at the same time.
const LANES: usize = 512;
/// A step's body as `wire` writes it, on average.
const BODY_BYTES: usize = 150;
/// A step with the columns beside its body.
const RECORD_BYTES: usize = 300;

fn main() {
    // Cargo adds `--bench` when it runs a bench.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let given: HashMap<&str, &str> =
        words.chunks(2).filter_map(|pair| Some((pair.first()?.as_str(), pair.get(1)?.as_str()))).collect();
    let number =
        |name: &str| given.get(name).expect("--folder, --seconds and --rounds").parse::<u64>().expect("a whole number");
    let folder = tempfile::tempdir_in(given.get("--folder").expect("--folder")).expect("a folder");
    let (seconds, rounds) = (Duration::from_secs(number("--seconds")), number("--rounds"));
    let (mut ours, mut baseline, mut groups, mut cpu_us) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let (steps, group, us) = through_the_ledger(&folder.path().join(format!("{round}.db")), seconds);
        ours.push(steps);
        groups.push(group);
        cpu_us.push(us);
        baseline.push(onto_the_bare_disk(&folder.path().join(format!("{round}.raw")), group, seconds));
    }
    println!(r#"{{"ours": {ours:?}, "baseline": {baseline:?}, "group": {groups:?}, "cpu_us": {cpu_us:?}}}"#);
}

/// Steps a second, how many shared a sync, and the processor time of each in us.
fn through_the_ledger(path: &Path, time: Duration) -> (f64, u64, f64) {
    let ledger = Ledger::open(path, LedgerOptions::default()).expect("a ledger");
    // One thread beside the writer's, as a gateway has them on two cores.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime");
    let (began, spent_before) = (Instant::now(), processor_time());
    runtime.block_on(async {
        let (over, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut lanes = JoinSet::new();
        for _ in 0..LANES {
            lanes.spawn(withdraw_until(Arc::clone(&over), Arc::clone(&next), ledger.clone()));
        }
        tokio::time::sleep(time).await;
        over.store(true, Ordering::Relaxed);
        lanes.join_all().await;
    });
    let seconds = began.elapsed().as_secs_f64();
    let stats = ledger.stats();
    let us = (processor_time() - spent_before).as_secs_f64() * 1_000_000.0 / stats.steps as f64;
    (stats.steps as f64 / seconds, stats.steps.div_ceil(stats.commits.max(1)), us)
}

/// One withdrawal after the other, whole.
async fn withdraw_until(over: Arc<AtomicBool>, next: Arc<AtomicU64>, ledger: Ledger) {
    while !over.load(Ordering::Relaxed) {
        for step in sample::whole_life(next.fetch_add(1, Ordering::Relaxed)) {
            let body = vec![7; BODY_BYTES];
            ledger.append(vec![StepRecord { body, ..step }]).await.expect("durable");
        }
    }
}

/// Records a second.
fn onto_the_bare_disk(path: &Path, group: u64, time: Duration) -> f64 {
    let records = vec![7; RECORD_BYTES * usize::try_from(group).expect("fits")];
    let mut file = OpenOptions::new().create_new(true).append(true).open(path).expect("a file");
    let (began, mut written) = (Instant::now(), 0);
    while began.elapsed() < time {
        file.write_all(&records).expect("room");
        file.sync_data().expect("a disk");
        written += group;
    }
    written as f64 / began.elapsed().as_secs_f64()
}

/// User and system time of this process so far.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    // The fields behind the program's name, which stands in brackets; the twelfth and thirteenth are ticks of 10 ms.
    let behind_the_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = behind_the_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks"));
    Duration::from_millis(10 * ticks.sum::<u64>())
}
