//! What an ATM paid out, or what the customers of an institution withdrew: too many withdrawals for a list, so sums by the hour.
//!
//! An hour counts until its last second is outside of the last 24 hours: up to an hour longer than each withdrawal in it would.

use crate::window::{HOUR_S, SLACK_S, Since, Tally};

/// 24 hours, the one that has begun, and the slack for a clock that steps back.
const HOURS: usize = 25 + (SLACK_S / HOUR_S) as usize;

/// The two sums that are held against [`crate::SumCaps`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Of all withdrawals.
    pub(crate) all: Tally,
    /// Of those with a new device among them.
    pub(crate) new_devices: Tally,
}

/// The entry of an ATM or an institution.
#[derive(Debug, Default)]
pub(crate) struct HourlySums {
    open: Sums,
    hours: [Hour; HOURS],
}

/// What was approved within one hour and has ended.
#[derive(Clone, Copy, Debug, Default)]
struct Hour {
    /// Hours since 1970.
    number: u32,
    sums: Sums,
}

impl HourlySums {
    /// What counts in the last 24 hours: everything open, and what ended; what lies ahead of `now` as well.
    pub(crate) fn counted(&self, since: &Since) -> Sums {
        let first = since.last_24h_s / HOUR_S;
        let counting = self.hours.iter().filter(|hour| hour.number >= first);
        counting.fold(self.open, |sum, hour| sum.plus(hour.sums))
    }

    /// Counts a withdrawal from its approval on.
    pub(crate) fn open(&mut self, minor_units: u64, is_new_device: bool) {
        self.open.all.add(minor_units);
        if is_new_device {
            self.open.new_devices.add(minor_units);
        }
    }

    /// Ends an open withdrawal, and counts what left the machine for the hour of its approval.
    pub(crate) fn end(&mut self, reserved: u64, dispensed: u64, approved_s: u32, is_new_device: bool) {
        self.open.all.take(reserved);
        if is_new_device {
            self.open.new_devices.take(reserved);
        }
        self.spend(dispensed, approved_s, is_new_device);
    }

    /// Counts what left a machine; nothing is no withdrawal.
    pub(crate) fn spend(&mut self, dispensed: u64, approved_s: u32, is_new_device: bool) {
        let number = approved_s / HOUR_S;
        let Some(hour) = self.hours.get_mut(number as usize % HOURS) else { return };
        // A later hour in this place means that the one asked for is over for good.
        if dispensed == 0 || hour.number > number {
            return;
        }
        if hour.number < number {
            *hour = Hour { number, sums: Sums::default() };
        }
        hour.sums.all.add(dispensed);
        if is_new_device {
            hour.sums.new_devices.add(dispensed);
        }
    }

    /// Whether no decision from `since` on would miss this entry.
    pub(crate) fn is_idle(&self, since: &Since) -> bool {
        let first = since.last_24h_s.saturating_sub(SLACK_S) / HOUR_S;
        self.open == Sums::default()
            && self.hours.iter().all(|hour| hour.number < first || hour.sums == Sums::default())
    }
}

impl Sums {
    fn plus(self, other: Self) -> Self {
        Self { all: self.all.plus(other.all), new_devices: self.new_devices.plus(other.new_devices) }
    }
}
