//! The built-in rules: for each a case in which it alone decides, on both sides of its border.
#![allow(clippy::unwrap_used, reason = "a test may stop loudly, in its helper functions too")]

use std::time::Duration;

use cashgate_policy::{Decision, Facts, PolicySet, Verdict};
use cashgate_withdrawal::money::Money;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

#[test]
fn a_known_phone_is_permitted() {
    let decision = decide(|_| {});
    assert_eq!((decision.verdict, decision.reasons), (Verdict::Permit, vec![]));
    assert_eq!(decision.rules, ["base.cedar#1"]);
}

#[test]
fn a_new_phone_types_the_code_for_a_large_amount() {
    let check = |device_age, yen, expected| {
        let decision = decide(|facts| {
            facts.device_age = device_age;
            facts.amount = money(yen, "JPY");
        });
        let reasons: Vec<&str> = decision.reasons.iter().map(|reason| reason.as_str()).collect();
        let expected_reasons: &[&str] = if expected == Verdict::Permit { &[] } else { &["new_device_large_amount"] };
        assert_eq!((decision.verdict, reasons.as_slice()), (expected, expected_reasons), "{device_age:?} {yen}");
    };
    check(Duration::ZERO, 30_001, Verdict::StepUp);
    check(HOUR, 200_000, Verdict::StepUp);
    check(72 * HOUR - Duration::from_millis(1), 30_001, Verdict::StepUp);
    check(72 * HOUR - MINUTE, Money::MINOR_UNITS_MAX, Verdict::StepUp);
    // Old enough, or little enough.
    check(72 * HOUR, 30_001, Verdict::Permit);
    check(72 * HOUR - MINUTE, 30_000, Verdict::Permit);
    check(Duration::MAX, 200_000, Verdict::Permit);
    check(Duration::ZERO, 0, Verdict::Permit);
}

#[test]
fn yen_rules_do_not_speak_about_other_currencies() {
    let cents = decide(|facts| {
        facts.device_age = HOUR;
        facts.amount = money(30_001, "EUR");
    });
    assert_eq!(cents.verdict, Verdict::Permit);
}

#[test]
fn facts_out_of_range_are_refused() {
    for hour in [24, 25, u8::MAX] {
        let decision = decide(|facts| facts.local_hour = hour);
        assert_eq!(decision.verdict, Verdict::Forbid, "{hour}");
        assert_eq!(decision.reasons, ["policy_error".parse().unwrap()], "{hour}");
    }
    assert_eq!(decide(|facts| facts.local_hour = 23).verdict, Verdict::Permit);
}

#[test]
fn the_folder_in_the_sources_is_the_built_in_set() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");
    let from_folder = PolicySet::from_dir(folder).unwrap();
    let digest = |set: &PolicySet| set.version().split_once('-').unwrap().1.to_owned();
    assert_eq!(digest(&from_folder), digest(&PolicySet::builtin().unwrap()), "a file is missing from sources::builtin");
}

fn decide(change: impl FnOnce(&mut Facts)) -> Decision {
    let mut facts = Facts {
        institution: "bank-a".parse().unwrap(),
        account: "4711".parse().unwrap(),
        device: "phone-7".parse().unwrap(),
        atm: "tokyo-0001".parse().unwrap(),
        amount: money(50_000, "JPY"),
        device_age: 365 * 24 * HOUR,
        amount_chosen_at_atm: false,
        local_hour: 12,
    };
    change(&mut facts);
    let set = PolicySet::builtin().unwrap();
    let decision = set.decide(&facts);
    assert_eq!(decision.policy_version, set.version());
    decision
}

fn money(minor_units: u64, currency: &str) -> Money {
    Money::from_minor_units(minor_units, currency.parse().unwrap()).unwrap()
}
