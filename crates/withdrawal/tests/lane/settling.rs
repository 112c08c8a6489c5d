//! Core banking is out for days: a confirmation or reversal is repeated for ever, and never faster.

use std::time::Duration;

use cashgate_withdrawal::event::Settlement;
use cashgate_withdrawal::lane::SettlementAnswer;

use crate::world::{PHONE, World, dispensed, nothing_dispensed, seconds, yen};

/// Says after how long each repetition came, over an outage in which the bank fails every request at once.
fn pauses_over(outage: Duration, world: &mut World, repeated: &str) -> Vec<Duration> {
    let end = world.now.after(outage);
    let mut pauses = Vec::new();
    while world.now < end {
        world.bank_is_out().expect([], []);
        pauses.push(world.deadline_comes().expect("it is repeated"));
        assert_eq!(world.actions(), [repeated]);
    }
    pauses
}

fn assert_growing(pauses: &[Duration]) {
    for (number, pause) in pauses.iter().enumerate() {
        let whole = Duration::from_millis(500 << number.min(20)).min(seconds(60));
        assert!(*pause >= whole / 2 && *pause <= whole, "pause {number}: {pause:?}");
    }
}

#[test]
fn a_confirmation_outlasts_three_days_of_outage() {
    let mut world = World::commanded();
    world.atm_reports(dispensed(30_000));
    let pauses = pauses_over(seconds(3 * 24 * 3600), &mut world, "confirm 30000 JPY");
    assert!(pauses.len() > 4_320, "at least once a minute, not {} times", pauses.len());
    assert_growing(&pauses);
    world.bank_settles().expect(["hold_confirmed"], ["count 30000 JPY"]);
    assert_eq!(world.lane.next_deadline(), None);
}

#[test]
fn how_often_the_atm_was_asked_does_not_slow_the_bank_down() {
    let mut world = World::commanded();
    world.time_passes(seconds(10 * 60));
    assert!(world.actions().len() > 7, "a silent ATM");
    world.atm_reports(dispensed(30_000));
    assert_growing(&pauses_over(seconds(3600), &mut world, "confirm 30000 JPY"));
}

#[test]
fn a_reversal_outlasts_three_days_of_outage_and_a_restart() {
    for atm_knew in [true, false] {
        let mut world = World::commanded();
        if atm_knew {
            world.atm_reports(nothing_dispensed());
        } else {
            world = World::hold_requested();
            world.bank_grants().atm_disconnects();
            world.time_passes(seconds(15 * 60)).operator_decides(Settlement::Reverse);
        }
        assert_growing(&pauses_over(seconds(24 * 3600), &mut world, "reverse H1"));
        world.gateway_restarts().expect([], []);
        world.time_passes(seconds(4)).expect([], ["reverse H1"]);
        assert_growing(&pauses_over(seconds(2 * 24 * 3600), &mut world, "reverse H1"));
        world.bank_settles().expect(["hold_reversed"], ["release"]);
    }
}

#[test]
fn a_request_that_is_never_answered_at_all_is_repeated() {
    let mut world = World::hold_requested();
    world.cancels(PHONE);
    world.time_passes(seconds(69)).expect([], []);
    world.time_passes(seconds(1)).expect([], ["reverse, no reference"]);
    world.time_passes(seconds(70)).expect([], ["reverse, no reference"]);
    world.bank_settles().expect(["hold_reversed"], ["release"]);
}

#[test]
fn a_repeated_answer_settles_once() {
    let mut world = World::commanded();
    world.atm_reports(dispensed(30_000)).bank_settles().expect(["hold_confirmed"], ["count 30000 JPY"]);
    world.bank_settles().expect([], []);
    world.bank_refuses_settlement().expect([], []);
    world.bank_is_out().expect([], []);
    assert_eq!(world.state(), "confirmed");
}

#[test]
fn an_answer_that_nobody_asked_for_settles_nothing() {
    let mut world = World::commanded();
    let id = world.withdrawal();
    for settlement in [Settlement::Confirm(yen(30_000)), Settlement::Reverse] {
        for answer in [
            SettlementAnswer::Done,
            SettlementAnswer::Unanswered,
            SettlementAnswer::Refused("already_ended".parse().unwrap()),
        ] {
            world.bank_answers_settlement(id, settlement, answer).expect([], []);
        }
    }
    assert_eq!(world.state(), "dispense_commanded");
}
