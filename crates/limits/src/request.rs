//! What callers ask, and what they are told.

use std::time::Duration;

use cashgate_withdrawal::ids::{AccountId, AtmId, DeviceId, InstitutionId};
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::Timestamp;

use crate::Burst;

/// A withdrawal that asks to be admitted.
#[derive(Clone, Copy, Debug)]
pub struct LimitRequest<'a> {
    /// Whose customer withdraws.
    pub institution: &'a InstitutionId,
    /// From which account.
    pub account: &'a AccountId,
    /// With which device.
    pub device: &'a DeviceId,
    /// At which ATM.
    pub atm: &'a AtmId,
    /// How much.
    pub amount: Money,
    /// How long ago the device was bound, by the older restriction of all that is known.
    pub device_age: Duration,
    /// When the institution's present calendar day began. Of a day of 23 or 25 hours too: that is the caller's calendar, not ours.
    pub day_began: Timestamp,
    /// The moment of the decision.
    pub now: Timestamp,
}

/// Who wonders what could be withdrawn; the fields are as in [`LimitRequest`].
#[derive(Clone, Copy, Debug)]
pub struct HeadroomRequest<'a> {
    /// Whose customer asks.
    pub institution: &'a InstitutionId,
    /// From which account.
    pub account: &'a AccountId,
    /// With which device.
    pub device: &'a DeviceId,
    /// At which ATM.
    pub atm: &'a AtmId,
    /// How long ago the device was bound.
    pub device_age: Duration,
    /// When the institution's present calendar day began.
    pub day_began: Timestamp,
    /// The moment of the question.
    pub now: Timestamp,
}

/// What could be withdrawn at one moment, if nothing else came in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headroom {
    /// The largest single withdrawal that would be admitted; zero if none would.
    pub withdrawal_max: Money,
    /// How many withdrawals would be admitted by their number and pace, as long as there is money left; zero if none would.
    pub withdrawals_left: u32,
}

/// A withdrawal that was admitted before a restart.
#[derive(Clone, Copy, Debug)]
pub struct Restored<'a> {
    /// Whose customer withdrew.
    pub institution: &'a InstitutionId,
    /// From which account.
    pub account: &'a AccountId,
    /// With which device.
    pub device: &'a DeviceId,
    /// At which ATM.
    pub atm: &'a AtmId,
    /// While it is open what is reserved; afterwards what left the machine, maybe nothing.
    pub amount: Money,
    /// When it was admitted.
    pub approved_at: Timestamp,
    /// Whether its device was new then ([`crate::LimitFigures::is_new`]).
    pub is_new_device: bool,
    /// The pace of its institution.
    pub burst: Burst,
}

impl<'a> LimitRequest<'a> {
    /// The same without the amount.
    #[must_use]
    pub const fn headroom(&self) -> HeadroomRequest<'a> {
        let Self { institution, account, device, atm, device_age, day_began, now, .. } = *self;
        HeadroomRequest { institution, account, device, atm, device_age, day_began, now }
    }
}
