//! The rows of the other sides find their withdrawals; what is left over on any side is a finding.

use cashgate_withdrawal::ids::{AtmId, InstitutionId, WithdrawalId};
use cashgate_withdrawal::money::Currency;

use super::book::{Book, Entry};
use super::counter::Counter;
use super::finding::{Finding, Kind, Row, signed};
use super::judging::{self, Stage};
use super::posting::Posting;
use super::summary::Summary;
use super::{Plan, ReconcileError, Reconciliation};

/// A comparison in progress.
pub(super) struct Comparison<'a> {
    plan: &'a Plan,
    book: Book,
    /// Whose books are compared; `None` when there are none.
    institution: Option<InstitutionId>,
    findings: Vec<Finding>,
    summary: Summary,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(book: Book, plan: &'a Plan) -> Result<Self, ReconcileError> {
        let institution = whose(&book, plan)?;
        Ok(Self { plan, book, institution, findings: Vec::new(), summary: Summary::default() })
    }

    /// A row of core banking.
    pub(super) fn core_banking_has(&mut self, (id, posting): (WithdrawalId, Posting)) {
        self.summary.rows.core_banking += 1;
        let known = self.book.entry_mut(id);
        if known.is_none() && !self.plan.window.holds(id) {
            self.summary.rows.outside_the_window += 1;
            return;
        }
        let institution = self.institution.as_ref();
        let own = known.filter(|entry| Some(&entry.institution) == institution);
        let kind = match own {
            Some(entry) if !fits(posting.currency, entry) => Kind::ExtraAtCoreBanking,
            Some(entry) if entry.posting.is_some() => Kind::DuplicateAtCoreBanking,
            Some(entry) => {
                entry.posting = Some(posting);
                return;
            }
            None => Kind::ExtraAtCoreBanking,
        };
        let known = self.book.entry_mut(id).filter(|entry| Some(&entry.institution) == institution);
        self.summary.count_posting(&posting);
        self.findings.push(Finding::row(kind, id, known.as_deref(), Row::Posting(posting)));
    }

    /// A row of an ATM. Machines serve every institution, so rows of the others' withdrawals are passed over.
    pub(super) fn atm_has(&mut self, (atm, id, counter): (AtmId, WithdrawalId, Counter)) {
        self.summary.rows.atms += 1;
        let institution = self.institution.as_ref();
        let known = self.book.entry_mut(id);
        match &known {
            None if !self.plan.window.holds(id) => {
                self.summary.rows.outside_the_window += 1;
                return;
            }
            Some(entry) if Some(&entry.institution) != institution => {
                self.summary.rows.of_other_institutions += 1;
                return;
            }
            _ => {}
        }
        let kind = match known {
            Some(entry) if entry.atm != atm || !fits(counter.currency, entry) => Kind::ExtraAtAtm,
            Some(entry) if entry.counter.is_some() => Kind::DuplicateAtAtm,
            Some(entry) => {
                entry.counter = Some(counter);
                return;
            }
            None => Kind::ExtraAtAtm,
        };
        self.summary.count_counter(&counter);
        let known = self.book.entry_mut(id);
        self.findings.push(Finding::row(kind, id, known.as_deref(), Row::Counter(atm, counter)));
    }

    /// The rest: every withdrawal with what was found of it.
    pub(super) fn finish(mut self) -> Reconciliation {
        let compared = self.book.entries().iter().filter(|entry| Some(&entry.institution) == self.institution.as_ref());
        for entry in compared {
            let stage = Stage::of(entry, self.plan);
            self.summary.count(entry, stage);
            let settled = stage == Stage::Settled;
            let dispensed = signed(entry.dispensed);
            let core_banking = judging::at_core_banking(entry, stage).map(|kind| {
                let booked = entry.posting.map_or(0, |posting| posting.confirmed);
                (kind, settled.then_some(signed(booked) - dispensed))
            });
            let atm = judging::at_atm(entry, stage).map(|kind| {
                let out = entry.counter.and_then(|counter| counter.stayed_out()).unwrap_or(0);
                (kind, settled.then_some(signed(out) - dispensed))
            });
            let overdue = judging::overdue(entry, stage, self.plan).map(|kind| (kind, None));
            let found = [core_banking, atm, overdue].into_iter().flatten();
            self.findings.extend(found.map(|(kind, difference)| Finding::of(kind, entry, difference)));
        }
        self.findings.sort_by_key(|finding| (finding.withdrawal, finding.kind));
        self.findings.iter().for_each(|finding| self.summary.count_finding(finding));
        Reconciliation { findings: self.findings, summary: self.summary }
    }
}

/// Nothing is nothing in every currency.
fn fits(currency: Option<Currency>, entry: &Entry) -> bool {
    currency.is_none_or(|currency| currency == entry.approved.currency())
}

fn whose(book: &Book, plan: &Plan) -> Result<Option<InstitutionId>, ReconcileError> {
    if plan.institution.is_some() {
        return Ok(plan.institution.clone());
    }
    let mut all = book.institutions().into_iter();
    match (all.next(), all.next()) {
        (only, None) => Ok(only.cloned()),
        _ => {
            let institutions: Vec<&str> = book.institutions().into_iter().map(InstitutionId::as_str).collect();
            Err(ReconcileError::WhoseFile { institutions: institutions.join(" and ") })
        }
    }
}
