//! What the machine says became of a command, in the form in which its record keeps it.

use cashgate_wire::proto::withdrawal::v1::{EvidenceSource, Outcome, OutcomeReport};
use serde::{Deserialize, Serialize};

use super::notes::{Notes, to_message, value_of};

/// The outcome in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeWord {
    /// The whole amount reached the customer.
    Dispensed,
    /// Some notes did.
    PartiallyDispensed,
    /// No note left.
    NotDispensed,
    /// Notes were presented and some or all taken back.
    Retracted,
    /// The machine does not know.
    Unknown,
}

/// Where the machine read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Nowhere.
    BareWord,
    /// Its durable record.
    LastCommandRecord,
    /// Its dispenser's present status.
    PresentStatus,
}

/// What the machine says became of one command. It is made once, recorded, and repeated word for word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The outcome.
    pub outcome: OutcomeWord,
    /// The notes that it says reached the customer's side.
    pub presented: Vec<Notes>,
    /// The notes that it says came back; `None` if they were not counted.
    pub retracted: Option<Vec<Notes>>,
    /// Where it read this.
    pub evidence: Evidence,
    /// A short text for a human reader.
    pub detail: String,
    /// The currency of the notes.
    pub currency: String,
    /// When, by the machine's own clock, milliseconds since 1970-01-01T00:00:00Z.
    pub observed_at_unix_ms: i64,
    /// The present token that goes with it; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub present_token: String,
}

impl Report {
    /// A report of no note moved, or of nothing known.
    pub(crate) fn without_notes(
        outcome: OutcomeWord,
        evidence: Evidence,
        detail: &str,
        currency: &str,
        now: i64,
    ) -> Self {
        Self {
            outcome,
            presented: vec![],
            retracted: (outcome != OutcomeWord::Unknown).then(Vec::new),
            evidence,
            detail: detail.to_owned(),
            currency: currency.to_owned(),
            observed_at_unix_ms: now,
            present_token: String::new(),
        }
    }

    /// What this report claims to have left the machine, in minor units; `None` if it claims nothing.
    #[must_use]
    pub fn claimed(&self) -> Option<u64> {
        match (self.outcome, &self.retracted) {
            (OutcomeWord::Unknown, _) | (OutcomeWord::Retracted, None) => None,
            (OutcomeWord::Retracted, Some(back)) => Some(value_of(&self.presented).saturating_sub(value_of(back))),
            (OutcomeWord::Dispensed | OutcomeWord::PartiallyDispensed | OutcomeWord::NotDispensed, _) => {
                Some(value_of(&self.presented))
            }
        }
    }

    pub(crate) fn to_message(&self, withdrawal_id: &str) -> OutcomeReport {
        let outcome = match self.outcome {
            OutcomeWord::Dispensed => Outcome::Dispensed,
            OutcomeWord::PartiallyDispensed => Outcome::PartiallyDispensed,
            OutcomeWord::NotDispensed => Outcome::NotDispensed,
            OutcomeWord::Retracted => Outcome::Retracted,
            OutcomeWord::Unknown => Outcome::Unknown,
        };
        let evidence = match self.evidence {
            Evidence::BareWord => EvidenceSource::BareWord,
            Evidence::LastCommandRecord => EvidenceSource::LastCommandRecord,
            Evidence::PresentStatus => EvidenceSource::PresentStatus,
        };
        OutcomeReport {
            withdrawal_id: withdrawal_id.to_owned(),
            outcome: outcome.into(),
            presented: to_message(&self.presented, &self.currency),
            retracted: to_message(self.retracted.as_deref().unwrap_or_default(), &self.currency),
            retracted_counted: self.retracted.is_some(),
            evidence: evidence.into(),
            detail: self.detail.clone(),
            observed_at_unix_ms: self.observed_at_unix_ms,
            present_token: self.present_token.clone(),
        }
    }
}
