//! What is written into the ledger is read back as the same withdrawal.

use std::collections::BTreeSet;

use cashgate_wire::FILE_DESCRIPTOR_SET;
use cashgate_wire::journal::{JournalError, describe, encode, replay};
use cashgate_wire::proto::journal::v1::{self as pb, present_finding::Finding, step::Event as Body};
use cashgate_wire::proto::withdrawal::v1::WithdrawalState;
use cashgate_withdrawal::event::{Event, ReversalCause, Settlement};
use cashgate_withdrawal::lane::Record;
use cashgate_withdrawal::withdrawal::Withdrawal;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use prost::Message;

use crate::given::{WITHDRAWAL, ms, terms, withdrawal, yen};
use crate::histories::history;

proptest! {
    #[test]
    fn what_was_recorded_is_what_is_replayed(records in history()) {
        let id = records[0].after.terms.withdrawal;
        let bodies: Vec<Vec<u8>> = records.iter().map(encode).collect();
        let steps: Vec<_> = records.iter().zip(&bodies).map(|(r, body)| (r.number, r.at, body.as_slice())).collect();
        for (upto, record) in records.iter().enumerate() {
            prop_assert_eq!(replay(id, steps[..=upto].iter().copied()), Ok(record.after.clone()), "step {}", upto + 1);
        }
    }
}

/// The fields of a journal step as the proto names them: every kind of event there is, and the approval.
pub(crate) fn every_kind() -> BTreeSet<String> {
    let descriptors = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let journal = descriptors.file.iter().find(|file| file.package() == "cashgate.journal.v1").unwrap();
    let step = journal.message_type.iter().find(|message| message.name() == "Step").unwrap();
    step.field.iter().map(|field| field.name().to_owned()).collect()
}

#[test]
fn the_generated_histories_reach_every_event_and_every_state() {
    let mut runner = TestRunner::deterministic();
    let (mut events, mut states) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..1_000 {
        for record in history().new_tree(&mut runner).unwrap().current() {
            events.insert(record.name().to_owned());
            states.insert(record.after.state.name());
        }
    }
    assert_eq!(events, every_kind());
    let named: Vec<WithdrawalState> = (1..).map_while(|number| WithdrawalState::try_from(number).ok()).collect();
    assert_eq!(states.len(), named.len(), "{states:?}");
}

#[test]
fn what_the_state_does_not_keep_is_in_the_record_all_the_same() {
    let body = |event: Event| {
        let record = Record { number: 2, at: ms(0), event: Some(event), after: Withdrawal::open(terms()).0 };
        pb::Step::decode(encode(&record).as_slice()).unwrap().event.unwrap()
    };
    let resolved = |settlement| Event::SuspectResolved {
        settlement,
        operator: "mori".parse().unwrap(),
        reason: "journal roll shows\ntwo notes".into(),
    };
    let Body::SuspectResolved(written) = body(resolved(Settlement::Confirm(yen(20_000)))) else {
        panic!("another kind")
    };
    assert_eq!((written.operator.as_str(), written.reason.as_str()), ("mori", "journal roll shows\ntwo notes"));
    assert_eq!(written.confirm.map(|money| (money.minor_units, money.currency)), Some((20_000, "JPY".to_owned())));
    let Body::SuspectResolved(written) = body(resolved(Settlement::Reverse)) else { panic!("another kind") };
    assert_eq!(written.confirm, None);
    let Body::SettlementRefused(written) = body(Event::SettlementRefused { code: "already_reversed".parse().unwrap() })
    else {
        panic!("another kind")
    };
    assert_eq!(written.code, "already_reversed");
}

#[test]
fn causes_of_a_reversal_are_read_by_the_names_that_old_records_have() {
    // In the order of the enum. These names are in ledgers: one may be added, none may change.
    let names = [
        "hold_unanswered",
        "customer_cancelled",
        "code_refused",
        "code_timed_out",
        "atm_unavailable",
        "gateway_restarted",
        "stopped",
        "nothing_left",
        "resolved",
    ];
    assert_eq!(ReversalCause::ALL.map(ReversalCause::name), names);
    for (cause, name) in ReversalCause::ALL.into_iter().zip(names) {
        let body = pb::Step { event: Some(Body::Abandoned(pb::Abandoned { cause: name.into() })) }.encode_to_vec();
        let replayed = replay(withdrawal(), [(1, ms(0), approval().as_slice()), (2, ms(0), &body)]).unwrap();
        assert_eq!(replayed.state.reason(), Some(cause.name()));
    }
    assert_eq!(unreadable(Body::Abandoned(pb::Abandoned { cause: "boredom".into() })), "cause: is unknown");
}

/// The body of the approval that [`terms`] make.
pub(crate) fn approval() -> Vec<u8> {
    let after = Withdrawal::open(terms()).0;
    encode(&Record { number: 1, at: terms().approved_at, event: None, after })
}

/// Why a body cannot be read as the second step.
fn unreadable(body: Body) -> String {
    let body = pb::Step { event: Some(body) }.encode_to_vec();
    match replay(withdrawal(), [(1, ms(0), approval().as_slice()), (2, ms(0), &body)]) {
        Err(JournalError::Unreadable { withdrawal: id, number: 2, detail }) if id == withdrawal() => detail,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_field_without_meaning_makes_a_step_unreadable_and_is_named() {
    let missing = Body::OutcomeReported(pb::OutcomeReported { report: None, present_finding: None });
    assert_eq!(unreadable(missing), "report: is missing");
    let check = |body, field: &str| {
        let detail = unreadable(body);
        assert!(detail.starts_with(&format!("{field}: ")), "{detail}");
    };
    check(Body::HoldGranted(pb::HoldGranted { hold_reference: "H 1".into() }), "hold_reference");
    check(Body::HoldDeclined(pb::HoldDeclined { code: String::new() }), "code");
    check(Body::SettlementRefused(pb::SettlementRefused { code: "x".repeat(65) }), "code");
    check(
        Body::DispenseCommanded(pb::DispenseCommanded { start_before_unix_ms: 1, ..pb::DispenseCommanded::default() }),
        "amount",
    );
    let amount = crate::given::money(30_000, "JPY");
    let early =
        pb::DispenseCommanded { amount: amount.clone(), start_before_unix_ms: -1, dispense_token: String::new() };
    check(Body::DispenseCommanded(early), "start_before_unix_ms");
    let resolved = |confirm, operator: &str| {
        Body::SuspectResolved(pb::SuspectResolved { confirm, operator: operator.into(), reason: String::new() })
    };
    check(resolved(crate::given::money(0, "JPY"), "mori"), "confirm");
    check(resolved(amount, ""), "operator");
    let report = cashgate_wire::proto::withdrawal::v1::OutcomeReport { outcome: 6, ..crate::given::report() };
    let reported =
        |report, present_finding| Body::OutcomeReported(pb::OutcomeReported { report: Some(report), present_finding });
    check(reported(report, None), "outcome.outcome");
    let with_token = cashgate_wire::proto::withdrawal::v1::OutcomeReport {
        present_token: "NONCE=1".into(),
        ..crate::given::report()
    };
    check(reported(with_token.clone(), None), "present_finding");
    check(reported(with_token.clone(), Some(pb::PresentFinding { finding: None })), "present_finding");
    let wrong = Some(Finding::Wrong("boredom".into()));
    check(reported(with_token, Some(pb::PresentFinding { finding: wrong })), "present_finding.wrong");
    let token = pb::DispenseCommanded {
        amount: crate::given::money(30_000, "JPY"),
        start_before_unix_ms: 1,
        dispense_token: "\n".into(),
    };
    check(Body::DispenseCommanded(token), "dispense_token");
}

#[test]
fn an_approval_without_meaning_is_unreadable_and_its_field_is_named() {
    let check = |field: &str, damage: fn(&mut pb::Approved)| {
        let step = pb::Step::decode(approval().as_slice()).unwrap();
        let Some(Body::Approved(mut approved)) = step.event else { panic!("no approval") };
        damage(&mut approved);
        let body = pb::Step { event: Some(Body::Approved(approved)) }.encode_to_vec();
        match replay(withdrawal(), [(1, ms(0), body.as_slice())]) {
            Err(JournalError::Unreadable { number: 1, detail, .. }) => {
                assert!(detail.starts_with(&format!("{field}: ")), "{detail}");
            }
            other => panic!("{field}: {other:?}"),
        }
    };
    check("withdrawal_id", |approved| approved.withdrawal_id.truncate(15));
    check("institution_id", |approved| approved.institution_id.clear());
    check("account_id", |approved| approved.account_id.push('/'));
    check("device_id", |approved| approved.device_id.push(' '));
    check("atm_id", |approved| approved.atm_id = "a".repeat(65));
    check("qr_session_id", |approved| approved.qr_session_id.push(0));
    check("nonce", |approved| approved.nonce.clear());
    check("amount", |approved| approved.amount = None);
    check("approved_at_unix_ms", |approved| approved.approved_at_unix_ms = -1);
    check("key_id", |approved| approved.key_id.push(0));
    check("command_nonce", |approved| approved.command_nonce.push('g'));
    check("evidence_demanded", |approved| approved.evidence_demanded = "D".into());
}

#[test]
fn a_reader_is_told_what_was_decided_and_by_whom() {
    let told = |event: Option<Event>| {
        let record = Record { number: 2, at: ms(0), event, after: Withdrawal::open(terms()).0 };
        describe(withdrawal(), &encode(&record))
    };
    assert_eq!(told(None), "30000 JPY for acct-1");
    assert_eq!(told(Some(Event::HoldGranted { hold: "H1".parse().unwrap() })), "hold H1");
    let resolved = Event::SuspectResolved {
        settlement: Settlement::Confirm(yen(20_000)),
        operator: "mori".parse().unwrap(),
        reason: "two notes".into(),
    };
    assert_eq!(told(Some(resolved)), "mori confirms 20000 JPY: two notes");
    assert!(describe(WITHDRAWAL.parse().unwrap(), &[0xff]).starts_with("unreadable: "));
}
