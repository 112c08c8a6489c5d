//! The machine's memory of its commands: facts that are durable before anything depends on them, and what they add up to.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::dispenser::PresentStatus;
use super::notes::{Notes, value_of};
use super::report::{OutcomeWord, Report};
use super::secured::Trick;
use crate::csv::write_line;

/// The columns of [`Book::write_csv`], as `docs/reconciliation.md` has them.
const CSV_HEADER: [&str; 5] = ["atm_id", "withdrawal_id", "currency", "presented_minor_units", "retracted_minor_units"];

/// One fact about a command. Facts are only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// The command arrived. Durable before anything moves.
    Commanded {
        /// Which.
        withdrawal_id: String,
        /// What to pay out, in minor units.
        amount: u64,
        /// In which currency.
        currency: String,
        /// Not to begin from then on, by the gateway's clock.
        start_before_unix_ms: i64,
    },
    /// The dispenser took a dispense token for the command. Durable before anything moves; its nonce is used up from here on.
    TokenAccepted {
        /// For which command.
        withdrawal_id: String,
        /// The dispenser's own nonce.
        nonce: String,
        /// The token's HMAC, 64 hexadecimal digits in upper case.
        dispense_id: String,
    },
    /// The dispenser begins to move these notes.
    Moving {
        /// For which command.
        withdrawal_id: String,
        /// The notes, gone from the cassettes from here on, wherever they end.
        picked: Vec<Notes>,
    },
    /// What became of the command, counted.
    Counted {
        /// Which command.
        withdrawal_id: String,
        /// What is physically gone: with the customer for good.
        cash_out: u64,
        /// What the machine says of it, from now on always in these words.
        report: Report,
        /// What a dispenser with end-to-end security keeps of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        present_status: Option<PresentStatus>,
        /// How the machine plays false with present tokens of it. The simulation's, as [`Fact::GoneUncounted`] is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trick: Option<Trick>,
    },
    /// The command has not come and will never be carried out.
    Never {
        /// Which command.
        withdrawal_id: String,
        /// What the machine says of it.
        report: Report,
    },
    /// The gateway has the report on its disk.
    Acknowledged {
        /// Of which command.
        withdrawal_id: String,
    },
    /// What a person would find missing after a power cut in the middle. The simulation writes it; the machine itself cannot know it and
    /// never reads it for a report.
    GoneUncounted {
        /// Of which command.
        withdrawal_id: String,
        /// In minor units.
        cash_out: u64,
    },
}

/// What is known of one command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// What was to be paid out, in minor units; zero if the command never came.
    pub commanded: u64,
    /// In which currency; empty if the command never came.
    pub currency: String,
    /// Whether notes began to move.
    pub moving: bool,
    /// What physically left for good, in minor units.
    pub cash_out: u64,
    /// What the machine says, once it has made that up.
    pub report: Option<Report>,
    /// How the machine plays false with present tokens of it.
    pub trick: Option<Trick>,
    /// Whether the gateway has it on disk.
    pub acknowledged: bool,
}

impl Entry {
    /// What the retract bin holds of it, in minor units: counted by the machine, or by the person who opens the bin.
    fn came_back(&self) -> u64 {
        let Some(report) = &self.report else { return 0 };
        let uncounted = || value_of(&report.presented).saturating_sub(self.cash_out);
        match (report.outcome, &report.retracted) {
            (OutcomeWord::Retracted, Some(counted)) => value_of(counted),
            (OutcomeWord::Retracted, None) => uncounted(),
            _ => 0,
        }
    }
}

/// Everything that the record says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    entries: BTreeMap<String, Entry>,
    moved: Vec<Notes>,
}

impl Book {
    /// The book that some facts make.
    #[must_use]
    pub fn of(facts: &[Fact]) -> Self {
        let mut book = Self::default();
        facts.iter().for_each(|fact| book.add(fact));
        book
    }

    /// Adds a fact.
    pub fn add(&mut self, fact: &Fact) {
        match fact {
            Fact::Commanded { withdrawal_id, amount, currency, .. } => {
                let entry = self.entry(withdrawal_id);
                entry.commanded = *amount;
                entry.currency.clone_from(currency);
            }
            Fact::Moving { withdrawal_id, picked } => {
                self.entry(withdrawal_id).moving = true;
                self.moved.extend_from_slice(picked);
            }
            Fact::Counted { withdrawal_id, cash_out, report, trick, .. } => {
                let entry = self.entry(withdrawal_id);
                entry.cash_out = entry.cash_out.saturating_add(*cash_out);
                entry.report = Some(report.clone());
                entry.trick = *trick;
            }
            // The dispenser's own; the books are about notes.
            Fact::TokenAccepted { .. } => {}
            Fact::Never { withdrawal_id, report } => self.entry(withdrawal_id).report = Some(report.clone()),
            Fact::Acknowledged { withdrawal_id } => self.entry(withdrawal_id).acknowledged = true,
            Fact::GoneUncounted { withdrawal_id, cash_out } => {
                let entry = self.entry(withdrawal_id);
                entry.cash_out = entry.cash_out.saturating_add(*cash_out);
            }
        }
    }

    /// What is known of a command.
    #[must_use]
    pub fn get(&self, withdrawal_id: &str) -> Option<&Entry> {
        self.entries.get(withdrawal_id)
    }

    /// Every command in the order of its id, which is the order of time.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(id, entry)| (id.as_str(), entry))
    }

    /// Commands that began, or were only recorded, and have no outcome: what a power cut leaves behind.
    pub fn unfinished(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries().filter(|(_, entry)| entry.report.is_none())
    }

    /// Reports that the gateway has not acknowledged, oldest first.
    pub fn unacknowledged(&self) -> impl Iterator<Item = (&str, &Report)> {
        let open = self.entries().filter(|(_, entry)| !entry.acknowledged);
        open.filter_map(|(id, entry)| Some((id, entry.report.as_ref()?)))
    }

    /// Every note that ever left a cassette.
    #[must_use]
    pub fn moved(&self) -> &[Notes] {
        &self.moved
    }

    /// The book for an auditor, a line a command.
    pub fn lines(&self) -> impl Iterator<Item = BookLine<'_>> {
        self.entries().map(|(withdrawal_id, entry)| BookLine {
            withdrawal_id,
            commanded: entry.commanded,
            cash_out: entry.cash_out,
            outcome: entry.report.as_ref().map(|report| report.outcome),
            claimed: entry.report.as_ref().and_then(Report::claimed),
            acknowledged: entry.acknowledged,
        })
    }

    /// Writes what a count of the machine finds of every command, as the CSV that reconciliation reads, header first.
    /// These are the notes themselves: a machine that lies, or that lost its memory in a power cut, is found out by them.
    ///
    /// # Errors
    /// The writer.
    pub fn write_csv(&self, atm_id: &str, out: &mut impl Write) -> io::Result<()> {
        write_line(out, &CSV_HEADER)?;
        for (withdrawal_id, entry) in self.entries() {
            let retracted = entry.came_back();
            let presented = entry.cash_out.saturating_add(retracted);
            let (presented, retracted) = (presented.to_string(), retracted.to_string());
            write_line(out, &[atm_id, withdrawal_id, &entry.currency, &presented, &retracted])?;
        }
        Ok(())
    }

    fn entry(&mut self, withdrawal_id: &str) -> &mut Entry {
        self.entries.entry(withdrawal_id.to_owned()).or_default()
    }
}

/// One command in the machine's books. Amounts are minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BookLine<'a> {
    /// The withdrawal.
    pub withdrawal_id: &'a str,
    /// What was to be paid out; zero if the command never came.
    pub commanded: u64,
    /// What physically left and stayed out.
    pub cash_out: u64,
    /// What the machine says; null while it has said nothing.
    pub outcome: Option<OutcomeWord>,
    /// What it says has left; null if it says nothing of that.
    pub claimed: Option<u64>,
    /// Whether the gateway has that on disk.
    pub acknowledged: bool,
}

/// What notes are worth that stay out: presented, less what came back.
pub(crate) fn stays_out(presented: &[Notes], came_back: &[Notes]) -> u64 {
    value_of(presented).saturating_sub(value_of(came_back))
}

#[cfg(test)]
mod tests {
    use super::super::report::Evidence;
    use super::*;

    const W1: &str = "01981f2e-7c1a-7000-8000-000000000001";

    /// What a count finds after a command for 30,000 of which so much stays out, and this was reported.
    #[track_caller]
    fn check(outcome: OutcomeWord, presented: u32, retracted: Option<u32>, cash_out: u64, expected: &str) {
        let notes = |count| vec![Notes { denomination: 10_000, count }];
        let report = Report {
            outcome,
            presented: notes(presented),
            retracted: retracted.map(notes),
            evidence: Evidence::PresentStatus,
            detail: String::new(),
            currency: "JPY".to_owned(),
            observed_at_unix_ms: 0,
            present_token: String::new(),
        };
        let (withdrawal_id, currency) = (W1.to_owned(), "JPY".to_owned());
        let commanded =
            Fact::Commanded { withdrawal_id: withdrawal_id.clone(), amount: 30_000, currency, start_before_unix_ms: 0 };
        let counted = Fact::Counted { withdrawal_id, cash_out, report, present_status: None, trick: None };
        let book = Book::of(&[commanded, counted]);
        let mut csv = Vec::new();
        book.write_csv("A1", &mut csv).unwrap();
        let header = "atm_id,withdrawal_id,currency,presented_minor_units,retracted_minor_units\n";
        assert_eq!(String::from_utf8(csv).unwrap(), format!("{header}A1,{W1},JPY,{expected}\n"), "{outcome:?}");
    }

    #[test]
    fn a_count_finds_what_is_there_whatever_was_reported() {
        check(OutcomeWord::Dispensed, 3, Some(0), 30_000, "30000,0");
        check(OutcomeWord::PartiallyDispensed, 2, Some(0), 20_000, "20000,0");
        check(OutcomeWord::Retracted, 3, Some(3), 0, "30000,30000");
        check(OutcomeWord::Retracted, 3, Some(1), 20_000, "30000,10000");
        check(OutcomeWord::Retracted, 3, None, 10_000, "30000,20000");
        // Lies: a note more than there was, and nothing although all is gone.
        check(OutcomeWord::Dispensed, 4, Some(0), 30_000, "30000,0");
        check(OutcomeWord::NotDispensed, 0, Some(0), 30_000, "30000,0");
        check(OutcomeWord::Unknown, 0, None, 20_000, "20000,0");
    }
}
