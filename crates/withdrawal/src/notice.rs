//! What happens beside withdrawals and is told to those who have to act on it: the institution alerts its customer, an analyst looks.

use crate::ids::{AccountId, AtmId, DeviceId, InstitutionId, WithdrawalId};
use crate::money::Money;
use crate::stop::StopScope;
use crate::time::Timestamp;

/// One notice of the durable feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// When it happened.
    pub at: Timestamp,
    /// What.
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A phone was made known, or its key was changed: the customer should hear of it on another way than that phone.
    DeviceRegistered {
        /// Whose.
        institution: InstitutionId,
        /// Which phone.
        device: DeviceId,
        /// How the app was activated, in the institution's own word; empty if it did not say.
        channel: String,
        /// Whether it was known before with another key.
        key_changed: bool,
    },
    /// A phone's right to approve ended.
    DeviceRevoked {
        /// Whose.
        institution: InstitutionId,
        /// Which phone.
        device: DeviceId,
    },
    /// A phone failed too often and may approve nothing until its institution releases it.
    DeviceLocked {
        /// Whose.
        institution: InstitutionId,
        /// Which phone.
        device: DeviceId,
        /// How often it failed in a row.
        failed_attempts: u8,
    },
    /// A locked phone may approve again.
    DeviceReleased {
        /// Whose.
        institution: InstitutionId,
        /// Which phone.
        device: DeviceId,
        /// Who released it.
        actor: String,
        /// Why.
        reason: String,
    },
    /// An approval was refused by a fraud rule, a limit, a stop or for a failed factor.
    ApprovalRefused(Box<RefusedApproval>),
    /// The kill switch was thrown.
    Stopped {
        /// For what.
        scope: StopScope,
        /// By whom.
        actor: String,
        /// Why.
        reason: String,
    },
    /// A stop was taken back.
    Released {
        /// Which.
        scope: StopScope,
        /// By whom.
        actor: String,
        /// Why.
        reason: String,
    },
    /// A pattern over many withdrawals that an analyst should look at now.
    Alarm {
        /// At whose customers; none for a machine.
        institution: Option<InstitutionId>,
        /// At which machine; none for an institution.
        atm: Option<AtmId>,
        /// With which phone, if it is about one.
        device: Option<DeviceId>,
        /// Which pattern, in a stable word.
        pattern: String,
        /// Its figures, for a person.
        detail: String,
    },
    /// Fraud rules and limits were published through the ledger.
    RulesPublished {
        /// Which publication.
        number: u64,
        /// The version of its rules.
        version: String,
        /// By whom.
        actor: String,
        /// Why.
        note: String,
    },
}

/// A refused approval, with what stood behind the refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedApproval {
    /// The id that the withdrawal would have got; none if it was refused before it had one.
    pub attempt: Option<WithdrawalId>,
    /// Whose customer.
    pub institution: InstitutionId,
    /// From which account.
    pub account: AccountId,
    /// By which phone.
    pub device: DeviceId,
    /// At which machine.
    pub atm: AtmId,
    /// How much; zero if it was refused when the code was scanned.
    pub amount: Money,
    /// Why, in stable words: of the rules, of the limit, or of the factor. Never for the customer's side.
    pub reasons: Vec<String>,
    /// The policy set that was asked; empty if none was.
    pub policy_version: String,
    /// What it said: `permit` or `step_up` where something else refused, or `forbid`; empty if it was not asked.
    pub policy_verdict: String,
    /// The facts it was asked with, as `cashgate_policy` writes them; empty if none were gathered.
    pub facts: String,
}

impl Happening {
    /// A stable name for the ledger, logs and messages.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::DeviceRegistered { .. } => "device_registered",
            Self::DeviceRevoked { .. } => "device_revoked",
            Self::DeviceLocked { .. } => "device_locked",
            Self::DeviceReleased { .. } => "device_released",
            Self::ApprovalRefused(_) => "approval_refused",
            Self::Stopped { .. } => "stopped",
            Self::Released { .. } => "released",
            Self::Alarm { .. } => "alarm",
            Self::RulesPublished { .. } => "rules_published",
        }
    }

    /// The one institution that it concerns; none if it concerns all.
    #[must_use]
    pub const fn institution(&self) -> Option<&InstitutionId> {
        match self {
            Self::DeviceRegistered { institution, .. }
            | Self::DeviceRevoked { institution, .. }
            | Self::DeviceLocked { institution, .. }
            | Self::DeviceReleased { institution, .. } => Some(institution),
            Self::ApprovalRefused(refused) => Some(&refused.institution),
            Self::Stopped { scope, .. } | Self::Released { scope, .. } => scope.institution(),
            Self::Alarm { institution, .. } => institution.as_ref(),
            Self::RulesPublished { .. } => None,
        }
    }
}
