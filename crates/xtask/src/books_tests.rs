//! The books must find every single fault, so each test begins with books that are right and breaks one thing.

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

/// One of each: paid in part, taken back, declined, unknown, and one whose hold was reversed before it came.
fn right() -> Sides {
    Sides {
        gateway: vec![
            listed("paid", "confirmed", 20_000),
            listed("back", "reversed", 0),
            listed("no", "declined", 0),
            listed("unknown", "outcome_unknown", 0),
            listed("lost", "reversed", 0),
        ],
        holds: vec![
            hold("paid", "confirmed", 20_000),
            hold("back", "reversed", 0),
            hold("unknown", "held", 0),
            Hold { amount: 0, ..hold("lost", "reversed", 0) },
        ],
        accounts: vec![Account { id: account(), holds: 90_000, confirmed: 20_000, held: 30_000 }],
        cash: BTreeMap::from([("paid".to_owned(), 20_000), ("back".to_owned(), 0)]),
    }
}

fn problems(change: impl FnOnce(&mut Sides)) -> String {
    let mut sides = right();
    change(&mut sides);
    Books::of(&sides).problems.join("\n")
}

#[test]
fn right_books_balance() {
    let books = Books::of(&right());
    assert!(books.problems.is_empty(), "{:?}", books.problems);
    let row = &books.rows[&account()];
    assert_eq!((row.holds, row.confirmed, row.reversed, row.open, row.suspect), (90_000, 20_000, 40_000, 30_000, 0));
}

#[test]
fn more_cash_than_was_confirmed_is_found() {
    let found = problems(|sides| *sides.cash.get_mut("paid").unwrap() = 30_000);
    assert!(found.contains("the ATM paid 30000") && found.contains("cash out of the ATMs 30000"), "{found}");
}

#[test]
fn cash_for_a_reversed_withdrawal_is_found() {
    let found = problems(|sides| *sides.cash.get_mut("back").unwrap() = 30_000);
    assert!(found.contains("withdrawal back (reversed)"), "{found}");
}

#[test]
fn cash_for_nothing_that_the_gateway_knows_is_found() {
    let found = problems(|sides| sides.cash.extend([("stranger".to_owned(), 1_000)]));
    assert!(found.contains("1000 left a machine for stranger"), "{found}");
}

#[test]
fn a_hold_that_never_ended_is_found() {
    let found = problems(|sides| sides.holds[1].status = "held".to_owned());
    assert!(found.contains("core banking: held"), "{found}");
}

#[test]
fn a_hold_that_the_gateway_does_not_know_is_found() {
    let found = problems(|sides| drop(sides.gateway.remove(1)));
    assert!(found.contains("holds for back") && found.contains("core banking's holds 90000 is not"), "{found}");
}

#[test]
fn another_amount_at_core_banking_is_found() {
    let found = problems(|sides| sides.accounts[0].confirmed = 30_000);
    assert!(found.contains("core banking's confirmed 30000 is not the gateway's confirmed 20000"), "{found}");
}

#[test]
fn an_unknown_outcome_whose_hold_was_given_back_is_found() {
    let found = problems(|sides| {
        sides.holds[2].status = "reversed".to_owned();
        sides.accounts[0].held = 0;
    });
    assert!(found.contains("withdrawal unknown") && found.contains("core banking's held 0 is not"), "{found}");
}
