//! How the answers of several rules become one verdict, and that nothing that goes wrong weakens it.
#![allow(clippy::unwrap_used, reason = "a test may stop loudly, in its helper functions too")]

use std::fs;
use std::time::Duration;

use cashgate_policy::{Decision, Facts, PolicySet, Verdict};
use cashgate_withdrawal::money::{Currency, Money};
use proptest::prelude::*;

const PERMIT: &str = "permit (principal, action, resource);";
const ASK: &str = r#"@reason("ask") @step_up("confirm_code") forbid (principal, action, resource);"#;
const STOP: &str = r#"@reason("stop") forbid (principal, action, resource);"#;
/// Valid, but the product does not fit 64 bits, so it fails while it runs.
const FAIL: &str = r#"@reason("fail") forbid (principal, action, resource)
    when { context.amount_minor_units * 9223372036854775807 > 0 };"#;

#[test]
fn the_strictest_satisfied_rule_decides() {
    check(&[PERMIT], Verdict::Permit, &[], &["rules.cedar#1"]);
    check(&[PERMIT, ASK], Verdict::StepUp, &["ask"], &["rules.cedar#2"]);
    check(&[PERMIT, STOP], Verdict::Forbid, &["stop"], &["rules.cedar#2"]);
    check(&[PERMIT, ASK, STOP], Verdict::Forbid, &["ask", "stop"], &["rules.cedar#2", "rules.cedar#3"]);
    check(&[STOP, ASK, PERMIT], Verdict::Forbid, &["ask", "stop"], &["rules.cedar#1", "rules.cedar#2"]);
    check(&[PERMIT, STOP, STOP], Verdict::Forbid, &["stop"], &["rules.cedar#2", "rules.cedar#3"]);
}

#[test]
fn a_permit_may_say_why_too() {
    let known = r#"@reason("known_bank") permit (principal in Institution::"bank-a", action, resource);"#;
    check(&[known], Verdict::Permit, &["known_bank"], &["rules.cedar#1"]);
}

#[test]
fn without_a_permit_the_answer_is_no() {
    let other_bank = r#"permit (principal in Institution::"bank-b", action, resource);"#;
    check(&[other_bank], Verdict::Forbid, &["no_permit"], &[]);
    check(&[STOP], Verdict::Forbid, &["stop"], &["rules.cedar#1"]);
    // Typing the code does not make up for a permit that is not there.
    check(&[other_bank, ASK], Verdict::Forbid, &["ask", "no_permit"], &["rules.cedar#2"]);
}

#[test]
fn a_rule_that_fails_forbids() {
    check(&[PERMIT, FAIL], Verdict::Forbid, &["policy_error"], &["rules.cedar#2"]);
    check(&[PERMIT, ASK, FAIL], Verdict::Forbid, &["ask", "policy_error"], &["rules.cedar#2", "rules.cedar#3"]);
    check(&[PERMIT, FAIL, STOP], Verdict::Forbid, &["policy_error", "stop"], &["rules.cedar#2", "rules.cedar#3"]);
    let failing_step_up = FAIL.replace("forbid", r#"@step_up("confirm_code") forbid"#);
    check(&[PERMIT, &failing_step_up], Verdict::Forbid, &["policy_error"], &["rules.cedar#2"]);
    let failing_permit = FAIL.replace(r#"@reason("fail") forbid"#, "permit");
    check(&[PERMIT, &failing_permit], Verdict::Forbid, &["policy_error"], &["rules.cedar#2"]);
}

#[test]
fn every_fact_can_decide_alone() {
    for condition in [
        r#"principal == Account::"bank-a/4711""#,
        r#"principal in Institution::"bank-a""#,
        r#"resource == Atm::"tokyo-0001""#,
        r#"context.device == Device::"bank-a/phone-7""#,
        r#"context.device in Institution::"bank-a""#,
        "context.device_age_minutes == 90",
        "context.amount_minor_units == 50000",
        r#"context.currency == "JPY""#,
        "context.amount_chosen_at_atm",
        "context.local_hour == 4",
    ] {
        let rule =
            |condition: &str| format!("@reason(\"it\") forbid (principal, action, resource) when {{ {condition} }};");
        check(&[PERMIT, &rule(condition)], Verdict::Forbid, &["it"], &["rules.cedar#2"]);
        check(&[PERMIT, &rule(&format!("!({condition})"))], Verdict::Permit, &[], &["rules.cedar#1"]);
    }
}

#[test]
fn the_same_facts_get_the_same_decision() {
    let rules = ["z", "m", "a", "k", "b"].map(|reason| STOP.replace("stop", reason)).join("\n");
    let expected = decide(&rules);
    assert_eq!(expected.reasons.iter().map(|reason| reason.as_str()).collect::<Vec<_>>(), ["a", "b", "k", "m", "z"]);
    for _ in 0..50 {
        // A set that is loaded afresh has its rules in another order inside.
        assert_eq!(decide(&rules), expected);
    }
}

#[test]
fn threads_share_a_set() {
    fn shared<T: Send + Sync>() {}
    shared::<PolicySet>();
}

proptest! {
    /// The base rule permits everything, so an error would show as a forbid.
    #[test]
    fn all_facts_within_their_ranges_fit_the_schema(
        name in "[A-Za-z0-9._-]{1,64}", amount in 0..=Money::MINOR_UNITS_MAX, currency in "[A-Z]{3}",
        age in any::<u64>(), chosen in any::<bool>(), hour in 0..24_u8,
    ) {
        let facts = Facts {
            institution: name.parse().unwrap(),
            account: name.parse().unwrap(),
            device: name.parse().unwrap(),
            atm: name.parse().unwrap(),
            amount: Money::from_minor_units(amount, currency.parse().unwrap()).unwrap(),
            device_age: Duration::from_secs(age),
            amount_chosen_at_atm: chosen,
            local_hour: hour,
        };
        prop_assert_ne!(PolicySet::builtin().unwrap().decide(&facts).verdict, Verdict::Forbid);
    }
}

fn check(rules: &[&str], verdict: Verdict, reasons: &[&str], decided_by: &[&str]) {
    let decision = decide(&rules.join("\n"));
    let actual: Vec<&str> = decision.reasons.iter().map(|reason| reason.as_str()).collect();
    assert_eq!((decision.verdict, actual.as_slice()), (verdict, reasons), "{rules:#?}");
    assert_eq!(decision.rules, decided_by, "{rules:#?}");
}

fn decide(rules: &str) -> Decision {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.cedar"), rules).unwrap();
    PolicySet::from_dir(folder.path()).unwrap().decide(&Facts {
        institution: "bank-a".parse().unwrap(),
        account: "4711".parse().unwrap(),
        device: "phone-7".parse().unwrap(),
        atm: "tokyo-0001".parse().unwrap(),
        amount: Money::from_minor_units(50_000, Currency::JPY).unwrap(),
        device_age: Duration::from_secs(90 * 60 + 59),
        amount_chosen_at_atm: true,
        local_hour: 4,
    })
}
