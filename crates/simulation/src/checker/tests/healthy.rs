//! What goes well must pass, or the checker would be of no use in a million worlds.

use super::stories::{
    all_retracted, confirmation_retried, confirmed, crash_and_resend, declined, full_dispense, held, hold_asked,
    hold_overtaken, late_grant, nothing_dispensed, paid, partial_dispense, retract_counted, reversed,
    suspect_confirmed, suspect_reversed,
};
use super::{AMOUNT, Checker, DAWN_MS, Rule, Story, W, acknowledged, dispense, outcome_asked, report, resolved};
use super::{crossing, restarted, shown};
use crate::boundary::{Standing, What, Word};

#[test]
fn every_kind_of_healthy_story_passes() {
    for story in [
        full_dispense,
        partial_dispense,
        nothing_dispensed,
        retract_counted,
        all_retracted,
        suspect_confirmed,
        suspect_reversed,
        declined,
        late_grant,
        hold_overtaken,
        crash_and_resend,
        confirmation_retried,
    ] {
        story().passes();
    }
}

#[test]
fn a_double_tap_gets_the_same_answers() {
    let mut story = full_dispense();
    let approval = What::ApprovalAccepted { withdrawal: W, nonce: 100, phone: 0, account: 0, amount: AMOUNT };
    story.after(|what| matches!(what, What::ScanAccepted { .. }), [What::ScanAccepted { nonce: 100, phone: 0 }]);
    story.after(|what| matches!(what, What::HoldAsked { .. }), [approval]);
    story.passes();
}

#[test]
fn an_approval_that_was_recorded_before_a_crash_may_be_acknowledged_after_it() {
    let mut story = hold_asked();
    let approval = story.crossings.remove(story.place(|what| matches!(what, What::ApprovalAccepted { .. })));
    story.then(restarted()).then([approval]).then(reversed()).ended(Standing::Reversed).passes();
}

#[test]
fn a_withdrawal_whose_hold_was_never_asked_for_is_reversed_after_a_crash() {
    let mut story = hold_asked();
    story.without(|what| matches!(what, What::HoldAsked { .. }));
    story.then(restarted()).then(reversed()).ended(Standing::Reversed).passes();
}

#[test]
fn a_command_that_never_left_may_be_reversed_on_the_machine_s_record() {
    held()
        .then(restarted())
        .then([outcome_asked(), report(Word::NotDispensed, 0, None, true), acknowledged()])
        .then(reversed())
        .ended(Standing::Reversed)
        .passes();
}

#[test]
fn a_refused_settlement_becomes_a_suspect_whom_a_person_may_decide_otherwise() {
    // The machine lied, core banking had its own reason to refuse, the person counts.
    paid(AMOUNT, 20_000)
        .lying()
        .then([report(Word::Dispensed, AMOUNT, None, true), acknowledged()])
        .then([What::ConfirmAsked { withdrawal: W, amount: AMOUNT }])
        .then([What::SettlementAnswerArrived { withdrawal: W, confirm: true, done: false }])
        .then([shown(Standing::Suspect), resolved(Some(20_000))])
        .then(confirmed(20_000))
        .ended(Standing::Confirmed(20_000))
        .passes();
}

#[test]
fn a_lie_that_was_proven_is_believed() {
    let mut story = full_dispense().lying();
    story.replace(
        |what| matches!(what, What::CashTaken { .. }),
        [What::CashTaken { atm: 0, withdrawal: W, amount: 10_000 }],
    );
    story.passes();
}

#[test]
fn a_machine_that_contradicts_itself_in_two_lives_may_have_been_heard_the_first_time() {
    held()
        .lying()
        .then([dispense(), report(Word::NotDispensed, 0, None, true)])
        .then(restarted())
        .then([report(Word::Dispensed, AMOUNT, None, true), acknowledged()])
        .then(reversed())
        .ended(Standing::Reversed)
        .passes();
}

#[test]
fn an_acknowledgement_is_of_the_earliest_report_that_is_still_without_one() {
    // "Unknown" was acknowledged; the proof behind it was lost with the process.
    paid(AMOUNT, AMOUNT)
        .then([report(Word::Unknown, 0, None, true), report(Word::Dispensed, AMOUNT, None, true), acknowledged()])
        .then(restarted())
        .then([outcome_asked(), report(Word::Dispensed, AMOUNT, None, true), acknowledged()])
        .then(confirmed(AMOUNT))
        .ended(Standing::Confirmed(AMOUNT))
        .passes();
}

#[test]
fn what_is_said_to_the_person_and_asked_of_core_banking_may_leave_in_either_order() {
    let judged = |resolved_at_ms: u64| -> Result<(), Rule> {
        let story = paid(AMOUNT, 0).then([report(Word::Unknown, 0, None, true), acknowledged()]);
        let mut checker = Checker::new(story.setup.clone());
        let mut process = 0;
        let told = story.crossings.iter().map(|what| (DAWN_MS, what.clone()));
        let late = [(DAWN_MS + 5, What::ReverseAsked { withdrawal: W }), (resolved_at_ms, resolved(None))];
        for (at_ms, what) in told.chain(late) {
            checker.observe(&crossing(at_ms, &what, &mut process)).map_err(|violation| violation.rule)?;
        }
        Ok(())
    };
    assert_eq!(judged(DAWN_MS + 5), Ok(()));
    assert_eq!(judged(DAWN_MS + 6), Err(Rule::Six));
}

#[test]
fn a_hold_that_is_asked_for_again_after_its_reversal_may_be_refused() {
    let mut story = late_grant();
    let refused = What::HoldRefusedInBooks { withdrawal: W };
    let answered = What::HoldAnswerArrived { withdrawal: W, granted: false };
    story.after(|what| matches!(what, What::ReversePosted { .. }), [refused, answered]);
    story.passes();
    story.contradicting().passes();
}

#[test]
fn an_empty_world_passes() {
    Story::new().passes();
}
