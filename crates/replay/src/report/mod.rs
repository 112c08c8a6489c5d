//! What a replay found: as a text for a terminal ([`Report::text`]), as JSON ([`Report::json`]), and as a plot ([`crate::plot`]).

pub mod figures;
mod json;
pub mod share;
mod text;

use crate::controls::Controls;
use crate::reaction::Reaction;
use crate::seeds::Use;
use crate::trials::Trial;
use crate::world::World;
use figures::Figures;

/// Everything that a replay found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whose answers these are.
    pub bank: &'static str,
    /// What the seeds may be used for.
    pub purpose: Use,
    /// The worlds, the same for all trials.
    pub worlds: Vec<World>,
    /// What the analyst does.
    pub reaction: Reaction,
    /// One for each set of controls.
    pub trials: Vec<Trial>,
}

impl Report {
    /// The trial with these controls.
    #[must_use]
    pub fn trial(&self, controls: Controls) -> Option<&Trial> {
        self.trials.iter().find(|trial| trial.controls == controls)
    }

    /// Whether every target holds with all controls. False if they were not tried.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.trial(Controls::ALL).is_some_and(|all| Figures::of(all).targets().iter().all(|(_, holds)| *holds))
    }
}

#[cfg(test)]
mod tests;
