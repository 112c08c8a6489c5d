//! The part of a lane that carries its open withdrawals to their end.

use super::end_to_end::TokenMaking;
use super::remark::is_remarkable;
use super::retry::pause_after;
use super::{
    Action, Answer, ConfirmCode, Lane, LaneSettings, QrSessionEnd, Record, Resolution, SettlementAnswer, ToAtm, Turn,
    tell,
};
use crate::dispense::{OutcomeReport, Verdict};
use crate::event::{Effect, Event, ReversalCause, Settlement};
use crate::ids::WithdrawalId;
use crate::refusal::Refusal;
use crate::step;
use crate::time::Timestamp;
use crate::withdrawal::{State, Withdrawal};

/// After a restart requests to core banking are spread like those after so many failures: some seconds, so that a bank that is just back is
/// not met by all of them at once.
const RECOVERED_ATTEMPT: u32 = 4;

/// An open withdrawal and what is being done about it.
#[derive(Clone, Debug)]
pub(super) struct Open {
    withdrawal: Withdrawal,
    /// The number of its last record.
    steps: u32,
    /// How often the present request to core banking, or the present question to the ATM, has been sent.
    pub(super) attempts: u32,
    /// When to send it again.
    pub(super) repeat_at: Option<Timestamp>,
    pub(super) token: TokenMaking,
    confirm_code: Option<ConfirmCode>,
    /// When this lane began to listen for the ATM; a gateway that was away could not hear it.
    listening_since: Timestamp,
}

impl Open {
    pub(super) fn opened(withdrawal: Withdrawal, confirm_code: Option<ConfirmCode>) -> Self {
        let listening_since = withdrawal.since;
        let token = TokenMaking::default();
        Self { withdrawal, steps: 1, attempts: 0, repeat_at: None, token, confirm_code, listening_since }
    }

    /// An open withdrawal after a restart. What core banking is to be told goes out again soon, but not all in one moment.
    pub(super) fn recovered(withdrawal: Withdrawal, steps: u32, settings: &LaneSettings, now: Timestamp) -> Self {
        let settling = settlement_of(&withdrawal.state).is_some();
        let pause = pause_after(RECOVERED_ATTEMPT, withdrawal.terms.withdrawal, settings);
        let repeat_at = settling.then(|| now.after(pause));
        let token = TokenMaking::default();
        Self { withdrawal, steps, attempts: 0, repeat_at, token, confirm_code: None, listening_since: now }
    }

    pub(super) const fn withdrawal(&self) -> &Withdrawal {
        &self.withdrawal
    }

    pub(super) const fn state(&self) -> &State {
        &self.withdrawal.state
    }

    pub(super) const fn is_held(&self) -> bool {
        matches!(self.state(), State::Held { .. })
    }

    #[cfg(feature = "planted")]
    pub(super) const fn is_settling(&self) -> bool {
        settlement_of(self.state()).is_some()
    }

    #[cfg(feature = "planted")]
    pub(super) const fn never_repeat(&mut self) {
        self.repeat_at = None;
    }

    /// When the state's own time is over; nothing but evidence ends some states, and those have none.
    fn state_deadline(&self, settings: &LaneSettings) -> Option<Timestamp> {
        let since = self.withdrawal.since;
        match self.state() {
            State::HoldRequested => Some(since.after(settings.hold_timeout)),
            State::AwaitingCode { .. } => Some(since.after(settings.code_timeout)),
            State::Held { .. } => Some(since.after(settings.held_timeout)),
            State::DispenseCommanded { .. } | State::OutcomeUnknown { .. } => {
                Some(since.max(self.listening_since).after(settings.outcome_deadline))
            }
            _ => None,
        }
    }

    pub(super) fn next_deadline(&self, settings: &LaneSettings, connected: bool) -> Option<Timestamp> {
        // A question to the ATM waits for the ATM, and so does a token for it; a request to core banking does not.
        let asks_atm =
            matches!(self.state(), State::Held { .. } | State::DispenseCommanded { .. } | State::OutcomeUnknown { .. });
        let repeat_at = self.repeat_at.filter(|_| connected || !asks_atm);
        self.state_deadline(settings).into_iter().chain(repeat_at).min()
    }
}

/// What core banking is being told in a state.
const fn settlement_of(state: &State) -> Option<Settlement> {
    match state {
        State::Confirming { amount, .. } => Some(Settlement::Confirm(*amount)),
        State::Reversing { .. } => Some(Settlement::Reverse),
        _ => None,
    }
}

/// How the ATM's screen ends once a withdrawal no longer needs it.
const fn end_on_screen(state: &State) -> QrSessionEnd {
    match state {
        State::Declined { .. } => QrSessionEnd::Declined,
        State::Reversing { cause, .. } | State::Reversed { cause, .. } => match cause {
            ReversalCause::CustomerCancelled => QrSessionEnd::Cancelled,
            ReversalCause::NothingLeft | ReversalCause::Resolved => QrSessionEnd::Finished,
            _ => QrSessionEnd::Failed,
        },
        _ => QrSessionEnd::Finished,
    }
}

impl Lane {
    /// The withdrawal whose customer stands at the ATM.
    pub(super) fn occupant(&self) -> Option<&Withdrawal> {
        self.open.values().map(Open::withdrawal).find(|withdrawal| withdrawal.state.occupies_atm())
    }

    /// Puts an event to an open withdrawal. Says whether it was legal; an illegal one changes nothing.
    pub(super) fn take(&mut self, id: WithdrawalId, event: Event, now: Timestamp, turn: &mut Turn) -> bool {
        let Some(open) = self.open.get_mut(&id) else {
            turn.remark_event(id, now, &event, "it came after the end");
            return false;
        };
        let (after, effects) = match step(open.withdrawal.clone(), event.clone(), now) {
            Ok(next) => next,
            Err(illegal) => {
                turn.remark_event(id, now, &event, &illegal.to_string());
                return false;
            }
        };
        if after == open.withdrawal {
            turn.remark_event(id, now, &event, "it says nothing new");
        } else {
            open.steps += 1;
            open.attempts = 0;
            open.repeat_at = None;
            turn.records.push(Record { number: open.steps, at: now, event: Some(event), after: after.clone() });
            open.withdrawal = after;
        }
        self.carry_out(id, effects, now, turn);
        self.follow_up(id, now, turn);
        true
    }

    /// What a new state calls for by itself.
    pub(super) fn follow_up(&mut self, id: WithdrawalId, now: Timestamp, turn: &mut Turn) {
        let Some(open) = self.open.get(&id) else { return };
        let state = open.state();
        if !state.occupies_atm() {
            let (end, ended) = (end_on_screen(state), state.is_ended());
            self.end_qr_session_of(id, end, turn);
            if ended {
                self.open.remove(&id);
            }
        } else if open.is_held() && self.link.is_some() {
            self.command_or_make_token(id, now, turn);
        }
    }

    pub(super) fn carry_out(&mut self, id: WithdrawalId, effects: Vec<Effect>, now: Timestamp, turn: &mut Turn) {
        for effect in effects {
            let Some(open) = self.open.get_mut(&id) else { return };
            match effect {
                Effect::PlaceHold => {
                    turn.actions.push(Action::PlaceHold(Box::new(open.withdrawal.terms.clone())));
                }
                Effect::ConfirmHold { amount } => self.settle(id, Settlement::Confirm(amount), now, turn),
                Effect::ReverseHold => self.settle(id, Settlement::Reverse, now, turn),
                Effect::AskConfirmCode { tries_left } => {
                    let expires_at = open.withdrawal.since.after(self.settings.code_timeout);
                    tell(turn, ToAtm::AskConfirmCode { withdrawal: id, tries_left, expires_at });
                }
                Effect::SendDispense { command } => {
                    // If nothing comes back by then, the ATM is asked.
                    open.repeat_at = Some(command.start_before.after(self.settings.dispense_within));
                    tell(turn, ToAtm::Dispense(command));
                }
                Effect::AcknowledgeOutcome => tell(turn, ToAtm::OutcomeRecorded(id)),
                Effect::SettleReservation { dispensed } => {
                    turn.actions.push(Action::EndReservation { withdrawal: id, dispensed: Some(dispensed) });
                }
                Effect::ReleaseReservation => {
                    turn.actions.push(Action::EndReservation { withdrawal: id, dispensed: None });
                }
            }
        }
    }

    fn settle(&mut self, id: WithdrawalId, settlement: Settlement, now: Timestamp, turn: &mut Turn) {
        let Some(open) = self.open.get_mut(&id) else { return };
        open.attempts = open.attempts.saturating_add(1);
        let attempt = open.attempts;
        if attempt > 1 && is_remarkable(attempt) {
            turn.remark(id, now, "settlement_repeated", format!("request {attempt} to core banking"));
        }
        // An answer cancels this; if none ever comes, not even a failure, it goes out again.
        open.repeat_at = Some(now.after(self.settings.hold_timeout.saturating_add(self.settings.retry_max)));
        turn.actions.push(Action::Settle {
            terms: Box::new(open.withdrawal.terms.clone()),
            hold: open.state().hold().cloned(),
            settlement,
        });
    }

    pub(super) fn settlement_answered(
        &mut self,
        id: WithdrawalId,
        settlement: Settlement,
        answer: SettlementAnswer,
        now: Timestamp,
        turn: &mut Turn,
    ) {
        let Some(open) = self.open.get_mut(&id) else {
            if answer != SettlementAnswer::Unanswered {
                turn.remark(id, now, "settlement_answered", format!("{settlement:?}: {answer:?}, after the end"));
            }
            return;
        };
        let asked_now = settlement_of(open.state());
        let event = match (answer, asked_now) {
            (SettlementAnswer::Unanswered, Some(_)) => {
                let attempt = open.attempts;
                open.repeat_at = Some(now.after(pause_after(attempt, id, &self.settings)));
                if is_remarkable(attempt) {
                    turn.remark(id, now, "settlement_unanswered", format!("request {attempt} to core banking"));
                }
                return;
            }
            (SettlementAnswer::Unanswered, None) => return,
            (SettlementAnswer::Refused(code), _) => Event::SettlementRefused { code },
            // It did what a person has since decided otherwise.
            (SettlementAnswer::Done, Some(now_asked)) if now_asked != settlement => match "settled_otherwise".parse() {
                Ok(code) => Event::SettlementRefused { code },
                Err(_) => return,
            },
            // Only what was asked last before the doubt can be what was answered.
            (SettlementAnswer::Done, None) if !matches!(open.state(), State::Suspect { asked: Some(asked), .. } if *asked == settlement) =>
            {
                let detail = format!("core banking says done to {settlement:?}, which it was not asked last");
                return turn.remark(id, now, "settlement_answered", detail);
            }
            (SettlementAnswer::Done, _) => match settlement {
                Settlement::Confirm(_) => Event::HoldConfirmed,
                Settlement::Reverse => Event::HoldReversed,
            },
        };
        self.take(id, event, now, turn);
    }

    pub(super) fn code_entered(&mut self, id: WithdrawalId, code: ConfirmCode, now: Timestamp, turn: &mut Turn) {
        let expected = self.open.get(&id).and_then(|open| open.confirm_code);
        let event = if expected == Some(code) { Event::CodeMatched } else { Event::CodeMismatched };
        if !self.open.contains_key(&id) || !self.take(id, event, now, turn) {
            tell(turn, ToAtm::Refused { refusal: Refusal::WithdrawalUnknown, withdrawal: Some(id) });
        }
    }

    pub(super) fn resolved(
        &mut self,
        resolution: Resolution,
        now: Timestamp,
        turn: &mut Turn,
    ) -> Result<Answer, Refusal> {
        let Resolution { withdrawal, settlement, operator, reason, .. } = resolution;
        let open = self.open.get(&withdrawal).ok_or(Refusal::WithdrawalUnknown)?;
        let State::Suspect { command, .. } = open.state() else { return Err(Refusal::NotASuspect) };
        if command.is_none() && settlement != Settlement::Reverse {
            let detail = "nothing was ever commanded, so nothing can have left".to_owned();
            return Err(Refusal::FieldInvalid { field: "confirm", detail });
        }
        if self.take(withdrawal, Event::SuspectResolved { settlement, operator, reason }, now, turn) {
            return Ok(Answer::Done);
        }
        let detail = "must be above zero, at most the approved amount, and in its currency".to_owned();
        Err(Refusal::FieldInvalid { field: "confirm", detail })
    }

    /// The ATM is back: go on where the connection broke.
    pub(super) fn resume(&mut self, id: WithdrawalId, now: Timestamp, turn: &mut Turn) {
        let Some(open) = self.open.get_mut(&id) else { return };
        match open.state().clone() {
            State::Held { .. } => self.follow_up(id, now, turn),
            State::AwaitingCode { tries_left, .. } => {
                self.carry_out(id, vec![Effect::AskConfirmCode { tries_left }], now, turn);
            }
            // The customer may still be there: the same command, which the ATM carries out at most once.
            State::DispenseCommanded { command, .. } if now < command.start_before => {
                turn.remark(id, now, "dispense_repeated", "the ATM is back: the same command again".to_owned());
                self.carry_out(id, vec![Effect::SendDispense { command }], now, turn);
            }
            State::DispenseCommanded { .. } | State::OutcomeUnknown { .. } => self.query_outcome(id, now, turn),
            // A person decides, but the machine may know more than it said; asked once a connection, not on a timer. Where a settlement was
            // under way the outcome is known.
            State::Suspect { command: Some(command), report, asked: None, .. } => {
                let demanded = open.withdrawal.terms.evidence_demanded;
                let is_open = |known: &OutcomeReport| known.verdict(command.amount, demanded) == Verdict::NotKnown;
                if report.as_ref().is_none_or(is_open) {
                    turn.remark(id, now, "outcome_asked", "the ATM is back: what became of it?".to_owned());
                    let with_status = command.dispense_token.is_some();
                    turn.actions.push(Action::AskOutcome { withdrawal: id, with_status });
                }
            }
            _ => {}
        }
    }

    pub(super) fn query_outcome(&mut self, id: WithdrawalId, now: Timestamp, turn: &mut Turn) {
        let Some(open) = self.open.get_mut(&id) else { return };
        open.attempts = open.attempts.saturating_add(1);
        let attempt = open.attempts;
        let pause = pause_after(attempt, id, &self.settings).max(self.settings.dispense_within);
        open.repeat_at = Some(now.after(pause));
        if is_remarkable(attempt) {
            turn.remark(id, now, "outcome_asked", format!("question {attempt} to the ATM"));
        }
        let with_status = open.state().command().is_some_and(|command| command.dispense_token.is_some());
        turn.actions.push(Action::AskOutcome { withdrawal: id, with_status });
    }

    /// A timer of a withdrawal ran out: its state's own, or that of a repetition.
    pub(super) fn withdrawal_due(&mut self, id: WithdrawalId, now: Timestamp, turn: &mut Turn) {
        let Some(open) = self.open.get(&id) else { return };
        if open.state_deadline(&self.settings).is_some_and(|at| at <= now) {
            let event = match open.state() {
                State::HoldRequested => Event::HoldUnanswered,
                State::AwaitingCode { .. } => Event::Abandoned { cause: ReversalCause::CodeTimedOut },
                State::Held { .. } => Event::Abandoned { cause: ReversalCause::AtmUnavailable },
                _ => Event::OutcomeDeadlinePassed,
            };
            self.take(id, event, now, turn);
        } else if let Some(settlement) = settlement_of(open.state()) {
            self.settle(id, settlement, now, turn);
        } else if open.is_held() {
            self.follow_up(id, now, turn);
        } else {
            self.query_outcome(id, now, turn);
        }
    }
}
