//! What only several replicas can do wrong.

use super::end_to_end::{TOKEN, command, nothing_left, secured};
use super::stories::{held, hold_asked};
use super::{AMOUNT, Checker, DAWN_MS, Rule, W, acknowledged, dispense, report};
use crate::boundary::{Crossing, Status, What, Word};

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

/// Both replicas ask a dispenser, in turns; then the machine answers what `answered` asked to `told`, who reverses.
fn status_of_one_told_to(answered: u32, told: u32) -> Result<(), Rule> {
    let nonce_of = |process: u32| u128::from(process) + 0xB0;
    let asks =
        |at_ms, process| (at_ms, process, What::OutcomeAsked { atm: 0, withdrawal: W, nonce: Some(nonce_of(process)) });
    let status = Status { nonce: nonce_of(answered), ..nothing_left() };
    let before = secured().then([command(Some(TOKEN))]);
    judged(
        before,
        [
            asks(100, 1),
            asks(101, 2),
            asks(102, 1),
            (103, told, report(Word::NotDispensed, 0, None, true)),
            (104, told, What::StatusVerified { atm: 0, withdrawal: W, status }),
            (105, told, What::ReverseAsked { withdrawal: W }),
            // What only a person could justify is judged when its moment is over.
            (106, told, acknowledged()),
        ],
    )
}

#[test]
fn a_status_proves_something_to_the_replica_that_asked_for_it() {
    assert_eq!(status_of_one_told_to(1, 1), Ok(()), "that another asked too takes nothing from it");
    assert_eq!(status_of_one_told_to(2, 2), Ok(()));
    assert_eq!(status_of_one_told_to(2, 1), Err(Rule::Six), "it never drew that nonce");
    assert_eq!(status_of_one_told_to(1, 2), Err(Rule::Six));
}

#[test]
fn a_proof_may_be_lost_with_the_lane_that_it_came_to() {
    let asks = |at_ms, process| (at_ms, process, What::OutcomeAsked { atm: 0, withdrawal: W, nonce: None });
    let tells = |at_ms, word| (at_ms, 1, report(word, 0, None, true));
    let before = || held().then([command(None)]);
    let proof = tells(100, Word::NotDispensed);
    let acknowledges = (200, 1, acknowledged());
    let asked_again = judged(before(), [proof.clone(), acknowledges.clone(), asks(300, 1)]);
    assert_eq!(asked_again, Err(Rule::Six), "it was acknowledged, so it is known");
    let taken = |at_ms| (at_ms, 1, What::LaneTaken { atm: 0 });
    let later = tells(150, Word::Unknown);
    let lost = [proof.clone(), taken(120), later, acknowledges.clone(), asks(300, 1)];
    assert_eq!(judged(before(), lost), Ok(()), "only the report to the new lane was acknowledged");
    let known = [proof, acknowledges, taken(250), asks(300, 1)];
    assert_eq!(judged(before(), known), Err(Rule::Six), "what was acknowledged is on disk, whoever has the lane");
}
