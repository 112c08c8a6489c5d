//! What only several replicas can do wrong.

use super::stories::{held, hold_asked};
use super::{AMOUNT, Checker, DAWN_MS, Rule, W, dispense};
use crate::boundary::{Crossing, What};

/// Crossings of some processes at some moments after the dawn, behind those of a story that process 1 lived through.
fn judged(before: super::Story, then: impl IntoIterator<Item = (u64, u32, What)>) -> Result<(), Rule> {
    let mut checker = Checker::new(before.setup.clone());
    let told = before.crossings.iter().map(|what| (0, 1, what.clone()));
    for (after_ms, process, what) in told.chain(then) {
        let crossing = Crossing { at_ms: DAWN_MS + after_ms, process, what };
        checker.observe(&crossing).map_err(|violation| violation.rule)?;
    }
    Ok(())
}

#[test]
fn a_replica_that_lost_a_lane_may_not_act_for_long() {
    let taken = (1_000, 2, What::LaneTaken { atm: 0 });
    assert_eq!(judged(held(), [taken.clone(), (1_100, 2, dispense())]), Ok(()), "the owner acts");
    assert_eq!(judged(held(), [taken.clone(), (5_000, 1, dispense())]), Ok(()), "it may not have heard yet");
    assert_eq!(judged(held(), [taken.clone(), (5_001, 1, dispense())]), Err(Rule::Owner));
    let reversal = What::ReverseAsked { withdrawal: W };
    assert_eq!(judged(held(), [taken.clone(), (60_000, 1, reversal.clone())]), Err(Rule::Owner));
    assert_eq!(judged(held(), [taken, (60_000, 2, reversal)]), Ok(()));
}

#[test]
fn nothing_begins_at_a_machine_that_was_stopped_anywhere() {
    let begins = |approved_at_ms: u64, released: bool| {
        let mut story = hold_asked();
        story.without(|what| matches!(what, What::HoldAsked { .. }));
        let approved_at_ms = DAWN_MS + approved_at_ms;
        let hold = What::HoldAsked { withdrawal: W, account: 0, atm: 0, amount: AMOUNT, approved_at_ms };
        let end = released.then_some((2_000, 1, What::StopTakenBack { atm: 0 }));
        judged(story, [(1_000, 2, What::StopDurable { atm: 0 })].into_iter().chain(end).chain([(9_000, 1, hold)]))
    };
    assert_eq!(begins(2_499, false), Ok(()), "a stop takes a moment to reach everybody");
    assert_eq!(begins(2_500, false), Err(Rule::Stop));
    assert_eq!(begins(2_500, true), Ok(()), "it was taken back");
}

#[test]
fn a_gap_in_the_sequence_is_seen() {
    let mut story = super::stories::full_dispense();
    story.closing.sequence = vec![1, 2, 3];
    story.passes();
    story.closing.sequence = vec![1, 3];
    story.breaks("a number is missing", Rule::Sequence);
    story.closing.sequence = vec![1, 1];
    story.breaks("a number came twice", Rule::Sequence);
}
