//! The kill switch: what a stop covers.

use std::fmt;

use crate::ids::{AccountId, AtmId, DeviceId, InstitutionId};
use crate::withdrawal::Terms;

/// What is stopped: no code is shown, scanned or approved for it, and what has not been commanded yet is reversed. A withdrawal past the
/// point of no return is carried to its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StopScope {
    /// Every withdrawal of this network.
    Everything,
    /// Those of one institution's customers.
    Institution(InstitutionId),
    /// Those at one machine.
    Atm(AtmId),
    /// Those from one account.
    Account(InstitutionId, AccountId),
    /// Those approved by one phone.
    Device(InstitutionId, DeviceId),
}

impl StopScope {
    /// A stable word for the kind of scope, as the ledger, logs and messages have it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Institution(_) => "institution",
            Self::Atm(_) => "atm",
            Self::Account(..) => "account",
            Self::Device(..) => "device",
        }
    }

    /// The institution that it concerns, if it is only one.
    #[must_use]
    pub const fn institution(&self) -> Option<&InstitutionId> {
        match self {
            Self::Everything | Self::Atm(_) => None,
            Self::Institution(id) | Self::Account(id, _) | Self::Device(id, _) => Some(id),
        }
    }

    /// Whether it covers a machine, whoever stands in front of it.
    #[must_use]
    pub fn covers_atm(&self, atm: &AtmId) -> bool {
        match self {
            Self::Everything => true,
            Self::Atm(stopped) => stopped == atm,
            Self::Institution(_) | Self::Account(..) | Self::Device(..) => false,
        }
    }

    /// Whether it covers a phone that has scanned at a machine. The account is not known before the approval.
    #[must_use]
    pub fn covers_claim(&self, institution: &InstitutionId, device: &DeviceId, atm: &AtmId) -> bool {
        match self {
            Self::Everything | Self::Atm(_) => self.covers_atm(atm),
            Self::Institution(stopped) => stopped == institution,
            Self::Device(of, stopped) => of == institution && stopped == device,
            Self::Account(..) => false,
        }
    }

    /// Whether it covers a withdrawal.
    #[must_use]
    pub fn covers(&self, terms: &Terms) -> bool {
        match self {
            Self::Account(of, stopped) => *of == terms.institution && *stopped == terms.account,
            _ => self.covers_claim(&terms.institution, &terms.device, &terms.atm),
        }
    }
}

/// For operators: an account's id stands in it.
impl fmt::Display for StopScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everything"),
            Self::Institution(id) => write!(f, "institution {id}"),
            Self::Atm(id) => write!(f, "ATM {id}"),
            Self::Account(institution, id) => write!(f, "account {id} of {institution}"),
            Self::Device(institution, id) => write!(f, "device {id} of {institution}"),
        }
    }
}
