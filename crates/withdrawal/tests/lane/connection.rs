//! The line to the ATM breaks and comes back.

use cashgate_withdrawal::lane::{Action, FromAtm, Input, LinkId, ToAtm};

use crate::world::{CODE, PHONE, World, dispensed, nothing_dispensed, outcome_unknown, seconds};

#[test]
fn a_second_connection_replaces_the_first() {
    let mut world = World::idle();
    world.atm_connects().expect([], ["close link 1", "welcome"]);
    world.put(Input::AtmDisconnected { link: LinkId(1) }).expect([], []);
    assert!(world.lane.view().connected, "the end of the old connection changes nothing");
    world.atm_disconnects();
    assert!(!world.lane.view().connected);
}

#[test]
fn what_comes_over_an_old_connection_is_not_heard() {
    let mut world = World::commanded();
    let (withdrawal, report) = (world.withdrawal(), dispensed(30_000));
    world.atm_connects();
    let message = FromAtm::Outcome { withdrawal, report: report.clone() };
    world.put(Input::AtmSaid { link: LinkId(1), message: message.clone() }).expect([], []);
    world.atm_disconnects();
    world.put(Input::AtmSaid { link: LinkId(2), message }).expect([], []);
    assert_eq!(world.state(), "dispense_commanded");
    world.atm_connects_with(vec![(withdrawal, report)]);
    world.expect(["outcome_reported"], ["welcome", "outcome recorded", "confirm 30000 JPY", "screen ends: Finished"]);
}

#[test]
fn a_qr_session_without_an_approval_ends_with_its_connection() {
    for mut world in [World::showing(), World::claimed()] {
        world.atm_disconnects().expect([], []);
        assert_eq!(world.lane.next_deadline(), None);
        world.scans(PHONE).expect([], ["answer: ATM_UNAVAILABLE"]);
        world.approves(PHONE, 30_000).expect([], ["answer: QR_SESSION_ENDED"]);
        world.atm_connects().expect([], ["welcome"]);
        world.scans(PHONE).expect([], ["answer: QR_SESSION_ENDED"]);
    }
    let mut replaced = World::claimed();
    replaced.atm_connects().expect([], ["close link 1", "welcome"]);
    replaced.approves(PHONE, 30_000).expect([], ["answer: QR_SESSION_ENDED"]);
}

#[test]
fn a_hold_is_asked_for_while_the_atm_is_away_and_paid_out_when_it_is_back() {
    let mut world = World::hold_requested();
    world.atm_disconnects().expect([], []);
    world.bank_grants().expect(["hold_granted"], []);
    world.time_passes(seconds(29)).expect([], []);
    world.atm_connects().expect(["dispense_commanded"], ["welcome", "dispense 30000 JPY"]);
}

#[test]
fn an_atm_that_comes_back_before_the_bank_answers_misses_nothing() {
    let mut world = World::hold_requested();
    world.atm_disconnects().atm_connects().expect([], ["welcome"]);
    world.bank_grants().expect(["hold_granted", "dispense_commanded"], ["dispense 30000 JPY"]);
}

#[test]
fn a_customer_does_not_wait_for_ever_at_a_machine_without_a_line() {
    let mut world = World::held_without_atm();
    world.time_passes(seconds(30)).expect(["abandoned"], ["reverse H1"]);
    assert_eq!(world.reason().as_deref(), Some("atm_unavailable"));
    world.atm_connects().expect([], ["welcome"]);
    world.bank_settles().expect(["hold_reversed"], ["release"]);
}

/// The driver may have been busy, or the gateway down, when the time ran out: whoever stood there has left.
#[test]
fn an_atm_that_is_back_too_late_is_not_told_to_pay_even_if_the_lane_was_not_woken() {
    let mut world = World::held_without_atm();
    world.time_passes_unnoticed(seconds(31)).atm_connects();
    assert_eq!((world.state(), world.reason().as_deref()), ("reversing", Some("atm_unavailable")));
}

#[test]
fn the_code_is_asked_for_again_when_the_atm_is_back() {
    let mut world = World::awaiting_code();
    world.types_code("0000").atm_disconnects().atm_connects();
    world.expect([], ["welcome", "ask code, 2 tries"]);
    world.types_code(CODE).expect(["code_matched", "dispense_commanded"], ["dispense 30000 JPY"]);
}

#[test]
fn a_repeated_question_for_the_code_gives_no_more_time() {
    let expires_at = |world: &World| {
        world.turn.actions.iter().find_map(|action| match action {
            Action::Tell(ToAtm::AskConfirmCode { expires_at, .. }) => Some(*expires_at),
            _ => None,
        })
    };
    let mut world = World::awaiting_code();
    let first = expires_at(&world).unwrap();
    world.time_passes(seconds(60)).atm_disconnects().atm_connects();
    assert_eq!(expires_at(&world), Some(first));
    world.time_passes(seconds(30)).expect(["abandoned"], ["reverse H1", "screen ends: Failed"]);
}

#[test]
fn a_code_that_is_awaited_while_the_atm_is_away_times_out() {
    let mut world = World::awaiting_code();
    world.atm_disconnects().time_passes(seconds(90)).expect(["abandoned"], ["reverse H1"]);
}

#[test]
fn a_command_that_may_still_begin_is_sent_again_word_for_word() {
    let mut world = World::commanded();
    let command = world.turn.actions.last().cloned();
    world.time_passes(seconds(29)).atm_disconnects().atm_connects();
    world.expect([], ["welcome", "dispense 30000 JPY"]);
    assert_eq!(world.turn.actions.last().cloned(), command);
    world.atm_connects().expect([], ["close link 2", "welcome", "dispense 30000 JPY"]);
}

#[test]
fn a_command_that_must_not_begin_any_more_is_asked_about() {
    let mut world = World::commanded();
    world.atm_disconnects().time_passes(seconds(30)).atm_connects();
    world.expect([], ["welcome", "query outcome"]);
    world.atm_reports(nothing_dispensed());
    world.expect(["outcome_reported"], ["outcome recorded", "reverse H1", "screen ends: Finished"]);
    world.bank_settles().expect(["hold_reversed"], ["release"]);
}

#[test]
fn a_silent_atm_is_asked_again_and_again() {
    let mut world = World::commanded();
    world.time_passes(seconds(59)).expect([], []);
    world.time_passes(seconds(1)).expect([], ["query outcome"]);
    world.time_passes(seconds(5 * 60));
    let asked = world.actions();
    assert!((5..=10).contains(&asked.len()) && asked.iter().all(|action| action == "query outcome"), "{asked:?}");
    world.atm_reports(dispensed(30_000));
    assert_eq!(world.state(), "confirming");
}

#[test]
fn an_atm_that_is_away_is_not_asked() {
    let mut world = World::commanded();
    world.atm_disconnects().time_passes(seconds(14 * 60)).expect([], []);
    world.atm_connects().expect([], ["welcome", "query outcome"]);
}

#[test]
fn an_unknown_outcome_is_asked_about_when_the_atm_is_back() {
    let mut world = World::commanded();
    world.atm_reports(outcome_unknown()).expect(["outcome_reported"], ["outcome recorded", "screen ends: Finished"]);
    world.atm_disconnects().atm_connects().expect([], ["welcome", "query outcome"]);
    world.atm_reports(outcome_unknown()).expect([], ["outcome recorded"]);
    world.atm_reports(dispensed(30_000)).expect(["outcome_reported"], ["outcome recorded", "confirm 30000 JPY"]);
    world.bank_settles().expect(["hold_confirmed"], ["count 30000 JPY"]);
}

#[test]
fn an_unknown_outcome_does_not_keep_the_next_customer_away() {
    let mut world = World::commanded();
    world.atm_reports(outcome_unknown());
    let first = world.withdrawal();
    world.customer_touches().hsm_mints().scans(PHONE).approves(PHONE, 10_000).bank_grants();
    world.atm_connects();
    world.expect([], ["close link 1", "welcome", "query outcome", "dispense 10000 JPY"]);
    world.atm_reports_on(first, nothing_dispensed());
    world.expect(["outcome_reported"], ["outcome recorded", "reverse H1"]);
    assert_eq!(world.state(), "dispense_commanded", "the second customer's withdrawal is another");
}

#[test]
fn a_settlement_goes_on_without_the_atm() {
    let mut world = World::commanded();
    world.atm_reports(dispensed(30_000)).atm_disconnects().bank_is_out();
    world.time_passes(seconds(1)).expect([], ["confirm 30000 JPY"]);
    world.bank_settles().expect(["hold_confirmed"], ["count 30000 JPY"]);
}
