//! What an ATM can report.

use cashgate_withdrawal::dispense::{EvidenceSource, Outcome, OutcomeReport};
use cashgate_withdrawal::evidence::{PresentEvidence, PresentFinding};
use cashgate_withdrawal::time::Timestamp;

use super::yen;

pub(crate) fn report(outcome: Outcome, presented: u64, retracted: Option<u64>) -> OutcomeReport {
    OutcomeReport {
        outcome,
        presented: yen(presented),
        retracted: retracted.map(yen),
        presented_notes: vec![],
        retracted_notes: vec![],
        evidence: EvidenceSource::LastCommandRecord,
        detail: String::new(),
        observed_at: Timestamp::from_unix_ms(0),
        present: None,
    }
}

pub(crate) fn dispensed(amount: u64) -> OutcomeReport {
    report(Outcome::Dispensed, amount, None)
}

pub(crate) fn partially_dispensed(amount: u64) -> OutcomeReport {
    report(Outcome::PartiallyDispensed, amount, None)
}

pub(crate) fn nothing_dispensed() -> OutcomeReport {
    report(Outcome::NotDispensed, 0, None)
}

/// The bare word of a message, which proves nothing.
pub(crate) fn nothing_dispensed_unproven() -> OutcomeReport {
    OutcomeReport { evidence: EvidenceSource::BareWord, ..nothing_dispensed() }
}

pub(crate) fn retracted(presented: u64, counted_back: Option<u64>) -> OutcomeReport {
    report(Outcome::Retracted, presented, counted_back)
}

pub(crate) fn outcome_unknown() -> OutcomeReport {
    report(Outcome::Unknown, 0, None)
}

/// A report with a present token that nobody has verified yet.
pub(crate) fn with_token(mut report: OutcomeReport) -> OutcomeReport {
    report.present = Some(PresentEvidence::unverified("NONCE=1,PRESENTED1=YES".parse().unwrap()));
    report
}

/// The same, verified.
pub(crate) fn verified(mut report: OutcomeReport, finding: PresentFinding) -> OutcomeReport {
    report.present = report.present.map(|present| PresentEvidence { finding, ..present });
    report
}
