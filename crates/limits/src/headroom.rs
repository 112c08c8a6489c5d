//! What could be withdrawn, over every limit.

use cashgate_withdrawal::money::Money;

use crate::decision::{Bounds, sum_windows, windows};
use crate::drawn::DrawnList;
use crate::key::{AccountKey, AtmKey, DeviceKey, InstitutionKey};
use crate::sums::Sums;
use crate::window::{Since, Tally};
use crate::{Caps, Headroom, HeadroomRequest, LimitFigures, Limits, SumCaps};

/// How much is left under the caps seen so far.
struct Room {
    withdrawals: u32,
    minor_units: u64,
}

impl Limits {
    /// What could be withdrawn now. Counts nothing, and promises nothing: only [`reserve`](Self::reserve) decides.
    #[must_use]
    pub fn headroom(&self, request: &HeadroomRequest<'_>, figures: &LimitFigures, atm_caps: &SumCaps) -> Headroom {
        let nothing = Headroom { withdrawal_max: Money::zero(figures.currency()), withdrawals_left: 0 };
        let Room { withdrawals, minor_units } = self.room(request, figures, atm_caps).unwrap_or(Room::NONE);
        // Never more than a figure, so it is always an amount.
        match Money::from_minor_units(minor_units, figures.currency()) {
            Ok(withdrawal_max) if withdrawals > 0 && minor_units > 0 => {
                Headroom { withdrawal_max, withdrawals_left: withdrawals }
            }
            _ => nothing,
        }
    }

    /// `None` if something other than a cap is in the way.
    fn room(&self, request: &HeadroomRequest<'_>, figures: &LimitFigures, atm_caps: &SumCaps) -> Option<Room> {
        let HeadroomRequest { institution, account, device, atm, device_age, day_began, now } = *request;
        let (currency, since) = (figures.currency(), Since::new(day_began, now));
        let bounds = Bounds::new(figures, atm_caps, device_age);
        let mut room = Room { withdrawals: u32::MAX, minor_units: bounds.per_withdrawal() };

        let narrow = |room: &mut Room, drawn: &DrawnList, caps: &Caps| {
            room.narrow(drawn, caps, &since);
            drawn.counts_in_other_than(currency, &since).is_none().then_some(())
        };
        self.accounts.look(AccountKey::new(institution, account), |account| {
            room.withdrawals = account.pace.at_once(bounds.burst(), now);
            narrow(&mut room, &account.drawn, &bounds.account)
        })?;
        self.devices.look(DeviceKey::new(institution, device), |device| {
            if device.is_locked() {
                return None;
            }
            bounds.device.as_ref().map_or(Some(()), |caps| narrow(&mut room, &device.drawn, caps))
        })?;
        if let Some(caps) = &bounds.atm {
            let counted = self.atms.look(AtmKey::new(atm, currency), |sums| sums.counted(&since));
            room.narrow_sums(&counted, caps, bounds.is_new_device());
        }
        if let Some(caps) = &bounds.institution {
            let counted =
                self.institutions.look(InstitutionKey::new(institution, currency), |sums| sums.counted(&since));
            room.narrow_sums(&counted, caps, bounds.is_new_device());
        }
        Some(room)
    }
}

impl Room {
    const NONE: Self = Self { withdrawals: 0, minor_units: 0 };

    fn narrow(&mut self, drawn: &DrawnList, caps: &Caps, since: &Since) {
        for (counted, withdrawals, minor_units) in windows(&drawn.counted(since), caps) {
            self.under(counted, Some(withdrawals), Some(minor_units));
        }
    }

    fn narrow_sums(&mut self, counted: &Sums, caps: &SumCaps, is_new_device: bool) {
        for (counted, withdrawals, minor_units) in sum_windows(counted, caps, is_new_device) {
            self.under(counted, withdrawals, minor_units);
        }
    }

    fn under(&mut self, counted: Tally, withdrawals: Option<u32>, minor_units: Option<u64>) {
        let left = withdrawals.map_or(u32::MAX, |cap| cap.saturating_sub(counted.withdrawals));
        self.withdrawals = self.withdrawals.min(left);
        let left = minor_units.map_or(u64::MAX, |cap| cap.saturating_sub(counted.minor_units));
        self.minor_units = self.minor_units.min(left);
    }
}
