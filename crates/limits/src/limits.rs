//! The maps, and the decision over all of them.
//!
//! **Order of guards:** account, device, ATM, institution. [`Limits::reserve`] is the only place that holds more than one, and takes them in
//! this order; they lie in four maps, so that two decisions can wait for one another but never in a circle. Everything else
//! takes one guard, changes, and lets go before the next.

use std::fmt;
use std::sync::Arc;

use cashgate_withdrawal::ids::{AccountId, InstitutionId};
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::Timestamp;

use crate::account::Account;
use crate::decision::{Asked, Before, Bounds, check_device};
use crate::device::Device;
use crate::key::{AccountKey, AtmKey, DeviceKey, InstitutionKey};
use crate::locked::LockedDevices;
use crate::reservation::{CountedFor, Grounds};
use crate::shards::Shards;
use crate::sums::HourlySums;
use crate::window::{Since, unix_s};
use crate::{LimitFigures, LimitRefusal, LimitRequest, Reservation, Restored, SumCaps};

/// Many more than cores: a guard is a lock on a whole shard, and the pause while a shard's table grows is as long as the shard is
/// large.
const SHARDS: usize = 4096;

/// Enough for any machine; more would cost memory and gain nothing.
const SHARDS_MAX: usize = 1 << 16;

/// ATMs and institutions are few.
const SUM_SHARDS_MAX: usize = 64;

/// What counts against everyone. Shared by all threads as `Arc<Limits>`.
///
/// Memory is bounded by who withdrew or failed lately, if [`forget_idle`](Self::forget_idle) is called now and then.
pub struct Limits {
    pub(crate) accounts: Shards<AccountKey, Account>,
    pub(crate) devices: Shards<DeviceKey, Device>,
    pub(crate) locked: LockedDevices,
    pub(crate) atms: Shards<AtmKey, Box<HourlySums>>,
    pub(crate) institutions: Shards<InstitutionKey, Box<HourlySums>>,
}

impl Limits {
    /// Nothing is counted. For a gateway: 4,096 shards for accounts and devices each, 776 KiB while empty.
    #[must_use]
    pub fn new() -> Self {
        Self::with_shards(SHARDS)
    }

    /// Nothing is counted, and accounts and devices lie in `shards` tables each with a lock of its own. For worlds so small or so many
    /// that the tables of [`new`](Self::new) cost too much; the decisions are the same.
    ///
    /// `shards` is a power of two from 2 to 65,536; anything else becomes the next one up, or the nearest end of that range.
    #[must_use]
    pub fn with_shards(shards: usize) -> Self {
        let shards = shards.clamp(2, SHARDS_MAX).next_power_of_two();
        let sum_shards = shards.min(SUM_SHARDS_MAX);
        Self {
            accounts: Shards::new(shards),
            devices: Shards::new(shards),
            locked: LockedDevices::new(shards),
            atms: Shards::new(sum_shards),
            institutions: Shards::new(sum_shards),
        }
    }

    /// Checks a withdrawal against every limit and counts it, in one step.
    ///
    /// `atm_caps` are the ATM's own. A withdrawal counts in every window while it is open; after that what left the machine counts from its
    /// approval on. What figures do not limit (no caps for devices, no [`SumCaps`]) is not counted. Other figures than before, larger or
    /// smaller, change nothing about what was counted.
    ///
    /// # Errors
    /// The first [`LimitRefusal`] that applies; then nothing has changed.
    pub fn reserve(
        self: &Arc<Self>,
        request: &LimitRequest<'_>,
        figures: &LimitFigures,
        atm_caps: &SumCaps,
    ) -> Result<Reservation, LimitRefusal> {
        let LimitRequest { amount, now, .. } = *request;
        check_amount(amount, figures)?;
        // The first thing, because it is what takes time: the rest is worked out while the entry is on its way from memory.
        let account_key = AccountKey::new(request.institution, request.account);
        let account = self.accounts.place(account_key);
        let asked = Asked { amount, since: Since::new(request.day_began, now), now };
        let bounds = Bounds::new(figures, atm_caps, request.device_age);
        let counted = CountedFor::bounded(request, account_key, &bounds);
        let device = bounds.device.zip(counted.device).map(|(caps, key)| (self.devices.place(key), caps));
        let atm = bounds.atm.zip(counted.atm).map(|(caps, key)| (self.atms.place(key), caps));
        let institution =
            bounds.institution.zip(counted.institution).map(|(caps, key)| (self.institutions.place(key), caps));

        let is_locked = match &device {
            Some((place, _)) => place.look(Device::is_locked),
            None => {
                self.locked.may_hold(request.device)
                    && self.devices.look(DeviceKey::new(request.institution, request.device), Device::is_locked)
            }
        };
        if is_locked {
            return Err(LimitRefusal::DeviceLocked);
        }
        if let Some(wait) = figures.wait_for(request.device_age) {
            return Err(LimitRefusal::NewDeviceWait { until: now.after(wait) });
        }
        bounds.check_withdrawal(amount)?;
        let mut before =
            Before { account: account.look(|account| bounds.check_account(account, &asked))?, ..Before::default() };
        if let Some((place, caps)) = &device {
            before.device = place.look(|device| check_device(&device.drawn, caps, &asked))?;
        }
        if let Some((place, caps)) = &atm {
            before.atm = place.look(|sums| sums.counted(&asked.since));
            bounds.check_atm(&before.atm, caps, amount)?;
        }
        if let Some((place, caps)) = &institution {
            before.institution = place.look(|sums| sums.counted(&asked.since));
            bounds.check_institution(&before.institution, caps, amount)?;
        }

        let (minor_units, is_new_device) = (amount.minor_units(), counted.is_new_device);
        account.change(|account| account.admit(amount, &asked.since, now, bounds.burst()));
        device.into_iter().for_each(|(place, _)| place.change(|device| device.drawn.admit(amount, &asked.since)));
        atm.into_iter().for_each(|(place, _)| place.change(|sums| sums.open(minor_units, is_new_device)));
        institution.into_iter().for_each(|(place, _)| place.change(|sums| sums.open(minor_units, is_new_device)));
        let (limits, approved_s) = (Arc::clone(self), unix_s(now));
        Ok(Reservation { limits, counted, amount, approved_s, grounds: Grounds::new(bounds, before) })
    }

    /// Counts an open withdrawal again after a restart, unchecked, since it was admitted before: against everyone, whatever is limited
    /// now. To be called once for each of them before anything is reserved.
    ///
    /// Restore open and ended withdrawals in the order of admission: another order makes the burst limit stricter for a while.
    pub fn restore_reservation(self: &Arc<Self>, restored: &Restored<'_>) -> Reservation {
        let Restored { amount, approved_at, burst, is_new_device, .. } = *restored;
        let (counted, minor_units) = (CountedFor::everyone(restored), amount.minor_units());
        self.accounts.change(counted.account, |account| {
            account.drawn.open(amount);
            account.pace = account.pace.after(approved_at, burst);
        });
        let CountedFor { device, atm, institution, .. } = counted;
        device.into_iter().for_each(|key| self.devices.change(key, |device| device.drawn.open(amount)));
        atm.into_iter().for_each(|key| self.atms.change(key, |sums| sums.open(minor_units, is_new_device)));
        institution
            .into_iter()
            .for_each(|key| self.institutions.change(key, |sums| sums.open(minor_units, is_new_device)));
        Reservation {
            limits: Arc::clone(self),
            counted,
            amount,
            approved_s: unix_s(approved_at),
            grounds: Grounds::Restored,
        }
    }

    /// Counts an ended withdrawal again after a restart, against everyone; one of which nothing left (zero) for the burst limit only.
    ///
    /// Needed for every withdrawal that was approved within the last 7 times 24 hours or the institution's calendar day, and for those
    /// within the last `burst.withdrawals` times `burst.every`; more do no harm. Of an account or a device the latest 255 are told apart: what is
    /// restored beyond that is added to the latest.
    pub fn restore_spent(&self, restored: &Restored<'_>) {
        let Restored { amount, approved_at, burst, is_new_device, .. } = *restored;
        let (counted, minor_units, approved_s) =
            (CountedFor::everyone(restored), amount.minor_units(), unix_s(approved_at));
        self.accounts.change(counted.account, |account| {
            account.drawn.spend(amount, approved_s);
            account.pace = account.pace.after(approved_at, burst);
        });
        if amount.is_zero() {
            return;
        }
        let CountedFor { device, atm, institution, .. } = counted;
        let spend = |sums: &mut Box<HourlySums>| sums.spend(minor_units, approved_s, is_new_device);
        device.into_iter().for_each(|key| self.devices.change(key, |device| device.drawn.spend(amount, approved_s)));
        atm.into_iter().for_each(|key| self.atms.change(key, spend));
        institution.into_iter().for_each(|key| self.institutions.change(key, spend));
    }

    /// Lets go of entries that no decision would miss: nothing open, nothing drawn within 7 times 24 hours (24 for ATMs and institutions)
    /// and an hour, no failed attempts, no lock, and a pace rested for an hour. Returns how many went. Each is judged and removed under its
    /// guard, so that a reservation that comes at the same time is either seen or comes to a fresh entry.
    ///
    /// The hour is for whoever took the time a moment earlier, and for a clock that steps back by no more than that.
    pub fn forget_idle(&self, now: Timestamp) -> usize {
        let since = Since::new(now, now);
        let forgotten = [
            self.accounts.retain(|account| !account.is_idle(&since, now)),
            self.devices.retain(|device| !device.is_idle(&since)),
            self.atms.retain(|sums| !sums.is_idle(&since)),
            self.institutions.retain(|sums| !sums.is_idle(&since)),
        ];
        forgotten.into_iter().sum()
    }

    /// How many accounts have an entry.
    #[must_use]
    pub fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// What an account has open: how many withdrawals, and their sum in minor units.
    #[must_use]
    pub fn open(&self, institution: &InstitutionId, account: &AccountId) -> (u32, u64) {
        let open = self.accounts.look(AccountKey::new(institution, account), |account| account.drawn.outstanding());
        (open.withdrawals, open.minor_units)
    }

    /// What all accounts have open: how many withdrawals, and their sum in minor units of whatever currency. For operators and tests, to see
    /// what never ended: it looks at every account, one guard after the other; what others reserve or end meanwhile may be in it or not.
    #[must_use]
    pub fn open_total(&self) -> (u64, u64) {
        self.accounts.fold((0_u64, 0_u64), |(withdrawals, minor_units), account| {
            let open = account.drawn.outstanding();
            (withdrawals.saturating_add(open.withdrawals.into()), minor_units.saturating_add(open.minor_units))
        })
    }

    /// Ends a reservation and counts what left the machine in its place. Between one entry and the next the larger amount counts.
    pub(crate) fn end(&self, counted: &CountedFor, reserved: Money, dispensed: Money, approved_s: u32) {
        let CountedFor { account, device, atm, institution, is_new_device } = *counted;
        let (reserved_units, dispensed_units) = (reserved.minor_units(), dispensed.minor_units());
        let end = |sums: &mut Box<HourlySums>| sums.end(reserved_units, dispensed_units, approved_s, is_new_device);
        self.accounts.change(account, |account| account.drawn.end(reserved, dispensed, approved_s));
        device
            .into_iter()
            .for_each(|key| self.devices.change(key, |device| device.drawn.end(reserved, dispensed, approved_s)));
        atm.into_iter().for_each(|key| self.atms.change(key, end));
        institution.into_iter().for_each(|key| self.institutions.change(key, end));
    }
}

/// What can be said of an amount without knowing who asks.
fn check_amount(amount: Money, figures: &LimitFigures) -> Result<(), LimitRefusal> {
    if amount.is_zero() {
        return Err(LimitRefusal::ZeroAmount);
    }
    if amount.currency() != figures.currency() {
        return Err(LimitRefusal::WrongCurrency { amount, expected: figures.currency() });
    }
    Ok(())
}

impl CountedFor {
    /// Whom the figures limit.
    fn bounded(request: &LimitRequest<'_>, account: AccountKey, bounds: &Bounds) -> Self {
        let LimitRequest { institution, device, atm, amount, .. } = *request;
        Self {
            account,
            device: bounds.device.map(|_| DeviceKey::new(institution, device)),
            atm: bounds.atm.map(|_| AtmKey::new(atm, amount.currency())),
            institution: bounds.institution.map(|_| InstitutionKey::new(institution, amount.currency())),
            is_new_device: bounds.is_new_device(),
        }
    }

    fn everyone(restored: &Restored<'_>) -> Self {
        let Restored { institution, account, device, atm, amount, is_new_device, .. } = *restored;
        Self {
            account: AccountKey::new(institution, account),
            device: Some(DeviceKey::new(institution, device)),
            atm: Some(AtmKey::new(atm, amount.currency())),
            institution: Some(InstitutionKey::new(institution, amount.currency())),
            is_new_device,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").field("accounts", &self.accounts()).finish_non_exhaustive()
    }
}
