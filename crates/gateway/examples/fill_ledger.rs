//! Fills a ledger so that a restart can be measured: `fill_ledger LEDGER OPEN ATMS NOW_UNIX_MS [CLOSED DAYS]`. Open withdrawals are as a core
//! bank's outage or a power cut leaves them behind; closed ones were paid out, evenly over the days before. Every history is legal: it is made
//! by the rules themselves.

#![allow(clippy::print_stdout, reason = "a tool that says what it did")]

use std::path::Path;

use cashgate_gateway::lanes::step_record;
use cashgate_ledger::{Ledger, LedgerOptions, StepRecord};
use cashgate_withdrawal::dispense::{DispenseCommand, EvidenceSource, NoteCount, Outcome, OutcomeReport};
use cashgate_withdrawal::event::{Event, ReversalCause};
use cashgate_withdrawal::evidence::EvidenceGrade;
use cashgate_withdrawal::ids::{KeyId, Nonce, QrSessionId, WithdrawalId};
use cashgate_withdrawal::lane::Record;
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::step;
use cashgate_withdrawal::time::{CalendarDay, Timestamp};
use cashgate_withdrawal::withdrawal::{Decision, Terms, Withdrawal};
use tokio::task::JoinSet;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Appends that wait for the same sync.
const AT_ONCE: usize = 512;
/// Withdrawals that one append carries, with five steps each at most.
const PER_APPEND: u64 = 12;
/// Accounts that the withdrawals are spread over.
const ACCOUNTS: u64 = 50_000;
/// All were approved within this time before now: later than the outcome deadline none would still wait for its ATM.
const WITHIN_MS: u64 = 300_000;
const MS_A_DAY: u64 = 24 * 3_600 * 1_000;
const AMOUNT: i64 = 10_000;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (ledger, open, atms, now, closed, days) = match arguments.as_slice() {
        [ledger, open, atms, now] => (ledger, open, atms, now, "0", "1"),
        [ledger, open, atms, now, closed, days] => (ledger, open, atms, now, closed.as_str(), days.as_str()),
        _ => return Err("fill_ledger LEDGER OPEN ATMS NOW_UNIX_MS [CLOSED DAYS]".into()),
    };
    let (open, atms, now) = (open.parse::<u64>()?, atms.parse::<u64>()?.max(1), now.parse::<u64>()?);
    let (closed, days) = (closed.parse::<u64>()?, days.parse::<u64>()?);
    let ledger = Ledger::open(Path::new(ledger), LedgerOptions::default())?;
    let (began, time) = (now - WITHIN_MS - days * MS_A_DAY, days * MS_A_DAY);
    fill(&ledger, closed, |index| paid(index, index % atms, began + time * index / closed)).await?;
    fill(&ledger, open, |index| history(index, index % atms, now - WITHIN_MS + WITHIN_MS * index / open)).await?;
    for count in ledger.reader().open_counts_by_state()? {
        println!("{:>8} {}", count.count, count.state);
    }
    Ok(ledger.close().await?)
}

/// Appends so many withdrawals.
async fn fill(
    ledger: &Ledger,
    many: u64,
    history: impl Fn(u64) -> Result<Vec<StepRecord>, Failure>,
) -> Result<(), Failure> {
    let mut appending = JoinSet::new();
    for first in (0..many).step_by(usize::try_from(PER_APPEND)?) {
        let mut steps: Vec<StepRecord> = Vec::new();
        for index in first..many.min(first + PER_APPEND) {
            steps.extend(history(index)?);
        }
        while appending.len() >= AT_ONCE {
            appending.join_next().await.transpose()?.transpose()?;
        }
        let ledger = ledger.clone();
        appending.spawn(async move { ledger.append(steps).await });
    }
    while let Some(appended) = appending.join_next().await {
        appended??;
    }
    Ok(())
}

/// One withdrawal's steps up to a state in which it stays open: of ten, five wait for their ATM, three for core banking to confirm, one for
/// it to reverse, and of one the outcome is unknown.
fn history(index: u64, atm: u64, approved_at_ms: u64) -> Result<Vec<StepRecord>, Failure> {
    let at = Timestamp::from_unix_ms(approved_at_ms);
    let terms = terms(index, atm, at)?;
    let amount = terms.amount;
    let [granted, commanded] = until_commanded(index, &terms)?;
    let events = match index % 10 {
        0..5 => vec![granted, commanded],
        5..8 => vec![granted, commanded, Event::OutcomeReported { report: report(Outcome::Dispensed, amount, at)? }],
        8 => vec![granted, Event::Abandoned { cause: ReversalCause::AtmUnavailable }],
        _ => vec![granted, commanded, Event::OutcomeReported { report: report(Outcome::Unknown, amount, at)? }],
    };
    recorded(terms, events, at)
}

/// One withdrawal's steps from its approval to its end: all was paid.
fn paid(index: u64, atm: u64, approved_at_ms: u64) -> Result<Vec<StepRecord>, Failure> {
    let at = Timestamp::from_unix_ms(approved_at_ms);
    let terms = terms(index, atm, at)?;
    let [granted, commanded] = until_commanded(index, &terms)?;
    let reported = Event::OutcomeReported { report: report(Outcome::Dispensed, terms.amount, at)? };
    recorded(terms, vec![granted, commanded, reported, Event::HoldConfirmed], at)
}

fn until_commanded(index: u64, terms: &Terms) -> Result<[Event; 2], Failure> {
    let granted = Event::HoldGranted { hold: format!("hold-{index}").parse()? };
    let start_before = Timestamp::from_unix_ms(terms.approved_at.unix_ms() + 30_000);
    let (withdrawal, amount) = (terms.withdrawal, terms.amount);
    let command = DispenseCommand { withdrawal, amount, start_before, dispense_token: None };
    Ok([granted, Event::DispenseCommanded { command }])
}

/// The steps that the rules make of these events.
fn recorded(terms: Terms, events: Vec<Event>, at: Timestamp) -> Result<Vec<StepRecord>, Failure> {
    let mut after = Withdrawal::open(terms).0;
    let mut records = vec![Record { number: 1, at, event: None, after: after.clone() }];
    for (event, number) in events.into_iter().zip(2..) {
        after = step(after, event.clone(), at)?.0;
        records.push(Record { number, at, event: Some(event), after: after.clone() });
    }
    Ok(records.iter().map(step_record).collect())
}

fn terms(index: u64, atm: u64, at: Timestamp) -> Result<Terms, Failure> {
    let account = index % ACCOUNTS;
    Ok(Terms {
        withdrawal: WithdrawalId::from_bytes(id(index, at)),
        institution: if account.is_multiple_of(2) { "sakura" } else { "momiji" }.parse()?,
        account: format!("acct-{account}").parse()?,
        device: format!("phone-{account}").parse()?,
        atm: format!("A{atm}").parse()?,
        qr_session: QrSessionId::from_bytes(id(index, at)),
        nonce: Nonce(id(index, at)),
        amount: Money::new(AMOUNT, "JPY".parse()?)?,
        approved_at: at,
        decision: Decision {
            policy_version: "builtin".to_owned(),
            rules: Vec::new(),
            facts: String::new(),
            limit_figures: "10000 of 200000 JPY, 10000 of 500000 JPY today, 1 of 10 today".to_owned(),
            key: KeyId([0, 1, 2, 3]),
            day: CalendarDay(i32::try_from(at.unix_ms() / MS_A_DAY)?),
            confirm_code: false,
            machine_location: None,
        },
        command_nonce: None,
        evidence_demanded: EvidenceGrade::C,
    })
}

/// In the order of time, as UUIDs of version 7 are.
fn id(index: u64, at: Timestamp) -> [u8; 16] {
    let (ms, index) = (at.unix_ms().to_be_bytes(), index.to_be_bytes());
    let [_, _, ms @ ..] = ms;
    let [a, b, c, d, e, f] = ms;
    let [_, g, h, i, j, k, l, m] = index;
    [a, b, c, d, e, f, 0x70, 0, 0x80, g, h, i, j, k, l, m]
}

fn report(outcome: Outcome, amount: Money, at: Timestamp) -> Result<OutcomeReport, Failure> {
    let presented = if outcome == Outcome::Dispensed { amount } else { Money::zero(amount.currency()) };
    let notes = NoteCount { denomination: amount, count: 1 };
    Ok(OutcomeReport {
        outcome,
        presented,
        retracted: None,
        presented_notes: if presented == amount { vec![notes] } else { vec![] },
        retracted_notes: vec![],
        evidence: EvidenceSource::PresentStatus,
        detail: String::new(),
        observed_at: at,
        present: None,
    })
}
