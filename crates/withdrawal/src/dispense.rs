//! The dispense command, what an ATM reports of it, and what such a report proves.

use std::fmt;

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
    /// The dispenser's own present status (grade B; A once it is authenticated end to end).
    PresentStatus,
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
            Self::TwoOutcomes => "two_outcomes",
            Self::CoreBanking => "core_banking",
        }
    }
}

impl OutcomeReport {
    /// What the report proves about a command for `commanded`.
    ///
    /// A retract is not proof that nothing was taken: only counted notes are credited. `not_dispensed` on the bare word of a message
    /// proves nothing either; transaction-reversal fraud lives on believing it.
    #[must_use]
    pub fn verdict(&self, commanded: Money) -> Verdict {
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
            (Outcome::Retracted, None) => Verdict::NotKnown,
            (Outcome::Retracted, Some(back)) => match presented.checked_sub(back)? {
                left if !left.is_zero() => Verdict::Left(left),
                _ if self.evidence == EvidenceSource::BareWord => Verdict::NotKnown,
                _ => Verdict::NothingLeft,
            },
            (Outcome::NotDispensed, _) if self.evidence == EvidenceSource::BareWord => Verdict::NotKnown,
            (Outcome::NotDispensed, _) => Verdict::NothingLeft,
            _ => Verdict::Left(presented),
        })
    }

    /// Whether two reports say the same about the money, whatever their wording and time.
    #[must_use]
    pub fn agrees_with(&self, other: &Self, commanded: Money) -> bool {
        self.verdict(commanded) == other.verdict(commanded)
    }
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
        write!(f, ", {:?}, {}", self.evidence, self.detail)
    }
}

fn write_notes(f: &mut fmt::Formatter<'_>, notes: &[NoteCount]) -> fmt::Result {
    notes.iter().try_for_each(|notes| write!(f, " ({} x {})", notes.count, notes.denomination))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currency;
    use proptest::prelude::*;

    fn yen(amount: u64) -> Money {
        Money::from_minor_units(amount, Currency::JPY).unwrap()
    }

    fn report(outcome: Outcome, presented: u64, retracted: Option<u64>, evidence: EvidenceSource) -> OutcomeReport {
        OutcomeReport {
            outcome,
            presented: yen(presented),
            retracted: retracted.map(yen),
            presented_notes: vec![],
            retracted_notes: vec![],
            evidence,
            detail: String::new(),
            observed_at: Timestamp::from_unix_ms(0),
        }
    }

    #[test]
    fn what_a_report_about_30_000_yen_proves() {
        use {
            super::Contradiction::*,
            EvidenceSource::*,
            Outcome::*,
            Verdict::{Left, NotKnown, NothingLeft},
        };
        let rows = [
            (report(Dispensed, 30_000, None, BareWord), Left(yen(30_000))),
            (report(Dispensed, 30_000, Some(0), LastCommandRecord), Left(yen(30_000))),
            (report(Dispensed, 20_000, None, LastCommandRecord), Verdict::Contradiction(WordAgainstCount)),
            (report(Dispensed, 30_000, Some(10_000), LastCommandRecord), Verdict::Contradiction(WordAgainstCount)),
            (report(Dispensed, 40_000, None, LastCommandRecord), Verdict::Contradiction(MoreThanCommanded)),
            (report(PartiallyDispensed, 20_000, None, LastCommandRecord), Left(yen(20_000))),
            (report(PartiallyDispensed, 30_000, None, LastCommandRecord), Verdict::Contradiction(WordAgainstCount)),
            (report(PartiallyDispensed, 0, None, LastCommandRecord), Verdict::Contradiction(WordAgainstCount)),
            (report(NotDispensed, 0, None, BareWord), NotKnown),
            (report(NotDispensed, 0, None, LastCommandRecord), NothingLeft),
            (report(NotDispensed, 0, None, PresentStatus), NothingLeft),
            (report(NotDispensed, 10_000, None, PresentStatus), Verdict::Contradiction(WordAgainstCount)),
            (report(Retracted, 30_000, None, PresentStatus), NotKnown),
            (report(Retracted, 30_000, Some(30_000), PresentStatus), NothingLeft),
            (report(Retracted, 30_000, Some(30_000), BareWord), NotKnown),
            (report(Retracted, 30_000, Some(10_000), PresentStatus), Left(yen(20_000))),
            (report(Retracted, 30_000, Some(10_000), BareWord), Left(yen(20_000))),
            (
                report(Retracted, 20_000, Some(30_000), PresentStatus),
                Verdict::Contradiction(MoreRetractedThanPresented),
            ),
            (report(Retracted, 0, Some(0), PresentStatus), Verdict::Contradiction(WordAgainstCount)),
            (report(Unknown, 0, None, LastCommandRecord), NotKnown),
            (report(Unknown, 30_000, None, LastCommandRecord), NotKnown),
        ];
        for (report, expected) in rows {
            assert_eq!(report.verdict(yen(30_000)), expected, "{report:?}");
        }
    }

    #[test]
    fn another_currency_is_a_contradiction() {
        let mut foreign = report(Outcome::Dispensed, 30_000, None, EvidenceSource::PresentStatus);
        foreign.presented = Money::from_minor_units(30_000, "EUR".parse().unwrap()).unwrap();
        assert_eq!(foreign.verdict(yen(30_000)), Verdict::Contradiction(Contradiction::OtherCurrency));
    }

    #[test]
    fn nothing_is_nothing_in_every_currency() {
        let fifty_euro = Money::from_minor_units(5_000, "EUR".parse().unwrap()).unwrap();
        let nothing = report(Outcome::NotDispensed, 0, None, EvidenceSource::PresentStatus);
        assert_eq!(nothing.verdict(fifty_euro), Verdict::NothingLeft);
    }

    #[test]
    fn a_report_reads_like_a_sentence() {
        let mut taken_back = report(Outcome::Retracted, 30_000, Some(10_000), EvidenceSource::PresentStatus);
        taken_back.detail = "shutter jam".into();
        let line = "Retracted: presented 30000 JPY, taken back 10000 JPY, PresentStatus, shutter jam";
        assert_eq!(taken_back.to_string(), line);
        let notes = |value, count| NoteCount { denomination: yen(value), count };
        taken_back.presented_notes = vec![notes(10_000, 2), notes(5_000, 2)];
        taken_back.retracted_notes = vec![notes(5_000, 2)];
        let line = "Retracted: presented 30000 JPY (2 x 10000 JPY) (2 x 5000 JPY), taken back 10000 JPY (2 x 5000 JPY), \
                    PresentStatus, shutter jam";
        assert_eq!(taken_back.to_string(), line);
        taken_back.retracted = None;
        assert!(taken_back.to_string().contains(", taken back not counted"), "{taken_back}");
    }

    proptest! {
        #[test]
        fn never_more_left_than_was_commanded(
            word in 0..5_usize, presented in 0..100_u64, retracted in proptest::option::of(0..100_u64), commanded in 1..100_u64,
        ) {
            let report = report(Outcome::ALL[word], presented, retracted, EvidenceSource::PresentStatus);
            if let Verdict::Left(left) = report.verdict(yen(commanded)) {
                prop_assert!(left.minor_units() >= 1 && left.minor_units() <= commanded);
                prop_assert_eq!(left.minor_units() + retracted.unwrap_or(0), presented);
            }
        }
    }
}
