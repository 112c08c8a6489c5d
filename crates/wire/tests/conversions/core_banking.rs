//! What core banking is asked, and what it answers.

use cashgate_wire::corebank::{SettleRequest, hold_answer, place_hold, settle, settlement_answer};
use cashgate_wire::money_from;
use cashgate_wire::proto::corebank::v1::{
    HoldDeclined, HoldGranted, PlaceHoldResponse, SettlementRefused, place_hold_response::Decision,
};
use cashgate_withdrawal::event::Settlement;
use cashgate_withdrawal::lane::{HoldAnswer, SettlementAnswer};

use crate::given::{WITHDRAWAL, terms, yen};

#[test]
fn a_hold_is_asked_for_with_the_terms() {
    let request = place_hold(&terms(), None);
    assert_eq!((request.withdrawal_id.as_str(), request.institution_id.as_str()), (WITHDRAWAL, "sakura"));
    assert_eq!(
        (request.account_id.as_str(), request.device_id.as_str(), request.atm_id.as_str()),
        ("acct-1", "phone-1", "A1")
    );
    assert_eq!(money_from("amount", request.amount), Ok(yen(30_000)));
    assert_eq!((request.approved_at_unix_ms, request.pin_block), (1_795_000_000_000, None));
}

#[test]
fn a_hold_is_settled_under_the_withdrawals_id() {
    let hold = "H1".parse().unwrap();
    let SettleRequest::Confirm(request) = settle(&terms(), Some(&hold), Settlement::Confirm(yen(20_000))) else {
        panic!("reversed what left")
    };
    let names = (request.withdrawal_id.as_str(), request.institution_id.as_str(), request.hold_reference.as_str());
    assert_eq!(names, (WITHDRAWAL, "sakura", "H1"));
    assert_eq!(money_from("amount", request.amount), Ok(yen(20_000)), "what left, not what was held");
    let SettleRequest::Reverse(request) = settle(&terms(), None, Settlement::Reverse) else {
        panic!("confirmed what did not leave")
    };
    let names = (request.withdrawal_id.as_str(), request.institution_id.as_str(), request.hold_reference.as_str());
    assert_eq!(names, (WITHDRAWAL, "sakura", ""));
}

#[test]
fn an_answer_without_meaning_is_no_answer() {
    let granted = |reference: &str| {
        let granted = HoldGranted { hold_reference: reference.into() };
        hold_answer(PlaceHoldResponse { decision: Some(Decision::Granted(granted)) })
    };
    let declined = |code: &str| {
        hold_answer(PlaceHoldResponse { decision: Some(Decision::Declined(HoldDeclined { code: code.into() })) })
    };
    let longest = "h".repeat(64);
    assert_eq!(granted(&longest), HoldAnswer::Granted(longest.parse().unwrap()));
    assert_eq!(declined("insufficient_funds"), HoldAnswer::Declined("insufficient_funds".parse().unwrap()));
    assert_eq!(hold_answer(PlaceHoldResponse { decision: None }), HoldAnswer::Unanswered);
    for wrong in ["", "H 1", "H1\n", "保留", &"h".repeat(65)] {
        assert_eq!(granted(wrong), HoldAnswer::Unanswered, "{wrong:?}");
        assert_eq!(declined(wrong), HoldAnswer::Unanswered, "{wrong:?}");
    }
}

#[test]
fn a_refused_settlement_is_never_taken_for_done() {
    assert_eq!(settlement_answer(None), SettlementAnswer::Done);
    let refused = |code: &str| settlement_answer(Some(SettlementRefused { code: code.into() }));
    assert_eq!(refused("already_reversed"), SettlementAnswer::Refused("already_reversed".parse().unwrap()));
    for wrong in ["", "no such hold", "x\0", &"x".repeat(65)] {
        assert_eq!(refused(wrong), SettlementAnswer::Refused("unspecified".parse().unwrap()), "{wrong:?}");
    }
}
