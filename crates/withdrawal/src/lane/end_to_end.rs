//! What a dispenser with end-to-end security adds: a dispense token before the command, and the present tokens that come back.

use super::retry::pause_after;
use super::{Action, Lane, Turn};
use crate::dispense::{DispenseCommand, OutcomeReport};
use crate::event::Event;
use crate::evidence::{DispenseToken, PresentEvidence, PresentFinding};
use crate::ids::WithdrawalId;
use crate::time::Timestamp;
use crate::withdrawal::State;

/// How far the dispense token of a held withdrawal is. Forgotten in a restart, it is made again, and is the same: the command that it goes
/// out with is what the ledger keeps.
#[derive(Clone, Debug, Default)]
pub(super) enum TokenMaking {
    /// It has not been asked for, or the HSM did not make it.
    #[default]
    Due,
    /// The HSM is making it.
    UnderWay,
    /// It waits for the ATM.
    Made(DispenseToken),
}

impl Lane {
    /// Commands a held withdrawal whose ATM is connected, once its dispense token is there if it needs one.
    pub(super) fn command_or_make_token(&mut self, id: WithdrawalId, now: Timestamp, turn: &mut Turn) {
        let Some(open) = self.open.get_mut(&id) else { return };
        let terms = &open.withdrawal().terms;
        let amount = terms.amount;
        let Some(nonce) = terms.command_nonce.clone() else { return self.command(id, None, now, turn) };
        #[cfg(feature = "planted")]
        if crate::planted::is(crate::planted::Bug::CommandBeforeToken) {
            return self.command(id, None, now, turn);
        }
        match &open.token {
            TokenMaking::Due => {
                open.token = TokenMaking::UnderWay;
                open.repeat_at = None;
                turn.actions.push(Action::MakeDispenseToken { withdrawal: id, nonce, amount });
            }
            TokenMaking::UnderWay => {}
            TokenMaking::Made(token) => {
                let token = token.clone();
                self.command(id, Some(token), now, turn);
            }
        }
    }

    fn command(&mut self, id: WithdrawalId, dispense_token: Option<DispenseToken>, now: Timestamp, turn: &mut Turn) {
        let Some(open) = self.open.get(&id) else { return };
        let command = DispenseCommand {
            withdrawal: id,
            amount: open.withdrawal().terms.amount,
            start_before: now.after(self.settings.dispense_within),
            dispense_token,
        };
        self.take(id, Event::DispenseCommanded { command }, now, turn);
    }

    /// The token is kept for the ATM if that is away; a withdrawal that was given up meanwhile needs none.
    pub(super) fn dispense_token_made(
        &mut self,
        id: WithdrawalId,
        token: DispenseToken,
        now: Timestamp,
        turn: &mut Turn,
    ) {
        let Some(open) = self.open.get_mut(&id).filter(|open| open.is_held()) else { return };
        open.token = TokenMaking::Made(token);
        self.follow_up(id, now, turn);
    }

    /// No token has left, so nothing is lost: it is tried again until the time of a held withdrawal is over.
    pub(super) fn dispense_token_failed(&mut self, id: WithdrawalId, now: Timestamp, turn: &mut Turn) {
        let settings = &self.settings;
        let Some(open) = self.open.get_mut(&id).filter(|open| open.is_held()) else { return };
        open.attempts = open.attempts.saturating_add(1);
        let attempt = open.attempts;
        open.token = TokenMaking::Due;
        open.repeat_at = Some(now.after(pause_after(attempt, id, settings)));
        if attempt.is_power_of_two() {
            turn.remark(id, now, "dispense_token_failed", format!("the HSM made no dispense token, attempt {attempt}"));
        }
    }

    /// The dispense token that a report's present token has to be about, if the report brings one and the command had one.
    pub(super) fn to_verify(&self, id: WithdrawalId, report: &OutcomeReport) -> Option<DispenseToken> {
        let present = report.present.as_ref()?;
        if present.finding != PresentFinding::Unverified {
            return None;
        }
        self.open.get(&id)?.state().command()?.dispense_token.clone()
    }

    /// A report that left its withdrawal without a known outcome: a dispenser that can prove what it did is asked to, soon but not at once again
    /// and again.
    pub(super) fn ask_for_proof(&mut self, id: WithdrawalId, now: Timestamp, turn: &mut Turn) {
        let settings = &self.settings;
        let Some(open) = self.open.get_mut(&id) else { return };
        let State::OutcomeUnknown { command, .. } = open.state() else { return };
        if command.dispense_token.is_none() || self.link.is_none() {
            return;
        }
        if open.attempts == 0 {
            return self.query_outcome(id, now, turn);
        }
        let soon = now.after(pause_after(open.attempts, id, settings));
        open.repeat_at = Some(open.repeat_at.map_or(soon, |at| at.min(soon)));
    }
}

/// What a report without a dispense token to compare with can be worth: its present token is about nothing that the gateway made.
pub(super) fn without_command_token(mut report: OutcomeReport) -> OutcomeReport {
    if let Some(PresentEvidence { finding, .. }) = &mut report.present {
        *finding = PresentFinding::Wrong(crate::evidence::WrongToken::NotAsked);
    }
    report
}
