//! What the memory says about an attempt, fact by fact.
#![allow(clippy::unwrap_used, reason = "a test may stop loudly, in its helper functions too")]

use std::time::Duration;

use cashgate_policy::cases;
use cashgate_policy::patterns::{Attempt, Gathered, Patterns, Place};
use cashgate_withdrawal::ids::{AccountId, AtmId, DeviceId, InstitutionId};
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::time::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// 2020-06-01T00:00:00Z, a Monday.
const START_S: u64 = 1_590_969_600;

const TOKYO: Place = Place { latitude_e7: 356_812_362, longitude_e7: 1_397_671_248 };
const OSAKA: Place = Place { latitude_e7: 347_024_854, longitude_e7: 1_354_959_506 };

#[test]
fn nothing_is_known_at_first_but_the_attempt_itself() {
    let facts = World::default().gathered(&Visit::default());
    let expected = Gathered {
        accounts_on_device_30d: 1,
        devices_on_account_30d: 1,
        device_drawn_7d: 0,
        new_device_withdrawals_at_atm_1h: 0,
        new_device_withdrawals_at_institution_1h: 0,
        new_device_usual_at_institution_1h_milli: 0,
        institution_alarmed_7d: false,
        account_usual_amount: 0,
        account_withdrawals_90d: 0,
        km_since_last_withdrawal: None,
        minutes_since_last_withdrawal: None,
    };
    assert_eq!(facts, expected);
    let new = World::default().gathered(&Visit { age_s: DAY, ..Visit::default() });
    assert_eq!((new.new_device_withdrawals_at_atm_1h, new.new_device_withdrawals_at_institution_1h), (1, 1));
}

#[test]
fn gathered_facts_go_into_their_places() {
    let mut world = World::default();
    world.withdraws(&Visit { yen: 40_000, place: Some(OSAKA), ..Visit::default() });
    let gathered = world.gathered(&Visit { after_s: 2 * HOUR, ..Visit::default() });
    let facts = gathered.onto(cases::ordinary_customer().unwrap());
    assert_eq!((facts.account_usual_amount, facts.account_withdrawals_90d), (40_000, 1));
    assert_eq!((facts.km_since_last_withdrawal, facts.minutes_since_last_withdrawal), (Some(403), Some(120)));
    assert_eq!(facts.local_hour, 12, "what does not come from memory stays");
}

#[test]
fn accounts_of_a_phone_and_phones_of_an_account_are_counted_for_30_days() {
    let mut world = World::default();
    for (account, device) in [("a", "1"), ("b", "1"), ("b", "2"), ("a", "1")] {
        world.attempts(&Visit { account, device, ..Visit::default() });
    }
    let check = |account, device, after_s, expected| {
        let facts = world.gathered(&Visit { account, device, after_s, ..Visit::default() });
        assert_eq!((facts.accounts_on_device_30d, facts.devices_on_account_30d), expected, "{account} {device}");
    };
    check("a", "1", 0, (2, 1));
    check("b", "1", 0, (2, 2));
    check("c", "1", 0, (3, 1));
    check("b", "3", 0, (1, 3));
    check("c", "1", 30 * DAY, (3, 1));
    check("c", "1", 31 * DAY, (1, 1));
    let other_bank = world.gathered(&Visit { institution: "bank-b", account: "a", device: "1", ..Visit::default() });
    assert_eq!(other_bank.accounts_on_device_30d, 1, "another bank's phone of the same name");
}

#[test]
fn what_was_refused_counts_as_an_attempt_and_not_as_a_withdrawal() {
    let mut world = World::default();
    world.attempts(&Visit { age_s: DAY, ..Visit::default() });
    let facts = world.gathered(&Visit { account: "b", age_s: DAY, ..Visit::default() });
    assert_eq!((facts.accounts_on_device_30d, facts.device_drawn_7d), (2, 0));
    assert_eq!(facts.new_device_withdrawals_at_atm_1h, 1);
    assert_eq!(world.gathered(&Visit::default()).account_withdrawals_90d, 0);
}

#[test]
fn only_phones_of_30_days_teach_the_habit() {
    let check = |age_s, usual| {
        let mut world = World::default();
        world.withdraws(&Visit { age_s, yen: 200_000, ..Visit::default() });
        let facts = world.gathered(&Visit::default());
        assert_eq!((facts.account_usual_amount, facts.account_withdrawals_90d), (usual, 1), "{age_s}");
    };
    check(30 * DAY, 200_000);
    check(30 * DAY - 1, 0);
}

#[test]
fn what_a_young_phone_draws_is_summed_over_its_accounts() {
    let mut world = World::default();
    for (account, yen, age_s) in [("a", 20_000, HOUR), ("b", 30_000, DAY), ("a", 1_000, 29 * DAY)] {
        world.withdraws(&Visit { account, yen, age_s, ..Visit::default() });
    }
    let drawn = |after_s| world.gathered(&Visit { after_s, ..Visit::default() }).device_drawn_7d;
    assert_eq!([drawn(0), drawn(7 * DAY), drawn(8 * DAY)], [51_000, 51_000, 0]);
    let mut old = World::default();
    old.withdraws(&Visit::default());
    assert_eq!(old.gathered(&Visit::default()).device_drawn_7d, 0, "only of young phones");
}

#[test]
fn new_phones_are_counted_by_machine_and_institution_within_the_hour() {
    let mut world = World::default();
    let new = Visit { age_s: 71 * HOUR, ..Visit::default() };
    world.withdraws(&new);
    world.withdraws(&Visit { atm: "other", after_s: 10 * MINUTE, ..new });
    world.withdraws(&Visit { institution: "bank-b", after_s: 20 * MINUTE, ..new });
    world.withdraws(&Visit { after_s: 30 * MINUTE, age_s: 72 * HOUR, ..new });
    let check = |visit: Visit, expected| {
        let facts = world.gathered(&visit);
        let counts = (facts.new_device_withdrawals_at_atm_1h, facts.new_device_withdrawals_at_institution_1h);
        assert_eq!(counts, expected, "{visit:?}");
    };
    check(Visit { after_s: 40 * MINUTE, ..new }, (3, 3));
    check(Visit { after_s: 40 * MINUTE, age_s: 72 * HOUR, ..new }, (2, 2));
    check(Visit { after_s: HOUR, ..new }, (2, 2));
    check(Visit { after_s: HOUR, atm: "other", ..new }, (2, 2));
    check(Visit { after_s: HOUR, institution: "bank-b", ..new }, (2, 2));
    check(Visit { after_s: 2 * HOUR, ..new }, (1, 1));
}

#[test]
fn the_usual_of_an_hour_is_the_mean_of_four_weeks() {
    let mut world = World::default();
    for (week, withdrawals) in [(0, 6), (1, 0), (2, 4), (3, 2)] {
        for number in 0..withdrawals {
            world.withdraws(&Visit { age_s: DAY, after_s: week * 7 * DAY + number * MINUTE, ..Visit::default() });
        }
    }
    let usual =
        |after_s| world.gathered(&Visit { after_s, ..Visit::default() }).new_device_usual_at_institution_1h_milli;
    assert_eq!(usual(28 * DAY + HOUR), 3_000);
    assert_eq!(usual(35 * DAY + HOUR), 1_500, "the first week is forgotten");
    assert_eq!(usual(28 * DAY + 3 * HOUR), 0);
}

#[test]
fn travel_needs_both_places() {
    for (before, now, expected) in [
        (Some(TOKYO), Some(OSAKA), Some(403)),
        (Some(TOKYO), Some(TOKYO), Some(0)),
        (None, Some(OSAKA), None),
        (Some(TOKYO), None, None),
    ] {
        let mut world = World::default();
        world.withdraws(&Visit { place: before, ..Visit::default() });
        let facts = world.gathered(&Visit { place: now, after_s: 59, ..Visit::default() });
        assert_eq!((facts.km_since_last_withdrawal, facts.minutes_since_last_withdrawal), (expected, Some(0)));
    }
}

#[test]
fn what_no_fact_asks_for_is_forgotten() {
    let mut world = World::default();
    for number in 0..1_000 {
        let name = number.to_string();
        world.withdraws(&Visit { account: &name, device: &name, age_s: DAY, ..Visit::default() });
    }
    assert_eq!(world.patterns.remembered(), (1_000, 1_000));
    let forget = |world: &mut World, after_s| (0..16).for_each(|_| world.patterns.forget_older(at(after_s)));
    forget(&mut world, 30 * DAY);
    assert_eq!(world.patterns.remembered(), (1_000, 1_000));
    forget(&mut world, 31 * DAY);
    assert_eq!(world.patterns.remembered(), (1_000, 0));
    forget(&mut world, 90 * DAY);
    assert_eq!(world.patterns.remembered(), (0, 0));
}

#[derive(Clone, Copy, Debug)]
struct Visit<'a> {
    institution: &'a str,
    account: &'a str,
    device: &'a str,
    atm: &'a str,
    place: Option<Place>,
    yen: u64,
    age_s: u64,
    after_s: u64,
}

impl Default for Visit<'_> {
    fn default() -> Self {
        let place = Some(TOKYO);
        Self {
            institution: "bank-a",
            account: "a",
            device: "1",
            atm: "atm",
            place,
            yen: 30_000,
            age_s: 365 * DAY,
            after_s: 0,
        }
    }
}

#[derive(Default)]
struct World {
    patterns: Patterns,
}

impl World {
    fn gathered(&self, visit: &Visit<'_>) -> Gathered {
        with(visit, |attempt| self.patterns.gathered(attempt))
    }

    fn attempts(&mut self, visit: &Visit<'_>) {
        with(visit, |attempt| self.patterns.attempted(attempt));
    }

    fn withdraws(&mut self, visit: &Visit<'_>) {
        self.attempts(visit);
        with(visit, |attempt| self.patterns.withdrew(attempt));
    }
}

fn with<T>(visit: &Visit<'_>, then: impl FnOnce(&Attempt<'_>) -> T) -> T {
    let (institution, account): (InstitutionId, AccountId) =
        (visit.institution.parse().unwrap(), visit.account.parse().unwrap());
    let (device, atm): (DeviceId, AtmId) = (visit.device.parse().unwrap(), visit.atm.parse().unwrap());
    then(&Attempt {
        institution: &institution,
        account: &account,
        device: &device,
        atm: &atm,
        place: visit.place,
        amount: Money::from_minor_units(visit.yen, Currency::JPY).unwrap(),
        device_age: Duration::from_secs(visit.age_s),
        is_new_device: visit.age_s < 72 * HOUR,
        now: at(visit.after_s),
    })
}

fn at(after_s: u64) -> Timestamp {
    Timestamp::from_unix_ms((START_S + after_s) * 1_000)
}
