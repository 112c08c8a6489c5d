//! What must be true when the world has healed: everything has ended, and three sets of books say the same.

use std::collections::{BTreeMap, BTreeSet};

use super::Checker;
use super::settling::{Owed, judge_book};
use super::trail::{Settlement, Trail};
use super::verdict::{Finding, Judgement, Rule, Violation, broken, broken_by_none};
use crate::boundary::{AccountNo, Book, Closing, Standing, WithdrawalNo};

impl Checker {
    /// Judges how everything ended: after the world healed, and a person who knows the truth resolved every suspect.
    ///
    /// # Errors
    ///
    /// Every rule that turns out to be broken, in no order of importance.
    pub fn conclude(&self, closing: &Closing) -> Result<(), Vec<Violation>> {
        let mut violations: Vec<Violation> = self.owed().map(Owed::violation).into_iter().collect();
        let mut note = |judgement: Judgement| violations.extend(judgement.err().map(|finding| finding.at(self.now_ms)));
        let mut in_books = BTreeSet::new();
        for book in &closing.books {
            if !in_books.insert(book.withdrawal) {
                note(broken(Rule::Twelve, book.withdrawal, || "it is in the gateway's books twice".to_owned()));
            }
            self.judge_end(book, &mut note);
        }
        for (withdrawal, trail) in &self.trails {
            if !in_books.contains(withdrawal) {
                note(judge_absent(*withdrawal, trail));
            }
        }
        self.judge_accounts(closing, &mut note);
        for (account, reserved) in closing.reserved.iter().filter(|(_, reserved)| *reserved > 0) {
            note(broken_by_none(Rule::Eight, || {
                format!("{reserved} yen of account {account} are reserved although everything has ended")
            }));
        }
        for (number, sequence) in (1..).zip(&closing.sequence) {
            if number != *sequence {
                note(broken_by_none(Rule::Sequence, || {
                    format!("what became durable as number {number} has {sequence}")
                }));
                break;
            }
        }
        self.judge_alarms(&mut note);
        self.judge_memories(&closing.memories, &mut note);
        for place in &closing.secrets_found {
            note(broken_by_none(Rule::Eleven, || format!("a PIN block was found: {place}")));
        }
        if violations.is_empty() { Ok(()) } else { Err(violations) }
    }

    fn judge_end(&self, book: &Book, note: &mut impl FnMut(Judgement)) {
        let unseen = Trail::default();
        let trail = self.trails.get(&book.withdrawal).unwrap_or(&unseen);
        note(judge_book(trail, book));
        let end = match book.standing {
            Standing::Open | Standing::Suspect => {
                return note(broken(Rule::Liveness, book.withdrawal, || {
                    format!("it is still {:?} after everything healed", book.standing)
                }));
            }
            Standing::Confirmed(amount) => Settlement::Confirm(amount),
            Standing::Declined | Standing::Reversed => Settlement::Reverse,
        };
        note(judge_acknowledged(trail, book, end));
        if !trail.deceived {
            note(judge_against_postings(trail, book, end));
        }
        let decided_freely = trail.decision.is_some() && !trail.posted_before_decision;
        if decided_freely || !self.is_lying(trail.atm()) {
            note(judge_against_cash(trail, book));
        }
    }

    /// Rule 12: the sums of the accounts, counted once from postings and once from the gateway's books.
    fn judge_accounts(&self, closing: &Closing, note: &mut impl FnMut(Judgement)) {
        let deceived: BTreeSet<AccountNo> = self
            .trails
            .values()
            .filter(|trail| trail.deceived)
            .filter_map(|trail| trail.account_and_amount().map(|(account, _)| account))
            .collect();
        let mut by_books: BTreeMap<AccountNo, u64> = self.accounts.keys().map(|account| (*account, 0)).collect();
        for book in &closing.books {
            let sum = by_books.entry(book.account).or_default();
            if let Standing::Confirmed(amount) = book.standing {
                *sum = sum.saturating_add(amount);
            }
        }
        for (account, sum) in by_books {
            let postings = self.accounts.get(&account).copied().unwrap_or_default();
            note(postings.judge(account));
            if sum != postings.confirmed && !deceived.contains(&account) {
                note(broken_by_none(Rule::Twelve, || {
                    format!(
                        "account {account}: the gateway's books have {sum} yen confirmed, core banking {}",
                        postings.confirmed
                    )
                }));
            }
        }
    }
}

/// A withdrawal that is not in the books must have left no trace.
fn judge_absent(withdrawal: WithdrawalNo, trail: &Trail) -> Judgement {
    if trail.approval.is_some() || trail.outcome_acknowledged || trail.decision.is_some() {
        return broken(Rule::Ten, withdrawal, || "it was acknowledged and is not in the gateway's books".to_owned());
    }
    if trail.terms.is_some() || trail.asked.is_some() || trail.command.is_some() {
        return broken(Rule::Three, withdrawal, || "the gateway acted for it and has it not in its books".to_owned());
    }
    Ok(())
}

/// Rule 10: the end is the one that was acknowledged to a person, or else to the machine.
fn judge_acknowledged(trail: &Trail, book: &Book, end: Settlement) -> Judgement {
    let acknowledged = trail.decision.or(trail.evidence.settled.map(Settlement::for_amount_left));
    match acknowledged {
        // A person's decision counts from when it reached the gateway, also if its answer was lost.
        Some(acknowledged) if acknowledged != end && !trail.wanted.contains(&end) => {
            broken(Rule::Ten, book.withdrawal, || {
                format!("what was acknowledged was {acknowledged}, it ended as {:?}", book.standing)
            })
        }
        _ => Ok(()),
    }
}

/// Rules 7 and 12, withdrawal by withdrawal, against core banking.
fn judge_against_postings(trail: &Trail, book: &Book, end: Settlement) -> Judgement {
    let found = |rule, what: &str| -> Judgement {
        let standing = book.standing;
        Err(Finding { rule, withdrawal: Some(book.withdrawal), what: format!("it ended as {standing:?}, {what}") })
    };
    match (trail.held, trail.posted_end) {
        (None, _) if end == Settlement::Reverse => Ok(()),
        (None, _) => found(Rule::Seven, "but core banking never held anything"),
        (Some(_), None) => found(Rule::Seven, "but core banking still holds the money"),
        (Some(_), Some(Settlement::Reverse)) if book.standing == Standing::Reversed => Ok(()),
        (Some(_), Some(Settlement::Reverse)) => found(Rule::Seven, "but core banking reversed the hold"),
        (Some(_), Some(posted)) if posted == end => Ok(()),
        (Some(_), Some(Settlement::Confirm(amount))) => {
            let rule = if end == Settlement::Reverse { Rule::Seven } else { Rule::Twelve };
            found(rule, &format!("but core banking confirmed {amount} yen"))
        }
    }
}

/// Rule 12 against what the customer has.
fn judge_against_cash(trail: &Trail, book: &Book) -> Judgement {
    let confirmed = if let Standing::Confirmed(amount) = book.standing { amount } else { 0 };
    let cash = trail.cash_left();
    if cash == confirmed {
        return Ok(());
    }
    broken(Rule::Twelve, book.withdrawal, || format!("the customer has {cash} yen, it ended as {:?}", book.standing))
}
