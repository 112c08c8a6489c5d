//! Messages and domain values that nothing is wrong with; a case changes the one thing that it is about.

use cashgate_wire::proto::atm::v1::{self as atm, atm_message};
use cashgate_wire::proto::customer::v1 as customer;
use cashgate_wire::proto::withdrawal::v1 as pb;
use cashgate_withdrawal::evidence::EvidenceGrade;
use cashgate_withdrawal::ids::{KeyId, Nonce, QrSessionId, WithdrawalId};
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::time::{CalendarDay, Timestamp};
use cashgate_withdrawal::withdrawal::{Decision, Terms};

/// A withdrawal as messages name it, and [`withdrawal`].
pub(crate) const WITHDRAWAL: &str = "01981f2e-7c1a-7000-8000-010203040506";
/// A QR session as messages name it.
pub(crate) const QR_SESSION: &str = "01981f2e-0000-7000-8000-0a0b0c0d0e0f";

/// What stands where a UUID belongs, and is none.
pub(crate) const NOT_UUIDS: [&str; 7] = [
    "",
    "withdrawal-1",
    "01981f2e7c1a70008000010203040506",
    "01981f2e-7c1a-7000-8000-01020304050",
    "01981f2e-7c1a-7000-8000-0102030405067",
    "+1981f2e-7c1a-7000-8000-010203040506",
    "01981f2e-7c1a-7000-8000-01020304050\u{e9}",
];

/// Texts with a control character: C0, DEL and C1.
pub(crate) const WITH_CONTROL_CHARACTERS: [&str; 5] = ["a\nb", "a\0", "\u{1b}[2J", "a\u{7f}", "a\u{85}b"];

pub(crate) fn withdrawal() -> WithdrawalId {
    WITHDRAWAL.parse().unwrap()
}

pub(crate) fn yen(amount: u64) -> Money {
    Money::from_minor_units(amount, Currency::JPY).unwrap()
}

pub(crate) fn ms(at: u64) -> Timestamp {
    Timestamp::from_unix_ms(at)
}

/// An amount as a message carries it, possible or not.
#[allow(clippy::unnecessary_wraps, reason = "every field of a message that has an amount may lack it")]
pub(crate) fn money(minor_units: i64, currency: &str) -> Option<pb::Money> {
    Some(pb::Money { minor_units, currency: currency.into() })
}

/// What stands where an amount above zero belongs, and is none.
pub(crate) fn not_amounts() -> Vec<Option<pb::Money>> {
    let mut wrong = vec![None];
    for units in [0, -1, i64::MIN, 1_000_000_000_001, i64::MAX] {
        wrong.push(money(units, "JPY"));
    }
    for currency in ["", "JP", "JPYY", "jpy", "J Y", "JP\0", "円"] {
        wrong.push(money(10_000, currency));
    }
    wrong
}

pub(crate) fn notes(value: i64, count: u32) -> pb::NoteCount {
    pb::NoteCount { denomination: money(value, "JPY"), count }
}

pub(crate) fn cassette(value: i64, count: u32) -> atm::Cassette {
    atm::Cassette { denomination: money(value, "JPY"), count }
}

pub(crate) fn hello() -> atm::Hello {
    atm::Hello {
        name: "Shibuya 3".into(),
        place: "Shibuya station, west exit".into(),
        cassettes: vec![cassette(10_000, 100), cassette(1_000, 200)],
        notes_per_dispense_max: 40,
        unresolved: vec![],
        software: "atmd 4.2".into(),
        end_to_end: None,
        location: None,
        best_evidence: 0,
    }
}

pub(crate) fn said(message: atm_message::Message) -> atm::AtmMessage {
    atm::AtmMessage { message: Some(message), ..Default::default() }
}

/// Two of three notes came out.
pub(crate) fn report() -> pb::OutcomeReport {
    pb::OutcomeReport {
        withdrawal_id: WITHDRAWAL.into(),
        outcome: pb::Outcome::PartiallyDispensed.into(),
        presented: vec![notes(10_000, 2)],
        retracted: vec![],
        retracted_counted: true,
        evidence: pb::EvidenceSource::PresentStatus.into(),
        detail: "E31 jam at the stacker".into(),
        observed_at_unix_ms: 1_795_000_000_000,
        present_token: String::new(),
    }
}

pub(crate) fn approve_request() -> customer::ApproveRequest {
    customer::ApproveRequest {
        qr_text: "CG1:ABC".into(),
        device_id: "phone-1".into(),
        account_id: "acct-1".into(),
        amount: money(30_000, "JPY"),
        signature: vec![0x30; 70],
        pin_block: None,
        location: None,
    }
}

pub(crate) fn terms() -> Terms {
    Terms {
        withdrawal: withdrawal(),
        institution: "sakura".parse().unwrap(),
        account: "acct-1".parse().unwrap(),
        device: "phone-1".parse().unwrap(),
        atm: "A1".parse().unwrap(),
        qr_session: QrSessionId::from_bytes([2; 16]),
        nonce: Nonce([3; 16]),
        amount: yen(30_000),
        approved_at: ms(1_795_000_000_000),
        decision: Decision {
            policy_version: "builtin-1".into(),
            rules: vec![],
            facts: String::new(),
            limit_figures: "day 30000/500000".into(),
            key: KeyId([4; 4]),
            day: CalendarDay(20_775),
            confirm_code: false,
            machine_location: cashgate_withdrawal::location::Location::new(356_812_360, 1_397_671_250).ok(),
        },
        command_nonce: None,
        evidence_demanded: EvidenceGrade::C,
    }
}

/// The path of the field that was refused.
pub(crate) fn refused_field<T: std::fmt::Debug>(converted: Result<T, Refusal>) -> &'static str {
    match converted {
        Err(Refusal::FieldInvalid { field, detail }) => {
            assert!(!detail.is_empty(), "{field}: a refusal says what is wrong");
            field
        }
        other => panic!("not refused for a field: {other:?}"),
    }
}
