//! The gateway dies after each record, and what it finds when it is back.

use std::time::Duration;

use cashgate_withdrawal::dispense::OutcomeReport;
use cashgate_withdrawal::ids::WithdrawalId;

use crate::world::{CODE, PHONE, World, dispensed, nothing_dispensed, outcome_unknown, retracted, seconds};

/// A withdrawal from approval to end, with a code or without, by what the ATM reports.
fn told_to_the_end(with_code: bool, report: OutcomeReport) -> World {
    let mut world = World::claimed();
    if with_code {
        world.policy_asks_for_a_code().approves(PHONE, 30_000).bank_grants().types_code(CODE);
    } else {
        world.approves(PHONE, 30_000).bank_grants();
    }
    world.atm_reports(outcome_unknown()).atm_reports(report).bank_settles();
    assert!(world.books.last(world.withdrawal()).state.is_ended());
    world
}

/// The same story, but the gateway died when `count` of its records were durable, and came back after `down`.
fn crashed_after(count: usize, story: &World, down: Duration) -> World {
    let id = story.withdrawal();
    let mut world = World::new();
    world.books = story.books.clone();
    world.books.cut_after(id, count);
    world.withdrawals = vec![id];
    world.admission.reserved.insert(id);
    world.now = world.books.last(id).since.after(down);
    world.gateway_restarts();
    world
}

const DOWN: [Duration; 4] = [Duration::ZERO, seconds(20), seconds(45), seconds(24 * 3600)];

#[test]
fn it_always_ends_wherever_it_crashed() {
    for (with_code, report) in [
        (false, dispensed(30_000)),
        (true, dispensed(30_000)),
        (false, retracted(30_000, Some(30_000))),
        (true, retracted(30_000, Some(10_000))),
    ] {
        let story = told_to_the_end(with_code, report.clone());
        let records = story.books.history(story.withdrawal()).len();
        assert_eq!(records, if with_code { 7 } else { 6 });
        for count in 1..records {
            for down in DOWN {
                for command_was_heard in [true, false] {
                    let mut world = crashed_after(count, &story, down);
                    let id = world.withdrawal();
                    world.lane.open_withdrawals().next().expect("still open");
                    let answer = if command_was_heard { report.clone() } else { nothing_dispensed() };
                    world.everything_works_again(|_| answer.clone());
                    let end = world.books.last(id);
                    let context = format!("record {count}, down {down:?}, heard {command_was_heard}: {end:?}");
                    assert!(end.state.is_ended(), "{context}");
                }
            }
        }
    }
}

#[test]
fn before_the_command_the_money_goes_back() {
    for (with_code, count, reference) in [(false, 1, "no reference"), (true, 1, "no reference"), (true, 2, "H1")] {
        let story = told_to_the_end(with_code, dispensed(30_000));
        let mut world = crashed_after(count, &story, seconds(5));
        let reversed = if reference == "H1" { "reverse H1".to_owned() } else { format!("reverse, {reference}") };
        world.expect(["abandoned"], [reversed.as_str()]);
        assert_eq!(world.reason().as_deref(), Some("gateway_restarted"));
        world.atm_connects().expect([], ["welcome"]);
        world.bank_settles().expect(["hold_reversed"], ["release"]);
    }
}

#[test]
fn a_held_withdrawal_goes_on_if_the_customer_can_still_be_there() {
    let story = told_to_the_end(false, dispensed(30_000));
    let mut world = crashed_after(2, &story, seconds(20));
    assert_eq!(world.state(), "held");
    world.expect([], []).atm_connects().expect(["dispense_commanded"], ["welcome", "dispense 30000 JPY"]);
}

/// The first thing after a restart may be the ATM, not the timer.
#[test]
fn a_held_withdrawal_of_yesterday_is_not_paid_out_to_whoever_stands_there_today() {
    let story = told_to_the_end(false, dispensed(30_000));
    let mut world = crashed_after(2, &story, seconds(24 * 3600));
    world.atm_connects();
    assert_eq!(world.state(), "reversing", "{:?}", world.actions());
}

#[test]
fn a_commanded_withdrawal_sends_the_same_command_or_asks() {
    let story = told_to_the_end(false, dispensed(30_000));
    let mut world = crashed_after(3, &story, seconds(29));
    world.atm_connects().expect([], ["welcome", "dispense 30000 JPY"]);
    let mut world = crashed_after(3, &story, seconds(30));
    world.atm_connects().expect([], ["welcome", "query outcome"]);
    let mut world = crashed_after(3, &story, seconds(60));
    let kept: (WithdrawalId, OutcomeReport) = (world.withdrawal(), dispensed(30_000));
    world.atm_connects_with(vec![kept]);
    world.expect(["outcome_reported"], ["welcome", "outcome recorded", "confirm 30000 JPY"]);
}

/// It may have reported while nobody listened, so it has as long as after the command.
#[test]
fn a_gateway_that_was_away_for_a_day_gives_the_atm_its_time_to_report() {
    for count in [3, 4] {
        let story = told_to_the_end(false, dispensed(30_000));
        let mut world = crashed_after(count, &story, seconds(24 * 3600));
        world.time_passes(seconds(15 * 60 - 1)).expect([], []);
        world.atm_connects().expect([], ["welcome", "query outcome"]);
        world.atm_reports(dispensed(30_000));
        assert_eq!(world.state(), "confirming");

        let mut silent = crashed_after(count, &story, seconds(24 * 3600));
        silent.time_passes(seconds(15 * 60)).expect(["outcome_deadline_passed"], []);
    }
}

#[test]
fn a_settlement_that_was_under_way_is_asked_for_again() {
    let story = told_to_the_end(false, dispensed(30_000));
    let mut world = crashed_after(5, &story, seconds(5));
    world.time_passes(seconds(4)).expect([], ["confirm 30000 JPY"]);
    world.bank_settles().expect(["hold_confirmed"], ["count 30000 JPY"]);

    let story = told_to_the_end(false, retracted(30_000, Some(30_000)));
    let mut world = crashed_after(5, &story, seconds(5));
    world.time_passes(seconds(4)).expect([], ["reverse H1"]);
    world.bank_settles().expect(["hold_reversed"], ["release"]);
}

#[test]
fn a_suspect_stays_one_over_a_restart() {
    let mut world = World::commanded();
    world.time_passes(seconds(15 * 60)).gateway_restarts().expect([], []);
    assert_eq!(world.lane.next_deadline(), None);
    world.atm_connects().expect([], ["welcome", "query outcome"]);
    assert_eq!(world.state(), "suspect");
}

#[test]
fn numbers_go_on_where_they_stopped() {
    let mut world = World::commanded();
    world.gateway_restarts().atm_connects().atm_reports(dispensed(30_000)).bank_settles();
    let numbers: Vec<u32> = world.books.history(world.withdrawal()).iter().map(|record| record.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
}
