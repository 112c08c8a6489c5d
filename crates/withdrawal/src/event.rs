//! What can happen to a withdrawal, and what is to be done about it.

use crate::dispense::{Contradiction, DispenseCommand, OutcomeReport};
use crate::ids::{HoldReference, OperatorName, ReasonCode};
use crate::money::Money;

/// Something that happened to a withdrawal; each one that changes it is a record in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Core banking holds the money.
    HoldGranted {
        /// Its reference.
        hold: HoldReference,
    },
    /// Core banking refuses.
    HoldDeclined {
        /// Its reason.
        code: ReasonCode,
    },
    /// Core banking did not answer in time, or the connection broke after the request had left.
    HoldUnanswered,
    /// The right code was typed at the ATM.
    CodeMatched,
    /// A wrong code was typed at the ATM.
    CodeMismatched,
    /// The customer cancelled in the app.
    CustomerCancelled,
    /// It cannot go on to the dispense command.
    Abandoned {
        /// Why.
        cause: ReversalCause,
    },
    /// The command to pay out was made.
    DispenseCommanded {
        /// The one command.
        command: DispenseCommand,
    },
    /// The ATM reported what became of the command.
    OutcomeReported {
        /// The report.
        report: OutcomeReport,
    },
    /// No report settled it in time.
    OutcomeDeadlinePassed,
    /// Core banking confirmed the hold.
    HoldConfirmed,
    /// Core banking reversed the hold, or had none to reverse and will refuse a late request for it.
    HoldReversed,
    /// Core banking says that the hold ended otherwise, or does not exist.
    SettlementRefused {
        /// Its reason.
        code: ReasonCode,
    },
    /// A person decided what a suspect becomes.
    SuspectResolved {
        /// The decision.
        settlement: Settlement,
        /// Who decided.
        operator: OperatorName,
        /// Why, for the auditor.
        reason: String,
    },
}

impl Event {
    /// A stable name for the ledger, logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::HoldGranted { .. } => "hold_granted",
            Self::HoldDeclined { .. } => "hold_declined",
            Self::HoldUnanswered => "hold_unanswered",
            Self::CodeMatched => "code_matched",
            Self::CodeMismatched => "code_mismatched",
            Self::CustomerCancelled => "customer_cancelled",
            Self::Abandoned { .. } => "abandoned",
            Self::DispenseCommanded { .. } => "dispense_commanded",
            Self::OutcomeReported { .. } => "outcome_reported",
            Self::OutcomeDeadlinePassed => "outcome_deadline_passed",
            Self::HoldConfirmed => "hold_confirmed",
            Self::HoldReversed => "hold_reversed",
            Self::SettlementRefused { .. } => "settlement_refused",
            Self::SuspectResolved { .. } => "suspect_resolved",
        }
    }
}

/// Something to be done once the event behind it is durable. Each may be done twice; the withdrawal's id makes that harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask core banking to hold the approved amount.
    PlaceHold,
    /// Tell core banking what left.
    ConfirmHold {
        /// What left.
        amount: Money,
    },
    /// Tell core banking to give the hold back.
    ReverseHold,
    /// Ask the customer, at the ATM, for the code that the app shows.
    AskConfirmCode {
        /// How often a wrong one may still be typed.
        tries_left: u8,
    },
    /// Tell the ATM to pay out.
    SendDispense {
        /// The one command.
        command: DispenseCommand,
    },
    /// Tell the ATM that its report is on disk, so that it need not repeat it.
    AcknowledgeOutcome,
    /// Count what left against the account's limits.
    SettleReservation {
        /// What left.
        dispensed: Money,
    },
    /// Give the whole reservation back.
    ReleaseReservation,
}

/// Why a hold is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReversalCause {
    /// Core banking did not answer the hold request in time.
    HoldUnanswered,
    /// The customer cancelled before the dispense command.
    CustomerCancelled,
    /// A wrong code was typed too often.
    CodeRefused,
    /// No code was typed in time.
    CodeTimedOut,
    /// The ATM was not there, or its QR session ended, before the dispense command.
    AtmUnavailable,
    /// The gateway restarted before the dispense command and could not carry on.
    GatewayRestarted,
    /// The kill switch was thrown, or the phone's right to approve ended, before the dispense command.
    Stopped,
    /// The ATM proved that nothing left.
    NothingLeft,
    /// A person decided so.
    Resolved,
}

impl ReversalCause {
    /// Every cause, in the order of the enum.
    pub const ALL: [Self; 9] = [
        Self::HoldUnanswered,
        Self::CustomerCancelled,
        Self::CodeRefused,
        Self::CodeTimedOut,
        Self::AtmUnavailable,
        Self::GatewayRestarted,
        Self::Stopped,
        Self::NothingLeft,
        Self::Resolved,
    ];

    /// A stable name for logs, queries and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HoldUnanswered => "hold_unanswered",
            Self::CustomerCancelled => "customer_cancelled",
            Self::CodeRefused => "code_refused",
            Self::CodeTimedOut => "code_timed_out",
            Self::AtmUnavailable => "atm_unavailable",
            Self::GatewayRestarted => "gateway_restarted",
            Self::Stopped => "stopped",
            Self::NothingLeft => "nothing_left",
            Self::Resolved => "resolved",
        }
    }
}

/// Why a withdrawal needs a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SuspectCause {
    /// The outcome was still not known at its deadline.
    OutcomeOverdue,
    /// What was reported contradicts the command, itself, an earlier report or core banking.
    Contradiction(Contradiction),
}

impl SuspectCause {
    /// A stable name for logs, queries and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OutcomeOverdue => "outcome_overdue",
            Self::Contradiction(contradiction) => contradiction.name(),
        }
    }
}

/// How a hold ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Settlement {
    /// Confirmed for this amount.
    Confirm(Money),
    /// Reversed.
    Reverse,
}
