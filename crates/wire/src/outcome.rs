//! Outcome reports and the notes in them.

use cashgate_withdrawal::dispense::{EVIDENCE_DETAIL_LENGTH_MAX, EvidenceSource, NoteCount, Outcome, OutcomeReport};
use cashgate_withdrawal::evidence::PresentEvidence;
use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::refusal::Refusal;

use crate::fields::{id, invalid, moment, money_to, optional_id, positive_money, text, unix_ms};
use crate::proto::withdrawal::v1 as pb;

/// The most denominations in one list of notes.
const NOTES_MAX: usize = 16;

/// A report and the withdrawal that it is about.
pub fn report_from(report: pb::OutcomeReport) -> Result<(WithdrawalId, OutcomeReport), Refusal> {
    let withdrawal = id("outcome.withdrawal_id", &report.withdrawal_id)?;
    let outcome = match report.outcome() {
        pb::Outcome::Unspecified => return Err(invalid("outcome.outcome", "is missing or unknown")),
        pb::Outcome::Dispensed => Outcome::Dispensed,
        pb::Outcome::PartiallyDispensed => Outcome::PartiallyDispensed,
        pb::Outcome::NotDispensed => Outcome::NotDispensed,
        pb::Outcome::Retracted => Outcome::Retracted,
        pb::Outcome::Unknown => Outcome::Unknown,
    };
    let evidence = match report.evidence() {
        pb::EvidenceSource::Unspecified => return Err(invalid("outcome.evidence", "is missing or unknown")),
        pb::EvidenceSource::BareWord => EvidenceSource::BareWord,
        pb::EvidenceSource::LastCommandRecord => EvidenceSource::LastCommandRecord,
        pb::EvidenceSource::PresentStatus => EvidenceSource::PresentStatus,
    };
    let presented_notes = notes_from("outcome.presented", report.presented)?;
    let retracted_notes = notes_from("outcome.retracted", report.retracted)?;
    // With no note at all the currency is the command's, whatever that is; any stands for "nothing".
    let currency = presented_notes.first().or(retracted_notes.first()).map(|note| note.denomination.currency());
    let presented = total("outcome.presented", &presented_notes, currency)?;
    let retracted = total("outcome.retracted", &retracted_notes, currency)?;
    Ok((
        withdrawal,
        OutcomeReport {
            outcome,
            presented,
            retracted: report.retracted_counted.then_some(retracted),
            presented_notes,
            retracted_notes,
            evidence,
            detail: text("outcome.detail", report.detail, 0..=EVIDENCE_DETAIL_LENGTH_MAX)?,
            observed_at: moment("outcome.observed_at_unix_ms", report.observed_at_unix_ms)?,
            present: present_from(&report.present_token)?,
        },
    ))
}

/// A report as a message carries it.
#[must_use]
pub fn report_to(withdrawal: WithdrawalId, report: &OutcomeReport) -> pb::OutcomeReport {
    pb::OutcomeReport {
        withdrawal_id: withdrawal.to_string(),
        outcome: match report.outcome {
            Outcome::Dispensed => pb::Outcome::Dispensed,
            Outcome::PartiallyDispensed => pb::Outcome::PartiallyDispensed,
            Outcome::NotDispensed => pb::Outcome::NotDispensed,
            Outcome::Retracted => pb::Outcome::Retracted,
            Outcome::Unknown => pb::Outcome::Unknown,
        }
        .into(),
        presented: notes_to(&report.presented_notes),
        retracted: notes_to(&report.retracted_notes),
        retracted_counted: report.retracted.is_some(),
        evidence: match report.evidence {
            EvidenceSource::BareWord => pb::EvidenceSource::BareWord,
            EvidenceSource::LastCommandRecord => pb::EvidenceSource::LastCommandRecord,
            EvidenceSource::PresentStatus => pb::EvidenceSource::PresentStatus,
        }
        .into(),
        detail: report.detail.clone(),
        observed_at_unix_ms: unix_ms(report.observed_at),
        present_token: report.present.as_ref().map(|present| present.token.as_str().to_owned()).unwrap_or_default(),
    }
}

/// A present token, which nobody has verified when it comes out of a message.
fn present_from(token: &str) -> Result<Option<PresentEvidence>, Refusal> {
    Ok(optional_id("outcome.present_token", token)?.map(PresentEvidence::unverified))
}

fn notes_from(field: &'static str, notes: Vec<pb::NoteCount>) -> Result<Vec<NoteCount>, Refusal> {
    if notes.len() > NOTES_MAX {
        return Err(invalid(field, format!("has more than {NOTES_MAX} entries")));
    }
    let one = |note: pb::NoteCount| {
        Ok(NoteCount { denomination: positive_money(field, note.denomination)?, count: note.count })
    };
    notes.into_iter().map(one).collect()
}

fn notes_to(notes: &[NoteCount]) -> Vec<pb::NoteCount> {
    notes
        .iter()
        .map(|note| pb::NoteCount { denomination: Some(money_to(note.denomination)), count: note.count })
        .collect()
}

fn total(field: &'static str, notes: &[NoteCount], currency: Option<Currency>) -> Result<Money, Refusal> {
    let mut sum = Money::zero(currency.unwrap_or(Currency::JPY));
    for note in notes {
        let value = note.denomination.checked_mul(note.count).and_then(|value| sum.checked_add(value));
        sum = value.map_err(|error| invalid(field, error))?;
    }
    Ok(sum)
}
