//! Failed attempts: how many in a row, the lock, and who may open it.

use std::num::NonZeroU8;

use super::*;
use crate::Attempts;

const FIVE: NonZeroU8 = NonZeroU8::new(5).unwrap();

impl Customer {
    fn fails(&self) -> Attempts {
        self.limits.attempt_failed(&self.institution, &self.device, FIVE)
    }

    fn succeeds(&self) {
        self.limits.attempt_succeeded(&self.institution, &self.device);
    }

    fn attempts(&self) -> Attempts {
        self.limits.attempts(&self.institution, &self.device)
    }

    fn is_released(&self) {
        self.limits.release_lock(&self.institution, &self.device);
    }
}

fn attempts(failed: u8, locked: bool, locked_now: bool) -> Attempts {
    Attempts { failed, locked, locked_now }
}

#[test]
fn the_fifth_failure_in_a_row_locks_the_device() {
    let hanako = Customer::new(usual_figures());
    (1..=4).for_each(|failed| assert_eq!(hanako.fails(), attempts(failed, false, false)));
    assert_eq!(hanako.refused(yen(1)), None, "four are no lock");
    assert_eq!(hanako.fails(), attempts(5, true, true));
    assert_eq!(hanako.fails(), attempts(6, true, false), "it was locked before");

    assert_eq!(hanako.refused(yen(1)), Some("device_locked"));
    assert_eq!((hanako.withdrawal_max(), hanako.headroom().withdrawals_left), (0, 0));
    assert_eq!(hanako.with_device("another").refused(yen(1)), None);
    assert_eq!(hanako.of_institution("bank-b").refused(yen(1)), None, "another bank's device of that name");
}

#[test]
fn a_success_ends_the_row_but_opens_no_lock() {
    let hanako = Customer::new(usual_figures());
    (0..4).for_each(|_| _ = hanako.fails());
    hanako.succeeds();
    assert_eq!(hanako.attempts(), Attempts::default());
    (0..5).for_each(|_| _ = hanako.fails());
    hanako.succeeds();
    assert_eq!(hanako.attempts(), attempts(0, true, false));
    assert_eq!(hanako.refused(yen(1)), Some("device_locked"));

    hanako.is_released();
    assert_eq!(hanako.attempts(), Attempts::default());
    assert_eq!(hanako.refused(yen(1)), None);
}

#[test]
fn releasing_a_lock_forgets_failures_and_nothing_that_was_drawn() {
    let hanako = Customer::new(tiered_figures()).aged(20 * HOUR);
    hanako.withdraw(yen(50_000));
    (0..5).for_each(|_| _ = hanako.fails());
    hanako.is_released();
    assert_eq!(hanako.with_account("taro").refused(yen(1)), Some("device_day"));
}

#[test]
fn failures_stop_counting_at_the_largest_number() {
    let hanako = Customer::new(usual_figures());
    (0..300).for_each(|_| _ = hanako.fails());
    assert_eq!(hanako.attempts(), attempts(255, true, false));
}

#[test]
fn devices_without_failures_leave_no_entry() {
    let hanako = Customer::new(usual_figures());
    hanako.succeeds();
    hanako.is_released();
    hanako.limits.restore_attempts(&hanako.institution, &hanako.device, 0, false);
    assert_eq!(hanako.limits.devices.len(), 0);
    hanako.fails();
    assert_eq!(hanako.limits.devices.len(), 1);
    hanako.succeeds();
    assert_eq!(hanako.limits.devices.len(), 0);
}

#[test]
fn a_restart_restores_failures_and_lock() {
    let hanako = Customer::new(usual_figures());
    hanako.limits.restore_attempts(&hanako.institution, &hanako.device, 4, false);
    assert_eq!(hanako.refused(yen(1)), None);
    assert_eq!(hanako.fails(), attempts(5, true, true));

    let taro = Customer::new(usual_figures());
    taro.limits.restore_attempts(&taro.institution, &taro.device, 0, true);
    assert_eq!(taro.refused(yen(1)), Some("device_locked"));
}

#[test]
fn locks_are_seen_however_many_there_are_and_released_one_by_one() {
    let phones: Vec<Customer> =
        (0..300).map(|number| Customer::new(usual_figures()).with_device(&format!("phone-{number}"))).collect();
    let limits = Arc::new(Limits::with_shards(2));
    let phones: Vec<Customer> = phones.into_iter().map(|c| Customer { limits: Arc::clone(&limits), ..c }).collect();
    phones.iter().for_each(|phone| limits.restore_attempts(&phone.institution, &phone.device, 5, true));
    for (number, phone) in phones.iter().enumerate() {
        assert_eq!(phone.refused(yen(1)), Some("device_locked"), "{number}");
        phone.is_released();
        phone.is_released();
        assert_eq!(phone.refused(yen(1)), None, "{number}");
    }
    assert!(phones.iter().all(|phone| !limits.locked.may_hold(&phone.device)), "a count was left behind");
}
