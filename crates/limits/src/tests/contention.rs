//! Threads that race for the last withdrawal. Checking and then adding in two steps lets two of them through now and then; the
//! first test shows that the race run here finds such a fault, the others that [`Limits`] does not have it.

use std::collections::BTreeMap;
use std::hint;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;

use super::*;

const THREADS: u32 = 8;
const ROUNDS: u64 = 3_000;

/// Lets eight threads attempt the same thing at the same time, once a round; returns how many were admitted in each round.
/// `attempt(round, thread)` says whether it was admitted.
fn admitted_by_round(rounds: u64, attempt: impl Fn(u64, u32) -> bool + Sync) -> Vec<u32> {
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

fn withdrawal_of(round: u64, thread: u32) -> WithdrawalId {
    withdrawal(round * u64::from(THREADS) + u64::from(thread))
}

fn rounds_that_admitted_other_than_one(admitted: &[u32]) -> usize {
    admitted.iter().filter(|admitted| **admitted != 1).count()
}

/// What [`Limits`] must not be: a thread-safe map in which one step checks and another adds.
#[derive(Default)]
struct CheckThenAdd {
    withdrawals: Mutex<BTreeMap<u64, u32>>,
}

impl CheckThenAdd {
    fn reserve(&self, account: u64, withdrawals_per_day: u32) -> bool {
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

#[test]
fn each_limit_that_has_room_for_one_admits_one() {
    let check = |what, figures: LimitFigures, same_withdrawal: bool| {
        let limits = Arc::new(Limits::new());
        // Every other account is a known one: it has an entry, with nothing that counts today.
        for round in (0..ROUNDS).step_by(2) {
            limits.restore_spent(&account(&round.to_string()), yen(600), MONDAY, Timestamp::from_unix_ms(0), ANY_PACE);
        }
        let admitted = admitted_by_round(ROUNDS, |round, thread| {
            let id = if same_withdrawal { withdrawal(round) } else { withdrawal_of(round, thread) };
            limits.reserve(&account(&round.to_string()), id, yen(600), &figures, TUESDAY, NOON).is_ok()
        });
        assert_eq!(rounds_that_admitted_other_than_one(&admitted), 0, "{what}");
        assert_eq!(limits.accounts() as u64, ROUNDS);
    };
    let plenty = yen(1_000_000);
    check("one withdrawal a day", figures(plenty, plenty, 1, ANY_PACE), false);
    check("money for one withdrawal", figures(plenty, yen(600), u32::MAX, ANY_PACE), false);
    check("money for one withdrawal and most of another", figures(plenty, yen(1_199), u32::MAX, ANY_PACE), false);
    check("one at once", figures(plenty, plenty, u32::MAX, burst(1, 60)), false);
    check("one withdrawal id", figures(plenty, plenty, u32::MAX, ANY_PACE), true);
}

#[test]
fn threads_that_settle_and_release_while_others_reserve_spend_exactly_the_day() {
    let figures = figures(yen(7), yen(20_000), u32::MAX, ANY_PACE);
    let (limits, hanako) = (Arc::new(Limits::new()), account("hanako"));
    let spent = AtomicU64::new(0);
    let withdraw_until_refused = |thread: u32| {
        for attempt in 0..u64::MAX {
            let id = withdrawal_of(attempt, thread);
            let Ok(reservation) = limits.reserve(&hanako, id, yen(7), &figures, MONDAY, NOON) else { return };
            // Full, partial and nothing, in turn.
            let dispensed = [7, 7, 3, 0][(attempt % 4) as usize];
            spent.fetch_add(dispensed, Ordering::Relaxed);
            assert!(spent.load(Ordering::Relaxed) <= 20_000, "more left the machines than the day allows");
            reservation.settle(yen(dispensed)).unwrap();
        }
    };
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let withdraw = &withdraw_until_refused;
            scope.spawn(move || withdraw(thread));
        }
    });
    let left = limits.headroom(&hanako, &figures, MONDAY, NOON).withdrawal_max.minor_units();
    assert!(left < 7, "no thread was refused while there was room: {left} yen");
    assert_eq!(20_000 - left, spent.into_inner());
}

#[test]
fn forgetting_at_the_same_time_neither_loses_nor_frees_a_reservation() {
    let limits = Arc::new(Limits::new());
    let once_a_day = figures(yen(600), yen(600), 1, ANY_PACE);
    let forgotten = AtomicU64::new(0);
    let admitted = admitted_by_round(ROUNDS, |round, thread| {
        let key = account(&round.to_string());
        if thread % 2 == 0 {
            // An entry that may go, for it was full yesterday only; just now the others want to reserve on it.
            limits.restore_spent(&key, yen(600), MONDAY, NOON, ANY_PACE);
            forgotten.fetch_add(limits.forget_idle(NOON, |_| TUESDAY) as u64, Ordering::Relaxed);
            return false;
        }
        let reserved = limits.reserve(&key, withdrawal_of(round, thread), yen(600), &once_a_day, TUESDAY, NOON);
        match reserved {
            Ok(reservation) if round % 2 == 0 => reservation.settle(yen(600)).is_ok(),
            Ok(_still_open) => true,
            Err(_) => false,
        }
    });
    assert_eq!(rounds_that_admitted_other_than_one(&admitted), 0);
    assert_eq!(limits.accounts() as u64, ROUNDS, "each reservation has its entry");
    for round in 0..ROUNDS {
        let headroom = limits.headroom(&account(&round.to_string()), &once_a_day, TUESDAY, NOON);
        assert!(headroom.withdrawal_max.is_zero(), "round {round}");
    }
    let forgotten = forgotten.into_inner();
    println!("{forgotten} entries were forgotten while others reserved, in {ROUNDS} rounds");
    assert!(forgotten > 0, "nothing was forgotten: forgetting and reserving did not race");
}
