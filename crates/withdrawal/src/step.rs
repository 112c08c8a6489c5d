//! The heart: which event may follow in which state, and what must be done then.

use crate::dispense::{Contradiction, DispenseCommand, OutcomeReport, Verdict};
use crate::event::{Effect, Event, ReversalCause, Settlement, SuspectCause};
use crate::ids::HoldReference;
use crate::money::Money;
use crate::time::Timestamp;
use crate::withdrawal::{State, Terms, Withdrawal};

/// How often a wrong code may be typed at the ATM.
pub const CODE_TRIES_MAX: u8 = 3;

/// How many contradictory reports on one suspect are kept. An ATM that goes on beyond them adds nothing, and is not acknowledged.
pub const SUSPECT_REPORTS_MAX: u8 = 8;

/// An event that the rules forbid in this state. It changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a withdrawal that is {state} cannot take {event}")]
pub struct IllegalEvent {
    /// The state's name.
    pub state: &'static str,
    /// The event's name.
    pub event: &'static str,
}

impl Withdrawal {
    /// A withdrawal at its beginning. Its terms are to be made durable before the effect runs.
    #[must_use]
    pub fn open(terms: Terms) -> (Self, Vec<Effect>) {
        let since = terms.approved_at;
        (Self { terms, state: State::HoldRequested, since }, vec![Effect::PlaceHold])
    }
}

/// The withdrawal after `event`, and what is to be done once the event is durable.
///
/// A withdrawal that comes back unchanged has heard nothing new, and there is nothing to make durable; effects may come with it all
/// the same, such as acknowledging a repeated report.
pub fn step(before: Withdrawal, event: Event, now: Timestamp) -> Result<(Withdrawal, Vec<Effect>), IllegalEvent> {
    #[cfg(feature = "planted")]
    if let Some((state, effects)) = crate::planted::step(&before, &event) {
        return Ok((Withdrawal { terms: before.terms, state, since: now }, effects));
    }
    let Withdrawal { terms, state, since } = before;
    let event_name = event.name();
    let unchanged = state.clone();
    let (state, effects) = match event {
        Event::HoldGranted { hold } => hold_granted(&terms, state, hold),
        Event::HoldDeclined { code } => match state {
            State::HoldRequested => Some((State::Declined { code }, vec![Effect::ReleaseReservation])),
            // The request had been given up already; a refusal of it changes nothing, the reversal goes on.
            State::Reversing { hold: None, .. } | State::Declined { .. } | State::Reversed { .. } => stays(state),
            _ => None,
        },
        Event::HoldUnanswered => match state {
            State::HoldRequested => reverse(None, None, ReversalCause::HoldUnanswered),
            _ => stays(state),
        },
        Event::CodeMatched => match state {
            State::AwaitingCode { hold, .. } => Some((State::Held { hold }, vec![])),
            _ => None,
        },
        Event::CodeMismatched => code_mismatched(state),
        Event::CustomerCancelled => abandon(state, ReversalCause::CustomerCancelled),
        Event::Abandoned { cause } => abandon(state, cause),
        Event::DispenseCommanded { command } => match state {
            State::Held { hold } if is_commanded(&terms, &command) => {
                let send = Effect::SendDispense { command: command.clone() };
                Some((State::DispenseCommanded { hold, command }, vec![send]))
            }
            _ => None,
        },
        Event::OutcomeReported { report } => outcome_reported(&terms, state, report),
        Event::OutcomeDeadlinePassed => outcome_deadline_passed(state),
        Event::HoldConfirmed => hold_settled(state, Answer::Confirmed),
        Event::HoldReversed => hold_settled(state, Answer::Reversed),
        Event::SettlementRefused { .. } => settlement_refused(state),
        Event::SuspectResolved { settlement, .. } => suspect_resolved(&terms, state, settlement),
    }
    .ok_or(IllegalEvent { state: unchanged.name(), event: event_name })?;
    let since = if state == unchanged { since } else { now };
    Ok((Withdrawal { terms, state, since }, effects))
}

/// What a transition gives: the next state and the effects, or nothing where the event is illegal.
type Next = Option<(State, Vec<Effect>)>;

fn stays(state: State) -> Next {
    Some((state, vec![]))
}

fn reverse(hold: Option<HoldReference>, command: Option<DispenseCommand>, cause: ReversalCause) -> Next {
    Some((State::Reversing { hold, command, cause }, vec![Effect::ReverseHold]))
}

fn hold_granted(terms: &Terms, state: State, granted: HoldReference) -> Next {
    match state {
        State::HoldRequested if terms.decision.confirm_code => {
            let ask = Effect::AskConfirmCode { tries_left: CODE_TRIES_MAX };
            Some((State::AwaitingCode { hold: granted, tries_left: CODE_TRIES_MAX }, vec![ask]))
        }
        State::HoldRequested => Some((State::Held { hold: granted }, vec![])),
        // A grant that comes too late is reversed too, and its reference kept.
        State::Reversing { hold: None, command, cause } => reverse(Some(granted), command, cause),
        // After the end: core banking has promised to refuse a hold that it was told to reverse, so there is none.
        State::Reversed { .. } | State::Declined { .. } => stays(state),
        // Core banking repeats itself, in the same words or it would be another hold.
        state if state.hold() == Some(&granted) => stays(state),
        _ => None,
    }
}

fn code_mismatched(state: State) -> Next {
    match state {
        State::AwaitingCode { hold, tries_left: 0 | 1 } => reverse(Some(hold), None, ReversalCause::CodeRefused),
        State::AwaitingCode { hold, tries_left } => {
            let tries_left = tries_left - 1;
            Some((State::AwaitingCode { hold, tries_left }, vec![Effect::AskConfirmCode { tries_left }]))
        }
        _ => None,
    }
}

/// Gives up before the point of no return. After it nothing but evidence gives the money back.
fn abandon(state: State, cause: ReversalCause) -> Next {
    match state {
        State::HoldRequested => reverse(None, None, cause),
        State::AwaitingCode { hold, .. } | State::Held { hold } => reverse(Some(hold), None, cause),
        State::Reversing { .. } | State::Reversed { .. } | State::Declined { .. } => stays(state),
        _ => None,
    }
}

/// Whether a command is the one that was agreed, with a dispense token if and only if the dispenser demands one.
fn is_commanded(terms: &Terms, command: &DispenseCommand) -> bool {
    command.withdrawal == terms.withdrawal
        && command.amount == terms.amount
        && command.dispense_token.is_some() == terms.command_nonce.is_some()
}

fn outcome_reported(terms: &Terms, state: State, report: OutcomeReport) -> Next {
    let verdict = report.verdict(terms.amount, terms.evidence_demanded);
    let acknowledged = |state| Some((state, vec![Effect::AcknowledgeOutcome]));
    match state {
        State::DispenseCommanded { hold, command } => Some(judge(hold, command, None, report, verdict)),
        State::OutcomeUnknown { hold, command, report: first } => {
            Some(judge(hold, command, Some(first), report, verdict))
        }
        State::Confirming { .. } | State::Reversing { command: Some(_), .. } if !contradicts(&state, verdict) => {
            acknowledged(state)
        }
        State::Confirming { .. } | State::Reversing { command: Some(_), .. } => {
            let cause = SuspectCause::Contradiction(Contradiction::TwoOutcomes);
            doubt(state, cause, Some(report)).map(|(state, _)| (state, vec![Effect::AcknowledgeOutcome]))
        }
        State::Suspect { hold, command: Some(command), cause, report: known, reports, asked, answered } => {
            // Kept as evidence if it says something new; it decides nothing any more.
            // "Not known" adds nothing to any report, and must not hide one that says more.
            let agrees = |known: &OutcomeReport| known.agrees_with(&report, terms.amount, terms.evidence_demanded);
            let is_new = known.as_ref().is_none_or(|known| verdict != Verdict::NotKnown && !agrees(known));
            let (report, reports) = match is_new {
                false => (known, reports),
                true if reports < SUSPECT_REPORTS_MAX => (Some(report), reports + 1),
                true => return None,
            };
            acknowledged(State::Suspect { hold, command: Some(command), cause, report, reports, asked, answered })
        }
        // Ended withdrawals do not change: a repetition is acknowledged, a contradiction is not.
        State::Confirmed { .. } | State::Reversed { cause: ReversalCause::NothingLeft, .. }
            if !contradicts(&state, verdict) =>
        {
            acknowledged(state)
        }
        // A person decided that nothing left; what agrees, or proves nothing, the ATM may stop repeating. That notes left after all is refused and
        // remarked on: somebody has to see it.
        State::Reversed { cause: ReversalCause::Resolved, .. }
            if matches!(verdict, Verdict::NothingLeft | Verdict::NotKnown) =>
        {
            acknowledged(state)
        }
        // Nothing was ever commanded, so there is nothing to report.
        _ => None,
    }
}

/// What a report makes of a commanded dispense.
fn judge(
    hold: HoldReference,
    command: DispenseCommand,
    first: Option<OutcomeReport>,
    report: OutcomeReport,
    verdict: Verdict,
) -> (State, Vec<Effect>) {
    match verdict {
        Verdict::Left(amount) => {
            let state = State::Confirming { hold, command, amount };
            (state, vec![Effect::AcknowledgeOutcome, Effect::ConfirmHold { amount }])
        }
        Verdict::NothingLeft => {
            let cause = ReversalCause::NothingLeft;
            let state = State::Reversing { hold: Some(hold), command: Some(command), cause };
            (state, vec![Effect::AcknowledgeOutcome, Effect::ReverseHold])
        }
        Verdict::NotKnown => {
            let report = first.unwrap_or(report);
            (State::OutcomeUnknown { hold, command, report }, vec![Effect::AcknowledgeOutcome])
        }
        Verdict::Contradiction(contradiction) => (
            suspect(hold, command, SuspectCause::Contradiction(contradiction), Some(report)),
            vec![Effect::AcknowledgeOutcome],
        ),
    }
}

/// Whether a further report contradicts what the state already holds as settled. "Not known" contradicts nothing.
fn contradicts(state: &State, verdict: Verdict) -> bool {
    match (state, verdict) {
        (_, Verdict::NotKnown) => false,
        (State::Confirming { amount, .. } | State::Confirmed { amount, .. }, Verdict::Left(left)) => *amount != left,
        (State::Reversing { .. } | State::Reversed { .. }, Verdict::NothingLeft) => false,
        _ => true,
    }
}

fn suspect(hold: HoldReference, command: DispenseCommand, cause: SuspectCause, report: Option<OutcomeReport>) -> State {
    State::Suspect { hold: Some(hold), command: Some(command), cause, report, reports: 0, asked: None, answered: false }
}

/// A settlement that was under way becomes a suspect. What core banking was asked stays on record: it may still do it.
fn doubt(state: State, cause: SuspectCause, report: Option<OutcomeReport>) -> Next {
    let (hold, command, asked) = match state {
        State::Confirming { hold, command, amount } => (Some(hold), Some(command), Settlement::Confirm(amount)),
        State::Reversing { hold, command, .. } => (hold, command, Settlement::Reverse),
        _ => return None,
    };
    Some((State::Suspect { hold, command, cause, report, reports: 0, asked: Some(asked), answered: false }, vec![]))
}

fn outcome_deadline_passed(state: State) -> Next {
    match state {
        State::DispenseCommanded { hold, command } => {
            Some((suspect(hold, command, SuspectCause::OutcomeOverdue, None), vec![]))
        }
        State::OutcomeUnknown { hold, command, report } => {
            Some((suspect(hold, command, SuspectCause::OutcomeOverdue, Some(report)), vec![]))
        }
        State::HoldRequested | State::AwaitingCode { .. } | State::Held { .. } => None,
        _ => stays(state),
    }
}

/// What core banking says it did.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Confirmed,
    Reversed,
}

impl Answer {
    const fn fits(self, asked: Settlement) -> bool {
        matches!((self, asked), (Self::Confirmed, Settlement::Confirm(_)) | (Self::Reversed, Settlement::Reverse))
    }
}

fn hold_settled(state: State, answer: Answer) -> Next {
    match (state, answer) {
        (State::Confirming { hold, amount, .. }, Answer::Confirmed) => {
            Some((State::Confirmed { hold, amount }, vec![Effect::SettleReservation { dispensed: amount }]))
        }
        (State::Reversing { hold, cause, .. }, Answer::Reversed) => {
            Some((State::Reversed { hold, cause }, vec![Effect::ReleaseReservation]))
        }
        // An answer to what was asked before the withdrawal became a suspect: kept for the person who decides.
        (State::Suspect { hold, command, cause, report, reports, asked: asked @ Some(settlement), .. }, answer)
            if answer.fits(settlement) =>
        {
            Some((State::Suspect { hold, command, cause, report, reports, asked, answered: true }, vec![]))
        }
        (state @ State::Confirmed { .. }, Answer::Confirmed) => stays(state),
        (state @ (State::Reversed { .. } | State::Declined { .. }), Answer::Reversed) => stays(state),
        _ => None,
    }
}

fn settlement_refused(state: State) -> Next {
    let cause = SuspectCause::Contradiction(Contradiction::CoreBanking);
    match state {
        State::Confirming { .. } | State::Reversing { .. } => doubt(state, cause, None),
        State::Suspect { .. } | State::Confirmed { .. } | State::Reversed { .. } | State::Declined { .. } => {
            stays(state)
        }
        _ => None,
    }
}

fn suspect_resolved(terms: &Terms, state: State, settlement: Settlement) -> Next {
    match (state, settlement) {
        (State::Suspect { hold: Some(hold), command: Some(command), .. }, Settlement::Confirm(amount))
            if is_payable(terms.amount, amount) =>
        {
            Some((State::Confirming { hold, command, amount }, vec![Effect::ConfirmHold { amount }]))
        }
        (State::Suspect { hold, command, .. }, Settlement::Reverse) => reverse(hold, command, ReversalCause::Resolved),
        _ => None,
    }
}

fn is_payable(approved: Money, amount: Money) -> bool {
    !amount.is_zero() && amount.exceeds(approved) == Ok(false)
}
