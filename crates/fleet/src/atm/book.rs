//! The machine's memory of its commands: facts that are durable before anything depends on them, and what they add up to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::notes::{Notes, value_of};
use super::report::{OutcomeWord, Report};

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
    /// Whether notes began to move.
    pub moving: bool,
    /// What physically left for good, in minor units.
    pub cash_out: u64,
    /// What the machine says, once it has made that up.
    pub report: Option<Report>,
    /// Whether the gateway has it on disk.
    pub acknowledged: bool,
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
            Fact::Commanded { withdrawal_id, amount, .. } => self.entry(withdrawal_id).commanded = *amount,
            Fact::Moving { withdrawal_id, picked } => {
                self.entry(withdrawal_id).moving = true;
                self.moved.extend_from_slice(picked);
            }
            Fact::Counted { withdrawal_id, cash_out, report } => {
                let entry = self.entry(withdrawal_id);
                entry.cash_out = entry.cash_out.saturating_add(*cash_out);
                entry.report = Some(report.clone());
            }
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
