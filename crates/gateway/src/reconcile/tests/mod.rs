//! The comparison as tables: what each side has, and what is found.

mod files;
mod judgements;
mod sums;

use std::time::Duration;

use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::time::Timestamp;

use super::book::{Book, BookState, Entry};
use super::comparison::Comparison;
use super::counter::Counter;
use super::posting::{AccountMark, Posting, Standing};
use super::{Finding, Plan, Reconciliation, Window};

const HOUR: u64 = 3_600_000;
/// When every withdrawal here was approved.
const APPROVED_AT: u64 = 1_795_000_000_000;
const NOW: u64 = APPROVED_AT + HOUR / 2;

/// The nth withdrawal of a test, of which all are approved at the same moment.
fn id(n: u8) -> WithdrawalId {
    let [_, _, a, b, c, d, e, f] = APPROVED_AT.to_be_bytes();
    WithdrawalId::from_bytes([a, b, c, d, e, f, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, n])
}

fn yen(amount: u64) -> Money {
    Money::from_minor_units(amount, Currency::JPY).unwrap()
}

/// A withdrawal of 30,000 yen at A1, whose last step was at once.
fn withdrawal(n: u8, state: BookState, dispensed: u64) -> Entry {
    Entry {
        id: id(n),
        institution: "sakura".parse().unwrap(),
        atm: "A1".parse().unwrap(),
        account: AccountMark::of("acct-1"),
        state,
        approved: yen(30_000),
        dispensed,
        granted: !matches!(state, BookState::HoldRequested | BookState::Declined),
        approved_at: Timestamp::from_unix_ms(APPROVED_AT),
        changed_at: Timestamp::from_unix_ms(APPROVED_AT),
        posting: None,
        counter: None,
    }
}

fn posting(standing: Standing, held: u64, confirmed: u64) -> Posting {
    Posting {
        standing,
        held,
        confirmed,
        currency: Some(Currency::JPY),
        posted_at_unix_ms: None,
        line: 2,
        account: Some(AccountMark::of("acct-1")),
    }
}

fn counter(presented: u64, retracted: impl Into<Option<u64>>) -> Counter {
    Counter { presented, retracted: retracted.into(), currency: Some(Currency::JPY), line: 2 }
}

fn plan() -> Plan {
    Plan {
        institution: None,
        window: Window::default(),
        now: Timestamp::from_unix_ms(NOW),
        suspects_older_than: Duration::from_secs(24 * 3_600),
        open_longer_than: Duration::from_secs(3_600),
    }
}

/// Compares books with rows of both other sides; the ATM's rows come with the machine.
fn compared(
    plan: &Plan,
    books: Vec<Entry>,
    postings: Vec<(WithdrawalId, Posting)>,
    counters: Vec<(&str, WithdrawalId, Counter)>,
) -> Reconciliation {
    let mut comparison = Comparison::new(Book::of(books), plan).unwrap();
    postings.into_iter().for_each(|row| comparison.core_banking_has(row));
    counters.into_iter().for_each(|(atm, id, counter)| comparison.atm_has((atm.parse().unwrap(), id, counter)));
    comparison.finish()
}

/// Kinds, with the differences.
fn in_short(findings: &[Finding]) -> Vec<(&'static str, Option<i64>)> {
    findings.iter().map(|finding| (finding.kind.name(), finding.difference_minor_units)).collect()
}
