//! The four sides' books, and whether they agree to the yen. A run whose books do not balance has failed, however fast it was.
//!
//! Each side kept its own: phones what they were told, ATMs what physically left, core banking its postings, the gateway what its interface lists. None of
//! them is computed from another.

mod judging;
mod listing;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use cashgate_fleet::atm::Book;
use cashgate_fleet::corebank::{AccountBooks, HoldBooks};

pub use judging::{Totals, Verdict, judge};
pub use listing::ListingError;
pub(crate) use listing::Operations;

/// An amount in minor units.
pub type Amount = u64;

/// Where a withdrawal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Neither ended nor a suspect.
    Open,
    /// A person must decide.
    Suspect,
    /// Ended: confirmed for what left.
    Confirmed,
    /// Ended: nothing left.
    Reversed,
    /// Ended: core banking refused the hold.
    Declined,
}

/// An approval that the gateway accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The withdrawal's id.
    pub withdrawal: String,
    /// The account to draw from.
    pub account: String,
    /// How much.
    pub amount: Amount,
}

/// A withdrawal as the gateway lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub withdrawal: String,
    /// The account.
    pub account: String,
    /// What was approved.
    pub amount: Amount,
    /// Where it stands.
    pub state: State,
    /// What left, once that is settled.
    pub dispensed: Amount,
}

/// What phones were told. Shared between all visits.
#[derive(Debug, Default)]
pub struct PhonesBook {
    inner: Mutex<Phones>,
}

/// What phones were told.
#[derive(Clone, Debug, Default)]
pub struct Phones {
    /// Every approval that was accepted.
    pub approvals: Vec<Approval>,
    /// How withdrawals ended, with what left, by withdrawal.
    pub ends: BTreeMap<String, (State, Amount)>,
}

/// All four sides.
#[derive(Clone, Debug, Default)]
pub struct Sides {
    /// What phones were told.
    pub phones: Phones,
    /// The machines' own books, by ATM.
    pub machines: Vec<(String, Book)>,
    /// Core banking's holds.
    pub holds: Vec<HoldBooks>,
    /// Core banking's accounts.
    pub accounts: Vec<AccountBooks>,
    /// What the gateway lists of this run.
    pub gateway: Vec<Listed>,
}

impl PhonesBook {
    pub(crate) fn approved(&self, approval: Approval) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).approvals.push(approval);
    }

    pub(crate) fn ended(&self, withdrawal: &str, state: State, dispensed: Amount) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.ends.insert(withdrawal.to_owned(), (state, dispensed));
    }

    /// What was told so far.
    #[must_use]
    pub fn phones(&self) -> Phones {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests;
