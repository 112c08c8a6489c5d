//! How the answers of several rules become one verdict, and that nothing that goes wrong weakens it.
#![allow(clippy::unwrap_used, reason = "a test may stop loudly, in its helper functions too")]

use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use cashgate_policy::{Attestation, Channel, Decision, Facts, PolicySet, Verdict};
use cashgate_withdrawal::evidence::EvidenceGrade;
use cashgate_withdrawal::money::{Currency, Money};
use proptest::prelude::*;

const PERMIT: &str = "permit (principal, action, resource);";
const ASK: &str = r#"@reason("ask") @step_up("confirm_code") forbid (principal, action, resource);"#;
const STOP: &str = r#"@reason("stop") forbid (principal, action, resource);"#;
/// Valid, but the product does not fit 64 bits, so it fails while it runs.
const FAIL: &str = r#"@reason("fail") forbid (principal, action, resource)
    when { context.amount * 9223372036854775807 > 0 };"#;

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
        "context.device.age_minutes == 90",
        "context.device.age_hours == 1",
        "context.device.age_days == 0",
        r#"context.device.channel == "video""#,
        r#"context.device.attestation == "passed""#,
        "context.device.accounts_30d == 2",
        "context.device.drawn_7d == 70000",
        "context.device.failed_attempts == 1",
        r#"context.institution == Institution::"bank-a""#,
        "context.institution.new_device_withdrawals_1h == 4",
        "context.institution.new_device_usual_1h_milli == 1250",
        "context.institution.alarmed_7d",
        "principal.usual_amount == 40000",
        "principal.withdrawals_90d == 6",
        "principal.devices_30d == 3",
        "resource.new_device_withdrawals_1h == 2",
        r#"resource.evidence_grade == "A""#,
        "context has phone_to_atm_m && context.phone_to_atm_m == 12",
        "context has travel && context.travel.km == 34",
        "context has travel && context.travel.minutes == 56",
        "context.amount == 50000",
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

#[test]
fn facts_that_are_not_known_are_absent_or_have_their_value() {
    let facts = thorough();
    let unknown = Facts::unknown(facts.institution, facts.account, facts.device, facts.atm, facts.amount);
    for (condition, of) in [
        ("context has phone_to_atm_m", unknown.clone()),
        ("context has travel", unknown.clone()),
        ("context has travel", Facts { km_since_last_withdrawal: None, ..thorough() }),
        ("context has travel", Facts { minutes_since_last_withdrawal: None, ..thorough() }),
        (
            "context.device.age_minutes > 0 || principal.usual_amount > 0 || principal.withdrawals_90d > 0",
            unknown.clone(),
        ),
        (r#"context.device.channel != "unknown" || context.device.attestation != "none""#, unknown.clone()),
        (r#"resource.evidence_grade != "C" || context.local_hour != 0"#, unknown),
    ] {
        let rule = format!("{PERMIT} @reason(\"it\") forbid (principal, action, resource) when {{ {condition} }};");
        assert_eq!(decide_on(&rule, &of).verdict, Verdict::Permit, "{condition}");
    }
}

proptest! {
    /// Nothing but the base rule and one that looks at every fact, so an error would show as a forbid.
    #[test]
    fn all_facts_within_their_ranges_fit_the_schema(
        name in "[A-Za-z0-9._-]{1,64}", amount in 0..=Money::MINOR_UNITS_MAX, currency in "[A-Z]{3}",
        age in any::<u64>(), counts in any::<[u32; 5]>(), sums in any::<[u32; 2]>(), hour in 0..24_u8,
        far in any::<[Option<u32>; 3]>(), flag in any::<bool>(), failed in any::<u8>(),
    ) {
        let amount = Money::from_minor_units(amount, currency.parse().unwrap()).unwrap();
        let (institution, account) = (name.parse().unwrap(), name.parse().unwrap());
        let facts = Facts {
            device_age: Duration::from_secs(age),
            amount_chosen_at_atm: flag,
            institution_alarmed_7d: flag,
            local_hour: hour,
            accounts_on_device_30d: counts[0],
            devices_on_account_30d: counts[1],
            new_device_withdrawals_at_atm_1h: counts[2],
            new_device_withdrawals_at_institution_1h: counts[3],
            new_device_usual_at_institution_1h_milli: counts[4],
            device_drawn_7d: sums[0].into(),
            account_usual_amount: sums[1].into(),
            distance_phone_atm_m: far[0],
            km_since_last_withdrawal: far[1],
            minutes_since_last_withdrawal: far[2],
            failed_attempts: failed,
            ..Facts::unknown(institution, account, name.parse().unwrap(), name.parse().unwrap(), amount)
        };
        let decision = builtin().decide(&facts);
        let failed = decision.reasons.iter().any(|reason| reason.as_str() == "policy_error");
        prop_assert!(!failed, "{:?}", decision);
        let read = Facts::from_record(&facts.to_record()).unwrap();
        prop_assert_eq!(read, facts);
    }
}

fn check(rules: &[&str], verdict: Verdict, reasons: &[&str], decided_by: &[&str]) {
    let decision = decide(&rules.join("\n"));
    let actual: Vec<&str> = decision.reasons.iter().map(|reason| reason.as_str()).collect();
    assert_eq!((decision.verdict, actual.as_slice()), (verdict, reasons), "{rules:#?}");
    assert_eq!(decision.rules, decided_by, "{rules:#?}");
}

fn decide(rules: &str) -> Decision {
    decide_on(rules, &thorough())
}

fn decide_on(rules: &str, facts: &Facts) -> Decision {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.cedar"), rules).unwrap();
    PolicySet::from_dir(folder.path()).unwrap().decide(facts)
}

fn builtin() -> &'static PolicySet {
    static SET: LazyLock<PolicySet> = LazyLock::new(|| PolicySet::builtin().unwrap());
    &SET
}

/// Every fact known, each with a value of its own.
fn thorough() -> Facts {
    Facts {
        institution: "bank-a".parse().unwrap(),
        account: "4711".parse().unwrap(),
        device: "phone-7".parse().unwrap(),
        atm: "tokyo-0001".parse().unwrap(),
        amount: Money::from_minor_units(50_000, Currency::JPY).unwrap(),
        amount_chosen_at_atm: true,
        local_hour: 4,
        device_age: Duration::from_secs(90 * 60 + 59),
        device_channel: Channel::of("video"),
        device_attestation: Attestation::Passed,
        accounts_on_device_30d: 2,
        devices_on_account_30d: 3,
        device_drawn_7d: 70_000,
        new_device_withdrawals_at_atm_1h: 2,
        new_device_withdrawals_at_institution_1h: 4,
        new_device_usual_at_institution_1h_milli: 1_250,
        institution_alarmed_7d: true,
        account_usual_amount: 40_000,
        account_withdrawals_90d: 6,
        distance_phone_atm_m: Some(12),
        km_since_last_withdrawal: Some(34),
        minutes_since_last_withdrawal: Some(56),
        failed_attempts: 1,
        evidence_grade: EvidenceGrade::A,
    }
}
