//! The gateway's own decision in a small world: what the full replay says must show here too.

#![allow(clippy::unwrap_used, reason = "a test may stop loudly, in its helper functions too")]

use std::collections::BTreeMap;

use cashgate_replay::attempt::{Attempt, Registration};
use cashgate_replay::bank::{Alarm, Bank, Verdict};
use cashgate_replay::controls::{Control, Controls};
use cashgate_replay::gateway_bank::{GatewayBank, Setting};
use cashgate_replay::life::live;
use cashgate_replay::reaction::Reaction;
use cashgate_replay::tally::Tally;
use cashgate_replay::wave::behaviour::{Behaviour, Mix};
use cashgate_replay::world::World;
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::Timestamp;

const MONTH_H: u64 = 30 * 24;

fn world() -> World {
    World { customers: 3_000, machines: 300, warm_up_days: 7, ..World::of(1) }
}

fn lived(world: &World, setting: &Setting) -> Tally {
    live(world, setting.controls(), Reaction::ASSUMED, &mut GatewayBank::new(setting))
}

fn with(controls: Controls) -> Tally {
    lived(&world(), &Setting::new(controls).unwrap())
}

#[test]
fn with_all_controls_the_wave_is_stopped_and_without_any_it_is_not() {
    let (none, all) = (with(Controls::NONE), with(Controls::ALL));
    assert_eq!(none.honest.stepped_up_total(), 0);
    assert!(none.stolen_yen() * 2 > none.wanted_yen(), "{} yen of {}", none.stolen_yen(), none.wanted_yen());
    assert!(all.stolen_yen() * 10 < all.wanted_yen(), "{} yen of {}", all.stolen_yen(), all.wanted_yen());
    let first = all.first_alarm.unwrap();
    assert!(first.cases <= 5, "{first:?}");
}

#[test]
fn each_control_left_out_is_left_out() {
    let words = |tally: &Tally| -> String {
        let thieves = tally.cases.iter().flat_map(|case| case.refused.keys());
        thieves.chain(tally.honest.refused.keys()).chain(tally.honest.stepped_up.keys()).cloned().collect()
    };
    let table = [
        (Control::DeviceAge, "new_device_wait"),
        (Control::DeviceSharing, "many_accounts"),
        (Control::Place, "phone_far_from_atm"),
        (Control::Habit, "above_habit"),
        (Control::Attestation, "attestation_failed"),
        (Control::FailedAttempts, "failed_attempts"),
    ];
    let all = words(&with(Controls::ALL));
    for (control, word) in table {
        // A second phone above the habit is a matter of sharing.
        let word_without = words(&with(Controls::ALL.without(control))).replace("second_device_above_habit", "");
        assert!(all.contains(word), "{control:?}: {word} never came up");
        assert!(!word_without.contains(word), "{control:?}: {word} without it");
    }
}

#[test]
fn the_shortcut_changes_nothing() {
    let world = World { customers: 600, machines: 100, warm_up_days: 3, ..World::of(2) };
    let short = lived(&world, &Setting::new(Controls::ALL).unwrap());
    let long = lived(&world, &Setting::without_shortcut(Controls::ALL).unwrap());
    assert_eq!(short, long);
}

/// The gateway's bank, and who with a phone of more than 30 days was refused.
struct Watched {
    bank: GatewayBank,
    old_refused: BTreeMap<String, u64>,
}

impl Bank for Watched {
    fn registered_device(&mut self, registration: &Registration) {
        self.bank.registered_device(registration);
    }

    fn decide(&mut self, attempt: &Attempt) -> Verdict {
        let verdict = self.bank.decide(attempt);
        let is_old = attempt.device.age(attempt.now).as_secs() >= MONTH_H * 3_600;
        if let (true, Verdict::Refuse { reason }) = (is_old, &verdict) {
            *self.old_refused.entry(reason.clone()).or_default() += 1;
        }
        verdict
    }

    fn settled(&mut self, attempt: &Attempt, paid: Money) {
        self.bank.settled(attempt, paid);
    }

    fn mistyped(&mut self, attempt: &Attempt) {
        self.bank.mistyped(attempt);
    }

    fn advance(&mut self, now: Timestamp) {
        self.bank.advance(now);
    }

    fn alarms(&mut self) -> Vec<Alarm> {
        self.bank.alarms()
    }
}

#[test]
fn customers_with_the_phone_they_have_had_for_long_are_refused_for_nothing_that_is_new_here() {
    let world = World { has_wave: false, mix: Mix::only(Behaviour::AtOnce), ..world() };
    let mut bank =
        Watched { bank: GatewayBank::new(&Setting::new(Controls::ALL).unwrap()), old_refused: BTreeMap::new() };
    let tally = live(&world, Controls::ALL, Reaction::ASSUMED, &mut bank);
    assert!(tally.honest.withdrawals > 5_000);
    let expected = |reason: &str| {
        ["account_day", "account_24h", "account_7d", "device_locked", "impossible_travel", "too_fast"]
            .iter()
            .any(|one| reason.starts_with(one))
    };
    assert!(bank.old_refused.keys().all(|reason| expected(reason)), "{:?}", bank.old_refused);
    assert!(bank.old_refused.values().sum::<u64>() * 1_000 < tally.honest.withdrawals, "{:?}", bank.old_refused);
}
