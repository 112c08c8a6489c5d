//! A machine: what it does with notes, what it writes down, and what it says.
//!
//! Written down is what survives a power cut: a command before a note moves, and the report before it is sent.

use std::collections::{BTreeMap, BTreeSet};

use cashgate_withdrawal::dispense::{DispenseCommand, EvidenceSource, NoteCount, Outcome, OutcomeReport};
use cashgate_withdrawal::evidence::DispenseToken;
use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::Timestamp;

use crate::dispenser::Dispenser;
use crate::names::yen;

/// One machine.
#[derive(Debug)]
pub(crate) struct Atm {
    pub(crate) powered: bool,
    /// How often it was switched on; what was under way before does not go on after.
    pub(crate) boot: u32,
    /// The connection that it believes in.
    pub(crate) link: Option<u64>,
    pub(crate) welcomed: bool,
    /// Its clock less the true one.
    pub(crate) clock_error_ms: i64,
    /// Which visit's customer stands in front of it.
    pub(crate) customer: Option<usize>,
    papers: BTreeMap<WithdrawalId, Paper>,
    /// What the gateway refused on this connection; repeating it would only be refused again.
    pub(crate) refused: BTreeSet<WithdrawalId>,
    pub(crate) presenting: Option<WithdrawalId>,
    pub(crate) dispenser: Dispenser,
    /// Whether it declared its dispenser's end-to-end security on this connection.
    pub(crate) declares: bool,
}

/// What a machine has written down of one command.
#[derive(Clone, Debug)]
pub(crate) struct Paper {
    pub(crate) amount: Money,
    pub(crate) report: Option<OutcomeReport>,
    pub(crate) acknowledged: bool,
    /// What an unknown outcome turns out to have been, once somebody looks again.
    pub(crate) truth: Option<OutcomeReport>,
    /// Whether a dispense token came with the command, so that the dispenser can be asked about it.
    pub(crate) with_token: bool,
    /// It says that nothing left, whatever did, and never shows what its dispenser says.
    pub(crate) denies: bool,
    /// It says so already while the notes lie on the stacker.
    pub(crate) denies_early: bool,
}

/// What became of the notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Dispensed,
    Partial(u64),
    Jammed { proven: bool },
    Retracted { presented: u64, back: u64, counted: bool },
}

impl Atm {
    pub(crate) const fn new(dispenser: Dispenser) -> Self {
        Self {
            powered: true,
            boot: 0,
            link: None,
            welcomed: false,
            clock_error_ms: 0,
            customer: None,
            papers: BTreeMap::new(),
            refused: BTreeSet::new(),
            presenting: None,
            declares: dispenser.secured,
            dispenser,
        }
    }

    /// Takes a command. Gives the report to send at once, or nothing while notes are to be moved.
    pub(crate) fn commanded(&mut self, command: &DispenseCommand, now_ms: u64) -> Option<OutcomeReport> {
        if let Some(known) = self.papers.get(&command.withdrawal) {
            return known.report.clone();
        }
        let clock = now_ms.saturating_add_signed(self.clock_error_ms);
        let token = command.dispense_token.as_ref().map(DispenseToken::as_str);
        let in_time = clock < command.start_before.unix_ms() && self.presenting.is_none();
        let begins = in_time && self.dispenser.accepts(token, command.amount.minor_units());
        let report = (!begins).then(|| report(Outcome::NotDispensed, 0, None, EvidenceSource::LastCommandRecord));
        let paper = Paper { report: report.clone(), with_token: token.is_some(), ..Paper::of(command.amount) };
        self.papers.insert(command.withdrawal, paper);
        if begins {
            self.presenting = Some(command.withdrawal);
        }
        report
    }

    /// Answers a question. A command that it never heard of it will never carry out: it writes that down, and the record is the evidence.
    pub(crate) fn asked(&mut self, withdrawal: WithdrawalId, with_status: bool) -> Option<OutcomeReport> {
        let nothing = || report(Outcome::NotDispensed, 0, None, EvidenceSource::LastCommandRecord);
        let never = || Paper { report: Some(nothing()), with_token: with_status, ..Paper::of(yen(0)) };
        let paper = self.papers.entry(withdrawal).or_insert_with(never);
        if paper.denies_early && paper.report.is_none() {
            return Some(nothing());
        }
        if let Some(truth) = paper.truth.take() {
            paper.report = Some(truth);
            paper.acknowledged = false;
        }
        paper.report.clone()
    }

    /// The notes have come to their fate; the report is written down before it is sent.
    pub(crate) fn writes_down(&mut self, withdrawal: WithdrawalId, said: OutcomeReport) {
        if let Some(paper) = self.papers.get_mut(&withdrawal) {
            paper.report = Some(said);
            paper.acknowledged = false;
        }
        if self.presenting == Some(withdrawal) {
            self.presenting = None;
        }
    }

    /// The power is gone while notes were under way: it will not know what became of them, at first.
    pub(crate) fn loses_track(&mut self, withdrawal: WithdrawalId, truth: Option<OutcomeReport>) {
        self.writes_down(withdrawal, report(Outcome::Unknown, 0, None, EvidenceSource::LastCommandRecord));
        if let Some(truth) = truth {
            self.learns(withdrawal, truth);
        }
    }

    /// What it will say when it is asked again.
    pub(crate) fn learns(&mut self, withdrawal: WithdrawalId, truth: OutcomeReport) {
        if let Some(paper) = self.papers.get_mut(&withdrawal) {
            paper.truth = Some(truth);
        }
    }

    pub(crate) fn acknowledged(&mut self, withdrawal: WithdrawalId) {
        if let Some(paper) = self.papers.get_mut(&withdrawal) {
            paper.acknowledged = true;
        }
    }

    pub(crate) fn paper_mut(&mut self, withdrawal: WithdrawalId) -> Option<&mut Paper> {
        self.papers.get_mut(&withdrawal)
    }

    pub(crate) fn paper(&self, withdrawal: WithdrawalId) -> Option<&Paper> {
        self.papers.get(&withdrawal)
    }

    /// What nobody has acknowledged yet, at most as many as one Hello takes.
    pub(crate) fn unresolved(&self) -> Vec<(WithdrawalId, OutcomeReport)> {
        let open = self.papers.iter().filter(|(_, paper)| !paper.acknowledged);
        open.filter_map(|(id, paper)| paper.report.clone().map(|report| (*id, report))).take(64).collect()
    }

    /// A machine that learned what an unknown outcome was says so when it is asked again, not by itself.
    pub(crate) fn repeats(&self) -> Vec<(WithdrawalId, OutcomeReport)> {
        self.unresolved().into_iter().filter(|(id, _)| !self.refused.contains(id)).collect()
    }
}

impl Paper {
    const fn of(amount: Money) -> Self {
        Self {
            amount,
            report: None,
            acknowledged: false,
            truth: None,
            with_token: false,
            denies: false,
            denies_early: false,
        }
    }
}

impl Fate {
    /// What was in front of the customer, and what the customer has in the end.
    pub(crate) fn notes(self, amount: u64) -> (u64, u64) {
        match self {
            Self::Dispensed => (amount, amount),
            Self::Partial(left) => (left, left),
            Self::Jammed { .. } => (0, 0),
            Self::Retracted { presented, back, .. } => (presented, presented.saturating_sub(back)),
        }
    }

    /// How an honest machine reports it.
    pub(crate) fn report(self, amount: u64) -> OutcomeReport {
        let status = EvidenceSource::PresentStatus;
        match self {
            Self::Dispensed => report(Outcome::Dispensed, amount, None, status),
            Self::Partial(left) => report(Outcome::PartiallyDispensed, left, None, status),
            Self::Jammed { proven: true } => report(Outcome::NotDispensed, 0, None, status),
            Self::Jammed { proven: false } => report(Outcome::NotDispensed, 0, None, EvidenceSource::BareWord),
            Self::Retracted { presented, back, counted } => {
                report(Outcome::Retracted, presented, counted.then_some(back), status)
            }
        }
    }
}

pub(crate) fn report(
    outcome: Outcome,
    presented: u64,
    retracted: Option<u64>,
    evidence: EvidenceSource,
) -> OutcomeReport {
    OutcomeReport {
        outcome,
        presented: yen(presented),
        retracted: retracted.map(yen),
        presented_notes: notes(presented),
        retracted_notes: notes(retracted.unwrap_or(0)),
        evidence,
        detail: String::new(),
        observed_at: Timestamp::from_unix_ms(0),
        present: None,
    }
}

/// All notes of these worlds are worth 10,000 yen.
fn notes(amount: u64) -> Vec<NoteCount> {
    let count = u32::try_from(amount / 10_000).unwrap_or(0);
    if count == 0 { Vec::new() } else { vec![NoteCount { denomination: yen(10_000), count }] }
}
