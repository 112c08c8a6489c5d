//! Threads that race for the last withdrawal. Checking and then adding in two steps lets two of them through now and then; the
//! first test shows that the race run here finds such a fault, the others that [`Limits`] does not have it.

use std::collections::BTreeMap;
use std::hint;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;

use super::*;

const THREADS: u32 = 4;
const ROUNDS: usize = 1_000;

/// Lets four threads attempt the same thing at the same time, once a round; returns how many were admitted in each round.
/// `attempt(round, thread)` says whether it was admitted.
fn admitted_by_round(rounds: usize, attempt: impl Fn(usize, u32) -> bool + Sync) -> Vec<u32> {
    let rounds: Vec<Round> = (0..rounds).map(|_| Round::default()).collect();
    let start = Barrier::new(THREADS as usize);
    let panicked = AtomicBool::new(false);
    let race = |thread: u32| {
        for (number, round) in (0..).zip(&rounds) {
            start.wait();
            round.wait_for_a_rival();
            // A thread that panicked would leave the others at the barrier for ever.
            match panic::catch_unwind(AssertUnwindSafe(|| attempt(number, thread))) {
                Ok(true) => _ = round.admitted.fetch_add(1, Ordering::Relaxed),
                Ok(false) => {}
                Err(_) => panicked.store(true, Ordering::Relaxed),
            }
        }
    };
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let race = &race;
            scope.spawn(move || race(thread));
        }
    });
    assert!(!panicked.into_inner(), "an attempt panicked, as shown above");
    rounds.into_iter().map(|round| round.admitted.into_inner()).collect()
}

#[derive(Default)]
struct Round {
    arrived: AtomicU32,
    admitted: AtomicU32,
}

impl Round {
    /// A barrier wakes its threads microseconds apart, and a faulty step takes nanoseconds: spin until two are running at once.
    fn wait_for_a_rival(&self) {
        self.arrived.fetch_add(1, Ordering::Relaxed);
        for spins in 0_u32.. {
            if self.arrived.load(Ordering::Relaxed) >= 2 {
                return;
            }
            // On a single core the rival needs this one's place.
            if spins % 1_000 == 999 { thread::yield_now() } else { hint::spin_loop() }
        }
    }
}

fn rounds_that_admitted_other_than_one(admitted: &[u32]) -> usize {
    admitted.iter().filter(|admitted| **admitted != 1).count()
}

/// What [`Limits`] must not be: a thread-safe map in which one step checks and another adds.
#[derive(Default)]
struct CheckThenAdd {
    withdrawals: Mutex<BTreeMap<usize, u32>>,
}

impl CheckThenAdd {
    fn reserve(&self, account: usize, withdrawals_per_day: u32) -> bool {
        let counted = self.withdrawals.lock().unwrap().get(&account).copied().unwrap_or(0);
        if counted >= withdrawals_per_day {
            return false;
        }
        thread::yield_now();
        *self.withdrawals.lock().unwrap().entry(account).or_default() += 1;
        true
    }
}

#[test]
fn the_race_finds_two_admissions_where_check_and_add_are_two_steps() {
    let racy = CheckThenAdd::default();
    let admitted = admitted_by_round(ROUNDS, |round, _| racy.reserve(round, 1));
    let wrong = rounds_that_admitted_other_than_one(&admitted);
    println!("check then add admitted more than one in {wrong} of {ROUNDS} rounds");
    assert!(wrong > 0, "this race would not have found the fault");
}

/// What several withdrawals have in common when they race.
#[derive(Clone, Copy, Debug)]
enum Shared {
    Account,
    Device,
    Atm,
    Institution,
}

impl Shared {
    /// A customer who shares this, and nothing else that is limited, with the others of the round.
    fn customer(self, all: &Customer, round: usize, thread: u32) -> Customer {
        let (common, own) = (format!("of-round-{round}"), format!("own-{round}-{thread}"));
        let name = |shares: bool| if shares { &common } else { &own };
        let account = all.with_account(name(matches!(self, Self::Account)));
        let device = account.with_device(name(matches!(self, Self::Device)));
        let atm = device.at_atm(name(matches!(self, Self::Atm)));
        atm.of_institution(if matches!(self, Self::Atm) { &own } else { &common })
    }
}

#[test]
fn each_limit_that_has_room_for_one_admits_one() {
    let check = |shared: Shared, figures: LimitFigures, atm_caps: SumCaps| {
        let all = Customer { atm_caps, limits: Arc::new(Limits::new()), ..Customer::new(figures) }.aged(HOUR);
        let customers: Vec<Vec<Customer>> = (0..ROUNDS)
            .map(|round| (0..THREADS).map(|thread| shared.customer(&all, round, thread)).collect())
            .collect();
        // Every other one is known: it has an entry, with nothing in it that still counts.
        for customer in customers.iter().step_by(2).flatten() {
            let long_ago = Customer { now: MONDAY, ..customer.clone() };
            let approved_at = Timestamp::from_unix_ms(MONDAY.unix_ms() - 8 * 86_400_000);
            customer.limits.restore_spent(&Restored { approved_at, ..long_ago.restored(yen(600)) });
        }
        let admitted =
            admitted_by_round(ROUNDS, |round, thread| customers[round][thread as usize].reserve(yen(600)).is_ok());
        assert_eq!(rounds_that_admitted_other_than_one(&admitted), 0, "{shared:?} {} {atm_caps:?}", all.figures);
    };
    let new_devices = |caps: Caps| vec![Tier { until_age: DAY, caps }];
    let with = |established: Caps, device: Option<Caps>, institution: SumCaps, pace: Burst| {
        LimitFigures::new(Currency::JPY, established, new_devices(established), device, institution, pace).unwrap()
    };
    for caps in [
        Caps { per_day: 600, ..OPEN_HANDED },
        Caps { per_24h: 1_199, ..OPEN_HANDED },
        Caps { per_7d: 600, ..OPEN_HANDED },
        Caps { withdrawals_per_day: 1, ..OPEN_HANDED },
        Caps { withdrawals_per_24h: 1, ..OPEN_HANDED },
        Caps { withdrawals_per_7d: 1, ..OPEN_HANDED },
    ] {
        check(Shared::Account, with(caps, None, NO_SUMS, ANY_PACE), NO_SUMS);
        check(Shared::Device, with(OPEN_HANDED, Some(caps), NO_SUMS, ANY_PACE), NO_SUMS);
    }
    check(Shared::Account, with(OPEN_HANDED, None, NO_SUMS, burst(1, MINUTE)), NO_SUMS);
    for sums in [
        SumCaps { per_24h: Some(600), ..NO_SUMS },
        SumCaps { withdrawals_per_24h: Some(1), ..NO_SUMS },
        SumCaps { new_device_per_24h: Some(1_199), ..NO_SUMS },
        SumCaps { new_device_withdrawals_per_24h: Some(1), ..NO_SUMS },
    ] {
        check(Shared::Atm, with(OPEN_HANDED, None, NO_SUMS, ANY_PACE), sums);
        check(Shared::Institution, with(OPEN_HANDED, None, sums, ANY_PACE), NO_SUMS);
    }
}

#[test]
fn of_failed_attempts_that_race_one_locks() {
    let hanako = Customer::new(usual_figures());
    let devices: Vec<Customer> = (0..ROUNDS).map(|round| hanako.with_device(&format!("phone-{round}"))).collect();
    let lock_after = 2.try_into().unwrap();
    let locked = admitted_by_round(ROUNDS, |round, _| {
        let Customer { limits, institution, device, .. } = &devices[round];
        limits.attempt_failed(institution, device, lock_after).locked_now
    });
    assert_eq!(rounds_that_admitted_other_than_one(&locked), 0);
    for device in &devices {
        let attempts = device.limits.attempts(&device.institution, &device.device);
        assert_eq!((attempts.failed, attempts.locked), (u8::try_from(THREADS).unwrap(), true), "none was lost");
    }
}

#[test]
fn threads_that_settle_and_release_while_others_reserve_spend_exactly_what_may_be() {
    let account = Caps { per_withdrawal: 7, ..OPEN_HANDED };
    let atm_caps = SumCaps { per_24h: Some(2_000), ..NO_SUMS };
    let hanako = Customer { atm_caps, ..Customer::new(figures(account, ANY_PACE)) };
    let spent = AtomicU64::new(0);
    let withdraw_until_refused = |thread: u32| {
        for attempt in 0..u64::MAX {
            // Full, partial and nothing, in turn, and never so often from one account that it is full.
            let customer = hanako.with_account(&format!("account-{thread}-{}", attempt / 100));
            let Ok(reservation) = customer.reserve(yen(7)) else { return };
            let dispensed = [7, 7, 3, 0][(attempt % 4) as usize];
            spent.fetch_add(dispensed, Ordering::Relaxed);
            assert!(spent.load(Ordering::Relaxed) <= 2_000, "more left the machine than it may pay out");
            reservation.settle(yen(dispensed)).unwrap();
        }
    };
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let withdraw = &withdraw_until_refused;
            scope.spawn(move || withdraw(thread));
        }
    });
    let left = hanako.with_account("somebody").withdrawal_max();
    assert!(left < 7, "no thread was refused while there was room: {left} yen");
    assert_eq!(2_000 - left, spent.into_inner());
}

#[test]
fn forgetting_at_the_same_time_neither_loses_nor_frees_a_reservation() {
    let once = figures(Caps { withdrawals_per_24h: 1, ..OPEN_HANDED }, ANY_PACE);
    let hanako = Customer { limits: Arc::new(Limits::with_shards(2)), ..Customer::new(once) };
    let customers: Vec<Customer> = (0..ROUNDS).map(|round| hanako.with_account(&format!("account-{round}"))).collect();
    let forgotten = AtomicU64::new(0);
    let long_ago = Timestamp::from_unix_ms(NOON.unix_ms() - 8 * 86_400_000);
    let admitted = admitted_by_round(ROUNDS, |round, thread| {
        let customer = &customers[round];
        if thread % 2 == 0 {
            // An entry that may go, for nothing in it counts any more; just now the others want to reserve on it.
            let restored = Restored { approved_at: long_ago, ..customer.restored(yen(600)) };
            customer.limits.restore_spent(&restored);
            forgotten.fetch_add(customer.limits.forget_idle(NOON) as u64, Ordering::Relaxed);
            return false;
        }
        match customer.reserve(yen(600)) {
            Ok(reservation) if round % 2 == 0 => reservation.settle(yen(600)).is_ok(),
            Ok(_still_open) => true,
            Err(_) => false,
        }
    });
    assert_eq!(rounds_that_admitted_other_than_one(&admitted), 0);
    customers.iter().for_each(|customer| assert_eq!(customer.withdrawal_max(), 0));
    let forgotten = forgotten.into_inner();
    println!("{forgotten} entries were forgotten while others reserved, in {ROUNDS} rounds");
    assert!(forgotten > 0, "nothing was forgotten: forgetting and reserving did not race");
}
