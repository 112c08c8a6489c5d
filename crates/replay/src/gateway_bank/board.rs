//! What the desk says of its decisions.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cashgate_gateway::notice_board::NoticeBoard;
use cashgate_policy::Decision;
use cashgate_policy::patterns::Pattern;
use cashgate_withdrawal::notice::{Happening, Notice};
use cashgate_withdrawal::refusal::Refusal;

use super::names;
use crate::bank::Alarm;

/// Hears the desk, for as long as it takes until somebody asks.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<What>);

#[derive(Debug, Default)]
struct What {
    /// Of the last decision of the rules.
    rules: Vec<String>,
    /// Of the last refusal.
    refused: Vec<String>,
    alarms: Vec<Alarm>,
}

impl Heard {
    fn what(&self) -> MutexGuard<'_, What> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn why_asked(&self) -> String {
        self.what().rules.join("+")
    }

    /// Exactly why, where operators are told; the little that the customer's side is told otherwise.
    pub(super) fn why_refused(&self, refusal: &Refusal) -> String {
        let refused = std::mem::take(&mut self.what().refused);
        if refused.is_empty() { refusal.factor().to_owned() } else { refused.join("+") }
    }

    pub(super) fn alarms(&self) -> Vec<Alarm> {
        std::mem::take(&mut self.what().alarms)
    }
}

impl NoticeBoard for Heard {
    fn post(&self, notice: Notice) {
        match notice.what {
            Happening::ApprovalRefused(refused) => self.what().refused = refused.reasons,
            Happening::Alarm { institution: Some(institution), atm, pattern, .. } => {
                let Some(institution) = names::institution_number(&institution) else { return };
                let watched = Pattern::ALL.into_iter().find(|one| one.name() == pattern);
                let window = watched.map_or(Duration::ZERO, Pattern::window);
                let atm = atm.as_ref().and_then(names::atm_number);
                self.what().alarms.push(Alarm {
                    at: notice.at,
                    institution,
                    atm,
                    is_of_phone: watched.is_some_and(Pattern::is_of_device),
                    pattern,
                    window,
                });
            }
            _ => {}
        }
    }

    fn decided(&self, decision: &Decision) {
        self.what().rules = decision.reasons.iter().map(ToString::to_string).collect();
    }

    fn shadowed(&self, _: &Decision, _: &Decision) {}
}
