//! What a run does: read from TOML, checked as a whole, and from then on without a doubt in it.

mod fault;
mod file;
mod rate;
mod thresholds;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use fault::{Fault, What};
pub use rate::{Rate, RatePoint};
pub use thresholds::Thresholds;

/// The scenarios that come with the program: name and text.
const BUILT_IN: [(&str, &str); 10] = [
    ("steady", include_str!("../../scenarios/steady.toml")),
    ("payday", include_str!("../../scenarios/payday.toml")),
    ("storm", include_str!("../../scenarios/storm.toml")),
    ("hsm-outage", include_str!("../../scenarios/hsm-outage.toml")),
    ("corebank-slow", include_str!("../../scenarios/corebank-slow.toml")),
    ("corebank-down", include_str!("../../scenarios/corebank-down.toml")),
    ("fraud-wave", include_str!("../../scenarios/fraud-wave.toml")),
    ("soak", include_str!("../../scenarios/soak.toml")),
    ("freeze", include_str!("../../scenarios/freeze.toml")),
    ("rolling-restart", include_str!("../../scenarios/rolling-restart.toml")),
];

/// A checked scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name, for reports.
    pub name: String,
    /// What it shows, in a sentence or two.
    pub about: String,
    /// Chooses arrivals and amounts; the same seed gives the same ones.
    pub seed: u64,
    /// How long customers arrive.
    pub duration: Duration,
    /// From the beginning: what arrives before this is shown in plots, but not counted against thresholds.
    pub warm_up: Duration,
    /// How long the gateway may take, once the last customer has left, to end every withdrawal.
    pub settle: Duration,
    /// How many ATMs stand there.
    pub atms: u32,
    /// Whether each ATM writes its record to disk before it moves a note, as a real one does.
    pub atm_record_on_disk: bool,
    /// How many accounts, each with a phone of its own, take turns.
    pub accounts: u32,
    /// How customers behave.
    pub customer: Customer,
    /// Thieves among them.
    pub thieves: Option<Thieves>,
    /// How many customers arrive when, thieves included.
    pub arrivals: Rate,
    /// How long core banking takes for every call.
    pub core_bank_delay: Duration,
    /// What goes wrong, in the order in which it begins.
    pub faults: Vec<Fault>,
    /// What must hold.
    pub thresholds: Thresholds,
}

/// How customers behave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    /// The amounts that they draw, each equally often, in minor units.
    pub amounts: Vec<u64>,
    /// How long they take between seeing the code and scanning it, and again between the scan and the approval.
    pub think: Duration,
    /// How long they stay, from the moment they wanted to be served until they leave without cash.
    pub patience: Duration,
    /// How long notes take from the cassettes to the customer.
    pub present: Duration,
}

/// Thieves with phones of their own, which the bank's rules know as new.
#[derive(Clone, Debug, PartialEq)]
pub struct Thieves {
    /// How many phones they have.
    pub phones: u32,
    /// How many of a hundred who arrive are thieves.
    pub percent_of_arrivals: f64,
    /// What each tries to draw, in minor units.
    pub amount: u64,
}

/// Why a scenario was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Neither a built-in name nor a file.
    #[error("there is no scenario `{asked}`: neither a file nor one of {known}")]
    Unknown {
        /// What was asked for.
        asked: String,
        /// The names that there are.
        known: String,
    },
    /// The file cannot be read.
    #[error("cannot read the scenario {file}: {source}")]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML of the expected form: a key is unknown, missing or of another kind.
    #[error("the scenario {name} is not as it should be: {problem}")]
    Form {
        /// The scenario.
        name: String,
        /// What the parser says, with the line.
        problem: String,
    },
    /// Its values do not make sense together. All of them are named.
    #[error("the scenario {name} makes no sense:\n  {}", problems.join("\n  "))]
    Values {
        /// The scenario.
        name: String,
        /// Each with the key that it is about.
        problems: Vec<String>,
    },
}

impl Scenario {
    /// The scenario of a name, or in a file.
    ///
    /// # Errors
    /// There is none, or it is not valid; all that is wrong with its values is told together.
    pub fn load(name_or_file: &str) -> Result<Self, ScenarioError> {
        if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == name_or_file) {
            return Self::parse(name, text);
        }
        let file = Path::new(name_or_file);
        if !file.is_file() {
            let known = BUILT_IN.map(|(name, _)| name).join(", ");
            return Err(ScenarioError::Unknown { asked: name_or_file.to_owned(), known });
        }
        let text = std::fs::read_to_string(file)
            .map_err(|source| ScenarioError::Unreadable { file: file.to_owned(), source })?;
        Self::parse(name_or_file, &text)
    }

    /// A scenario out of a text. `name` is for errors.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        file::read(name, text)
    }

    /// The names that [`Self::load`] knows without a file.
    #[must_use]
    pub fn built_in() -> Vec<&'static str> {
        BUILT_IN.iter().map(|(name, _)| *name).collect()
    }

    /// The names of the hooks that it wants fulfilled, each once.
    #[must_use]
    pub fn hooks(&self) -> Vec<String> {
        let mut hooks: Vec<String> = self.faults.iter().flat_map(|fault| fault.what.hooks()).collect();
        hooks.sort();
        hooks.dedup();
        hooks
    }

    /// When the last fault is over, if there is one.
    #[must_use]
    pub fn healed_at(&self) -> Option<Duration> {
        self.faults.iter().map(Fault::ends_at).max()
    }

    /// The same with another number of ATMs.
    #[must_use]
    pub fn with_atms(mut self, atms: u32) -> Self {
        self.atms = atms.max(1);
        self
    }

    /// The same with every rate multiplied by so many percent. More customers have more accounts, or their limits would be what is measured.
    #[must_use]
    pub fn with_rate_percent(mut self, percent: u32) -> Self {
        self.arrivals = self.arrivals.times_percent(percent);
        let accounts = u64::from(self.accounts) * u64::from(percent.max(100)) / 100;
        self.accounts = u32::try_from(accounts).unwrap_or(u32::MAX);
        self
    }
}

#[cfg(test)]
mod tests;
