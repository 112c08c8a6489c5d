//! Why a withdrawal was not admitted, and what can be wrong with one that was.

use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::time::Timestamp;

/// Why a withdrawal was not reserved. Nothing was counted.
///
/// The first that applies, in this order. The figures are for operators and auditors: to the customer's side they would tell
/// what others withdrew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitRefusal {
    /// Nothing was asked for.
    #[error("the amount is zero: ask for at least one minor unit")]
    ZeroAmount,
    /// The amount is in another currency than the figures, or than what the account has open or spent on that day.
    #[error("the amount {amount} is not in {expected}, in which the account's limits count")]
    WrongCurrency {
        /// What was asked for.
        amount: Money,
        /// The currency that would have been right.
        expected: Currency,
    },
    /// The withdrawal is already reserved on this account; the first reservation stands.
    #[error("withdrawal {withdrawal} already has a reservation of {reserved}: settle or release that one")]
    DuplicateReservation {
        /// The withdrawal.
        withdrawal: WithdrawalId,
        /// What was reserved for it before.
        reserved: Money,
    },
    /// More than a single withdrawal may be.
    #[error("{amount} is above the limit of {limit} per withdrawal")]
    AboveWithdrawalLimit {
        /// What was asked for.
        amount: Money,
        /// The limit.
        limit: Money,
    },
    /// The account has made, or has open, as many withdrawals as a day may have.
    #[error("{counted} withdrawals are open or made today, and {limit} a day are allowed")]
    TooManyToday {
        /// How many are open, or were made that day.
        counted: u32,
        /// The limit.
        limit: u32,
    },
    /// With what is open and what was spent that day it would be more than a day may have.
    #[error(
        "{amount} on top of {counted_minor_units} minor units open or spent today is above the limit of {limit} a day"
    )]
    AboveDayLimit {
        /// What was asked for.
        amount: Money,
        /// What is open or was spent that day, in minor units of the limit's currency.
        counted_minor_units: u64,
        /// The limit.
        limit: Money,
    },
    /// Too soon after the ones before ([`crate::Burst`]).
    #[error("too soon after the withdrawals before: the next may come at {retry_at}")]
    TooFast {
        /// The earliest moment at which pace alone would not refuse it.
        retry_at: Timestamp,
    },
}

impl LimitRefusal {
    /// The refusal as one stable word, for metrics and error details.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::ZeroAmount => "zero_amount",
            Self::WrongCurrency { .. } => "wrong_currency",
            Self::DuplicateReservation { .. } => "duplicate_reservation",
            Self::AboveWithdrawalLimit { .. } => "above_withdrawal_limit",
            Self::TooManyToday { .. } => "too_many_today",
            Self::AboveDayLimit { .. } => "above_day_limit",
            Self::TooFast { .. } => "too_fast",
        }
    }
}

/// What was wrong with a settlement. The reservation has ended all the same, and what is said here was counted: this is to be
/// shown to an operator, not tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// More left the machine than was reserved. All of it was counted.
    #[error(
        "{dispensed} left the machine for withdrawal {withdrawal}, which had reserved {reserved}: all of it was counted"
    )]
    MoreThanReserved {
        /// The withdrawal.
        withdrawal: WithdrawalId,
        /// What was reserved.
        reserved: Money,
        /// What left the machine.
        dispensed: Money,
    },
    /// What left the machine is in another currency than the reservation. The whole reservation was counted.
    #[error(
        "{dispensed} left the machine for withdrawal {withdrawal}, which had reserved {reserved}: {reserved} was counted"
    )]
    WrongCurrency {
        /// The withdrawal.
        withdrawal: WithdrawalId,
        /// What was reserved.
        reserved: Money,
        /// What left the machine.
        dispensed: Money,
    },
}

/// Why an open withdrawal could not be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The withdrawal is already reserved on this account; the first reservation stands.
    #[error("withdrawal {withdrawal} was restored before, with {reserved}: the ledger lists it twice")]
    AlreadyReserved {
        /// The withdrawal.
        withdrawal: WithdrawalId,
        /// What is reserved for it.
        reserved: Money,
    },
}
