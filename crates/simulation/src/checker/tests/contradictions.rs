//! What is relaxed while core banking contradicts itself, and what is not.

use super::stories::{confirmed, declined, full_dispense, hold_asked, paid, reversed};
use super::{AMOUNT, Rule, Story, W, acknowledged, report, resolved, shown};
use crate::boundary::{Standing, What, Word};

/// Core banking grants and books nothing.
fn granted_in_word_only() -> Story {
    let mut story = full_dispense();
    story.without(|what| matches!(what, What::HoldPosted { .. } | What::ConfirmPosted { .. }));
    story
}

/// Core banking books and declines.
fn declined_in_word_only() -> Story {
    let mut story = declined();
    let posted = What::HoldPosted { withdrawal: W, account: 0, amount: AMOUNT };
    story.replace(|what| matches!(what, What::HoldRefusedInBooks { .. }), [posted]);
    story
}

/// Core banking says done and books nothing.
fn done_in_word_only() -> Story {
    let mut story = full_dispense();
    story.without(|what| matches!(what, What::ConfirmPosted { .. }));
    story
}

#[test]
fn what_core_banking_lied_about_is_not_compared_with_its_postings() {
    for (story, rule) in [
        (granted_in_word_only(), Rule::Two),
        (declined_in_word_only(), Rule::Seven),
        (done_in_word_only(), Rule::Seven),
    ] {
        story.breaks("in a world whose core banking is honest", rule);
        story.contradicting().passes();
    }
}

#[test]
fn what_core_banking_did_not_lie_about_still_is() {
    let mut story = full_dispense().contradicting();
    story.without(|what| matches!(what, What::ConfirmPosted { .. } | What::SettlementAnswerArrived { .. }));
    story.breaks("it ended without an answer", Rule::Seven);
}

#[test]
fn a_grant_of_what_was_never_asked_for_and_a_booking_without_a_hold_are_still_found() {
    let mut story = full_dispense().contradicting();
    story.without(|what| matches!(what, What::HoldAsked { .. } | What::HoldPosted { .. }));
    story.breaks("nothing was asked for", Rule::Two);
    let mut story = full_dispense().contradicting();
    story.without(|what| matches!(what, What::HoldPosted { .. }));
    story.breaks("confirmed without a hold", Rule::Seven);
}

#[test]
fn cash_still_is_compared() {
    let mut story = done_in_word_only().contradicting();
    let taken = What::CashTaken { atm: 0, withdrawal: W, amount: 10_000 };
    story.replace(|what| matches!(what, What::CashTaken { .. }), [taken]);
    story.breaks("the machine is honest", Rule::Twelve);
}

#[test]
fn a_grant_after_a_refusal_is_still_no_hold_to_pay_out_from() {
    let mut story = full_dispense().contradicting();
    let refused = What::HoldAnswerArrived { withdrawal: W, granted: false };
    story.before(|what| matches!(what, What::HoldAnswerArrived { .. }), [refused]);
    story.breaks("a late grant", Rule::Four);
}

#[test]
fn a_refusal_of_what_is_booked_is_left_to_a_person() {
    let [asked, posted, _] = confirmed(AMOUNT);
    paid(AMOUNT, AMOUNT)
        .contradicting()
        .then([report(Word::Dispensed, AMOUNT, None, true), acknowledged(), asked.clone(), posted])
        .then([What::SettlementAnswerArrived { withdrawal: W, confirm: true, done: false }])
        .then([shown(Standing::Suspect), resolved(Some(AMOUNT)), asked])
        .then([What::SettlementAnswerArrived { withdrawal: W, confirm: true, done: true }])
        .ended(Standing::Confirmed(AMOUNT))
        .passes();
}

#[test]
fn a_late_grant_of_a_declined_withdrawal_may_be_reversed() {
    let posted = What::HoldPosted { withdrawal: W, account: 0, amount: AMOUNT };
    let mut story = hold_asked()
        .contradicting()
        .then([posted, What::HoldAnswerArrived { withdrawal: W, granted: false }])
        .ended(Standing::Declined)
        .then([What::HoldAnswerArrived { withdrawal: W, granted: true }]);
    story = story.then(reversed());
    story.passes();
}
