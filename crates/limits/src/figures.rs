//! The figures that an institution sets.

use std::fmt;

use cashgate_withdrawal::money::{Currency, Money};

use crate::Burst;

/// What one account may withdraw, as its institution sets it. All amounts are in one currency.
///
/// A figure of zero admits nothing. Displayed, it is one line of `name=value` pairs, for the record of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitFigures {
    per_withdrawal: Money,
    per_day: Money,
    withdrawals_per_day: u32,
    burst: Burst,
}

/// Why figures were not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FiguresError {
    /// Limits in two currencies cannot be held against one amount.
    #[error("the limit per withdrawal is {per_withdrawal} and the limit per day {per_day}: give both in one currency")]
    CurrenciesDiffer {
        /// The limit per withdrawal.
        per_withdrawal: Money,
        /// The limit per day.
        per_day: Money,
    },
}

impl LimitFigures {
    /// Figures of one currency: the largest single withdrawal, the largest sum and the largest number of withdrawals in one
    /// calendar day, and how fast withdrawals may follow one another.
    pub fn new(
        per_withdrawal: Money,
        per_day: Money,
        withdrawals_per_day: u32,
        burst: Burst,
    ) -> Result<Self, FiguresError> {
        if per_withdrawal.currency() != per_day.currency() {
            return Err(FiguresError::CurrenciesDiffer { per_withdrawal, per_day });
        }
        Ok(Self { per_withdrawal, per_day, withdrawals_per_day, burst })
    }

    /// The largest single withdrawal.
    #[must_use]
    pub const fn per_withdrawal(&self) -> Money {
        self.per_withdrawal
    }

    /// The largest sum of one calendar day.
    #[must_use]
    pub const fn per_day(&self) -> Money {
        self.per_day
    }

    /// The largest number of withdrawals in one calendar day.
    #[must_use]
    pub const fn withdrawals_per_day(&self) -> u32 {
        self.withdrawals_per_day
    }

    /// How fast withdrawals may follow one another.
    #[must_use]
    pub const fn burst(&self) -> Burst {
        self.burst
    }

    /// The currency of every amount here.
    #[must_use]
    pub const fn currency(&self) -> Currency {
        self.per_day.currency()
    }
}

impl fmt::Display for LimitFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "currency={} per_withdrawal={} per_day={} withdrawals_per_day={} burst={} burst_every_ms={}",
            self.currency(),
            self.per_withdrawal.minor_units(),
            self.per_day.minor_units(),
            self.withdrawals_per_day,
            self.burst.withdrawals,
            self.burst.every.as_millis(),
        )
    }
}
