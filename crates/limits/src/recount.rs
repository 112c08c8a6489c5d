//! Entries that are made anew from what is known elsewhere, one at a time, while decisions go on.
//!
//! A replica's entry is a copy: the truth is the ledger that all replicas share. When another replica has changed it, the copy is thrown
//! away and made again from the withdrawals of that account, device or ATM, by the same counting that a restart does for all of them.

use cashgate_withdrawal::ids::{AccountId, AtmId, DeviceId, InstitutionId};
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::time::Timestamp;

use crate::drawn::DrawnList;
use crate::key::{AccountKey, AtmKey, DeviceKey};
use crate::sums::HourlySums;
use crate::window::unix_s;
use crate::{Burst, Limits};

/// A withdrawal as one entry counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recounted {
    /// While it is open what is reserved; afterwards what left the machine, maybe nothing.
    pub amount: Money,
    /// Whether it is open: then it counts in every window.
    pub is_open: bool,
    /// When it was admitted.
    pub approved_at: Timestamp,
    /// Whether its device was new then ([`crate::LimitFigures::is_new`]).
    pub is_new_device: bool,
    /// The pace of its institution.
    pub burst: Burst,
}

impl Limits {
    /// Counts an account anew: exactly these withdrawals, in the order of their admission. Reservations that were made of the entry before
    /// are not part of it any more and must be dropped, not settled or released.
    pub fn recount_account(&self, institution: &InstitutionId, account: &AccountId, withdrawals: &[Recounted]) {
        self.accounts.change(AccountKey::new(institution, account), |entry| {
            entry.drawn = drawn(withdrawals);
            let pace = withdrawals
                .iter()
                .fold(Default::default(), |pace: crate::burst::Pace, one| pace.after(one.approved_at, one.burst));
            entry.pace = pace;
        });
    }

    /// Counts anew what a device drew; its failed attempts and its lock stay. Otherwise as [`recount_account`](Self::recount_account).
    pub fn recount_device(&self, institution: &InstitutionId, device: &DeviceId, withdrawals: &[Recounted]) {
        self.devices.change(DeviceKey::new(institution, device), |entry| entry.drawn = drawn(withdrawals));
    }

    /// Counts anew what an ATM paid out in one currency. Otherwise as [`recount_account`](Self::recount_account).
    pub fn recount_atm(&self, atm: &AtmId, currency: Currency, withdrawals: &[Recounted]) {
        let mut sums = Box::<HourlySums>::default();
        for one in withdrawals.iter().filter(|one| one.amount.currency() == currency) {
            let minor_units = one.amount.minor_units();
            if one.is_open {
                sums.open(minor_units, one.is_new_device);
            } else {
                sums.spend(minor_units, unix_s(one.approved_at), one.is_new_device);
            }
        }
        self.atms.change(AtmKey::new(atm, currency), |entry| *entry = sums);
    }
}

fn drawn(withdrawals: &[Recounted]) -> DrawnList {
    let mut list = DrawnList::default();
    for one in withdrawals {
        if one.is_open {
            list.open(one.amount);
        } else {
            list.spend(one.amount, unix_s(one.approved_at));
        }
    }
    list
}
