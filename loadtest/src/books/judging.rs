//! Compares the sides, withdrawal by withdrawal and account by account.

use std::collections::{BTreeMap, BTreeSet};

use cashgate_fleet::corebank::{HoldBooks, Standing};
use serde::Serialize;

use super::{Amount, Sides, State};

/// What a comparison found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Everything that does not agree, each with the figures of both sides. Empty if the books balance.
    pub problems: Vec<String>,
    /// The sums.
    pub totals: Totals,
}

/// Sums over a run. Amounts are minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Withdrawals that the gateway lists.
    pub withdrawals: usize,
    /// Of them, confirmed.
    pub confirmed: usize,
    /// Reversed.
    pub reversed: usize,
    /// Declined.
    pub declined: usize,
    /// Left for a person to decide.
    pub suspect: usize,
    /// Not ended.
    pub open: usize,
    /// What the gateway says left the machines.
    pub gateway_dispensed: Amount,
    /// What physically left the machines.
    pub machines_paid: Amount,
    /// What core banking booked.
    pub bank_confirmed: Amount,
    /// What core banking still has aside.
    pub bank_held: Amount,
    /// What phones were told has left.
    pub phones_told: Amount,
    /// Accounts that were compared.
    pub accounts: usize,
}

/// Compares the sides. Suspects and open withdrawals are counted, not judged: whether there may be any, the thresholds say.
#[must_use]
pub fn judge(sides: &Sides) -> Verdict {
    let cash = cash_by_withdrawal(sides);
    let holds: BTreeMap<&str, &HoldBooks> =
        sides.holds.iter().map(|hold| (hold.withdrawal_id.as_str(), hold)).collect();
    let mut verdict = Verdict { problems: Vec::new(), totals: totals(sides, &cash) };
    verdict.problems.extend(strangers(sides, &cash, &holds));
    for (index, listed) in sides.gateway.iter().enumerate() {
        let id = listed.withdrawal.as_str();
        if sides.gateway.iter().skip(index + 1).take(1).any(|next| next.withdrawal == id) {
            verdict.problems.push(format!("{id}: the gateway lists it twice"));
        }
        let left = cash.get(id).copied().unwrap_or(0);
        let told = sides.phones.ends.get(id).copied();
        verdict.problems.extend(
            one(listed.state, listed.dispensed, left, holds.get(id).copied(), told)
                .into_iter()
                .map(|problem| format!("{id}: {problem}")),
        );
    }
    verdict.problems.extend(approvals(sides));
    verdict.problems.extend(accounts(sides, &cash));
    verdict
}

/// What physically left for each withdrawal, whatever machine it was.
fn cash_by_withdrawal(sides: &Sides) -> BTreeMap<&str, Amount> {
    let mut cash = BTreeMap::new();
    for (id, entry) in sides.machines.iter().flat_map(|(_, book)| book.entries()) {
        let sum: &mut Amount = cash.entry(id).or_default();
        *sum = sum.saturating_add(entry.cash_out);
    }
    cash
}

/// What one side knows and the gateway does not.
fn strangers(sides: &Sides, cash: &BTreeMap<&str, Amount>, holds: &BTreeMap<&str, &HoldBooks>) -> Vec<String> {
    let known: BTreeSet<&str> = sides.gateway.iter().map(|listed| listed.withdrawal.as_str()).collect();
    let mut problems = Vec::new();
    for (id, left) in cash.iter().filter(|(id, left)| **left > 0 && !known.contains(*id)) {
        problems.push(format!("{id}: {left} left a machine, and the gateway does not list it"));
    }
    for (id, hold) in holds.iter().filter(|(id, _)| !known.contains(*id)) {
        problems.push(format!(
            "{id}: core banking has it ({:?}, {}), and the gateway does not list it",
            hold.status, hold.amount
        ));
    }
    for approval in sides.phones.approvals.iter().filter(|approval| !known.contains(approval.withdrawal.as_str())) {
        problems.push(format!(
            "{}: a phone was told that it is accepted, and the gateway does not list it",
            approval.withdrawal
        ));
    }
    problems
}

/// One withdrawal on all sides.
fn one(
    state: State,
    dispensed: Amount,
    left: Amount,
    hold: Option<&HoldBooks>,
    told: Option<(State, Amount)>,
) -> Vec<String> {
    let mut problems = Vec::new();
    let ended = !matches!(state, State::Open | State::Suspect);
    if ended && dispensed != left {
        problems.push(format!("the gateway says that {dispensed} left, and {left} left the machine"));
    }
    let standing = hold.map(|hold| hold.status);
    let fits = match state {
        State::Confirmed => standing == Some(Standing::Confirmed),
        // A reversal of what never reached core banking is remembered there; a hold that was never asked for is not known at all.
        State::Reversed => matches!(standing, Some(Standing::Reversed | Standing::Declined) | None),
        State::Declined => matches!(standing, Some(Standing::Declined) | None),
        State::Open | State::Suspect => true,
    };
    if !fits {
        problems.push(format!("the gateway says {state:?}, core banking {standing:?}"));
    }
    let booked = hold.map_or(0, |hold| hold.confirmed);
    if ended && booked != left {
        problems.push(format!("core banking booked {booked}, and {left} left the machine"));
    }
    if let Some((told_state, told_amount)) = told.filter(|_| ended)
        && (told_state, told_amount) != (state, dispensed)
    {
        problems.push(format!(
            "the phone was told {told_state:?} with {told_amount}, the gateway lists {state:?} with {dispensed}"
        ));
    }
    problems
}

/// Approvals as phones know them against what the gateway lists.
fn approvals(sides: &Sides) -> Vec<String> {
    let listed: BTreeMap<&str, (&str, Amount)> =
        sides.gateway.iter().map(|one| (one.withdrawal.as_str(), (one.account.as_str(), one.amount))).collect();
    let mut problems = Vec::new();
    for approval in &sides.phones.approvals {
        let approved = (approval.account.as_str(), approval.amount);
        if let Some(other) = listed.get(approval.withdrawal.as_str()).filter(|one| **one != approved) {
            problems.push(format!("{}: approved as {approved:?}, listed as {other:?}", approval.withdrawal));
        }
    }
    problems
}

/// Account by account: what core banking holds and booked against what left the machines.
fn accounts(sides: &Sides, cash: &BTreeMap<&str, Amount>) -> Vec<String> {
    let mut by_account: BTreeMap<&str, (Amount, Amount)> = BTreeMap::new();
    for listed in &sides.gateway {
        let (left, ended) = by_account.entry(listed.account.as_str()).or_default();
        let cash = cash.get(listed.withdrawal.as_str()).copied().unwrap_or(0);
        *left = left.saturating_add(cash);
        if !matches!(listed.state, State::Open | State::Suspect) {
            *ended = ended.saturating_add(cash);
        }
    }
    let mut problems = Vec::new();
    for books in &sides.accounts {
        let account = &books.account;
        let (left, ended) = by_account.remove(account.as_str()).unwrap_or_default();
        if Some(books.opening) != books.balance.checked_add(books.held).and_then(|sum| sum.checked_add(books.confirmed))
        {
            problems.push(format!(
                "account {account}: opened with {}, and has {} + {} held + {} booked",
                books.opening, books.balance, books.held, books.confirmed
            ));
        }
        if books.confirmed != ended {
            problems.push(format!(
                "account {account}: core banking booked {}, and {ended} left the machines",
                books.confirmed
            ));
        }
        if left > books.confirmed.saturating_add(books.held) {
            problems.push(format!(
                "account {account}: {left} left the machines, and core banking has only {} booked and {} aside",
                books.confirmed, books.held
            ));
        }
    }
    problems.extend(by_account.keys().map(|account| format!("account {account}: core banking has no such account")));
    problems
}

fn totals(sides: &Sides, cash: &BTreeMap<&str, Amount>) -> Totals {
    let count = |state| sides.gateway.iter().filter(|listed| listed.state == state).count();
    let told = sides.phones.ends.values().map(|(_, dispensed)| *dispensed);
    Totals {
        withdrawals: sides.gateway.len(),
        confirmed: count(State::Confirmed),
        reversed: count(State::Reversed),
        declined: count(State::Declined),
        suspect: count(State::Suspect),
        open: count(State::Open),
        gateway_dispensed: sum(sides.gateway.iter().map(|listed| listed.dispensed)),
        machines_paid: sum(cash.values().copied()),
        bank_confirmed: sum(sides.accounts.iter().map(|books| books.confirmed)),
        bank_held: sum(sides.accounts.iter().map(|books| books.held)),
        phones_told: sum(told),
        accounts: sides.accounts.len(),
    }
}

fn sum(amounts: impl Iterator<Item = Amount>) -> Amount {
    amounts.fold(0, Amount::saturating_add)
}
