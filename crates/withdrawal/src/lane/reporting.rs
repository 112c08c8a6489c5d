//! The part of a lane that takes a machine's reports.

use super::end_to_end::without_command_token;
use super::remark::OUTCOME_CONTRADICTS_END;
use super::{Action, Lane, ToAtm, Turn, tell};
use crate::dispense::OutcomeReport;
use crate::event::Event;
use crate::ids::WithdrawalId;
use crate::refusal::Refusal;
use crate::step;
use crate::time::Timestamp;
use crate::withdrawal::Withdrawal;

impl Lane {
    pub(super) fn outcome_reported(
        &mut self,
        id: WithdrawalId,
        report: OutcomeReport,
        now: Timestamp,
        turn: &mut Turn,
    ) {
        if !self.open.contains_key(&id) {
            turn.actions.push(Action::Recall { withdrawal: id, report });
        } else if let Some(dispense_token) = self.to_verify(id, &report) {
            turn.actions.push(Action::VerifyPresentToken { withdrawal: id, report, dispense_token });
        } else {
            self.outcome_verified(id, without_command_token(report), now, turn);
        }
    }

    /// Takes a report whose present token, if it has one, was verified as far as that is possible.
    pub(super) fn outcome_verified(
        &mut self,
        id: WithdrawalId,
        report: OutcomeReport,
        now: Timestamp,
        turn: &mut Turn,
    ) {
        if !self.open.contains_key(&id) {
            // It ended while the token was being verified.
            turn.actions.push(Action::Recall { withdrawal: id, report });
        } else if self.take(id, Event::OutcomeReported { report }, now, turn) {
            self.ask_for_proof(id, now, turn);
        } else {
            let state = self.open.get(&id).map_or("ended", |open| open.state().name());
            tell(turn, ToAtm::Refused { refusal: Refusal::OutcomeContradicts { state }, withdrawal: Some(id) });
        }
    }

    /// A report on a withdrawal that has ended: a repetition is acknowledged, anything else refused. Neither changes it.
    pub(super) fn recalled(
        withdrawal: Option<Box<Withdrawal>>,
        id: WithdrawalId,
        report: OutcomeReport,
        now: Timestamp,
        turn: &mut Turn,
    ) {
        let refusal = match withdrawal {
            None => Refusal::WithdrawalUnknown,
            Some(withdrawal) => {
                let state = withdrawal.state.name();
                let event = Event::OutcomeReported { report };
                match step(*withdrawal, event.clone(), now) {
                    Ok(_) => return tell(turn, ToAtm::OutcomeRecorded(id)),
                    Err(illegal) => {
                        turn.remark_event_as(OUTCOME_CONTRADICTS_END, id, now, &event, &illegal.to_string());
                        Refusal::OutcomeContradicts { state }
                    }
                }
            }
        };
        tell(turn, ToAtm::Refused { refusal, withdrawal: Some(id) });
    }
}
