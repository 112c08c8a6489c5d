//! Reserving and settling against one check of a keyed rate limiter (`governor` over its own map, tuned), by turns in one process; and
//! what an account costs in memory. For `cargo xtask bench`. Prints one JSON line.
//!
//! `limits --what throughput|all|bare --accounts N --threads N --seconds S --rounds R`
//! `limits --what memory|memory_all --accounts N --rounds R`
//!
//! `throughput` limits accounts and tiers, `all` device, ATM and institution as well, against one check for each of the four. A request names
//! an account by institution and id, as text, and both sides have to get from there to their entry: the baseline is keyed by the same 128
//! bits, made in the same way from the same texts. `bare` is for information: `throughput` against a baseline that is keyed by a quick 64-bit
//! hash, under which two accounts of a large bank would share an entry sooner or later.
//!
//! Time passes so that accounts withdraw 1.4 times in 7 days, and what is older goes. Both sides allocate with what `cashgate` allocates with.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "a bench stops loudly, reads the clock and prints its figures"
)]

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use cashgate_limits::{Burst, Caps, LimitFigures, LimitRequest, Limits, SumCaps};
use cashgate_withdrawal::ids::{AccountId, AtmId, DeviceId, InstitutionId};
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::time::Timestamp;
use dashmap::DashMap;
use foldhash::fast::FixedState;
use governor::clock::DefaultClock;
use governor::state::InMemoryState;
use governor::{Quota, RateLimiter};
use rustix::time::{ClockId, clock_gettime};
use siphasher::sip128::SipHasher13;

const ATMS: usize = 10_000;
const BEGAN_MS: u64 = 1_800_000_000_000;
const DAY_MS: u64 = 86_400_000;
/// Operations between two looks at the clock.
const BUNCH: usize = 256;

type Governor<K> = RateLimiter<K, DashMap<K, InMemoryState, FixedState>, DefaultClock>;

/// What `cashgate` allocates with.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    // Cargo adds `--bench` when it runs a bench.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let given: HashMap<&str, &str> =
        words.chunks(2).filter_map(|pair| Some((pair.first()?.as_str(), pair.get(1)?.as_str()))).collect();
    let number = |name: &str, otherwise: usize| {
        given.get(name).map_or(otherwise, |value| value.parse().expect("a whole number"))
    };
    let what = given.get("--what").copied().unwrap_or("throughput");
    let accounts = number("--accounts", 100_000);
    match what {
        "memory" | "memory_all" => measure_memory(accounts, what == "memory_all", number("--rounds", 1)),
        _ => {
            let duration = Duration::from_secs(number("--seconds", 1) as u64);
            let bank = Bank::new(accounts, what == "all");
            let (threads, rounds) = (number("--threads", 1) as u64, number("--rounds", 1));
            match what {
                "bare" => measure_throughput(&bank, threads, duration, rounds, bare_key),
                _ => measure_throughput(&bank, threads, duration, rounds, key),
            }
        }
    }
}

/// Everybody's ids and figures.
struct Bank {
    institution: InstitutionId,
    customers: Vec<(AccountId, DeviceId)>,
    atms: Vec<AtmId>,
    figures: LimitFigures,
    atm_caps: SumCaps,
    limits_all: bool,
}

impl Bank {
    fn new(accounts: usize, limits_all: bool) -> Self {
        Self {
            institution: "bank-of-kyoto".parse().expect("an id"),
            customers: (0..accounts).map(|number| (account_id(number), device_id(number))).collect(),
            atms: (0..ATMS).map(|number| format!("atm-{number:06}").parse().expect("an id")).collect(),
            figures: figures(limits_all),
            atm_caps: if limits_all { sum_caps() } else { SumCaps::default() },
            limits_all,
        }
    }

    fn request(&self, customer: usize, at_ms: u64) -> LimitRequest<'_> {
        let (account, device) = &self.customers[customer];
        let atm = &self.atms[customer % ATMS];
        let now = Timestamp::from_unix_ms(at_ms);
        request(&self.institution, account, device, atm, now)
    }
}

fn request<'a>(
    institution: &'a InstitutionId,
    account: &'a AccountId,
    device: &'a DeviceId,
    atm: &'a AtmId,
    now: Timestamp,
) -> LimitRequest<'a> {
    let day_began = Timestamp::from_unix_ms(now.unix_ms() - now.unix_ms() % DAY_MS);
    let device_age = Duration::from_secs(100 * 86_400);
    LimitRequest { institution, account, device, atm, amount: yen(), device_age, day_began, now }
}

fn account_id(number: usize) -> AccountId {
    format!("{:016x}", (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)).parse().expect("an id")
}

fn device_id(number: usize) -> DeviceId {
    format!("{:016x}", (number as u64).wrapping_mul(0xd6e8_feb8_6659_fd93)).parse().expect("an id")
}

fn yen() -> Money {
    Money::from_minor_units(10_000, Currency::JPY).expect("an amount")
}

/// Nothing is ever refused: an admission is the longer way.
fn figures(limits_all: bool) -> LimitFigures {
    // A thread that had to wait comes with an old time: pace must not refuse it either.
    let burst = Burst { withdrawals: NonZeroU32::MAX, every: Duration::from_secs(1) };
    let (device, institution) =
        if limits_all { (Some(Caps::UNLIMITED), sum_caps()) } else { (None, SumCaps::default()) };
    let young = cashgate_limits::Tier { until_age: Duration::from_secs(72 * 3_600), caps: Caps::UNLIMITED };
    LimitFigures::new(Currency::JPY, Caps::UNLIMITED, vec![young], device, institution, burst).expect("figures")
}

fn sum_caps() -> SumCaps {
    SumCaps {
        per_24h: Some(u64::MAX / 2),
        withdrawals_per_24h: Some(u32::MAX),
        new_device_per_24h: Some(u64::MAX / 2),
        new_device_withdrawals_per_24h: Some(u32::MAX),
    }
}

/// The key of one name, as `limits` makes it.
fn key(kind: u64, owner: &str, id: &str) -> u128 {
    let mut text = [0; 129];
    text[..owner.len()].copy_from_slice(owner.as_bytes());
    let (begins, ends) = (owner.len() + 1, owner.len() + 1 + id.len());
    text[begins..ends].copy_from_slice(id.as_bytes());
    SipHasher13::new_with_keys(0, kind).hash(&text[..ends]).as_u128()
}

/// A hash that is quick and short.
fn bare_key(kind: u64, owner: &str, id: &str) -> u64 {
    FixedState::default().hash_one((kind, owner, id))
}

#[derive(Clone, Copy)]
struct Measure {
    threads: u64,
    duration: Duration,
    seed: u64,
}

fn measure_throughput<K: Hash + Eq + Clone + Send + Sync>(
    bank: &Bank,
    threads: u64,
    duration: Duration,
    rounds: usize,
    key: impl Fn(u64, &str, &str) -> K + Sync,
) {
    let limits = Arc::new(Limits::new());
    let map = DashMap::with_hasher_and_shard_amount(FixedState::default(), 256);
    let quota = Quota::per_second(NonZeroU32::new(1_000_000).expect("not zero"));
    let governor: Governor<K> = RateLimiter::new(quota, map, DefaultClock::default());
    // 1.4 withdrawals an account within 7 days.
    let step_ms = 7 * DAY_MS * 10 / (14 * bank.customers.len() as u64);
    let passed = |ops: u64| BEGAN_MS + ops * step_ms;
    let withdraw = |customer: usize, at_ms: u64| {
        let request = bank.request(customer, at_ms);
        let reservation = limits.reserve(&request, &bank.figures, &bank.atm_caps).expect("admitted");
        reservation.settle(request.amount).expect("settled");
    };
    let check = |customer: usize| {
        let (account, device) = &bank.customers[customer];
        let institution = bank.institution.as_str();
        let mut conforms = governor.check_key(&key(1, institution, account.as_str())).is_ok();
        if bank.limits_all {
            conforms &= governor.check_key(&key(2, institution, device.as_str())).is_ok();
            conforms &= governor.check_key(&key(3, "JPY", bank.atms[customer % ATMS].as_str())).is_ok();
            conforms &= governor.check_key(&key(4, "JPY", institution)).is_ok();
        }
        std::hint::black_box(conforms);
    };
    for customer in 0..bank.customers.len() {
        withdraw(customer, passed(0));
        check(customer);
    }
    let (mut ours, mut baseline) = (Vec::new(), Vec::new());
    let done = AtomicU64::new(0);
    for seed in 0..rounds as u64 {
        let measure = Measure { threads, duration, seed };
        ours.push(rate(bank, measure, &done, |customer, done| withdraw(customer, passed(done))));
        baseline.push(rate(bank, measure, &AtomicU64::new(0), |customer, _| check(customer)));
    }
    println!(r#"{{"ours": {ours:?}, "baseline": {baseline:?}}}"#);
}

/// Operations a second of all threads, on random customers; each is told how many were `done` when its bunch began.
///
/// In processor time, summed over threads: who else uses the machine changes what is in the caches, but not how long a turn lasts.
/// A gateway has just read the ids of a request when it decides. So those of each bunch are looked at first, which does not count.
fn rate(bank: &Bank, measure: Measure, done: &AtomicU64, operation: impl Fn(usize, u64) + Sync) -> f64 {
    let stop = AtomicBool::new(false);
    let work = |thread: u64| {
        let mut random = Random::new(measure.seed + thread * 1_000);
        let mut customers = [0; BUNCH];
        let (mut ops, mut elapsed) = (0, Duration::ZERO);
        while !stop.load(Ordering::Relaxed) {
            let mut seen = 0;
            for customer in &mut customers {
                *customer = random.below(bank.customers.len());
                let (account, device) = &bank.customers[*customer];
                seen += usize::from(account.as_str().as_bytes()[0]) + usize::from(device.as_str().as_bytes()[0]);
            }
            std::hint::black_box(seen);
            let before = done.fetch_add(BUNCH as u64, Ordering::Relaxed);
            let began = processor_time();
            customers.iter().for_each(|customer| operation(*customer, before));
            elapsed += processor_time() - began;
            ops += BUNCH;
        }
        ops as f64 / elapsed.as_secs_f64()
    };
    thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = (0..measure.threads).map(|thread| scope.spawn(move || work(thread))).collect();
        thread::sleep(measure.duration);
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().map(|worker| worker.join().expect("a worker")).sum()
    })
}

/// What this thread has used so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).expect("positive"), u32::try_from(time.tv_nsec).expect("below a second"))
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((u128::from(self.0) * end as u128) >> 64).expect("below the end")
    }
}

/// Fills `rounds` times. Memory is that of the first. The longest insert, in processor time, is the shortest of the longest: a table that
/// grows does so each time, and what comes only once is the machine's.
fn measure_memory(accounts: usize, limits_all: bool, rounds: usize) {
    let (figures, atm_caps) = (figures(limits_all), if limits_all { sum_caps() } else { SumCaps::default() });
    let fill = || {
        let limits = Arc::new(Limits::new());
        let institution = "bank-of-kyoto".parse().expect("an id");
        let atms: Vec<AtmId> = (0..ATMS).map(|number| format!("atm-{number:06}").parse().expect("an id")).collect();
        let before = resident_bytes();
        let mut longest = Duration::ZERO;
        for number in 0..accounts {
            let (account, device) = (account_id(number), device_id(number));
            for withdrawal in 0..withdrawals_of(number) {
                let now = Timestamp::from_unix_ms(BEGAN_MS + withdrawal * DAY_MS);
                let request = request(&institution, &account, &device, &atms[number % ATMS], now);
                let began = processor_time();
                let reservation = limits.reserve(&request, &figures, &atm_caps).expect("admitted");
                longest = longest.max(processor_time() - began);
                reservation.settle(request.amount).expect("settled");
            }
        }
        assert_eq!(limits.accounts(), accounts);
        ((resident_bytes() - before) as f64 / accounts as f64, longest.as_secs_f64() * 1_000.0)
    };
    let (bytes, first) = fill();
    let longest_ms: Vec<f64> = std::iter::once(first).chain((1..rounds).map(|_| fill().1)).collect();
    let worst_insert_ms = longest_ms.iter().copied().fold(f64::MAX, f64::min);
    println!(r#"{{"bytes": {bytes:.1}, "worst_insert_ms": {worst_insert_ms:.3}, "longest_ms": {longest_ms:?}}}"#);
}

/// Of ten accounts seven withdraw once in 7 days, two twice, and one three to five times.
fn withdrawals_of(number: usize) -> u64 {
    match number % 10 {
        0..=6 => 1,
        7 | 8 => 2,
        _ => 3 + (number as u64 / 10) % 3,
    }
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
    pages * 4_096
}
