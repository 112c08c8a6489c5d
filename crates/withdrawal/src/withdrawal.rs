//! One withdrawal: its terms and its states.

use crate::dispense::{DispenseCommand, OutcomeReport};
use crate::event::{ReversalCause, Settlement, SuspectCause};
use crate::evidence::EvidenceGrade;
use crate::ids::{
    AccountId, AtmId, CommandNonce, DeviceId, HoldReference, InstitutionId, KeyId, Nonce, QrSessionId, ReasonCode,
    WithdrawalId,
};
use crate::location::Location;
use crate::money::Money;
use crate::time::{CalendarDay, Timestamp};

/// What was agreed at the approval and never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The one id, the idempotency key on every leg.
    pub withdrawal: WithdrawalId,
    /// Whose customer withdraws.
    pub institution: InstitutionId,
    /// From which account.
    pub account: AccountId,
    /// The phone that approved.
    pub device: DeviceId,
    /// The machine that is to pay out.
    pub atm: AtmId,
    /// The QR session that the customer scanned.
    pub qr_session: QrSessionId,
    /// The claimed token's nonce.
    pub nonce: Nonce,
    /// The approved amount.
    pub amount: Money,
    /// When the approval was accepted.
    pub approved_at: Timestamp,
    /// What stood behind accepting it.
    pub decision: Decision,
    /// The dispenser's command nonce for this customer, if it has end-to-end security: it is paid out against a dispense token for this
    /// nonce or not at all.
    pub command_nonce: Option<CommandNonce>,
    /// The least grade of evidence on which less than everything is believed to have left. A wherever there is a command nonce.
    pub evidence_demanded: EvidenceGrade,
}

/// What stood behind the acceptance of an approval, for the auditor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The policy set that permitted it.
    pub policy_version: String,
    /// The rules of the set that spoke, as `file.cedar#n`.
    pub rules: Vec<String>,
    /// The facts that the rules were asked with, as `cashgate_policy` writes them.
    pub facts: String,
    /// The limit figures that it was held against and what had been counted before, as text.
    pub limit_figures: String,
    /// The HSM key under which the QR token verified.
    pub key: KeyId,
    /// The institution's calendar day that the amount counts for.
    pub day: CalendarDay,
    /// Whether policy asks for a code typed at the ATM before anything is paid out.
    pub confirm_code: bool,
    /// Where the machine stood, if it had said so: what later withdrawals' distances are counted from, also at other replicas.
    pub machine_location: Option<Location>,
}

/// A withdrawal at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// What was agreed.
    pub terms: Terms,
    /// How far it is.
    pub state: State,
    /// When it came into this state.
    pub since: Timestamp,
}

/// How far a withdrawal is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Core banking is being asked for the money.
    HoldRequested,
    /// The money is held, and the customer is to type a code at the ATM.
    AwaitingCode {
        /// Core banking's reference.
        hold: HoldReference,
        /// How often a wrong code may still be typed.
        tries_left: u8,
    },
    /// The money is held; nothing has been commanded yet.
    Held {
        /// Core banking's reference.
        hold: HoldReference,
    },
    /// The command to pay out is durable: the point of no return.
    DispenseCommanded {
        /// Core banking's reference.
        hold: HoldReference,
        /// The one command.
        command: DispenseCommand,
    },
    /// The ATM answered, but not what became of the money.
    OutcomeUnknown {
        /// Core banking's reference.
        hold: HoldReference,
        /// The one command.
        command: DispenseCommand,
        /// The first report that left it unknown.
        report: OutcomeReport,
    },
    /// Money left; core banking is being told, until it answers.
    Confirming {
        /// Core banking's reference.
        hold: HoldReference,
        /// The one command.
        command: DispenseCommand,
        /// What left the machine.
        amount: Money,
    },
    /// No money leaves; core banking is being told, until it answers.
    Reversing {
        /// Core banking's reference, once known; a hold that was never answered has none.
        hold: Option<HoldReference>,
        /// The command, if there was one.
        command: Option<DispenseCommand>,
        /// Why.
        cause: ReversalCause,
    },
    /// No automatic means tells what became of the money; a person decides, with the evidence.
    Suspect {
        /// Core banking's reference, if it gave one.
        hold: Option<HoldReference>,
        /// The command, if there was one.
        command: Option<DispenseCommand>,
        /// Why.
        cause: SuspectCause,
        /// The latest report that added something.
        report: Option<OutcomeReport>,
        /// How many reports have added something since the doubt arose.
        reports: u8,
        /// What core banking had been asked before the doubt arose; such a request cannot be taken back.
        asked: Option<Settlement>,
        /// Whether it has answered that it did so.
        answered: bool,
    },
    /// Ended: core banking refused the hold.
    Declined {
        /// Core banking's reason.
        code: ReasonCode,
    },
    /// Ended: the hold was confirmed for what left.
    Confirmed {
        /// Core banking's reference.
        hold: HoldReference,
        /// What left the machine.
        amount: Money,
    },
    /// Ended: the hold was reversed, nothing left.
    Reversed {
        /// Core banking's reference, if it ever gave one.
        hold: Option<HoldReference>,
        /// Why.
        cause: ReversalCause,
    },
}

impl State {
    /// A stable name for the ledger, logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::HoldRequested => "hold_requested",
            Self::AwaitingCode { .. } => "awaiting_code",
            Self::Held { .. } => "held",
            Self::DispenseCommanded { .. } => "dispense_commanded",
            Self::OutcomeUnknown { .. } => "outcome_unknown",
            Self::Confirming { .. } => "confirming",
            Self::Reversing { .. } => "reversing",
            Self::Suspect { .. } => "suspect",
            Self::Declined { .. } => "declined",
            Self::Confirmed { .. } => "confirmed",
            Self::Reversed { .. } => "reversed",
        }
    }

    /// Whether the withdrawal is over and will never change again.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self, Self::Declined { .. } | Self::Confirmed { .. } | Self::Reversed { .. })
    }

    /// Whether the customer is still being served, so that the ATM can serve nobody else.
    #[must_use]
    pub const fn occupies_atm(&self) -> bool {
        self.occupies_atm_before_command() || matches!(self, Self::DispenseCommanded { .. })
    }

    /// Whether a customer is being served and nothing has been commanded yet.
    #[must_use]
    pub const fn occupies_atm_before_command(&self) -> bool {
        matches!(self, Self::HoldRequested | Self::AwaitingCode { .. } | Self::Held { .. })
    }

    /// Core banking's reference of the hold, once there is one.
    #[must_use]
    pub const fn hold(&self) -> Option<&HoldReference> {
        match self {
            Self::HoldRequested | Self::Declined { .. } => None,
            Self::AwaitingCode { hold, .. }
            | Self::Held { hold }
            | Self::DispenseCommanded { hold, .. }
            | Self::OutcomeUnknown { hold, .. }
            | Self::Confirming { hold, .. }
            | Self::Confirmed { hold, .. } => Some(hold),
            Self::Reversing { hold, .. } | Self::Suspect { hold, .. } | Self::Reversed { hold, .. } => hold.as_ref(),
        }
    }

    /// The command, while something still depends on it.
    #[must_use]
    pub const fn command(&self) -> Option<&DispenseCommand> {
        match self {
            Self::DispenseCommanded { command, .. }
            | Self::OutcomeUnknown { command, .. }
            | Self::Confirming { command, .. } => Some(command),
            Self::Reversing { command, .. } | Self::Suspect { command, .. } => command.as_ref(),
            _ => None,
        }
    }

    /// What left the machine, once that is settled.
    #[must_use]
    pub const fn dispensed(&self) -> Option<Money> {
        match self {
            Self::Confirming { amount, .. } | Self::Confirmed { amount, .. } => Some(*amount),
            _ => None,
        }
    }

    /// The short reason that goes with the state, where it has one.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Reversing { cause, .. } | Self::Reversed { cause, .. } => Some(cause.name()),
            Self::Suspect { cause, .. } => Some(cause.name()),
            Self::Declined { code } => Some(code.as_str()),
            _ => None,
        }
    }
}
