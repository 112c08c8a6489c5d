//! Why a withdrawal was not admitted, and what can be wrong with one that was.

use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::time::Timestamp;

/// Why a withdrawal was not reserved. Nothing was counted.
///
/// The first that applies: zero amount, wrong currency, locked device, new device, single withdrawal; then the account's numbers and after
/// them its sums (day, 24 h, 7 d), its pace; the device's numbers and sums likewise; the ATM's number and sum, and those of new devices; the
/// institution's likewise. Where something counted is in another currency, that is said in place of the numbers.
///
/// All of it is for operators and auditors: the customer's side must not learn which factor failed, nor what others withdrew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitRefusal {
    /// Nothing was asked for.
    #[error("the amount is zero: ask for at least one minor unit")]
    ZeroAmount,
    /// The amount is in another currency than the figures, or than what still counts for the account or the device.
    #[error("the amount {amount} is not in {expected}, in which the limits count")]
    WrongCurrency {
        /// What was asked for.
        amount: Money,
        /// The currency that would have been right.
        expected: Currency,
    },
    /// The device is locked after failed attempts.
    #[error("the device is locked after failed attempts: its institution has to release it")]
    DeviceLocked,
    /// The device is too new to withdraw anything.
    #[error("the device is too new: it may withdraw from {until} on")]
    NewDeviceWait {
        /// When it is old enough, if its age is known right.
        until: Timestamp,
    },
    /// More than a single withdrawal may be.
    #[error("{amount} is above the limit of {limit_minor_units} minor units per withdrawal")]
    AboveWithdrawalLimit {
        /// What was asked for.
        amount: Money,
        /// The limit, in minor units.
        limit_minor_units: u64,
    },
    /// Too soon after the account's withdrawals before ([`crate::Burst`]).
    #[error("too soon after the withdrawals before: the next may come at {retry_at}")]
    TooFast {
        /// The earliest moment at which pace alone would not refuse it.
        retry_at: Timestamp,
    },
    /// As many withdrawals are open or were made as there may be.
    #[error("{}: {counted} withdrawals are open or made, and {limit} are allowed", .scope.count_reason())]
    TooMany {
        /// What they were counted for.
        scope: Scope,
        /// How many are open, or were made in that time.
        counted: u32,
        /// The limit.
        limit: u32,
    },
    /// With what is open and what was drawn it would be more than may be.
    #[error(
        "{}: {amount} on top of {counted_minor_units} minor units open or drawn is above the limit of {limit_minor_units}",
        .scope.sum_reason()
    )]
    AboveSum {
        /// What was summed up.
        scope: Scope,
        /// What was asked for.
        amount: Money,
        /// What is open, or was drawn in that time, in minor units.
        counted_minor_units: u64,
        /// The limit, in minor units.
        limit_minor_units: u64,
    },
}

/// Whose withdrawals, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The account's, in the institution's calendar day.
    AccountDay,
    /// The account's, in the last 24 hours.
    Account24h,
    /// The account's, in the last 7 times 24 hours.
    Account7d,
    /// The device's over all accounts, in the institution's calendar day.
    DeviceDay,
    /// The device's over all accounts, in the last 24 hours.
    Device24h,
    /// The device's over all accounts, in the last 7 times 24 hours.
    Device7d,
    /// Everybody's at the ATM, in the last 24 hours.
    Atm24h,
    /// Those with new devices at the ATM, in the last 24 hours.
    AtmNewDevice24h,
    /// Everybody's of the institution, in the last 24 hours.
    Institution24h,
    /// Those with new devices of the institution, in the last 24 hours.
    InstitutionNewDevice24h,
}

impl Scope {
    /// Every scope, in the order of precedence.
    pub const ALL: [Self; 10] = [
        Self::AccountDay,
        Self::Account24h,
        Self::Account7d,
        Self::DeviceDay,
        Self::Device24h,
        Self::Device7d,
        Self::Atm24h,
        Self::AtmNewDevice24h,
        Self::Institution24h,
        Self::InstitutionNewDevice24h,
    ];

    const fn sum_reason(self) -> &'static str {
        match self {
            Self::AccountDay => "account_day",
            Self::Account24h => "account_24h",
            Self::Account7d => "account_7d",
            Self::DeviceDay => "device_day",
            Self::Device24h => "device_24h",
            Self::Device7d => "device_7d",
            Self::Atm24h => "atm_24h",
            Self::AtmNewDevice24h => "atm_new_device_24h",
            Self::Institution24h => "institution_24h",
            Self::InstitutionNewDevice24h => "institution_new_device_24h",
        }
    }

    const fn count_reason(self) -> &'static str {
        match self {
            Self::AccountDay => "account_count_day",
            Self::Account24h => "account_count_24h",
            Self::Account7d => "account_count_7d",
            Self::DeviceDay => "device_count_day",
            Self::Device24h => "device_count_24h",
            Self::Device7d => "device_count_7d",
            Self::Atm24h => "atm_count_24h",
            Self::AtmNewDevice24h => "atm_new_device_count_24h",
            Self::Institution24h => "institution_count_24h",
            Self::InstitutionNewDevice24h => "institution_new_device_count_24h",
        }
    }
}

impl LimitRefusal {
    /// The refusal as one stable word, for metrics and an operator's eyes.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::ZeroAmount => "zero_amount",
            Self::WrongCurrency { .. } => "wrong_currency",
            Self::DeviceLocked => "device_locked",
            Self::NewDeviceWait { .. } => "new_device_wait",
            Self::AboveWithdrawalLimit { .. } => "above_withdrawal_limit",
            Self::TooFast { .. } => "too_fast",
            Self::TooMany { scope, .. } => scope.count_reason(),
            Self::AboveSum { scope, .. } => scope.sum_reason(),
        }
    }
}

/// What was wrong with a settlement. The reservation has ended all the same, and what is said here was counted: this is to be
/// shown to an operator, not tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// More left the machine than was reserved. All of it was counted.
    #[error("{dispensed} left the machine where {reserved} were reserved: all of it was counted")]
    MoreThanReserved {
        /// What was reserved.
        reserved: Money,
        /// What left the machine.
        dispensed: Money,
    },
    /// What left the machine is in another currency than the reservation. The whole reservation was counted.
    #[error("{dispensed} left the machine where {reserved} were reserved: {reserved} was counted")]
    WrongCurrency {
        /// What was reserved.
        reserved: Money,
        /// What left the machine.
        dispensed: Money,
    },
}
