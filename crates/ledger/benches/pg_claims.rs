//! Claims a second through the ledger on PostgreSQL, against one hand-written conditional statement a claim on the same server.
//!
//! For `cargo xtask bench`; prints one JSON line: `pg_claims --seconds S --rounds R`
//!
//! Ours is what 64 approvals at once ask of one replica: each claims a nonce at a lane that it owns, for an account, a phone and a machine
//! whose versions must still be the latest, and is sealed, chained and numbered. The baseline is a claim as one would write it by hand: a
//! unique nonce, the account's version, and the intent, in one statement from each of 64 connections. Both commit with the server's usual
//! durability; both are on one server, in turn.

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
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cashgate_ledger::{
    Append, Epoch, InstitutionSpending, Ledger, LimitKey, PostgresOptions, Raise, ReplicaId, ReplicaIdentity,
    StepRecord, migrate,
};
use cashgate_postgres_server::{Database, Server};
use cashgate_withdrawal::ids::AtmId;
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

/// Approvals at the same time.
const AT_ONCE: u64 = 64;
/// An intent as `wire` writes it, with the facts of its decision.
const BODY_BYTES: usize = 300;

const BARE_TABLES: &str = "
    CREATE TABLE bare_accounts (account text PRIMARY KEY, version bigint NOT NULL, spent bigint NOT NULL);
    CREATE TABLE bare_nonces (nonce bytea PRIMARY KEY, withdrawal uuid NOT NULL);
    CREATE TABLE bare_intents (withdrawal uuid PRIMARY KEY, body bytea NOT NULL);
    INSERT INTO bare_accounts SELECT 'acc-' || n, 0, 0 FROM generate_series(0, 63) n";
const BARE_CLAIM: &str = "
    WITH claimed AS (INSERT INTO bare_nonces VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING 1),
        spent AS (UPDATE bare_accounts SET version = version + 1, spent = spent + 30000
            WHERE account = $3 AND version = $4 AND EXISTS (SELECT 1 FROM claimed) RETURNING 1)
    INSERT INTO bare_intents SELECT $2, $5 FROM claimed, spent";

fn main() {
    // Cargo adds `--bench` when it runs a bench.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let given: HashMap<&str, &str> =
        words.chunks(2).filter_map(|pair| Some((pair.first()?.as_str(), pair.get(1)?.as_str()))).collect();
    let number = |name: &str| given.get(name).expect("--seconds and --rounds").parse::<u64>().expect("a whole number");
    let (time, rounds) = (Duration::from_secs(number("--seconds")), number("--rounds"));
    // Memory for both sides' pages, and no checkpoint within a round.
    let server = Server::start_with("max_connections = 200\nshared_buffers = '256MB'\nmax_wal_size = '4GB'");
    let database = server.database("template1");
    migrate(&options(&database)).expect("a schema");
    let _ = database.sql(BARE_TABLES);
    let ledger = Ledger::connect(&options(&database)).expect("a ledger");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let next = Arc::new(AtomicU64::new(1));
    let (mut ours, mut baseline) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(runtime.block_on(through_the_ledger(&ledger, &next, time)));
        baseline.push(runtime.block_on(by_hand(&server.dsn(database.name()), &next, time)));
    }
    let commits = ledger.stats().commits.max(1);
    println!(r#"{{"ours": {ours:?}, "baseline": {baseline:?}, "group": {}}}"#, ledger.stats().steps.div_ceil(commits));
    runtime.block_on(ledger.close()).expect("closed");
}

fn options(database: &Database<'_>) -> PostgresOptions {
    let identity = ReplicaIdentity { id: ReplicaId(0), name: "bench".to_owned(), address: String::new() };
    PostgresOptions::new(database.dsn_file(), identity)
}

/// Claims a second.
async fn through_the_ledger(ledger: &Ledger, next: &Arc<AtomicU64>, time: Duration) -> f64 {
    let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut customers = JoinSet::new();
    for number in 0..AT_ONCE {
        let atm: AtmId = format!("atm-{number}").parse().expect("an ATM");
        let (epoch, _) = ledger.replicas().expect("replicas").claim_lane(&atm).await.expect("a lane");
        // Before the time runs: what an entry is counted from grows with every round.
        let mut keys = versions(ledger, number, &atm).await;
        let (ledger, next, over, done) = (ledger.clone(), Arc::clone(next), Arc::clone(&over), Arc::clone(&done));
        customers.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let claim = claim(next.fetch_add(1, Ordering::Relaxed), number, &atm, epoch, &keys);
                let raised = ledger.append_owned(claim).await.expect("claimed").raised.expect("an answer");
                keys = raised;
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    rate(customers, &over, &done, time).await
}

/// The account, phone and machine of a customer, with the versions that the ledger has.
async fn versions(ledger: &Ledger, number: u64, atm: &AtmId) -> Vec<(LimitKey, u64)> {
    let institution = sample::approved(1).institution;
    let account = format!("acc-{number}").parse().expect("an account");
    let device = format!("phone-{number}").parse().expect("a phone");
    let keys = [
        LimitKey::Account(institution.clone(), account),
        LimitKey::Device(institution, device),
        LimitKey::Atm(atm.clone()),
    ];
    let mut known = Vec::new();
    for key in keys {
        let (reader, of) = (ledger.reader().clone(), key.clone());
        let read = tokio::task::spawn_blocking(move || reader.approved_of(&of, sample::at(u64::from(u32::MAX))));
        known.push((key, read.await.expect("read").expect("read").1));
    }
    known
}

fn claim(n: u64, number: u64, atm: &AtmId, epoch: Epoch, keys: &[(LimitKey, u64)]) -> Append {
    let mut step = sample::hold_requested(n);
    step.row.account = format!("acc-{number}").parse().expect("an account");
    step.row.device = format!("phone-{number}").parse().expect("a phone");
    step.row.atm = atm.clone();
    let raises = keys.iter().map(|(key, version)| Raise { key: key.clone(), computed_from: Some(*version) }).collect();
    let steps = vec![StepRecord { body: vec![7; BODY_BYTES], ..step }];
    // As every claim does.
    let spending = InstitutionSpending { is_new_device: n.is_multiple_of(8), ..sample::spending(30_000, 1) };
    Append { steps, lane: Some((atm.clone(), epoch)), raises, spending: vec![spending] }
}

/// Claims a second.
async fn by_hand(dsn: &str, next: &Arc<AtomicU64>, time: Duration) -> f64 {
    let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut customers = JoinSet::new();
    for number in 0..AT_ONCE {
        let (client, connection) = tokio_postgres::connect(dsn, NoTls).await.expect("a connection");
        drop(tokio::spawn(connection));
        let claim = client.prepare(BARE_CLAIM).await.expect("the statement");
        let account = format!("acc-{number}");
        let version = client.query_one("SELECT version FROM bare_accounts WHERE account = $1", &[&account]).await;
        let mut version: i64 = version.expect("an account").get(0);
        let (next, over, done) = (Arc::clone(next), Arc::clone(&over), Arc::clone(&done));
        customers.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let n = u128::from(next.fetch_add(1, Ordering::Relaxed));
                let (nonce, id) =
                    (n.to_be_bytes().to_vec(), uuid::Uuid::from_u128((0x0198_1f2e_7c1a_7000_8000 << 48) + n));
                let written = client.execute(&claim, &[&nonce, &id, &account, &version, &vec![7_u8; BODY_BYTES]]).await;
                assert_eq!(written.expect("claimed"), 1);
                version += 1;
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    rate(customers, &over, &done, time).await
}

/// How many a second they get done within a time; then they end.
async fn rate(customers: JoinSet<()>, over: &AtomicBool, done: &AtomicU64, time: Duration) -> f64 {
    let began = Instant::now();
    done.store(0, Ordering::Relaxed);
    tokio::time::sleep(time).await;
    let rate = done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    customers.join_all().await;
    rate
}
