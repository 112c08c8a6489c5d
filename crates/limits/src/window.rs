//! Since when things count, and how much they come to. All in whole seconds: an approval counts from the beginning of its second, and a
//! window begins with a whole second, so that rounding only ever counts longer, by less than a second.

use cashgate_withdrawal::time::Timestamp;

pub(crate) const HOUR_S: u32 = 3_600;
const DAY_S: u32 = 24 * HOUR_S;
const WEEK_S: u32 = 7 * DAY_S;

/// How far a clock may step back without finding that something was already let go.
pub(crate) const SLACK_S: u32 = HOUR_S;

/// Where the windows of one decision begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Since {
    pub(crate) day_s: u32,
    pub(crate) last_24h_s: u32,
    pub(crate) last_7d_s: u32,
}

/// A number of withdrawals and what they come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) withdrawals: u32,
    pub(crate) minor_units: u64,
}

/// What counts in each window of an account or a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) day: Tally,
    pub(crate) last_24h: Tally,
    pub(crate) last_7d: Tally,
}

impl Since {
    pub(crate) fn new(day_began: Timestamp, now: Timestamp) -> Self {
        let now_s = unix_s(now);
        Self {
            // A day that has not begun yet would not count what is withdrawn now.
            day_s: unix_s(day_began).min(now_s),
            last_24h_s: now_s.saturating_sub(DAY_S),
            last_7d_s: now_s.saturating_sub(WEEK_S),
        }
    }

    /// The earliest second that any window reaches.
    pub(crate) fn earliest_s(&self) -> u32 {
        self.day_s.min(self.last_7d_s)
    }

    /// What is older than this may be let go.
    pub(crate) fn kept_s(&self) -> u32 {
        self.earliest_s().saturating_sub(SLACK_S)
    }
}

impl Tally {
    pub(crate) fn add(&mut self, minor_units: u64) {
        self.withdrawals = self.withdrawals.saturating_add(1);
        self.minor_units = self.minor_units.saturating_add(minor_units);
    }

    pub(crate) fn take(&mut self, minor_units: u64) {
        self.withdrawals = self.withdrawals.saturating_sub(1);
        self.minor_units = self.minor_units.saturating_sub(minor_units);
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            withdrawals: self.withdrawals.saturating_add(other.withdrawals),
            minor_units: self.minor_units.saturating_add(other.minor_units),
        }
    }
}

/// A moment in whole seconds since 1970. The last one stands for "still open", which no approval has: it would be in 2106.
pub(crate) fn unix_s(at: Timestamp) -> u32 {
    u32::try_from(at.unix_ms() / 1_000).map_or(u32::MAX - 1, |s| s.min(u32::MAX - 1))
}
