//! What the machine does with a dispenser that has end-to-end security: it carries nonces and tokens to and fro, or plays false
//! with them. It has no key: all that it can do against the dispenser's will is to withhold, to replay or to make up.

use cashgate_wire::proto::atm::v1::{Dispense, EndToEndSecurity, QueryOutcome};
use cashgate_wire::proto::withdrawal::v1::{EvidenceSource, OutcomeReport};
use serde::{Deserialize, Serialize};

use super::book::Fact;
use super::command::Fault;
use super::dispenser::{PresentStatus, Retracted, forged};
use super::machine::{Machine, Output};
use super::notes::{Notes, value_of};
use super::report::Report;

/// How a machine plays false with the present tokens of one dispense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trick {
    /// It hands out none.
    Withhold,
    /// It hands out, again and again, one that was asked before the notes were presented.
    Replay,
    /// It makes them up.
    Forge,
}

impl Trick {
    pub(super) fn of(fault: Option<Fault>) -> Option<Self> {
        match fault? {
            Fault::Lie => Some(Self::Withhold),
            Fault::Stale => Some(Self::Replay),
            Fault::Forge => Some(Self::Forge),
            _ => None,
        }
    }
}

impl Machine {
    /// What `Hello` declares.
    pub(super) fn declared(&self) -> Option<EndToEndSecurity> {
        (self.dispenser.is_some() && !self.stripped).then_some(EndToEndSecurity { token_format: 1 })
    }

    /// A nonce for a new customer; empty if none is declared to be needed, `None` if the dispenser cannot make one.
    pub(super) fn fetch_command_nonce(&mut self) -> Option<String> {
        match &mut self.dispenser {
            Some(dispenser) if !self.stripped => dispenser.renew_command_nonce(),
            _ => Some(String::new()),
        }
    }

    /// Has the dispenser accept the command's token, durably. Every command is accepted by a dispenser that demands none.
    ///
    /// # Errors
    /// Why nothing may move, for the report.
    pub(super) fn authorise(
        &mut self,
        command: &Dispense,
        amount: u64,
        currency: &str,
        outputs: &mut Vec<Output>,
    ) -> Result<(), String> {
        let Some(dispenser) = &self.dispenser else { return Ok(()) };
        let accepted = dispenser
            .authorise(&command.dispense_token, amount, currency)
            .map_err(|refused| format!("the dispenser refused: {refused}"))?;
        let withdrawal_id = command.withdrawal_id.clone();
        let fact = Fact::TokenAccepted { withdrawal_id, nonce: accepted.nonce, dispense_id: accepted.dispense_id };
        self.record(fact, outputs);
        Ok(())
    }

    /// The dispenser's present token for a nonce of the gateway's; empty if it has none of this command.
    pub(super) fn present_token(&self, withdrawal_id: &str, present_nonce: &str) -> String {
        let asked = self.dispenser.as_ref().and_then(|one| one.present_token(withdrawal_id, present_nonce));
        asked.unwrap_or_default()
    }

    /// Has the dispenser note what it saw; `None` if it keeps no present status.
    pub(super) fn note_end(
        &mut self,
        withdrawal_id: &str,
        presented: &[Notes],
        came_back: &[Notes],
        fault: Option<Fault>,
    ) -> Option<PresentStatus> {
        let retracted = match (fault, value_of(came_back)) {
            (Some(Fault::RetractUncounted(_)), _) => Retracted::Uncounted,
            (_, 0) => Retracted::Nothing,
            (_, counted) => Retracted::Counted(counted),
        };
        let presented = value_of(presented);
        let status = PresentStatus { dispensed: presented, presented, retracted };
        self.dispenser.as_mut()?.note(withdrawal_id, Some(status));
        Some(status)
    }

    /// The present token that goes with a report or an answer. `early` is what a replaying machine kept.
    pub(super) fn token_to_tell(
        &self,
        withdrawal_id: &str,
        present_nonce: &str,
        trick: Option<Trick>,
        early: &str,
    ) -> String {
        match trick {
            None => self.present_token(withdrawal_id, present_nonce),
            Some(Trick::Withhold) => String::new(),
            Some(Trick::Replay) => early.to_owned(),
            Some(Trick::Forge) => {
                let id = self.dispenser.as_ref().and_then(|dispenser| dispenser.dispense_id(withdrawal_id));
                id.and_then(|id| forged(present_nonce, id, &self.plan.currency)).unwrap_or_default()
            }
        }
    }

    /// Answers a query with the recorded words. A token asked with the query's own nonce takes the place of the recorded one, if
    /// the dispenser gives one.
    pub(super) fn send_answer(&self, query: &QueryOutcome, outputs: &mut Vec<Output>) {
        let QueryOutcome { withdrawal_id, present_nonce } = query;
        let Some(entry) = self.book.get(withdrawal_id) else { return };
        let Some(report) = &entry.report else { return };
        let fresh = self.token_to_tell(withdrawal_id, present_nonce, entry.trick, &report.present_token);
        if fresh.is_empty() {
            return self.send_words(withdrawal_id, report, outputs);
        }
        self.send_words(withdrawal_id, &Report { present_token: fresh, ..report.clone() }, outputs);
    }

    /// The best source that it declares. One with end-to-end security counts as the best whatever it says.
    pub(super) const fn best_evidence(&self) -> EvidenceSource {
        if self.plan.bare_word { EvidenceSource::BareWord } else { EvidenceSource::PresentStatus }
    }

    /// A report as it goes out: a machine that hides its end-to-end security has no present tokens, and one that has only its word says so.
    pub(super) fn in_words(&self, withdrawal_id: &str, report: &Report) -> OutcomeReport {
        let mut message = report.to_message(withdrawal_id);
        if self.plan.bare_word {
            message.set_evidence(EvidenceSource::BareWord);
        }
        if self.stripped {
            message.present_token.clear();
        }
        message
    }
}
