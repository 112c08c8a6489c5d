//! What changes nothing is remarked on, so that whoever decides about a suspect reads the whole story.

use cashgate_withdrawal::event::Settlement;
use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::lane::{ConfirmCode, FromAtm, HoldAnswer, SettlementAnswer};

use crate::world::{
    CODE, PHONE, World, dispensed, nothing_dispensed, outcome_unknown, partially_dispensed, retracted, seconds, yen,
};

#[test]
fn a_withdrawal_that_goes_well_leaves_no_remark() {
    let mut world = World::claimed();
    world.policy_asks_for_a_code().approves(PHONE, 30_000).remarks(&[]);
    world.bank_grants().remarks(&[]).types_code("0000").remarks(&[]).types_code(CODE).remarks(&[]);
    world.atm_reports(dispensed(30_000)).remarks(&[]).bank_settles().remarks(&[]);
}

#[test]
fn what_is_heard_again_is_remarked_on() {
    let mut world = World::commanded();
    world.bank_grants().remarks(&["hold_granted: H1: it says nothing new"]);
    world.bank_leaves_hold_unanswered().remarks(&["hold_unanswered: it says nothing new"]);
    world.atm_reports(outcome_unknown()).remarks(&[]);
    world.atm_reports(outcome_unknown()).remarks(&[
        "outcome_reported: Unknown: presented 0 JPY, taken back not counted, LastCommandRecord, : it says nothing new",
    ]);
}

#[test]
fn what_the_rules_forbid_is_remarked_on_with_what_it_said() {
    let mut world = World::commanded();
    let id = world.withdrawal();
    world.bank_answers_hold(id, HoldAnswer::Granted("H2".parse().unwrap()));
    world.remarks(&["hold_granted: H2: a withdrawal that is dispense_commanded cannot take hold_granted"]);
    world.bank_declines();
    world.remarks(&[
        "hold_declined: insufficient_funds: a withdrawal that is dispense_commanded cannot take hold_declined",
    ]);
    world.bank_answers_settlement(id, Settlement::Reverse, SettlementAnswer::Refused("already_ended".parse().unwrap()));
    world.remarks(&[
        "settlement_refused: already_ended: a withdrawal that is dispense_commanded cannot take settlement_refused",
    ]);
    world.cancels(PHONE);
    world.remarks(&["customer_cancelled: a withdrawal that is dispense_commanded cannot take customer_cancelled"]);
}

#[test]
fn a_code_that_was_not_asked_for_is_remarked_on_but_not_written_down() {
    let mut world = World::commanded();
    world.types_code("4712");
    world.remarks(&["code_mismatched: a withdrawal that is dispense_commanded cannot take code_mismatched"]);
    let (withdrawal, code) = (WithdrawalId::from_bytes([9; 16]), ConfirmCode::from_text(CODE).unwrap());
    world.atm_says(FromAtm::EnterConfirmCode { withdrawal, code });
    world.expect([], ["refuse: WITHDRAWAL_UNKNOWN"]).remarks(&[]);
}

#[test]
fn what_comes_after_the_end_is_remarked_on() {
    let mut world = World::commanded();
    let id = world.withdrawal();
    world.atm_reports(dispensed(30_000)).bank_settles();
    world.bank_grants().remarks(&["hold_granted: H1: it came after the end"]);
    world.bank_settles().remarks(&["settlement_answered: Confirm(30000 JPY): Done, after the end"]);
    world.bank_is_out().remarks(&[]);
    world.atm_reports(dispensed(30_000)).remarks(&[]).ledger_recalls().remarks(&[]);
    world.atm_reports(nothing_dispensed()).ledger_recalls().remarks(&[
        "outcome_contradicts_end: NotDispensed: presented 0 JPY, taken back not counted, LastCommandRecord, : \
         a withdrawal that is confirmed cannot take outcome_reported",
    ]);
    world.atm_reports_on(id, retracted(30_000, None)).ledger_recalls().remarks(&[]);
}

#[test]
fn what_core_banking_was_not_asked_last_is_remarked_on() {
    let mut world = World::commanded();
    let id = world.withdrawal();
    let done = "settlement_answered: core banking says done to";
    let not_asked = |what: &str| format!("{done} {what}, which it was not asked last");
    world.bank_answers_settlement(id, Settlement::Reverse, SettlementAnswer::Done).remarks(&[&not_asked("Reverse")]);
    world.atm_reports(dispensed(30_000)).atm_reports(partially_dispensed(20_000));
    assert_eq!(world.state(), "suspect");
    world.bank_answers_settlement(id, Settlement::Confirm(yen(20_000)), SettlementAnswer::Done);
    world.remarks(&[&not_asked("Confirm(20000 JPY)")]).expect([], []);
    world.bank_is_out().remarks(&[]);
    world.bank_settles().remarks(&[]).expect(["hold_confirmed"], []);
}

/// An outage of days is told in a few lines.
#[test]
fn repetitions_are_remarked_on_ever_less_often() {
    let mut world = World::commanded();
    world.atm_reports(dispensed(30_000));
    let mut story = Vec::new();
    for _ in 1..=40 {
        world.bank_is_out();
        story.extend(world.turn.remarks.iter().map(|remark| format!("{}: {}", remark.kind, remark.detail)));
        world.deadline_comes();
        story.extend(world.turn.remarks.iter().map(|remark| format!("{}: {}", remark.kind, remark.detail)));
    }
    let mut expected = vec!["settlement_unanswered: request 1 to core banking".to_owned()];
    for attempt in [2, 4, 8, 16, 32] {
        expected.push(format!("settlement_repeated: request {attempt} to core banking"));
        expected.push(format!("settlement_unanswered: request {attempt} to core banking"));
    }
    assert_eq!(story, expected);
}

#[test]
fn what_the_atm_is_asked_or_told_again_is_remarked_on() {
    let mut world = World::commanded();
    world.atm_connects().remarks(&["dispense_repeated: the ATM is back: the same command again"]);
    world.time_passes(seconds(60)).remarks(&["outcome_asked: question 1 to the ATM"]);
    world.time_passes(seconds(30)).remarks(&["outcome_asked: question 2 to the ATM"]);
    world.time_passes(seconds(30)).expect([], ["query outcome"]).remarks(&[]);
    world.time_passes(seconds(30)).remarks(&["outcome_asked: question 4 to the ATM"]);
    world.atm_disconnects().time_passes(seconds(15 * 60)).remarks(&[]);
    assert_eq!(world.state(), "suspect");
    world.atm_connects().remarks(&["outcome_asked: the ATM is back: what became of it?"]);
}
