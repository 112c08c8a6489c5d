//! What no automatic means can settle, and the person who does.

use cashgate_withdrawal::event::Settlement;
use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::lane::SettlementAnswer;
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::withdrawal::State;

use crate::world::{
    PHONE, World, dispensed, nothing_dispensed, outcome_unknown, partially_dispensed, retracted, seconds, yen,
};

fn overdue() -> World {
    let mut world = World::commanded();
    world.atm_disconnects().time_passes(seconds(15 * 60)).expect(["outcome_deadline_passed"], []);
    assert_eq!((world.state(), world.reason().as_deref()), ("suspect", Some("outcome_overdue")));
    world
}

#[test]
fn a_command_without_an_outcome_becomes_a_suspect_and_frees_the_atm() {
    let mut world = overdue();
    assert_eq!(world.lane.next_deadline(), None, "only a person ends it");
    world.time_passes(seconds(30 * 24 * 3600)).expect([], []);
    world.atm_connects().expect([], ["welcome", "query outcome"]);
    assert_eq!(world.lane.next_deadline(), None, "asked once a connection, not on a timer");
    world.customer_touches().expect([], ["mint"]);
}

#[test]
fn the_machine_is_asked_about_a_suspect_at_each_connection_until_it_knows() {
    let mut world = overdue();
    world.atm_connects().expect([], ["welcome", "query outcome"]);
    world.time_passes(seconds(24 * 3600)).expect([], []);
    world.atm_reports(outcome_unknown()).expect(["outcome_reported"], ["outcome recorded"]);
    world.atm_connects().expect([], ["close link 2", "welcome", "query outcome"]);
    world.atm_reports(dispensed(30_000)).expect(["outcome_reported"], ["outcome recorded"]);
    world.atm_connects().expect([], ["close link 3", "welcome"]);
    assert_eq!(world.state(), "suspect", "a person decides all the same");
}

#[test]
fn a_suspect_that_hears_the_same_again_has_heard_nothing_new() {
    let mut world = overdue();
    world.atm_connects().atm_reports(dispensed(30_000)).expect(["outcome_reported"], ["outcome recorded"]);
    world.atm_reports(dispensed(30_000)).expect([], ["outcome recorded"]);
    world.atm_reports(partially_dispensed(20_000)).expect(["outcome_reported"], ["outcome recorded"]);
}

/// There was no command, so there is nothing that the machine could know.
#[test]
fn the_machine_is_not_asked_about_a_suspect_that_was_never_commanded() {
    let mut world = World::hold_requested();
    world.cancels(PHONE).bank_refuses_settlement();
    assert_eq!(world.state(), "suspect");
    world.atm_connects().expect([], ["close link 1", "welcome"]);
}

#[test]
fn an_unknown_outcome_becomes_a_suspect_at_its_deadline() {
    let mut world = World::commanded();
    world.time_passes(seconds(20)).atm_reports(outcome_unknown());
    world.time_passes(seconds(15 * 60)).expect(["outcome_deadline_passed"], []);
    world.atm_reports(dispensed(30_000)).expect(["outcome_reported"], ["outcome recorded"]);
    assert_eq!(world.state(), "suspect", "late evidence is for the person who decides");
}

#[test]
fn a_person_finds_that_it_left() {
    let mut world = overdue();
    world.operator_decides(Settlement::Confirm(yen(30_000)));
    world.expect(["suspect_resolved"], ["confirm 30000 JPY", "answer: done"]);
    world.bank_settles().expect(["hold_confirmed"], ["count 30000 JPY"]);
}

#[test]
fn a_person_finds_that_nothing_left() {
    let mut world = overdue();
    world.operator_decides(Settlement::Reverse).expect(["suspect_resolved"], ["reverse H1", "answer: done"]);
    world.bank_settles().expect(["hold_reversed"], ["release"]);
    assert_eq!(world.reason().as_deref(), Some("resolved"));
    world.atm_connects().atm_reports(nothing_dispensed()).ledger_recalls().expect([], ["outcome recorded"]);
    world.atm_reports(dispensed(30_000)).ledger_recalls().expect([], ["refuse: OUTCOME_CONTRADICTS"]);
    assert_eq!(world.turn.remarks.last().map(|remark| remark.kind), Some("outcome_contradicts_end"), "a person erred");
}

#[test]
fn a_decision_must_be_payable_and_about_a_suspect() {
    let mut world = overdue();
    let euro = Money::from_minor_units(30_000, "EUR".parse().unwrap()).unwrap();
    for amount in [yen(0), yen(30_001), euro] {
        world.operator_decides(Settlement::Confirm(amount)).expect([], ["answer: FIELD_INVALID"]);
    }
    world.operator_decides(Settlement::Reverse);
    world.operator_decides(Settlement::Reverse).expect([], ["answer: NOT_A_SUSPECT"]);
    let strange = WithdrawalId::from_bytes([9; 16]);
    world.operator_decides_on(strange, Settlement::Reverse).expect([], ["answer: WITHDRAWAL_UNKNOWN"]);
    World::commanded().operator_decides(Settlement::Reverse).expect([], ["answer: NOT_A_SUSPECT"]);
}

#[test]
fn a_report_that_contradicts_the_command_makes_a_suspect() {
    let rows = [
        (dispensed(40_000), "more_than_commanded"),
        (dispensed(20_000), "word_against_count"),
        (partially_dispensed(30_000), "word_against_count"),
        (retracted(20_000, Some(30_000)), "more_retracted_than_presented"),
    ];
    for (report, reason) in rows {
        let mut world = World::commanded();
        world.atm_reports(report).expect(["outcome_reported"], ["outcome recorded", "screen ends: Finished"]);
        assert_eq!((world.state(), world.reason().as_deref()), ("suspect", Some(reason)));
    }
}

#[test]
fn a_second_report_that_contradicts_the_first_makes_a_suspect() {
    let mut world = World::commanded();
    world.atm_reports(dispensed(30_000));
    world.atm_reports(nothing_dispensed()).expect(["outcome_reported"], ["outcome recorded"]);
    assert_eq!((world.state(), world.reason().as_deref()), ("suspect", Some("two_outcomes")));
    world.bank_settles().expect(["hold_confirmed"], []);
    assert_eq!(world.state(), "suspect", "that the bank had confirmed already is evidence, not the end");
    world.atm_connects().expect([], ["close link 1", "welcome"]);
    world.operator_decides(Settlement::Confirm(yen(30_000))).bank_settles();
    world.expect(["hold_confirmed"], ["count 30000 JPY"]);
}

#[test]
fn a_refused_settlement_makes_a_suspect() {
    let mut world = World::commanded();
    world.atm_reports(dispensed(30_000));
    world.bank_refuses_settlement().expect(["settlement_refused"], []);
    assert_eq!((world.state(), world.reason().as_deref()), ("suspect", Some("core_banking")));
    world.atm_connects().expect([], ["close link 1", "welcome"]);
    world.operator_decides(Settlement::Reverse).expect(["suspect_resolved"], ["reverse H1", "answer: done"]);
    world.bank_settles().expect(["hold_reversed"], ["release"]);

    let mut world = World::hold_requested();
    world.cancels(PHONE);
    world.bank_refuses_settlement().expect(["settlement_refused"], []);
    world.operator_decides(Settlement::Confirm(yen(30_000))).expect([], ["answer: FIELD_INVALID"]);
    world.operator_decides(Settlement::Reverse);
    world.expect(["suspect_resolved"], ["reverse, no reference", "answer: done"]);
}

#[test]
fn the_bank_did_what_a_person_has_since_decided_otherwise() {
    let mut world = World::commanded();
    world.atm_reports(dispensed(30_000)).atm_reports(nothing_dispensed());
    world.operator_decides(Settlement::Reverse).expect(["suspect_resolved"], ["reverse H1", "answer: done"]);
    let (id, asked_before) = (world.withdrawal(), Settlement::Confirm(yen(30_000)));
    world.bank_answers_settlement(id, asked_before, SettlementAnswer::Done).expect(["settlement_refused"], []);
    assert_eq!(world.state(), "suspect", "the hold did not end as the books say, so a person looks again");
}

/// What is kept for the person who decides must be true.
#[test]
fn a_late_answer_about_another_amount_is_not_taken_for_the_present_one() {
    let mut world = World::commanded();
    let id = world.withdrawal();
    world.atm_reports(dispensed(30_000)).atm_reports(partially_dispensed(20_000));
    world.operator_decides(Settlement::Confirm(yen(20_000))).atm_reports(dispensed(30_000));
    world.bank_answers_settlement(id, Settlement::Confirm(yen(30_000)), SettlementAnswer::Done);
    let State::Suspect { asked, answered, .. } = &world.books.last(id).state else { panic!("{}", world.state()) };
    let claims_20_000_was_confirmed = *answered && *asked == Some(Settlement::Confirm(yen(20_000)));
    assert!(!claims_20_000_was_confirmed, "the bank confirmed 30,000, the record says that it confirmed 20,000");
}

#[test]
fn not_knowing_does_not_hide_what_was_known_before() {
    let mut world = overdue();
    world.atm_connects().expect([], ["welcome", "query outcome"]);
    world.atm_reports(dispensed(30_000)).expect(["outcome_reported"], ["outcome recorded"]);
    world.atm_reports(outcome_unknown()).expect([], ["outcome recorded"]);
    world.atm_disconnects().atm_connects().expect([], ["welcome"]);
}
