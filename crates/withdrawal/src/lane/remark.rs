//! What is worth keeping although it changed nothing: repeated, late and contradictory messages, for whoever decides about a suspect.

use super::Turn;
use crate::event::Event;
use crate::ids::WithdrawalId;
use crate::time::Timestamp;

/// A message about a withdrawal that left its state as it was. With the steps, remarks make up the whole story of a withdrawal.
///
/// A remark is evidence, not a fact that anything is built on: it may be made durable a little later than the turn's actions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Which withdrawal.
    pub withdrawal: WithdrawalId,
    /// When.
    pub at: Timestamp,
    /// A stable name: that of the event that changed nothing, or of the message that was repeated.
    pub kind: &'static str,
    /// What it said, in words. No account, code or PIN block.
    pub detail: String,
}

/// The kind of the gravest remark: a withdrawal has ended, and its machine says that something else became of the notes.
pub const OUTCOME_CONTRADICTS_END: &str = "outcome_contradicts_end";

impl Turn {
    pub(super) fn remark(&mut self, withdrawal: WithdrawalId, at: Timestamp, kind: &'static str, detail: String) {
        self.remarks.push(Remark { withdrawal, at, kind, detail });
    }

    pub(super) fn remark_event(&mut self, id: WithdrawalId, at: Timestamp, event: &Event, why: &str) {
        self.remark_event_as(event.name(), id, at, event, why);
    }

    pub(super) fn remark_event_as(
        &mut self,
        kind: &'static str,
        id: WithdrawalId,
        at: Timestamp,
        event: &Event,
        why: &str,
    ) {
        let said = match event {
            Event::HoldGranted { hold } => format!("{hold}: "),
            Event::HoldDeclined { code } | Event::SettlementRefused { code } => format!("{code}: "),
            Event::OutcomeReported { report } => format!("{report}: "),
            _ => String::new(),
        };
        self.remark(id, at, kind, format!("{said}{why}"));
    }
}

/// Whether the `attempt`-th repetition is remarked on: the 1st, 2nd, 4th, 8th and so on, so that an outage of days leaves a short story.
pub(super) const fn is_remarkable(attempt: u32) -> bool {
    attempt.is_power_of_two()
}
