//! Bugs that are planted on purpose, one at a time, to show that the simulation's checker finds each of them.
//!
//! Only there with the feature `planted`, which nothing but the simulation's own test turns on. What `step` would do wrong stands here; what a
//! lane or the gateway would do wrong stands beside them.

use std::cell::Cell;

use crate::dispense::{EvidenceSource, Outcome, OutcomeReport, Verdict};
use crate::event::{Effect, Event, ReversalCause};
use crate::evidence::{EvidenceGrade, PresentStatus};
use crate::money::Money;
use crate::withdrawal::{State, Terms, Withdrawal};

macro_rules! bugs {
    ($($name:ident: $meaning:literal,)* => over replicas: $($shared:ident: $told:literal,)*) => {
        /// A planted bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Bug {
            $(#[doc = $meaning] $name,)*
            $(#[doc = $told] $shared,)*
        }

        impl Bug {
            /// Every one that a gateway can have by itself.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
            /// Every one that it takes several replicas for.
            pub const OVER_REPLICAS: &[Self] = &[$(Self::$shared,)*];

            /// What it does wrong.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* $(Self::$shared => $told,)* }
            }
        }
    };
}

bugs! {
    LateGrantAccepted: "a grant that comes after its hold was given up is paid out",
    SilenceIsGrant: "a hold that was not answered counts as granted",
    RefusalIsGrant: "a hold that was declined counts as granted",
    ReversesOnTimer: "a command without an outcome is reversed at its deadline",
    ConfirmsOnTimer: "a command without an outcome is confirmed at its deadline",
    UnknownIsReversed: "an outcome that the machine does not know is reversed",
    UnknownIsConfirmed: "an outcome that the machine does not know is confirmed",
    BareWordBelieved: "nothing left, says a machine without evidence, and is believed",
    RetractIsNothing: "whatever is taken back, all of it is credited",
    UncountedRetractIsNothing: "notes taken back without a count are credited",
    PartialIsWhole: "a partial dispense is confirmed for the whole amount",
    MoreThanCommandedConfirmed: "a report of more than was commanded is confirmed",
    SecondOutcomeWins: "a second outcome replaces the first",
    ContradictionReversed: "a report that contradicts itself is reversed",
    CancelledAfterCommand: "a customer cancels after the point of no return",
    RefusedConfirmIsConfirmed: "core banking refuses a confirmation, and it counts as done",
    RefusedReversalIsReversed: "core banking refuses a reversal, and it counts as done",
    EndsBeforeConfirmed: "a withdrawal ends before core banking has confirmed",
    EndsBeforeReversed: "a withdrawal ends before core banking has reversed",
    SilentHoldForgotten: "a hold that was not answered is not reversed",
    SettledTwice: "a hold is confirmed and then reversed",
    GivesUpWhenLineBreaks: "a command is reversed when its machine's line breaks",
    CommandNotIdentical: "a resent command has a later deadline",
    CommandForMore: "the machine is told to pay out more than was approved",
    AcknowledgedAskedAgain: "a recorded outcome is asked for again",
    NoRetry: "a settlement is tried once",
    NoRetryAfterRestart: "a settlement is not tried again after a restart",
    ClaimWithoutGuard: "a second phone claims a code that was claimed",
    ExpiredCodeAccepted: "a code counts after it has expired",
    OldCodeAccepted: "a code of an earlier QR session counts",
    ApprovedTwice: "an approval that is repeated opens another withdrawal",
    ForgottenWhenLineBreaks: "a lane forgets its open withdrawals when the line breaks",
    SentBeforeJournal: "everything leaves before the journal is written",
    HoldBeforeJournal: "a hold is asked for before the journal is written",
    CommandBeforeJournal: "a command leaves before the journal is written",
    AcknowledgedBeforeJournal: "an outcome is acknowledged before the journal is written",
    ReservationForgotten: "an admitted withdrawal is not counted while it is open",
    SpentForgotten: "what left a machine is not counted",
    ReservationForgottenOnCrash: "open withdrawals are not counted after a restart",
    SpentForgottenOnCrash: "what left machines is not counted after a restart",
    CountNotChecked: "the number of withdrawals a day is not limited",
    SumNotChecked: "the sum of a day is not limited",
    SingleNotChecked: "a single withdrawal is not limited",
    ReservationKept: "a reversed withdrawal goes on counting",
    OpenForgottenOnCrash: "withdrawals that are being confirmed are not recovered",
    GradeIgnored: "less than everything is believed below the grade that the institution demands",
    StrippedTokenBelieved: "a machine with end-to-end security is believed without a present token",
    StaleStatusBelieved: "a present status that nobody asked for counts as fresh",
    OtherDispenseBelieved: "the present status of another dispense counts",
    WrongTokenBelieved: "a present token with a wrong MAC counts as genuine",
    UnverifiedTokenBelieved: "a present token that the HSM could not verify counts as genuine",
    UnfinishedStatusBelieved: "notes that lie on the stacker count as not presented",
    CommandBeforeToken: "a machine with end-to-end security is commanded before its dispense token is made",
    TokenRemadeOnResend: "a command is resent with another dispense token",
    TokenForMore: "a dispense token is made for more than was approved",
    StopReversesCommanded: "the kill switch reverses what was commanded",
    => over replicas:
    EpochNotChecked: "the ledger takes the steps of a replica that has lost the lane",
    VersionNotChecked: "the ledger takes an approval that was computed from old limits",
    AdoptedWithoutReading: "a lane is taken over without reading what is open there",
    CommitRepeatedBlindly: "a commit whose answer was lost is repeated without looking whether it went through",
    FencedCarriesOn: "a replica that the ledger refused carries its errands out all the same",
    LeaseIgnored: "a replica acts on, though it has not heard from the ledger for long",
    LostLaneKept: "a replica keeps a lane of which it heard that it is another's",
    CopyRaisedUnseen: "a copy of limits counts as the latest although another replica's commit came between",
    OtherCopyEnded: "a reservation is ended in a copy that it was not counted in",
    CopyKeptOnConflict: "a copy is kept although the ledger said that it is old",
    StopsNotFollowed: "the stops of other replicas are not followed",
    StaleAdmits: "new withdrawals begin while it is not known what other replicas have stopped",
    LostAnswerIsRefusal: "a commit whose answer was lost counts as refused",
    DeafKeepsAtms: "a replica that does not hear the ledger keeps its machines, though another hears it",
    SentInCircles: "a replica that does not hear the ledger sends its machines away, whoever hears it",
    TakesAtmsTooSoon: "a replica takes machines as soon as it hears the ledger again",
    SentWithoutSecondLook: "a replica that has come to hear the ledger while it asked sends its machines away all the same",
    AdoptsOnlyFromTheDead: "a machine is refused if the replica that has its lane lives",
    LateWriteTaken: "the ledger takes what a replica wrote for a machine that it sent elsewhere, though the lane is another's",
    ApprovalsNotHeard: "what other replicas approved is not remembered",
    RefusalsNotHeard: "what other replicas refused is not remembered",
    OwnAttemptHeard: "what a replica decided itself is counted again when the ledger tells it",
    RecalledHeardAgain: "what was read at a start is counted again when the ledger tells it",
    AskedAgainCounted: "an approval that is computed again is counted again",
    PartOverlooked: "who has heard a part of what the ledger tells goes on a step too far",
    RefusedWriteHeard: "the ledger tells of approvals that it has refused",
    NoticesRepeated: "what a commit tells is told again when it is repeated",
    AlarmToldByAll: "every replica tells of an alarm, though another has told of it",
    SharedAlarmForgotten: "an alarm that comes of what other replicas decided is not told",
}

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Plants a bug in this thread, in place of any before.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether this bug is planted in this thread.
#[must_use]
pub fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// The grade that is held against a report.
pub(crate) fn demanded(report: &OutcomeReport, demanded: EvidenceGrade) -> EvidenceGrade {
    let stripped = is(Bug::StrippedTokenBelieved) && report.present.is_none();
    if stripped { EvidenceGrade::C } else { demanded }
}

/// What a genuine present status counts for.
pub(crate) fn status(status: PresentStatus) -> PresentStatus {
    PresentStatus { fresh: status.fresh || is(Bug::StaleStatusBelieved), ..status }
}

/// What a bug makes of an event, if the planted one has to do with it.
pub(crate) fn step(before: &Withdrawal, event: &Event) -> Option<(State, Vec<Effect>)> {
    let (terms, state) = (&before.terms, before.state.clone());
    match (PLANTED.get()?, event, state) {
        (Bug::LateGrantAccepted, Event::HoldGranted { hold }, State::Reversing { hold: None, .. }) => {
            Some((State::Held { hold: hold.clone() }, vec![]))
        }
        (Bug::CommandBeforeToken, Event::DispenseCommanded { command }, State::Held { hold }) => {
            let (command, send) = (command.clone(), Effect::SendDispense { command: command.clone() });
            Some((State::DispenseCommanded { hold, command }, vec![send]))
        }
        (Bug::SilenceIsGrant, Event::HoldUnanswered, State::HoldRequested)
        | (Bug::RefusalIsGrant, Event::HoldDeclined { .. }, State::HoldRequested) => {
            Some((State::Held { hold: "none".parse().ok()? }, vec![]))
        }
        (Bug::ReversesOnTimer, Event::OutcomeDeadlinePassed, state) => unprompted(reversed(state)),
        (Bug::ConfirmsOnTimer, Event::OutcomeDeadlinePassed, state) => unprompted(confirmed(state, terms.amount)),
        (Bug::CancelledAfterCommand, Event::CustomerCancelled, state)
        | (Bug::GivesUpWhenLineBreaks, Event::Abandoned { .. }, state) => unprompted(reversed(state)),
        (Bug::StopReversesCommanded, Event::Abandoned { cause: ReversalCause::Stopped }, state) => {
            unprompted(reversed(state))
        }
        (_, Event::OutcomeReported { .. }, state) => reported(terms, event, state),
        (Bug::RefusedConfirmIsConfirmed, Event::SettlementRefused { .. }, State::Confirming { hold, amount, .. }) => {
            Some((State::Confirmed { hold, amount }, vec![Effect::SettleReservation { dispensed: amount }]))
        }
        (Bug::RefusedReversalIsReversed, Event::SettlementRefused { .. }, State::Reversing { hold, cause, .. }) => {
            Some((State::Reversed { hold, cause }, vec![Effect::ReleaseReservation]))
        }
        (Bug::SilentHoldForgotten, Event::HoldUnanswered, State::HoldRequested) => {
            let cause = ReversalCause::HoldUnanswered;
            Some((State::Reversed { hold: None, cause }, vec![Effect::ReleaseReservation]))
        }
        (Bug::SettledTwice, Event::HoldConfirmed, State::Confirming { hold, command, .. }) => {
            let (hold, command, cause) = (Some(hold), Some(command), ReversalCause::NothingLeft);
            Some((State::Reversing { hold, command, cause }, vec![Effect::ReverseHold]))
        }
        _ => None,
    }
}

fn reported(terms: &Terms, event: &Event, state: State) -> Option<(State, Vec<Effect>)> {
    let Event::OutcomeReported { report } = event else { return None };
    let verdict = report.verdict(terms.amount, terms.evidence_demanded);
    let is_open = matches!(state, State::DispenseCommanded { .. } | State::OutcomeUnknown { .. });
    match PLANTED.get()? {
        Bug::UnknownIsReversed if report.outcome == Outcome::Unknown => reversed(state),
        Bug::UnknownIsConfirmed if report.outcome == Outcome::Unknown => confirmed(state, terms.amount),
        Bug::BareWordBelieved
            if report.outcome == Outcome::NotDispensed && report.evidence == EvidenceSource::BareWord =>
        {
            reversed(state)
        }
        Bug::RetractIsNothing if report.outcome == Outcome::Retracted => reversed(state),
        Bug::UncountedRetractIsNothing if report.outcome == Outcome::Retracted && report.retracted.is_none() => {
            reversed(state)
        }
        Bug::PartialIsWhole if report.outcome == Outcome::PartiallyDispensed => confirmed(state, terms.amount),
        Bug::MoreThanCommandedConfirmed if report.presented.exceeds(terms.amount) == Ok(true) => {
            confirmed(state, report.presented)
        }
        Bug::ContradictionReversed if matches!(verdict, Verdict::Contradiction(_)) => reversed(state),
        Bug::SecondOutcomeWins => match (verdict, state) {
            (Verdict::NothingLeft, State::Confirming { hold, command, .. }) => {
                reversed(State::DispenseCommanded { hold, command })
            }
            (Verdict::Left(amount), State::Confirming { hold, command, .. })
            | (Verdict::Left(amount), State::Reversing { hold: Some(hold), command: Some(command), .. }) => {
                confirmed(State::DispenseCommanded { hold, command }, amount)
            }
            _ => None,
        },
        Bug::EndsBeforeConfirmed if is_open => match (verdict, state) {
            (Verdict::Left(amount), State::DispenseCommanded { hold, .. } | State::OutcomeUnknown { hold, .. }) => {
                let count = Effect::SettleReservation { dispensed: amount };
                Some((State::Confirmed { hold, amount }, vec![Effect::AcknowledgeOutcome, count]))
            }
            _ => None,
        },
        Bug::EndsBeforeReversed if is_open && verdict == Verdict::NothingLeft => {
            let (hold, cause) = (state.hold().cloned(), ReversalCause::NothingLeft);
            Some((State::Reversed { hold, cause }, vec![Effect::AcknowledgeOutcome, Effect::ReleaseReservation]))
        }
        _ => None,
    }
}

/// The same without a report to acknowledge.
fn unprompted(next: Option<(State, Vec<Effect>)>) -> Option<(State, Vec<Effect>)> {
    let (state, mut effects) = next?;
    effects.retain(|effect| *effect != Effect::AcknowledgeOutcome);
    Some((state, effects))
}

fn reversed(state: State) -> Option<(State, Vec<Effect>)> {
    match state {
        State::DispenseCommanded { hold, command } | State::OutcomeUnknown { hold, command, .. } => {
            let (hold, command, cause) = (Some(hold), Some(command), ReversalCause::NothingLeft);
            Some((State::Reversing { hold, command, cause }, vec![Effect::AcknowledgeOutcome, Effect::ReverseHold]))
        }
        _ => None,
    }
}

fn confirmed(state: State, amount: Money) -> Option<(State, Vec<Effect>)> {
    match state {
        State::DispenseCommanded { hold, command } | State::OutcomeUnknown { hold, command, .. } => {
            let state = State::Confirming { hold, command, amount };
            Some((state, vec![Effect::AcknowledgeOutcome, Effect::ConfirmHold { amount }]))
        }
        _ => None,
    }
}
