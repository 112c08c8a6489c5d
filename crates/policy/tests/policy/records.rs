//! Facts as they are kept: old records stay readable, and none is large.
#![allow(clippy::unwrap_used, reason = "a test may stop loudly, in its helper functions too")]

use std::time::Duration;

use cashgate_policy::{Attestation, Channel, Facts, RecordError, cases};
use cashgate_withdrawal::evidence::EvidenceGrade;
use cashgate_withdrawal::money::Money;

/// The first record that was ever written. It must be readable for ever, so this text never changes.
const FIRST: &str = r#"{"v":1,"institution":"bank-a","account":"4711","device":"phone-7","atm":"tokyo-0001","amount":30000,"currency":"JPY","at_atm":false,"hour":12,"age_s":31536000,"channel":"branch","attestation":"none","device_accounts_30d":1,"account_devices_30d":1,"device_drawn_7d":0,"atm_new_1h":0,"institution_new_1h":0,"institution_usual_milli":1000,"alarmed_7d":false,"usual_amount":40000,"withdrawals_90d":6,"failed":0,"grade":"B"}"#;

#[test]
fn the_first_record_is_still_read_and_written() {
    let ordinary = cases::ordinary_customer().unwrap();
    assert_eq!(Facts::from_record(FIRST).unwrap(), ordinary);
    assert_eq!(ordinary.to_record(), FIRST, "fields may be added at the end, never renamed");
}

#[test]
fn what_is_missing_is_not_known_and_what_is_new_is_passed_over() {
    let outlines = r#"{"v":1,"institution":"bank-a","account":"4711","device":"phone-7","atm":"tokyo-0001","amount":30000,"currency":"JPY","moon":"full"}"#;
    let ordinary = cases::ordinary_customer().unwrap();
    let unknown =
        Facts::unknown(ordinary.institution, ordinary.account, ordinary.device, ordinary.atm, ordinary.amount);
    assert_eq!(Facts::from_record(outlines).unwrap(), unknown);
}

#[test]
fn the_largest_record_has_its_place() {
    let name = "x".repeat(64);
    let amount = Money::from_minor_units(Money::MINOR_UNITS_MAX, "JPY".parse().unwrap()).unwrap();
    let largest = Facts {
        local_hour: 23,
        device_age: Duration::from_secs(u64::MAX),
        device_channel: Channel::of(&"x".repeat(Channel::LENGTH_MAX)),
        device_attestation: Attestation::Passed,
        accounts_on_device_30d: u32::MAX,
        devices_on_account_30d: u32::MAX,
        device_drawn_7d: u64::MAX,
        new_device_withdrawals_at_atm_1h: u32::MAX,
        new_device_withdrawals_at_institution_1h: u32::MAX,
        new_device_usual_at_institution_1h_milli: u32::MAX,
        account_usual_amount: u64::MAX,
        account_withdrawals_90d: u32::MAX,
        distance_phone_atm_m: Some(u32::MAX),
        km_since_last_withdrawal: Some(u32::MAX),
        minutes_since_last_withdrawal: Some(u32::MAX),
        failed_attempts: u8::MAX,
        evidence_grade: EvidenceGrade::A,
        ..Facts::unknown(
            name.parse().unwrap(),
            name.parse().unwrap(),
            name.parse().unwrap(),
            name.parse().unwrap(),
            amount,
        )
    };
    let record = largest.to_record();
    assert!(record.len() <= 1_024, "{}", record.len());
    assert_eq!(Facts::from_record(&record).unwrap(), largest);
}

#[test]
fn a_record_that_means_something_else_is_refused() {
    let check = |from: &str, to: &str, expected: fn(&RecordError) -> bool| {
        let error = Facts::from_record(&FIRST.replace(from, to)).unwrap_err();
        assert!(expected(&error), "{to}: {error}");
    };
    check("\"v\":1", "\"v\":2", |error| matches!(error, RecordError::Version { found: 2 }));
    check("\"bank-a\"", "\"bank a\"", |error| matches!(error, RecordError::Id(_)));
    check("\"JPY\"", "\"yen\"", |error| matches!(error, RecordError::Money(_)));
    check("30000", "1000000000001", |error| matches!(error, RecordError::Money(_)));
    check("\"none\"", "\"good\"", |error| matches!(error, RecordError::Word { field: "attestation", .. }));
    check("\"B\"", "\"E\"", |error| matches!(error, RecordError::Word { field: "grade", .. }));
    check("12", "\"noon\"", |error| matches!(error, RecordError::Json(_)));
    check("{", "", |error| matches!(error, RecordError::Json(_)));
}
