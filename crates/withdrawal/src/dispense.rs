//! The dispense command, what an ATM reports of it, and what such a report proves.

use std::fmt;

use crate::evidence::{DispenseToken, EvidenceGrade, PresentEvidence, PresentFinding};
use crate::ids::WithdrawalId;
use crate::money::{Money, MoneyError};
use crate::time::Timestamp;

/// The command to pay out. It has no identity but the withdrawal's, so there cannot be two of them for one withdrawal, and it is
/// kept as it was first made, so that every resent copy is byte for byte the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DispenseCommand {
    /// The withdrawal, and the command's only id.
    pub withdrawal: WithdrawalId,
    /// What to pay out.
    pub amount: Money,
    /// The ATM must not begin after this moment of the gateway's clock: by then the customer may have left.
    pub start_before: Timestamp,
    /// What the dispenser demands to see before it pays out, if it has end-to-end security. Made before the command is, and kept with it.
    pub dispense_token: Option<DispenseToken>,
}

/// What the ATM says became of a dispense command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The whole amount left the machine.
    Dispensed,
    /// Some notes left the machine, fewer than commanded.
    PartiallyDispensed,
    /// No note left the machine.
    NotDispensed,
    /// Notes were presented and the machine took some or all of them back.
    Retracted,
    /// The ATM does not know, after a power cut for example.
    Unknown,
}

impl Outcome {
    /// Every outcome, in the order of the enum.
    pub const ALL: [Self; 5] =
        [Self::Dispensed, Self::PartiallyDispensed, Self::NotDispensed, Self::Retracted, Self::Unknown];
}

/// Where an outcome was read from; the better the source, the more it proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EvidenceSource {
    /// Nothing but the message itself (grade C).
    BareWord,
    /// The ATM's durable record of its last command (grade B).
    LastCommandRecord,
    /// The dispenser's own present status, as the ATM tells it (grade B; only a present token makes it A).
    PresentStatus,
}

impl EvidenceSource {
    /// What a report that was read there proves by itself.
    #[must_use]
    pub const fn grade(self) -> EvidenceGrade {
        match self {
            Self::BareWord => EvidenceGrade::C,
            Self::LastCommandRecord | Self::PresentStatus => EvidenceGrade::B,
        }
    }
}

/// So many notes of one denomination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoteCount {
    /// The value of one note.
    pub denomination: Money,
    /// How many.
    pub count: u32,
}

/// What an ATM reports about one dispense command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeReport {
    /// The outcome in one word.
    pub outcome: Outcome,
    /// The value of the counted notes that reached the customer's side, in the command's currency.
    pub presented: Money,
    /// The value of the counted notes that were taken back; `None` when they were not counted.
    pub retracted: Option<Money>,
    /// The counted notes behind both figures, presented and taken back, for the auditor.
    pub presented_notes: Vec<NoteCount>,
    /// See `presented_notes`.
    pub retracted_notes: Vec<NoteCount>,
    /// Where the ATM read it.
    pub evidence: EvidenceSource,
    /// A short text of the ATM for a human reader, at most [`EVIDENCE_DETAIL_LENGTH_MAX`] bytes.
    pub detail: String,
    /// When it was observed, by the ATM's clock, which is not trusted.
    pub observed_at: Timestamp,
    /// The dispenser's present token, if one came with it.
    pub present: Option<PresentEvidence>,
}

/// The longest `detail` of a report, in bytes.
pub const EVIDENCE_DETAIL_LENGTH_MAX: usize = 256;

/// What a report proves about the money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This much, more than nothing, left the machine.
    Left(Money),
    /// Positive evidence that nothing left.
    NothingLeft,
    /// The report proves neither.
    NotKnown,
    /// The report contradicts the command or itself.
    Contradiction(Contradiction),
}

/// How a report contradicts the command, itself, or what was known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Contradiction {
    /// More was presented than commanded.
    MoreThanCommanded,
    /// More was taken back than presented.
    MoreRetractedThanPresented,
    /// The word and the counted amount do not fit each other.
    WordAgainstCount,
    /// Another currency than the command's.
    OtherCurrency,
    /// What the ATM says and what its dispenser's genuine present token says do not fit each other.
    WordAgainstPresentStatus,
    /// Two reports of one command differ.
    TwoOutcomes,
    /// Core banking's answer does not fit what it was asked, or what it answered before.
    CoreBanking,
}

impl Contradiction {
    /// A stable name for logs and queries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MoreThanCommanded => "more_than_commanded",
            Self::MoreRetractedThanPresented => "more_retracted_than_presented",
            Self::WordAgainstCount => "word_against_count",
            Self::OtherCurrency => "other_currency",
            Self::WordAgainstPresentStatus => "word_against_present_status",
            Self::TwoOutcomes => "two_outcomes",
            Self::CoreBanking => "core_banking",
        }
    }
}

impl OutcomeReport {
    /// What the report proves about a command for `commanded`, where less than everything is believed on evidence of the grade `demanded` or
    /// a better one.
    ///
    /// A retract is not proof that nothing was taken: only counted notes are credited. `not_dispensed` on the bare word of a message
    /// proves nothing either, whatever is demanded; transaction-reversal fraud lives on believing it. That everything left is believed of
    /// anybody. A genuine present token counts for more than the words, and one that they contradict makes a contradiction of both; one that
    /// is wrong or was not verified counts for nothing.
    #[must_use]
    pub fn verdict(&self, commanded: Money, demanded: EvidenceGrade) -> Verdict {
        #[cfg(feature = "planted")]
        let demanded = crate::planted::demanded(self, demanded);
        let said = self.said(commanded);
        if matches!(said, Verdict::Contradiction(_)) {
            return said;
        }
        let Some(PresentEvidence { finding: PresentFinding::Genuine(status), .. }) = &self.present else {
            return believed(said, self.evidence.grade(), commanded, demanded);
        };
        #[cfg(feature = "planted")]
        let status = &crate::planted::status(*status);
        match status.verdict(commanded) {
            contradiction @ Verdict::Contradiction(_) => contradiction,
            _ if status.contradicts(said, self.presented, commanded) => {
                Verdict::Contradiction(Contradiction::WordAgainstPresentStatus)
            }
            // An older status may not know of the retract that came after it.
            proved @ (Verdict::Left(_) | Verdict::NothingLeft) if status.fresh => {
                believed(proved, EvidenceGrade::A, commanded, demanded)
            }
            _ => believed(said, self.evidence.grade(), commanded, demanded),
        }
    }

    /// What the words and counts say, whoever vouches for them.
    fn said(&self, commanded: Money) -> Verdict {
        match self.left_of(commanded) {
            Ok(verdict) => verdict,
            Err(MoneyError::WouldBeNegative) => Verdict::Contradiction(Contradiction::MoreRetractedThanPresented),
            Err(_) => Verdict::Contradiction(Contradiction::OtherCurrency),
        }
    }

    fn left_of(&self, commanded: Money) -> Result<Verdict, MoneyError> {
        // Nothing is nothing in every currency; a report without a note names none.
        let in_currency = |amount: Money| if amount.is_zero() { Money::zero(commanded.currency()) } else { amount };
        let (presented, retracted) = (in_currency(self.presented), self.retracted.map(in_currency));
        if presented.exceeds(commanded)? {
            return Ok(Verdict::Contradiction(Contradiction::MoreThanCommanded));
        }
        let took_back = retracted.is_some_and(|amount| !amount.is_zero());
        let fits = match self.outcome {
            Outcome::Dispensed => presented == commanded && !took_back,
            Outcome::PartiallyDispensed => !presented.is_zero() && presented != commanded && !took_back,
            Outcome::NotDispensed => presented.is_zero() && !took_back,
            Outcome::Retracted => !presented.is_zero(),
            Outcome::Unknown => return Ok(Verdict::NotKnown),
        };
        if !fits {
            return Ok(Verdict::Contradiction(Contradiction::WordAgainstCount));
        }
        Ok(match (self.outcome, retracted) {
            (Outcome::NotDispensed, _) => Verdict::NothingLeft,
            (Outcome::Retracted, None) => Verdict::NotKnown,
            (Outcome::Retracted, Some(back)) => match presented.checked_sub(back)? {
                left if left.is_zero() => Verdict::NothingLeft,
                left => Verdict::Left(left),
            },
            _ => Verdict::Left(presented),
        })
    }

    /// Whether two reports say the same about the money, whatever their wording and time.
    #[must_use]
    pub fn agrees_with(&self, other: &Self, commanded: Money, demanded: EvidenceGrade) -> bool {
        self.verdict(commanded, demanded) == other.verdict(commanded, demanded)
    }
}

/// A verdict, if evidence of this grade may lead to it. "Nothing left" needs more than a bare word everywhere.
fn believed(verdict: Verdict, grade: EvidenceGrade, commanded: Money, demanded: EvidenceGrade) -> Verdict {
    let needed = match verdict {
        Verdict::NothingLeft => demanded.max(EvidenceGrade::B),
        Verdict::Left(amount) if amount != commanded => demanded,
        Verdict::Left(_) | Verdict::NotKnown | Verdict::Contradiction(_) => EvidenceGrade::C,
    };
    if grade >= needed { verdict } else { Verdict::NotKnown }
}

impl fmt::Display for OutcomeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: presented {}", self.outcome, self.presented)?;
        write_notes(f, &self.presented_notes)?;
        match self.retracted {
            Some(amount) => write!(f, ", taken back {amount}")?,
            None => f.write_str(", taken back not counted")?,
        }
        write_notes(f, &self.retracted_notes)?;
        write!(f, ", {:?}, {}", self.evidence, self.detail)?;
        self.present.iter().try_for_each(|present| write!(f, "; {}", present.finding))
    }
}

fn write_notes(f: &mut fmt::Formatter<'_>, notes: &[NoteCount]) -> fmt::Result {
    notes.iter().try_for_each(|notes| write!(f, " ({} x {})", notes.count, notes.denomination))
}

#[cfg(test)]
mod tests;
