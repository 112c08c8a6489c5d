//! Machines with end-to-end security: the dispense token before the command, and what their dispensers prove after it.

use cashgate_withdrawal::evidence::{EvidenceGrade, PresentFinding, PresentStatus, WrongToken};
use cashgate_withdrawal::lane::Input;

use crate::world::{
    NONCE, PHONE, World, dispensed, nothing_dispensed, outcome_unknown, partially_dispensed, seconds, verified,
    with_token, yen,
};

fn genuine(presented: u64, fresh: bool) -> PresentFinding {
    let (presented, retracted) = (Some(yen(presented)), Some(yen(0)));
    PresentFinding::Genuine(PresentStatus { presented, retracted, fresh })
}

#[test]
fn the_dispense_token_is_made_before_the_command_is_recorded() {
    let mut world = World::token_under_way();
    world.expect(["hold_granted"], ["make dispense token for 30000 JPY"]);
    world.hsm_makes_token().expect(["dispense_commanded"], ["dispense 30000 JPY with token"]);
}

#[test]
fn a_token_is_asked_for_again_until_the_time_of_a_held_withdrawal_is_over() {
    let mut world = World::token_under_way();
    world.hsm_makes_no_token().expect([], []);
    world.remarks(&["dispense_token_failed: the HSM made no dispense token, attempt 1"]);
    world.deadline_comes();
    world.expect([], ["make dispense token for 30000 JPY"]);
    world.hsm_makes_no_token().deadline_comes();
    world.expect([], ["make dispense token for 30000 JPY"]);
    world.hsm_makes_token().expect(["dispense_commanded"], ["dispense 30000 JPY with token"]);

    let mut lost = World::token_under_way();
    lost.time_passes(seconds(31)).expect(["abandoned"], ["reverse H1", "screen ends: Failed"]);
    assert_eq!(lost.reason().as_deref(), Some("atm_unavailable"));
    lost.hsm_makes_token().expect([], []);
}

#[test]
fn a_token_that_is_made_while_the_atm_is_away_waits_for_it() {
    let mut world = World::token_under_way();
    world.atm_disconnects().hsm_makes_token().expect([], []);
    world.atm_connects().expect(["dispense_commanded"], ["welcome", "dispense 30000 JPY with token"]);

    let mut failed = World::token_under_way();
    failed.atm_disconnects().hsm_makes_no_token().time_passes(seconds(10)).expect([], []);
    failed.atm_connects().expect([], ["welcome", "make dispense token for 30000 JPY"]);

    let mut under_way = World::token_under_way();
    under_way.atm_disconnects().atm_connects().expect([], ["welcome"]);
    under_way.hsm_makes_token().expect(["dispense_commanded"], ["dispense 30000 JPY with token"]);
}

#[test]
fn after_a_restart_the_token_is_made_again_for_the_same_nonce() {
    let mut world = World::token_under_way();
    world.gateway_restarts().expect([], []);
    world.atm_connects().expect([], ["welcome", "make dispense token for 30000 JPY"]);
    world.hsm_makes_token().expect(["dispense_commanded"], ["dispense 30000 JPY with token"]);
    world.gateway_restarts().atm_connects().expect([], ["welcome", "dispense 30000 JPY with token"]);
}

#[test]
fn a_customer_can_cancel_while_the_token_is_being_made() {
    let mut world = World::token_under_way();
    world.cancels(PHONE).expect(["customer_cancelled"], ["reverse H1", "screen ends: Cancelled", "answer: done"]);
    world.hsm_makes_token().expect([], []);
}

#[test]
fn a_nonce_is_needed_where_hello_declared_end_to_end_security_and_only_there() {
    for (end_to_end, command_nonce) in [(true, None), (false, Some(NONCE))] {
        let mut world = World::new();
        (world.end_to_end, world.command_nonce) = (end_to_end, command_nonce);
        world.atm_connects().customer_touches().expect([], ["refuse: FIELD_INVALID"]);
    }
}

#[test]
fn without_a_key_for_its_dispenser_a_machine_serves_nobody() {
    let mut world = World::new();
    (world.end_to_end, world.command_nonce) = (true, Some(NONCE));
    world.admission.has_dispense_key = false;
    world.atm_connects().customer_touches().expect([], ["refuse: DISPENSE_KEY_MISSING"]);
    world.admission.has_dispense_key = true;
    world.customer_touches().expect([], ["mint"]);
}

#[test]
fn a_machine_that_takes_its_declaration_back_does_not_lower_what_is_demanded() {
    let mut world = World::token_under_way();
    (world.end_to_end, world.command_nonce) = (false, None);
    world.atm_disconnects().atm_connects().hsm_makes_token();
    world.expect(["dispense_commanded"], ["dispense 30000 JPY with token"]);
    world.atm_reports(nothing_dispensed());
    assert_eq!(world.state(), "outcome_unknown");
}

#[test]
fn nothing_left_is_asked_for_at_once_and_believed_with_a_fresh_status() {
    let mut world = World::commanded_with_token();
    world
        .atm_reports(nothing_dispensed())
        .expect(["outcome_reported"], ["outcome recorded", "screen ends: Finished", "query outcome with status"]);
    world.atm_reports(with_token(nothing_dispensed())).expect([], ["verify present token"]);
    world.hsm_finds(genuine(0, true)).expect(["outcome_reported"], ["outcome recorded", "reverse H1"]);
}

#[test]
fn a_part_is_confirmed_with_a_fresh_status_and_not_without() {
    let mut world = World::commanded_with_token();
    world.atm_reports(with_token(partially_dispensed(20_000))).hsm_finds(genuine(20_000, false));
    assert_eq!(world.state(), "outcome_unknown");
    world.atm_reports(with_token(partially_dispensed(20_000))).hsm_finds(genuine(20_000, true));
    world.expect(["outcome_reported"], ["outcome recorded", "confirm 20000 JPY"]);
}

#[test]
fn everything_left_needs_no_proof() {
    let mut world = World::commanded_with_token();
    world.atm_reports(dispensed(30_000));
    world.expect(["outcome_reported"], ["outcome recorded", "confirm 30000 JPY", "screen ends: Finished"]);
}

#[test]
fn an_hsm_that_is_away_delays_a_reversal_and_loses_nothing() {
    let mut world = World::commanded_with_token();
    world.atm_reports(with_token(nothing_dispensed())).hsm_finds(PresentFinding::Unverified);
    world.expect(["outcome_reported"], ["outcome recorded", "screen ends: Finished", "query outcome with status"]);
    world.atm_reports(with_token(nothing_dispensed())).hsm_finds(genuine(0, true));
    assert_eq!(world.state(), "reversing");
}

#[test]
fn a_machine_that_cannot_prove_anything_is_asked_with_growing_pauses_until_it_is_a_suspect() {
    let mut world = World::commanded_with_token();
    world.atm_reports(nothing_dispensed());
    let mut asked = 1;
    while world.state() == "outcome_unknown" {
        world.atm_reports(nothing_dispensed()).expect([], ["outcome recorded"]);
        let before = world.now;
        world.deadline_comes();
        asked += world.actions().iter().filter(|action| *action == "query outcome with status").count();
        assert!(world.now.since(before) > std::time::Duration::from_millis(200), "a pause between two questions");
    }
    assert_eq!((world.state(), world.reason().as_deref()), ("suspect", Some("outcome_overdue")));
    assert!((15..=40).contains(&asked), "{asked} questions in a quarter of an hour");
}

#[test]
fn a_wrong_token_is_kept_as_evidence_and_proves_nothing() {
    let mut world = World::commanded_with_token();
    world.atm_reports(outcome_unknown());
    let report = with_token(nothing_dispensed());
    world.atm_reports(report.clone()).hsm_finds(PresentFinding::Wrong(WrongToken::Forged));
    assert_eq!(world.state(), "outcome_unknown");
    let said = verified(report, PresentFinding::Wrong(WrongToken::Forged)).to_string();
    assert!(said.contains("forged"));
    world.remarks(&[&format!("outcome_reported: {said}: it says nothing new")]);
}

#[test]
fn a_report_that_contradicts_its_own_dispenser_makes_a_suspect() {
    let mut world = World::commanded_with_token();
    world.atm_reports(with_token(nothing_dispensed())).hsm_finds(genuine(30_000, false));
    assert_eq!((world.state(), world.reason().as_deref()), ("suspect", Some("word_against_present_status")));
}

#[test]
fn a_token_for_a_command_without_one_is_not_even_verified() {
    let mut world = World::commanded();
    world.atm_reports(with_token(nothing_dispensed()));
    world.expect(["outcome_reported"], ["outcome recorded", "reverse H1", "screen ends: Finished"]);
}

#[test]
fn an_institution_can_demand_proof_that_a_machine_cannot_give() {
    let mut world = World::claimed();
    world.admission.evidence_demanded = EvidenceGrade::A;
    world.approves(PHONE, 30_000).bank_grants().atm_reports(nothing_dispensed());
    world.expect(["outcome_reported"], ["outcome recorded", "screen ends: Finished"]);
    world.time_passes(seconds(15 * 60)).expect(["outcome_deadline_passed"], []);
    assert_eq!(world.state(), "suspect");
}

#[test]
fn a_report_that_is_verified_after_the_end_is_looked_up_like_any_late_one() {
    let mut world = World::commanded_with_token();
    world.atm_reports(with_token(dispensed(30_000)));
    let late = world.turn.clone();
    world.atm_reports(dispensed(30_000)).bank_settles();
    world.turn = late;
    world.hsm_finds(genuine(30_000, false)).expect([], ["recall"]);
    world.ledger_recalls().expect([], ["outcome recorded"]);
}

#[test]
fn a_token_for_a_withdrawal_that_nobody_knows_changes_nothing() {
    let mut world = World::idle();
    let withdrawal = cashgate_withdrawal::ids::WithdrawalId::from_bytes([9; 16]);
    world.put(Input::DispenseTokenFailed { withdrawal }).expect([], []);
    world.hsm_makes_token_for(withdrawal).expect([], []);
}
