//! What a decision costs with the built-in rules, and what it costs to gather the facts for it. One thread. Prints one JSON line.

#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench stops loudly, reads the clock and prints its figures"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use cashgate_policy::patterns::{Attempt, Patterns, Place};
use cashgate_policy::{Facts, PolicySet, Verdict, cases};
use cashgate_withdrawal::ids::{AccountId, AtmId, DeviceId};
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::Timestamp;

const DECISIONS: usize = 50_000;
const ACCOUNTS: u32 = 1_000_000;
const START_MS: u64 = 1_590_969_600_000;

fn main() {
    let [p50, p99] = decisions();
    let before = resident_bytes();
    let mut names = Names::default();
    let mut patterns = Patterns::new();
    let filling_ns = withdrawals(&mut patterns, &mut names, 0);
    let bytes = (resident_bytes() - before) / u64::from(ACCOUNTS);
    let again_ns = withdrawals(&mut patterns, &mut names, 7 * 86_400_000);
    let sweep_us = longest_sweep_us(&mut patterns);
    println!(
        "{{\"decide_p50_ns\": {p50}, \"decide_p99_ns\": {p99}, \"decisions\": {DECISIONS}, \"first_withdrawal_ns\": {filling_ns}, \
         \"withdrawal_ns\": {again_ns}, \"accounts\": {ACCOUNTS}, \"bytes_per_account\": {bytes}, \"sweep_us\": {sweep_us}}}"
    );
}

/// The median and the 99th percentile of deciding, in nanoseconds: mostly ordinary customers, a few new phones.
fn decisions() -> [u64; 2] {
    let set = PolicySet::builtin().expect("the built-in rules");
    let ordinary = cases::ordinary_customer().expect("an ordinary customer");
    let near = Facts { distance_phone_atm_m: Some(15), km_since_last_withdrawal: Some(3), ..ordinary };
    let near = Facts { minutes_since_last_withdrawal: Some(10_000), ..near };
    let new = Facts { device_age: Duration::from_secs(40 * 3_600), ..near.clone() };
    let mut times = Vec::with_capacity(DECISIONS);
    for number in 0..DECISIONS {
        let facts = if number % 40 == 0 { &new } else { &near };
        let began = Instant::now();
        let decision = set.decide(black_box(facts));
        times.push(u64::try_from(began.elapsed().as_nanos()).expect("short"));
        assert_eq!(decision.verdict, Verdict::Permit);
    }
    times.sort_unstable();
    [50, 99].map(|percent| times.get(times.len() * percent / 100).copied().expect("within"))
}

#[derive(Default)]
struct Names {
    accounts: Vec<AccountId>,
    devices: Vec<DeviceId>,
    atms: Vec<AtmId>,
}

/// Nanoseconds for the facts and the memory of one withdrawal: `gathered`, `attempted` and `withdrew`, by each account once, in no order.
fn withdrawals(patterns: &mut Patterns, names: &mut Names, later_ms: u64) -> u128 {
    let institution = "bank-a".parse().expect("an id");
    let amount = Money::new(30_000, "JPY".parse().expect("yen")).expect("an amount");
    let mut spent = Duration::ZERO;
    for batch in 0..ACCOUNTS / 10_000 {
        // The names are made outside the time that counts, and not kept: they would not be in the gateway either.
        names.accounts.clear();
        names.devices.clear();
        names.atms.clear();
        for number in batch * 10_000..(batch + 1) * 10_000 {
            let scattered = number.wrapping_mul(7_919) % ACCOUNTS;
            names.accounts.push(format!("account-{scattered}").parse().expect("an id"));
            names.devices.push(format!("device-{scattered}").parse().expect("an id"));
            names.atms.push(format!("atm-{}", scattered % 1_500).parse().expect("an id"));
        }
        let began = Instant::now();
        for ((account, device), (atm, number)) in
            names.accounts.iter().zip(&names.devices).zip(names.atms.iter().zip(0_u32..))
        {
            let is_new_device = number % 100 == 0;
            let attempt = Attempt {
                institution: &institution,
                account,
                device,
                atm,
                place: Some(Place { latitude_e7: 356_812_362, longitude_e7: 1_397_671_248 }),
                amount,
                device_age: Duration::from_secs(if is_new_device { 100_000 } else { 100_000_000 }),
                is_new_device,
                now: Timestamp::from_unix_ms(START_MS + later_ms + u64::from(batch * 10_000 + number) * 100),
            };
            black_box(patterns.gathered(&attempt));
            patterns.attempted(&attempt);
            patterns.withdrew(&attempt);
        }
        spent += began.elapsed();
    }
    spent.as_nanos() / u128::from(ACCOUNTS)
}

/// The longest of the calls that forget, in microseconds: for so long everybody else waits.
fn longest_sweep_us(patterns: &mut Patterns) -> u128 {
    let now = Timestamp::from_unix_ms(START_MS + 8 * 86_400_000);
    let sweep = |_| {
        let began = Instant::now();
        patterns.forget_older(now);
        began.elapsed().as_micros()
    };
    (0..16).map(sweep).max().unwrap_or(0)
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("a Linux machine");
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
    pages * 4_096
}
