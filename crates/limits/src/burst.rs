//! How fast withdrawals may follow one another: the Generic Cell Rate Algorithm.
//!
//! ITU-T I.371 Annex A and the ATM Forum's Traffic Management Specification 4.0 (where ATM is a network, not a cash machine) give
//! it in two equal forms; this is *virtual scheduling*. An account's whole state is one moment, the *theoretical arrival time*
//! (TAT): when the next withdrawal would come if they came evenly. One that comes earlier than TAT - tolerance is refused;
//! one that is admitted moves TAT on by the increment. Here increment = `every` and tolerance = (`withdrawals` - 1) x `every`.

use std::num::NonZeroU32;
use std::time::Duration;

use cashgate_withdrawal::time::Timestamp;

/// At most `withdrawals` at once, and one more each `every`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// How many withdrawals may come at once after a long rest.
    pub withdrawals: NonZeroU32,
    /// How long it takes until one more may come. Counted in milliseconds, rounded up; zero means that pace does not matter.
    ///
    /// A clock that steps back frees nothing: the account waits until it has caught up, as [`crate::LimitRefusal::TooFast`] says.
    pub every: Duration,
}

/// An account's place in the virtual schedule: its theoretical arrival time. One that never withdrew is at the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    expected_at_ms: u64,
}

impl Pace {
    /// The earliest moment at which one more withdrawal is in time; `now` or earlier means it is in time now.
    pub(crate) fn ready_at(self, burst: Burst) -> Timestamp {
        let expected_at_ms = if burst.every.is_zero() { 0 } else { self.expected_at_ms };
        Timestamp::from_unix_ms(expected_at_ms.saturating_sub(burst.tolerance_ms()))
    }

    /// How many withdrawals would be in time now, one directly after the other.
    pub(crate) fn at_once(self, burst: Burst, now: Timestamp) -> u32 {
        if burst.every.is_zero() {
            return u32::MAX;
        }
        let expected_at_ms = self.expected_at_ms.max(now.unix_ms());
        let latest_ms = now.unix_ms().saturating_add(burst.tolerance_ms());
        let more = latest_ms.checked_sub(expected_at_ms).and_then(|room_ms| room_ms.checked_div(burst.increment_ms()));
        more.map_or(0, |more| u32::try_from(more).map_or(u32::MAX, |more| more.saturating_add(1)))
    }

    /// The place after a withdrawal that was admitted. Exact in the order of admission; any other order, as recovery might bring,
    /// gives a later place, never an earlier one.
    #[must_use]
    pub(crate) fn after(self, admitted_at: Timestamp, burst: Burst) -> Self {
        let from_ms = self.expected_at_ms.max(admitted_at.unix_ms());
        Self { expected_at_ms: from_ms.saturating_add(burst.increment_ms()) }
    }

    /// Whether an account at this place is treated like one that never withdrew, now and later.
    pub(crate) fn is_rested(self, now: Timestamp) -> bool {
        self.expected_at_ms <= now.unix_ms()
    }
}

impl Burst {
    fn increment_ms(self) -> u64 {
        let rounded_up_ms = self.every.as_nanos().div_ceil(1_000_000);
        // Half the range, so that a whole burst added to any real moment still fits: a sum that saturated would admit too many.
        let fitting_ms = u64::MAX / 2 / u64::from(self.withdrawals.get());
        u64::try_from(rounded_up_ms).unwrap_or(u64::MAX).min(fitting_ms)
    }

    fn tolerance_ms(self) -> u64 {
        self.increment_ms().saturating_mul(u64::from(self.withdrawals.get()) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burst(withdrawals: u32, every_ms: u64) -> Burst {
        Burst { withdrawals: NonZeroU32::new(withdrawals).unwrap(), every: Duration::from_millis(every_ms) }
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_ms(ms)
    }

    /// How many of the withdrawals at these moments are admitted.
    fn admitted(burst: Burst, moments_ms: &[u64]) -> Vec<bool> {
        let mut pace = Pace::default();
        let mut admit = |now| {
            let in_time = pace.ready_at(burst) <= now;
            assert_eq!(in_time, pace.at_once(burst, now) > 0);
            if in_time {
                pace = pace.after(now, burst);
            }
            in_time
        };
        moments_ms.iter().map(|ms| admit(at(*ms))).collect()
    }

    #[test]
    fn a_burst_then_one_each_interval() {
        let check = |burst, moments: &[(u64, bool)]| {
            let (moments_ms, expected): (Vec<_>, Vec<_>) = moments.iter().copied().unzip();
            assert_eq!(admitted(burst, &moments_ms), expected, "{burst:?} {moments_ms:?}");
        };
        check(burst(1, 100), &[(1_000, true), (1_099, false), (1_100, true), (1_199, false)]);
        check(
            burst(2, 100),
            &[(1_000, true), (1_000, true), (1_000, false), (1_099, false), (1_100, true), (1_100, false)],
        );
        // A long rest gives a whole burst back, and no more than one.
        check(burst(2, 100), &[(1_000, true), (1_000, true), (9_000, true), (9_000, true), (9_000, false)]);
        // Without an interval, pace does not matter.
        check(burst(1, 0), &[(5, true), (5, true), (4, true), (5, true)]);
        // A clock that steps back forgets nothing: the pace waits until it has caught up.
        check(burst(1, 100), &[(1_000, true), (400, false), (1_099, false), (1_100, true)]);
    }

    #[test]
    fn part_of_a_millisecond_counts_as_one() {
        let quick = Burst { withdrawals: NonZeroU32::MIN, every: Duration::from_nanos(1) };
        assert_eq!(admitted(quick, &[7, 7, 8]), [true, false, true]);
    }

    #[test]
    fn intervals_beyond_all_time_still_count() {
        for withdrawals in [1_u32, 2, 3] {
            let endless = Burst { withdrawals: NonZeroU32::new(withdrawals).unwrap(), every: Duration::MAX };
            let admissions = admitted(endless, &[1_800_000_000_000; 6]);
            assert_eq!(admissions.iter().filter(|admitted| **admitted).count(), withdrawals as usize, "{endless:?}");
        }
        let huge = Burst { withdrawals: NonZeroU32::MAX, every: Duration::MAX };
        assert_eq!(admitted(huge, &[u64::MAX, 0, u64::MAX]).len(), 3);
    }

    #[test]
    fn restoring_in_any_order_never_frees_a_withdrawal() {
        let restored = |moments_ms: &[u64]| {
            moments_ms.iter().fold(Pace::default(), |pace, ms| pace.after(at(*ms), burst(3, 10))).expected_at_ms
        };
        assert_eq!(restored(&[0, 50, 55]), 70);
        for order in [[0, 55, 50], [50, 0, 55], [50, 55, 0], [55, 0, 50], [55, 50, 0]] {
            assert!(restored(&order) >= 70, "{order:?}");
        }
    }
}
