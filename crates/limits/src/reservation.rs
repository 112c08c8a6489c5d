//! A reservation in the hands of the one who must end it.

use std::fmt;
use std::sync::Arc;

use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::CalendarDay;

use crate::{AccountKey, Limits, SettleError};

/// An amount that is counted against an account while its withdrawal is open. Whoever holds it ends it, once: [`settle`] when it
/// is known what left the machine, [`release`] when it is certain that nothing did.
///
/// Dropping it does neither: the amount stays counted, on every day, until the process ends and recovery restores what the ledger
/// still shows as open. Losing a customer's headroom by mistake can be mended; admitting a withdrawal too many cannot.
///
/// [`settle`]: Self::settle
/// [`release`]: Self::release
#[must_use = "a dropped reservation stays counted: settle or release it"]
pub struct Reservation {
    pub(crate) limits: Arc<Limits>,
    pub(crate) account: AccountKey,
    pub(crate) withdrawal: WithdrawalId,
    pub(crate) amount: Money,
    pub(crate) day: CalendarDay,
}

impl Reservation {
    /// Ends the reservation and counts what left the machine, as one withdrawal, for [`day`](Self::day). The rest of the amount is
    /// free again. Zero is the same as [`release`](Self::release).
    ///
    /// An error is news for an operator; the reservation has ended with it, and the larger figure was counted.
    pub fn settle(self, dispensed: Money) -> Result<(), SettleError> {
        let Self { limits, account, withdrawal, amount: reserved, day } = self;
        if dispensed.currency() != reserved.currency() {
            limits.end_reservation(&account, withdrawal, reserved, day);
            return Err(SettleError::WrongCurrency { withdrawal, reserved, dispensed });
        }
        limits.end_reservation(&account, withdrawal, dispensed, day);
        if dispensed.minor_units() > reserved.minor_units() {
            return Err(SettleError::MoreThanReserved { withdrawal, reserved, dispensed });
        }
        Ok(())
    }

    /// Ends the reservation because nothing left the machine: its amount and its place in the day's number of withdrawals are
    /// free again. The burst limit keeps counting it, since attempts cost.
    pub fn release(self) {
        self.limits.end_reservation(&self.account, self.withdrawal, Money::zero(self.amount.currency()), self.day);
    }

    /// The account.
    #[must_use]
    pub const fn account(&self) -> &AccountKey {
        &self.account
    }

    /// The withdrawal.
    #[must_use]
    pub const fn withdrawal(&self) -> WithdrawalId {
        self.withdrawal
    }

    /// What is reserved.
    #[must_use]
    pub const fn amount(&self) -> Money {
        self.amount
    }

    /// The calendar day for which the withdrawal counts once it is settled: the one to make durable with the decision and to give
    /// back on recovery. It is later than the day that was asked for if the account had already spent on a later one.
    #[must_use]
    pub const fn day(&self) -> CalendarDay {
        self.day
    }
}

// Without the account: it does not belong in a log line.
impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("withdrawal", &self.withdrawal)
            .field("amount", &self.amount)
            .field("day", &self.day)
            .finish_non_exhaustive()
    }
}
