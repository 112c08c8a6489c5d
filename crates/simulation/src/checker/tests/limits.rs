//! Rule 8: admissions against limits of 50,000 yen a withdrawal, 100,000 yen and three withdrawals a day, in Tokyo.

use super::{DAWN_MS, HOUR_MS, Rule, Story};
use crate::boundary::{Book, Standing, What, WithdrawalNo};

/// 08:00 UTC is 17:00 in Tokyo; the day there ends seven hours later.
const MIDNIGHT_MS: u64 = DAWN_MS + 7 * HOUR_MS;

fn admitted(withdrawal: WithdrawalNo, amount: u64, approved_at_ms: u64) -> [What; 3] {
    [
        What::HoldAsked { withdrawal, account: 0, atm: 0, amount, approved_at_ms },
        What::HoldPosted { withdrawal, account: 0, amount },
        What::HoldAnswerArrived { withdrawal, granted: true },
    ]
}

fn paid(story: Story, withdrawal: WithdrawalNo, amount: u64, approved_at_ms: u64) -> Story {
    let report = crate::boundary::Report {
        word: crate::boundary::Word::Dispensed,
        presented: amount,
        retracted: None,
        proven: true,
    };
    story
        .then(admitted(withdrawal, amount, approved_at_ms))
        .then([
            What::DispenseSent { atm: 0, withdrawal, amount, start_before_ms: approved_at_ms + 60_000, token: None },
            What::NotesMoved { atm: 0, withdrawal, presented: amount },
            What::CashTaken { atm: 0, withdrawal, amount },
            What::ReportArrived { atm: 0, withdrawal, report },
            What::OutcomeAcknowledged { atm: 0, withdrawal },
            What::ConfirmAsked { withdrawal, amount },
            What::ConfirmPosted { withdrawal, amount },
            What::SettlementAnswerArrived { withdrawal, confirm: true, done: true },
        ])
        .ended_as(Book { withdrawal, account: 0, amount, standing: Standing::Confirmed(amount) })
}

fn reversed(story: Story, withdrawal: WithdrawalNo, amount: u64) -> Story {
    story
        .then([
            What::ReverseAsked { withdrawal },
            What::ReversePosted { withdrawal },
            What::SettlementAnswerArrived { withdrawal, confirm: false, done: true },
        ])
        .ended_as(Book { withdrawal, account: 0, amount, standing: Standing::Reversed })
}

#[test]
fn the_day_may_be_used_up_to_the_last_yen() {
    let story = paid(Story::new(), 1, 50_000, DAWN_MS);
    paid(story, 2, 50_000, DAWN_MS).passes();
}

#[test]
fn a_withdrawal_above_the_largest_is_found() {
    Story::new().then(admitted(1, 50_001, DAWN_MS)).breaks("one withdrawal", Rule::Eight);
    let approval = What::ApprovalAccepted { withdrawal: 1, nonce: 100, phone: 0, account: 0, amount: 50_001 };
    let code =
        What::CodeSigned { nonce: 100, atm: 0, qr_session: 200, expires_at_ms: DAWN_MS + 30_000, command_nonce: None };
    let scan = What::ScanAccepted { nonce: 100, phone: 0 };
    Story::new().then([code, scan, approval]).breaks("already at its approval", Rule::Eight);
}

#[test]
fn what_was_spent_and_what_is_outstanding_count_together() {
    let story = paid(Story::new(), 1, 50_000, DAWN_MS).then(admitted(2, 30_000, DAWN_MS));
    story.clone().then(admitted(3, 20_001, DAWN_MS)).breaks("spent, outstanding and new", Rule::Eight);
    let story = reversed(story, 2, 30_000);
    paid(story, 3, 50_000, DAWN_MS).passes();
}

#[test]
fn a_reservation_that_a_crash_forgot_is_found() {
    let story = Story::new().then(admitted(1, 50_000, DAWN_MS)).then(admitted(2, 50_000, DAWN_MS));
    let story = story.then([What::GatewayStopped, What::GatewayStarted]);
    story.then(admitted(3, 10_000, DAWN_MS)).breaks("after a crash", Rule::Eight);
}

#[test]
fn it_stays_counted_until_core_banking_has_answered() {
    let open = Story::new().then(admitted(1, 50_000, DAWN_MS)).then(admitted(2, 50_000, DAWN_MS));
    let open = open.then([What::ReverseAsked { withdrawal: 2 }, What::ReversePosted { withdrawal: 2 }]);
    open.clone().then(admitted(3, 10_000, DAWN_MS)).breaks("before the answer", Rule::Eight);
    let closed = open.then([What::SettlementAnswerArrived { withdrawal: 2, confirm: false, done: true }]);
    let mut after = closed.then(admitted(3, 50_000, DAWN_MS));
    after.closing.books.clear();
    let rules = after.judged().expect_err("nothing has ended").into_iter().map(|violation| violation.rule);
    assert!(!rules.into_iter().any(|rule| rule == Rule::Eight));
}

#[test]
fn the_institution_s_midnight_begins_a_new_day() {
    let evening = paid(Story::new(), 1, 50_000, MIDNIGHT_MS - 2);
    let evening = paid(evening, 2, 50_000, MIDNIGHT_MS - 1);
    paid(evening.clone(), 3, 50_000, MIDNIGHT_MS).passes();
    evening.then(admitted(3, 10_000, MIDNIGHT_MS - 1)).breaks("still the same day", Rule::Eight);
}

#[test]
fn what_is_still_outstanding_from_yesterday_counts_today() {
    let story = Story::new().then(admitted(1, 50_000, MIDNIGHT_MS - 1)).then(admitted(2, 50_000, MIDNIGHT_MS));
    story.then(admitted(3, 10_000, MIDNIGHT_MS)).breaks("outstanding money is of every day", Rule::Eight);
}

#[test]
fn a_fourth_withdrawal_of_the_day_is_found() {
    let mut story = Story::new();
    for withdrawal in 1..=3 {
        story = paid(story, withdrawal, 10_000, DAWN_MS);
    }
    story.clone().then(admitted(4, 10_000, DAWN_MS)).breaks("the fourth", Rule::Eight);
    paid(story, 4, 10_000, MIDNIGHT_MS).passes();
}

#[test]
fn one_that_left_no_money_takes_no_place() {
    let mut story = reversed(Story::new().then(admitted(9, 10_000, DAWN_MS)), 9, 10_000);
    for withdrawal in 1..=3 {
        story = paid(story, withdrawal, 10_000, DAWN_MS);
    }
    story.passes();
}

#[test]
fn a_reservation_that_is_left_in_the_end_is_found() {
    let mut story = paid(Story::new(), 1, 10_000, DAWN_MS);
    story.closing.reserved = vec![(0, 0), (1, 10_000)];
    story.breaks("left over", Rule::Eight);
}
