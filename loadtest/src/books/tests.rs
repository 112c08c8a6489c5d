//! The books' judge: silent about books that agree, and loud about each single entry that is wrong on purpose.

use cashgate_fleet::atm::{Evidence, Fact, OutcomeWord, Report};
use cashgate_fleet::corebank::{Bank, PlaceHold};

use super::*;

const PAID: &str = "01981f2e-7c1a-7000-8000-000000000001";
const REVERSED: &str = "01981f2e-7c1a-7000-8000-000000000002";

/// The facts of a machine that paid so much.
fn paid_by_machine(withdrawal: &str, cash_out: u64) -> Book {
    let report = Report {
        outcome: OutcomeWord::Dispensed,
        presented: vec![],
        retracted: None,
        evidence: Evidence::PresentStatus,
        detail: String::new(),
        currency: "JPY".to_owned(),
        observed_at_unix_ms: 0,
        present_token: String::new(),
    };
    let withdrawal_id = withdrawal.to_owned();
    Book::of(&[Fact::Counted { withdrawal_id, cash_out, report, present_status: None, trick: None }])
}

fn bank() -> Bank {
    let bank = Bank::in_memory().unwrap();
    for account in ["a-1", "a-2"] {
        bank.open_account(account, 100_000).unwrap();
    }
    for (id, account) in [(PAID, "a-1"), (REVERSED, "a-2")] {
        let hold = PlaceHold {
            withdrawal_id: id.to_owned(),
            account: account.to_owned(),
            amount: 30_000,
            currency: "JPY".to_owned(),
        };
        bank.place_hold(&hold, None).unwrap();
    }
    bank
}

/// One withdrawal that was paid and one that was reversed, on all sides.
fn balanced() -> Sides {
    let bank = bank();
    let reference = bank.look_up(PAID).unwrap().unwrap().reference;
    bank.confirm_hold(PAID, &reference, 30_000, "JPY").unwrap();
    bank.reverse_hold(REVERSED).unwrap();
    sides(&bank)
}

fn sides(bank: &Bank) -> Sides {
    let approval =
        |id: &str, account: &str| Approval { withdrawal: id.to_owned(), account: account.to_owned(), amount: 30_000 };
    let listed = |id: &str, account: &str, state, dispensed| Listed {
        withdrawal: id.to_owned(),
        account: account.to_owned(),
        amount: 30_000,
        state,
        dispensed,
    };
    Sides {
        phones: Phones {
            approvals: vec![approval(PAID, "a-1"), approval(REVERSED, "a-2")],
            ends: [(PAID.to_owned(), (State::Confirmed, 30_000)), (REVERSED.to_owned(), (State::Reversed, 0))].into(),
        },
        machines: vec![("L1".to_owned(), paid_by_machine(PAID, 30_000))],
        holds: bank.hold_books().unwrap(),
        accounts: bank.account_books().unwrap(),
        gateway: vec![listed(PAID, "a-1", State::Confirmed, 30_000), listed(REVERSED, "a-2", State::Reversed, 0)],
    }
}

/// Spoils the books and sees that the judge says so.
#[track_caller]
fn found(spoil: impl FnOnce(&mut Sides), part: &str) {
    let mut sides = balanced();
    spoil(&mut sides);
    let problems = judge(&sides).problems;
    assert!(problems.iter().any(|problem| problem.contains(part)), "{part}: {problems:?}");
}

#[test]
fn books_that_agree_are_balanced() {
    let verdict = judge(&balanced());
    assert_eq!(verdict.problems, Vec::<String>::new());
    let Totals { withdrawals, confirmed, reversed, machines_paid, bank_confirmed, phones_told, .. } = verdict.totals;
    assert_eq!((withdrawals, confirmed, reversed), (2, 1, 1));
    assert_eq!((machines_paid, bank_confirmed, phones_told), (30_000, 30_000, 30_000));
}

#[test]
fn each_wrong_entry_is_found() {
    found(|sides| sides.machines[0].1 = paid_by_machine(PAID, 29_999), "29999 left the machine");
    found(|sides| sides.machines.push(("L2".to_owned(), paid_by_machine(PAID, 30_000))), "60000 left the machine");
    found(|sides| sides.machines.push(("L2".to_owned(), paid_by_machine(REVERSED, 1_000))), "1000 left the machine");
    found(|sides| sides.machines.push(("L2".to_owned(), paid_by_machine("unheard-of", 1_000))), "does not list it");
    found(|sides| sides.machines.clear(), "0 left the machine");
    found(|sides| sides.gateway[0].dispensed = 20_000, "the gateway says that 20000 left");
    found(|sides| sides.gateway[0].state = State::Reversed, "core banking Some(Confirmed)");
    found(|sides| sides.gateway[1].state = State::Confirmed, "core banking Some(Reversed)");
    found(|sides| drop(sides.gateway.pop()), "a phone was told that it is accepted");
    found(|sides| drop(sides.gateway.pop()), "core banking has it");
    found(|sides| sides.gateway.push(sides.gateway[1].clone()), "lists it twice");
    found(|sides| sides.phones.approvals[0].amount = 31_000, "approved as");
    found(|sides| sides.phones.ends = [(PAID.to_owned(), (State::Confirmed, 20_000))].into(), "the phone was told");
    found(|sides| sides.holds[0].confirmed = 20_000, "core banking booked 20000");
    found(|sides| sides.accounts[0].confirmed = 20_000, "core banking booked 20000");
    found(|sides| sides.accounts[0].balance += 1, "opened with 100000");
    found(|sides| drop(sides.accounts.pop()), "no such account");
}

#[test]
fn cash_without_money_behind_it_is_found_even_while_a_withdrawal_is_open() {
    let mut sides = sides(&bank());
    sides.gateway[0].state = State::Open;
    sides.gateway[0].dispensed = 0;
    sides.phones.ends.clear();
    assert_eq!(
        judge(&sides).problems,
        ["01981f2e-7c1a-7000-8000-000000000002: the gateway says Reversed, core banking Some(Held)"]
    );
    sides.machines.push(("L2".to_owned(), paid_by_machine(PAID, 40_000)));
    let problems = judge(&sides).problems;
    assert!(problems.iter().any(|problem| problem.contains("70000 left the machines")), "{problems:?}");
}
