//! A reservation in the hands of the one who must end it.

use std::fmt;
use std::sync::Arc;

use cashgate_withdrawal::money::Money;

use crate::decision::{Before, Bounds, basis};
use crate::key::{AccountKey, AtmKey, DeviceKey, InstitutionKey};
use crate::window::Counted;
use crate::{Burst, Caps, Limits, SettleError};

/// An amount that is counted while its withdrawal is open: against the account, and against device, ATM and institution as far as
/// these had limits. Whoever holds it ends it, once: [`settle`] when it is known what left the machine, [`release`] when it is certain
/// that nothing did.
///
/// Dropping it does neither: the amount stays counted, in every window, until the process ends and recovery restores what the ledger
/// still shows as open. Losing a customer's headroom by mistake can be mended; admitting a withdrawal too many cannot.
///
/// [`settle`]: Self::settle
/// [`release`]: Self::release
#[must_use = "a dropped reservation stays counted: settle or release it"]
pub struct Reservation {
    pub(crate) limits: Arc<Limits>,
    pub(crate) counted: CountedFor,
    pub(crate) amount: Money,
    pub(crate) approved_s: u32,
    pub(crate) grounds: Grounds,
}

/// On what grounds it was admitted. Most often only the account is limited, and a reservation stays small.
pub(crate) enum Grounds {
    Restored,
    Account { tier_until_s: Option<u64>, burst: Burst, caps: Caps, before: Counted },
    All(Box<(Bounds, Before)>),
}

/// Whom a withdrawal counts for.
#[derive(Clone, Copy)]
pub(crate) struct CountedFor {
    pub(crate) account: AccountKey,
    pub(crate) device: Option<DeviceKey>,
    pub(crate) atm: Option<AtmKey>,
    pub(crate) institution: Option<InstitutionKey>,
    pub(crate) is_new_device: bool,
}

impl Grounds {
    pub(crate) fn new(bounds: Bounds, before: Before) -> Self {
        let Bounds { tier_until_s, burst, account: caps, device: None, atm: None, institution: None } = bounds else {
            return Self::All(Box::new((bounds, before)));
        };
        Self::Account { tier_until_s, burst, caps, before: before.account }
    }
}

impl Reservation {
    /// Ends the reservation and counts what left the machine, as one withdrawal, for the moment of its approval. The rest of the
    /// amount is free again. Zero is the same as [`release`](Self::release).
    ///
    /// # Errors
    /// News for an operator; the reservation has ended with it, and the larger figure was counted.
    pub fn settle(self, dispensed: Money) -> Result<(), SettleError> {
        let reserved = self.amount;
        if dispensed.currency() != reserved.currency() {
            self.end(reserved);
            return Err(SettleError::WrongCurrency { reserved, dispensed });
        }
        self.end(dispensed);
        if dispensed.minor_units() > reserved.minor_units() {
            return Err(SettleError::MoreThanReserved { reserved, dispensed });
        }
        Ok(())
    }

    /// Ends the reservation because nothing left the machine: its amount and its place in every number of withdrawals are free
    /// again. The burst limit keeps counting it, since attempts cost.
    pub fn release(self) {
        self.end(Money::zero(self.amount.currency()));
    }

    /// What is reserved.
    #[must_use]
    pub const fn amount(&self) -> Money {
        self.amount
    }

    /// On what grounds it was admitted, for the record of the decision: one line of `name=value` pairs with the device's tier, the figures
    /// that applied, and what had been counted before, in minor units and numbers of withdrawals. `basis=restored` for one that was
    /// admitted before a restart.
    #[must_use]
    pub fn basis(&self) -> String {
        let line = match &self.grounds {
            Grounds::Restored => return "basis=restored".to_owned(),
            Grounds::Account { tier_until_s, burst, caps, before } => {
                let bounds = Bounds::of_account(*tier_until_s, *burst, *caps);
                basis(&bounds, &Before { account: *before, ..Before::default() })
            }
            Grounds::All(grounds) => basis(&grounds.0, &grounds.1),
        };
        // Writing into a string does not fail.
        line.unwrap_or_default()
    }

    fn end(&self, dispensed: Money) {
        self.limits.end(&self.counted, self.amount, dispensed, self.approved_s);
    }
}

// Without the account: it does not belong in a log line.
impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("amount", &self.amount).finish_non_exhaustive()
    }
}
