//! Damaged ledgers: nothing panics, and what cannot have happened is not replayed.

use cashgate_wire::journal::{JournalError, describe, replay};
use cashgate_wire::proto::journal::v1::{self as pb, step::Event as Body};
use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::withdrawal::Withdrawal;
use prost::Message;

use crate::golden::{Golden, Step, as_stored, every_golden};

/// Replays a withdrawal one of whose bodies is damaged. It is either refused, at that step or a later one, or it is another history
/// that is legal and still within what was approved.
fn replay_damaged(golden: &Golden, steps: &[Step], damaged: usize) -> Result<Withdrawal, JournalError> {
    let place = u32::try_from(damaged).unwrap() + 1;
    let replayed = replay(golden.id(), as_stored(steps));
    match &replayed {
        Err(JournalError::Unreadable { withdrawal, number, detail }) => {
            assert_eq!((*withdrawal, *number), (golden.id(), place), "{}: {detail}", golden.name);
        }
        Err(JournalError::Illegal { withdrawal, number, detail }) => {
            assert!(*withdrawal == golden.id() && *number >= place, "{} step {number}: {detail}", golden.name);
        }
        Ok(other) => {
            assert_eq!(other.terms.withdrawal, golden.id());
            assert!(damaged == 0 || other.terms == golden.expected.terms, "{}: only step 1 has terms", golden.name);
            if let Some(left) = other.state.dispensed() {
                assert_eq!(left.exceeds(other.terms.amount), Ok(false), "{}: more left than was approved", golden.name);
            }
        }
    }
    let _ = describe(golden.id(), &steps[damaged].body);
    replayed
}

#[test]
fn no_flipped_bit_stops_the_gateway() {
    let (mut refused, mut replayed) = (0, 0);
    for golden in every_golden() {
        let mut steps = golden.steps.clone();
        for damaged in 0..steps.len() {
            for bit in 0..steps[damaged].body.len() * 8 {
                steps[damaged].body[bit / 8] ^= 1 << (bit % 8);
                match replay_damaged(&golden, &steps, damaged) {
                    Ok(_) => replayed += 1,
                    Err(_) => refused += 1,
                }
                steps[damaged].body[bit / 8] ^= 1 << (bit % 8);
            }
        }
        assert_eq!(replay(golden.id(), as_stored(&steps)), Ok(golden.expected), "every bit was put back");
    }
    assert!(refused > 0 && replayed > 0);
}

#[test]
fn no_truncated_body_stops_the_gateway() {
    for golden in every_golden() {
        let mut steps = golden.steps.clone();
        for damaged in 0..steps.len() {
            let whole = steps[damaged].body.clone();
            for length in 0..whole.len() {
                steps[damaged].body.truncate(length);
                let replayed = replay_damaged(&golden, &steps, damaged);
                // The event is one length-delimited field: cut anywhere, it is not whole.
                assert!(matches!(replayed, Err(JournalError::Unreadable { .. })), "{} to {length}", golden.name);
                steps[damaged].body.clone_from(&whole);
            }
        }
    }
}

fn illegal(golden: &Golden, steps: &[Step], at: u32, why: &str) {
    let expected = JournalError::Illegal { withdrawal: golden.id(), number: at, detail: why.to_owned() };
    assert_eq!(replay(golden.id(), as_stored(steps)), Err(expected), "{}", golden.name);
}

const APPROVAL_PLACE: &str = "the approval must come first, and only once";

#[test]
fn a_missing_step_is_noticed() {
    for golden in every_golden() {
        for missing in 0..golden.steps.len() - 1 {
            let mut steps = golden.steps.clone();
            let gone = steps.remove(missing).number;
            illegal(&golden, &steps, gone + 1, &format!("step {gone} is missing"));
        }
        illegal(&golden, &[], 0, "it has no steps");
    }
}

#[test]
fn a_step_that_comes_twice_or_too_early_is_noticed() {
    for golden in every_golden() {
        for place in 0..golden.steps.len() - 1 {
            let mut twice = golden.steps.clone();
            twice.insert(place + 1, twice[place].clone());
            let number = twice[place].number;
            illegal(&golden, &twice, number, &format!("step {} is missing", number + 1));
            let mut swapped = golden.steps.clone();
            swapped.swap(place, place + 1);
            illegal(&golden, &swapped, number + 1, &format!("step {number} is missing"));
        }
    }
}

/// The same steps, numbered as they stand.
fn renumbered(mut steps: Vec<Step>) -> Vec<Step> {
    for (number, step) in (1..).zip(&mut steps) {
        step.number = number;
    }
    steps
}

#[test]
fn the_approval_comes_first_and_once() {
    for golden in every_golden() {
        let headless = renumbered(golden.steps[1..].to_vec());
        illegal(&golden, &headless, 1, APPROVAL_PLACE);
        for place in 1..=golden.steps.len() {
            let mut steps = golden.steps.clone();
            steps.insert(place, steps[0].clone());
            illegal(&golden, &renumbered(steps), u32::try_from(place).unwrap() + 1, APPROVAL_PLACE);
        }
    }
}

#[test]
fn a_hidden_gap_is_noticed_where_the_rules_forbid_what_follows() {
    let golden = every_golden().into_iter().find(|golden| golden.name == "confirmed-after-partial").unwrap();
    let without = |missing: usize| {
        let mut steps = golden.steps.clone();
        steps.remove(missing);
        renumbered(steps)
    };
    illegal(&golden, &without(1), 2, "a withdrawal that is hold_requested cannot take dispense_commanded");
    illegal(&golden, &without(2), 3, "a withdrawal that is held cannot take outcome_reported");
    illegal(&golden, &without(3), 4, "a withdrawal that is dispense_commanded cannot take hold_confirmed");
}

#[test]
fn the_approval_of_another_withdrawal_is_refused() {
    let other = WithdrawalId::from_bytes([7; 16]);
    for golden in every_golden() {
        match replay(other, as_stored(&golden.steps)) {
            Err(JournalError::Illegal { withdrawal, number: 1, .. }) => assert_eq!(withdrawal, other),
            replayed => panic!("{}: {replayed:?}", golden.name),
        }
    }
}

#[test]
fn a_report_about_another_withdrawal_is_refused() {
    let golden = every_golden().into_iter().find(|golden| golden.name == "confirmed-after-partial").unwrap();
    let mut steps = golden.steps.clone();
    let Some(Body::OutcomeReported(mut reported)) = pb::Step::decode(steps[3].body.as_slice()).unwrap().event else {
        panic!("step 4 is the report")
    };
    reported.report.as_mut().unwrap().withdrawal_id = WithdrawalId::from_bytes([7; 16]).to_string();
    steps[3].body = pb::Step { event: Some(Body::OutcomeReported(reported)) }.encode_to_vec();
    let replayed = replay(golden.id(), as_stored(&steps));
    assert!(replayed.is_err(), "money was confirmed on another withdrawal's report: {replayed:?}");
}

#[test]
fn a_step_of_a_newer_version_is_unreadable_and_says_so() {
    let golden = every_golden().into_iter().find(|golden| golden.name == "declined").unwrap();
    let mut steps = golden.steps.clone();
    // Field 1000, length-delimited, empty.
    steps[1].body = vec![0xc2, 0x3e, 0x00];
    let unreadable = JournalError::Unreadable {
        withdrawal: golden.id(),
        number: 2,
        detail: "step: has no event that this version knows".to_owned(),
    };
    assert_eq!(replay(golden.id(), as_stored(&steps)), Err(unreadable));
}
