//! From an approval to the dispense command.

use cashgate_withdrawal::lane::Answer;
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::refusal::Refusal;

use crate::world::{CODE, PHONE, World, dispensed, seconds, yen};

#[test]
fn the_whole_happy_path() {
    let mut world = World::new();
    world.atm_connects().expect([], ["welcome"]);
    world.customer_touches().expect([], ["mint"]);
    world.hsm_mints().expect([], ["show code"]);
    world.scans(PHONE).expect([], ["show claimed", "answer: scanned"]);
    world.approves(PHONE, 30_000).expect(["approved"], ["answer: approved", "hold 30000 JPY"]);
    world.bank_grants().expect(["hold_granted", "dispense_commanded"], ["dispense 30000 JPY"]);
    world
        .atm_reports(dispensed(30_000))
        .expect(["outcome_reported"], ["outcome recorded", "confirm 30000 JPY", "screen ends: Finished"]);
    assert!(!world.lane.is_serving(), "the next customer need not wait for the bank");
    world.bank_settles().expect(["hold_confirmed"], ["count 30000 JPY"]);
    assert_eq!(world.state(), "confirmed");
    assert_eq!(world.lane.view().open_withdrawals, 0);
    assert_eq!(world.lane.next_deadline(), None);
}

#[test]
fn with_a_code_typed_at_the_atm() {
    let mut world = World::claimed();
    world.policy_asks_for_a_code().approves(PHONE, 30_000);
    world.expect(["approved"], ["answer: approved, type 4711", "hold 30000 JPY"]);
    world.bank_grants().expect(["hold_granted"], ["ask code, 3 tries"]);
    world.types_code(CODE).expect(["code_matched", "dispense_commanded"], ["dispense 30000 JPY"]);
}

#[test]
fn a_wrong_code_may_be_typed_twice_but_not_three_times() {
    let mut world = World::awaiting_code();
    world.types_code("0000").expect(["code_mismatched"], ["ask code, 2 tries"]);
    world.types_code("0001").expect(["code_mismatched"], ["ask code, 1 tries"]);
    let mut forgetful = World::awaiting_code();
    forgetful.types_code("0000").types_code("0001").types_code(CODE);
    forgetful.expect(["code_matched", "dispense_commanded"], ["dispense 30000 JPY"]);
    world.types_code("0002").expect(["code_mismatched"], ["reverse H1", "screen ends: Failed"]);
    assert_eq!(world.reason().as_deref(), Some("code_refused"));
    world.types_code(CODE).expect([], ["refuse: WITHDRAWAL_UNKNOWN"]);
    world.bank_settles().expect(["hold_reversed"], ["release"]);
}

#[test]
fn no_code_in_time_and_the_money_goes_back() {
    let mut world = World::awaiting_code();
    world.time_passes(seconds(89)).expect([], []);
    world.time_passes(seconds(1)).expect(["abandoned"], ["reverse H1", "screen ends: Failed"]);
    assert_eq!(world.reason().as_deref(), Some("code_timed_out"));
}

#[test]
fn a_code_that_nobody_asked_for_is_refused() {
    let mut world = World::commanded();
    world.types_code(CODE).expect([], ["refuse: WITHDRAWAL_UNKNOWN"]);
    let mut world = World::hold_requested();
    world.types_code(CODE).expect([], ["refuse: WITHDRAWAL_UNKNOWN"]);
}

#[test]
fn an_approval_needs_a_scan() {
    let mut world = World::showing();
    world.approves(PHONE, 30_000).expect([], ["answer: SCAN_REQUIRED"]);
    let mut world = World::idle();
    world.customer_touches().hsm_mints().customer_walks_away();
    world.approves(PHONE, 30_000).expect([], ["answer: QR_SESSION_ENDED"]);
}

#[test]
fn an_approval_is_for_the_code_that_was_scanned() {
    let mut world = World::showing();
    let first = world.code();
    world.time_passes(seconds(20)).hsm_mints().scans(PHONE);
    world.approves_code(PHONE, first, yen(30_000)).expect([], ["answer: QR_TOKEN_CLAIMED"]);
}

#[test]
fn a_repeated_approval_gets_the_same_answer_and_opens_nothing() {
    let mut world = World::claimed();
    world.policy_asks_for_a_code().approves(PHONE, 30_000);
    let first = world.answer();
    assert!(
        matches!(first, Ok(Answer::Approved { withdrawal, confirm_code: Some(_) }) if withdrawal == world.withdrawal())
    );
    world.approves(PHONE, 30_000).expect([], ["answer: approved, type 4711"]);
    assert_eq!(world.answer(), first);
    world.bank_grants();
    world.approves(PHONE, 30_000).expect([], ["answer: approved, type 4711"]);
    assert_eq!(world.answer(), first);
    world.approves(PHONE, 20_000).expect([], ["answer: QR_TOKEN_CLAIMED"]);
    world.scans(PHONE).expect([], ["answer: QR_TOKEN_CLAIMED"]);
}

/// The answer got lost on the way to the phone, and the phone asks again a little later.
/// Only the ledger still knows the approval then; the gateway looks there before it passes this answer on.
#[test]
fn an_approval_repeated_after_the_atm_has_paid_is_not_the_lanes_to_answer() {
    let mut world = World::hold_requested();
    world.bank_grants().atm_reports(dispensed(30_000));
    world.approves(PHONE, 30_000).expect([], ["answer: QR_SESSION_ENDED"]);
}

#[test]
fn the_amount_chosen_at_the_atm_binds_the_approval() {
    let mut world = World::idle();
    world.customer_chooses_at_atm(yen(20_000)).hsm_mints().scans(PHONE);
    world.approves(PHONE, 30_000).expect([], ["answer: AMOUNT_DIFFERS"]);
    world.approves(PHONE, 20_000).expect(["approved"], ["answer: approved", "hold 20000 JPY"]);
}

#[test]
fn amounts_that_the_cassettes_cannot_make_are_refused() {
    let mut world = World::claimed();
    for amount in [0, 1, 500, 30_500, 111_000, Money::MINOR_UNITS_MAX] {
        world.approves(PHONE, amount).expect([], ["answer: AMOUNT_NOT_DISPENSABLE"]);
    }
    world.approves(PHONE, 13_000).expect(["approved"], ["answer: approved", "hold 13000 JPY"]);
}

#[test]
fn another_currency_is_refused() {
    let mut world = World::claimed();
    let (code, euro) = (world.code(), Money::from_minor_units(30_000, "EUR".parse().unwrap()).unwrap());
    world.approves_code(PHONE, code, euro).expect([], ["answer: CURRENCY_DIFFERS"]);
}

#[test]
fn a_refused_admission_reserves_nothing_and_the_same_phone_may_try_again() {
    let mut world = World::claimed();
    world.limits_refuse().approves(PHONE, 100_000).expect([], ["answer: LIMIT_EXCEEDED"]);
    assert_eq!(world.answer(), Err(Refusal::LimitExceeded { limit: "day" }));
    world.policy_permits().approves(PHONE, 10_000).expect(["approved"], ["answer: approved", "hold 10000 JPY"]);
}

#[test]
fn a_declined_hold_ends_the_withdrawal_and_frees_the_atm() {
    let mut world = World::hold_requested();
    world.bank_declines().expect(["hold_declined"], ["release", "screen ends: Declined"]);
    assert_eq!((world.state(), world.reason().as_deref()), ("declined", Some("insufficient_funds")));
    world.customer_touches().expect([], ["mint"]);
}

#[test]
fn a_hold_that_is_not_answered_is_reversed_and_never_dispensed() {
    let mut world = World::hold_requested();
    world.time_passes(seconds(9)).expect([], []);
    world.time_passes(seconds(1)).expect(["hold_unanswered"], ["reverse, no reference", "screen ends: Failed"]);
    world.bank_settles().expect(["hold_reversed"], ["release"]);

    let mut world = World::hold_requested();
    world.bank_leaves_hold_unanswered();
    world.expect(["hold_unanswered"], ["reverse, no reference", "screen ends: Failed"]);
    world.bank_leaves_hold_unanswered().expect([], []);
}

#[test]
fn a_late_grant_is_reversed_too() {
    let mut world = World::hold_requested();
    world.time_passes(seconds(10)).bank_grants().expect(["hold_granted"], ["reverse H1"]);
    world.bank_grants().expect([], []);
    world.bank_settles().expect(["hold_reversed"], ["release"]);
}

/// Core banking has answered the reversal, and with it promised to refuse a hold request that is still under way.
#[test]
fn a_grant_that_comes_after_the_end_changes_nothing() {
    let mut reversed = World::hold_requested();
    reversed.time_passes(seconds(10)).bank_settles();
    assert_eq!(reversed.state(), "reversed");
    reversed.bank_grants().expect([], []);
}

#[test]
fn a_grant_that_the_gateway_sees_too_late_is_not_dispensed() {
    let mut world = World::hold_requested();
    world.time_passes_unnoticed(seconds(11)).bank_grants();
    assert_eq!(world.state(), "reversing", "rule 4: a hold request that timed out is never followed by a dispense");
}

#[test]
fn a_code_that_the_gateway_sees_too_late_is_not_paid_out_on() {
    let mut world = World::awaiting_code();
    world.time_passes_unnoticed(seconds(91)).types_code(CODE);
    assert_eq!((world.state(), world.reason().as_deref()), ("reversing", Some("code_timed_out")));
}

#[test]
fn a_repeated_answer_of_the_bank_changes_nothing() {
    let mut world = World::commanded();
    world.bank_grants().expect([], []);
    world.bank_declines().expect([], []);
    world.bank_leaves_hold_unanswered().expect([], []);
    assert_eq!(world.state(), "dispense_commanded");
}
