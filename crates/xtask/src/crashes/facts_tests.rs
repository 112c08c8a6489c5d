//! Each test begins with facts that the books bear out and breaks one thing.

use serde_json::json;

use super::*;

fn account() -> AccountId {
    ("sakura".to_owned(), "acct-1".to_owned())
}

fn listed(id: &str, state: &str, dispensed: i64) -> Listed {
    Listed { id: id.to_owned(), account: account(), amount: 30_000, state: state.to_owned(), dispensed }
}

fn hold(id: &str, status: &str, confirmed: i64) -> Hold {
    Hold { withdrawal: id.to_owned(), account: account(), amount: 30_000, status: status.to_owned(), confirmed }
}

fn settlement(id: &str, confirm: Option<i64>) -> Settlement {
    Settlement { withdrawal: id.to_owned(), confirm }
}

/// One that was paid, and one whose ATM said that nothing left.
fn right() -> (Facts, Sides) {
    let approval = |id: &str| Approval { withdrawal: id.to_owned(), account: account(), amount: 30_000 };
    let end = |id: &str, state: &str, dispensed| End { withdrawal: id.to_owned(), state: state.to_owned(), dispensed };
    let report = |id: &str, claimed| Report { withdrawal: id.to_owned(), claimed, acknowledged: true };
    let facts = Facts {
        approvals: vec![approval("paid"), approval("back")],
        ends: vec![end("paid", "confirmed", 30_000), end("back", "reversed", 0)],
        reports: vec![report("paid", Some(30_000)), report("back", Some(0))],
        dispenses: vec![("A1".to_owned(), "paid".to_owned())],
        // Asked twice, because an answer was lost: that is as it should be.
        settlements: vec![settlement("paid", Some(30_000)), settlement("paid", Some(30_000)), settlement("back", None)],
    };
    let sides = Sides {
        gateway: vec![listed("paid", "confirmed", 30_000), listed("back", "reversed", 0)],
        holds: vec![hold("paid", "confirmed", 30_000), hold("back", "reversed", 0)],
        ..Sides::default()
    };
    (facts, sides)
}

fn problems(change: impl FnOnce(&mut Facts, &mut Sides)) -> Vec<String> {
    let (mut facts, mut sides) = right();
    change(&mut facts, &mut sides);
    facts.problems(&sides)
}

fn only(found: &[String], words: &str) {
    assert!(found.len() == 1 && found[0].contains(words), "{found:?}");
}

#[test]
fn facts_that_the_books_bear_out_are_no_problem() {
    let (facts, sides) = right();
    assert_eq!(facts.problems(&sides), Vec::<String>::new());
    assert_eq!(facts.count(), 10);
}

#[test]
fn an_approval_that_the_gateway_forgot_is_found() {
    let found = problems(|facts, sides| {
        sides.gateway.remove(1);
        facts.ends.remove(1);
        facts.reports.remove(1);
    });
    only(&found, "a phone was told that back is accepted");
}

#[test]
fn an_approval_for_another_amount_or_account_is_found() {
    only(&problems(|facts, _| facts.approvals[0].amount = 20_000), "the gateway has 30000");
    only(&problems(|facts, _| facts.approvals[0].account.1 = "acct-2".to_owned()), "told 30000 of");
}

#[test]
fn an_end_that_changed_after_a_phone_was_told_is_found() {
    only(&problems(|facts, _| facts.ends[0].dispensed = 20_000), "paid ended confirmed with 20000");
    only(&problems(|facts, _| facts.ends[1].state = "confirmed".to_owned()), "back ended confirmed with 0");
}

#[test]
fn an_acknowledged_outcome_that_the_gateway_has_otherwise_is_found() {
    only(&problems(|facts, _| facts.reports[0].claimed = Some(10_000)), "told that 10000 for paid");
    only(&problems(|facts, _| facts.reports[0].claimed = Some(0)), "told that 0 for paid");
    only(&problems(|facts, _| facts.reports[1].claimed = Some(30_000)), "told that 30000 for back");
}

#[test]
fn an_outcome_that_was_not_acknowledged_or_not_counted_promises_nothing() {
    let found = problems(|facts, _| {
        facts.reports[0].claimed = None;
        facts.reports[1] = Report { claimed: Some(30_000), acknowledged: false, ..facts.reports[1].clone() };
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_withdrawal_that_is_paid_twice_is_found_at_one_atm_and_at_two() {
    for atm in ["A1", "A2"] {
        let found = problems(|facts, _| facts.dispenses.push((atm.to_owned(), "paid".to_owned())));
        only(&found, &format!("DOUBLE DISPENSE: notes moved for paid at A1 and again at {atm}"));
    }
}

#[test]
fn notes_without_a_hold_are_found() {
    only(&problems(|_, sides| drop(sides.holds.remove(0))), "core banking never held");
    only(&problems(|_, sides| sides.holds[0].status = "declined".to_owned()), "core banking never held");
    only(&problems(|_, sides| sides.holds[0].amount = 0), "core banking never held");
}

#[test]
fn a_hold_that_is_settled_in_two_ways_is_found() {
    only(&problems(|facts, _| facts.settlements.push(settlement("paid", None))), "reverse, confirm 30000");
    only(
        &problems(|facts, _| facts.settlements.push(settlement("paid", Some(20_000)))),
        "confirm 20000, confirm 30000",
    );
}

#[test]
fn what_is_still_open_in_the_end_is_found() {
    let found = problems(|facts, sides| {
        sides.gateway[1].state = "reversing".to_owned();
        facts.ends.remove(1);
        facts.reports.remove(1);
    });
    only(&found, "back is still reversing");
}

#[test]
fn a_core_banks_words_are_read() {
    let event = |name: &str| json!({"event": name, "withdrawal_id": "w", "answer": "done", "amount": 5_000});
    assert_eq!(Settlement::of(&event("confirm_hold")), Some(settlement("w", Some(5_000))));
    assert_eq!(Settlement::of(&event("reverse_hold")), Some(settlement("w", None)));
    assert_eq!(Settlement::of(&event("place_hold")), None);
}
