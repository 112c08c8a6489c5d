//! QR tokens a second at saturation, and how long one takes on an idle gateway: the mint as `cashgate serve` runs it, without the network.
//!
//! Measured by `cargo xtask bench` against `raw_sign` on the same HSM. Prints one JSON line.
//!
//! `mint --module FILE --token LABEL --pin-file FILE --key LABEL --sessions N --seconds S [--tasks N] [--pause-us N]`

#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::panic,
    reason = "a bench stops loudly, reads the clock and prints its figures"
)]

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cashgate_gateway::clock;
use cashgate_gateway::config::{HsmSection, PinSource, SlotSection};
use cashgate_gateway::keys::KeyRing;
use cashgate_gateway::metrics::Metrics;
use cashgate_gateway::minting::{Mint, QrBatcher, QrHsm};
use cashgate_ledger::{KeyAction, KeyEvent};
use cashgate_qr::PublicKey;
use cashgate_withdrawal::ids::AtmId;

/// As in `cashgate`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let options = Options::read();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let metrics = Metrics::new().expect("metrics");
        let ring = KeyRing::default();
        let batcher = QrBatcher::new(ring.clone(), metrics.clone());
        let hsm = QrHsm::open(options.hsm.to_config(), batcher).expect("the HSM opens");
        // Not yet ready: the ring does not know the key before it is published.
        assert!(hsm.slots().iter().all(|slot| slot.workers > 0), "{:?}", hsm.slots());
        publish(&hsm, &ring, &options.hsm.signing_key_label).await;
        let network = "demo".parse().expect("a network");
        let mint = Mint::new(hsm.clone(), network, ring, Duration::from_secs(30), metrics);
        let before = hsm.stats();
        let (made, mut times, elapsed) = measure(&mint, &options).await;
        let after = hsm.stats();
        times.sort_unstable();
        let at = |percent: usize| times.get(times.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0);
        let per_s = made * 1_000_000 / elapsed.as_micros().max(1);
        println!(
            r#"{{"per_s": {per_s}, "p50_ns": {}, "p99_ns": {}, "samples": {}, "signatures": {}}}"#,
            at(50),
            at(99),
            times.len(),
            after.signatures - before.signatures,
        );
        hsm.close();
    });
}

/// Makes the ring know the HSM's key, as it would have been published an hour ago.
async fn publish(hsm: &QrHsm, ring: &KeyRing, label: &str) {
    let found = hsm.find_key(label).await.expect("answers").remove(0).key.expect("the key");
    let public_key = *found.sec1_uncompressed();
    let key_id = PublicKey::from_sec1_uncompressed(&public_key).expect("a point").key_id();
    let at = clock::now();
    let event = |action| KeyEvent {
        at,
        actor: "bench".to_owned(),
        action,
        key_id,
        label: label.to_owned(),
        token_label: "bench".to_owned(),
        public_key,
        reason: "to be measured".to_owned(),
    };
    let events = [event(KeyAction::Published { use_from: at }), event(KeyAction::Signing)];
    ring.become_successor(ring.after(&events).expect("a first key"));
}

/// How many codes were made, how long every so many of them took, in nanoseconds, and how long all of it took.
async fn measure(mint: &Mint, options: &Options) -> (u128, Vec<u64>, Duration) {
    let stop = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let tasks: Vec<_> = (0..options.tasks)
        .map(|number| {
            let (mint, stop, pause) = (mint.clone(), Arc::clone(&stop), options.pause);
            let atm: AtmId = format!("ATM{number:05}").parse().expect("an ATM");
            let qr_session = clock::fresh_qr_session();
            tokio::spawn(async move {
                let (mut made, mut times) = (0_u128, Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                    // Reading the clock costs too: under load a sample is enough.
                    let began = (pause > Duration::ZERO || made % 16 == 0).then(Instant::now);
                    mint.mint(&atm, qr_session, None, clock::now()).await.expect("a code");
                    times.extend(began.map(|began| u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)));
                    made += 1;
                }
                (made, times)
            })
        })
        .collect();
    tokio::time::sleep(options.duration).await;
    stop.store(true, Ordering::Relaxed);
    let (mut made, mut times) = (0, Vec::new());
    for task in tasks {
        let (made_by_it, times_of_it) = task.await.expect("a task");
        made += made_by_it;
        times.extend(times_of_it);
    }
    (made, times, began.elapsed())
}

struct Options {
    hsm: HsmSection,
    tasks: u64,
    duration: Duration,
    pause: Duration,
}

impl Options {
    fn read() -> Self {
        // Cargo adds `--bench` when it runs a bench.
        let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
        let given: HashMap<&str, &str> =
            words.chunks(2).filter_map(|pair| Some((pair.first()?.as_str(), pair.get(1)?.as_str()))).collect();
        let text = |name: &str| given.get(name).copied().unwrap_or_else(|| panic!("{name} is missing")).to_owned();
        let number = |name: &str, or: u64| given.get(name).map_or(or, |value| value.parse().expect("a whole number"));
        let slot = SlotSection {
            module: text("--module").into(),
            token_label: text("--token"),
            pin: PinSource::File(PathBuf::from(text("--pin-file"))),
        };
        let hsm = HsmSection {
            slots: vec![slot],
            signing_key_label: text("--key"),
            workers: usize::try_from(number("--sessions", 1)).expect("fits"),
            queue: 65_536,
            batch_max: usize::try_from(number("--batch-max", 64)).expect("fits"),
            call_deadline: Duration::from_secs(5),
            patience: Duration::from_secs(30),
            retry: (Duration::from_millis(200), Duration::from_secs(1)),
            publish_before_use: Duration::ZERO,
            environment: vec![],
        };
        let duration = Duration::from_secs(number("--seconds", 1));
        Self { hsm, tasks: number("--tasks", 1), duration, pause: Duration::from_micros(number("--pause-us", 0)) }
    }
}
