//! What the ATM reports, and what the lane believes.

use cashgate_withdrawal::dispense::OutcomeReport;
use cashgate_withdrawal::ids::WithdrawalId;

use crate::world::{
    PHONE, World, dispensed, nothing_dispensed, nothing_dispensed_unproven, outcome_unknown, partially_dispensed,
    retracted, seconds,
};

#[test]
fn what_left_is_confirmed_and_what_did_not_leave_is_reversed() {
    let rows: [(OutcomeReport, &str, &str, &str); 6] = [
        (dispensed(30_000), "confirm 30000 JPY", "hold_confirmed", "count 30000 JPY"),
        (partially_dispensed(20_000), "confirm 20000 JPY", "hold_confirmed", "count 20000 JPY"),
        (retracted(30_000, Some(10_000)), "confirm 20000 JPY", "hold_confirmed", "count 20000 JPY"),
        (retracted(30_000, Some(0)), "confirm 30000 JPY", "hold_confirmed", "count 30000 JPY"),
        (retracted(30_000, Some(30_000)), "reverse H1", "hold_reversed", "release"),
        (nothing_dispensed(), "reverse H1", "hold_reversed", "release"),
    ];
    for (report, settled, answered, counted) in rows {
        let mut world = World::commanded();
        world.atm_reports(report.clone());
        world.expect(["outcome_reported"], ["outcome recorded", settled, "screen ends: Finished"]);
        world.atm_reports(report.clone()).expect([], ["outcome recorded"]);
        world.bank_settles().expect([answered], [counted]);
        world.atm_reports(report).expect([], ["recall"]);
        world.ledger_recalls().expect([], ["outcome recorded"]);
    }
}

#[test]
fn what_proves_nothing_settles_nothing() {
    for report in [outcome_unknown(), retracted(30_000, None), nothing_dispensed_unproven()] {
        let mut world = World::commanded();
        world.atm_reports(report.clone());
        world.expect(["outcome_reported"], ["outcome recorded", "screen ends: Finished"]);
        assert_eq!(world.state(), "outcome_unknown");
        world.atm_reports(report).expect([], ["outcome recorded"]);
        world.bank_grants().expect([], []);
        world.time_passes(seconds(14 * 60)).expect([], []);
        assert_eq!(world.state(), "outcome_unknown", "only evidence or the deadline ends it");
    }
}

#[test]
fn a_report_on_what_was_never_commanded_is_refused() {
    let mut waiting = World::hold_requested();
    waiting.atm_reports(dispensed(30_000)).expect([], ["refuse: OUTCOME_CONTRADICTS"]);
    let mut asking = World::awaiting_code();
    asking.atm_reports(nothing_dispensed()).expect([], ["refuse: OUTCOME_CONTRADICTS"]);
    let mut cancelled = World::hold_requested();
    cancelled.cancels(PHONE).atm_reports(dispensed(30_000)).expect([], ["refuse: OUTCOME_CONTRADICTS"]);
    let mut held = World::held_without_atm();
    let early = (held.withdrawal(), dispensed(30_000));
    held.atm_connects_with(vec![early]);
    held.expect(["dispense_commanded"], ["welcome", "refuse: OUTCOME_CONTRADICTS", "dispense 30000 JPY"]);
}

#[test]
fn a_report_on_an_unknown_withdrawal_is_refused() {
    let mut world = World::idle();
    world.atm_reports_on(WithdrawalId::from_bytes([9; 16]), dispensed(30_000)).expect([], ["recall"]);
    world.ledger_recalls().expect([], ["refuse: WITHDRAWAL_UNKNOWN"]);
}

#[test]
fn an_ended_withdrawal_takes_a_repetition_but_no_contradiction() {
    let mut confirmed = World::commanded();
    confirmed.atm_reports(dispensed(30_000)).bank_settles();
    confirmed.atm_reports(nothing_dispensed()).ledger_recalls().expect([], ["refuse: OUTCOME_CONTRADICTS"]);
    confirmed.atm_reports(partially_dispensed(20_000)).ledger_recalls().expect([], ["refuse: OUTCOME_CONTRADICTS"]);
    confirmed.atm_reports(outcome_unknown()).ledger_recalls().expect([], ["outcome recorded"]);

    let mut reversed = World::commanded();
    reversed.atm_reports(nothing_dispensed()).bank_settles();
    reversed.atm_reports(dispensed(30_000)).ledger_recalls().expect([], ["refuse: OUTCOME_CONTRADICTS"]);

    let mut declined = World::hold_requested();
    declined.bank_declines();
    declined.atm_reports(dispensed(30_000)).ledger_recalls().expect([], ["refuse: OUTCOME_CONTRADICTS"]);
}

#[test]
fn reports_kept_by_the_atm_are_taken_when_it_connects() {
    let mut world = World::commanded();
    let ended = world.withdrawal();
    world.atm_reports(dispensed(30_000)).bank_settles();
    world.customer_touches().hsm_mints().scans(PHONE).approves(PHONE, 10_000).bank_grants().atm_disconnects();
    let kept = vec![(ended, dispensed(30_000)), (world.withdrawal(), nothing_dispensed())];
    world
        .atm_connects_with(kept)
        .expect(["outcome_reported"], ["welcome", "recall", "outcome recorded", "reverse H1", "screen ends: Finished"]);
    world.ledger_recalls().expect([], ["outcome recorded"]);
}
