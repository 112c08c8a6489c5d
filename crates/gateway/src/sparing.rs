//! How often one thing may be told: the first times each, and then so seldom that whatever makes it happen without end does not fill the log.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Lines of one kind. How often it really happened is for a metric to say.
#[derive(Debug)]
pub(crate) struct Sparing {
    lines: DefaultDirectRateLimiter,
    untold: AtomicU64,
}

impl Sparing {
    /// So many at once, and then one in each of these times.
    pub(crate) fn new(at_once: NonZeroU32, one_in: Duration) -> Self {
        // Only a time of zero has no quota.
        let quota = Quota::with_period(one_in).unwrap_or(Quota::per_hour(at_once)).allow_burst(at_once);
        Self { lines: RateLimiter::direct(quota), untold: AtomicU64::new(0) }
    }

    /// Whether to tell it this time: then with how many were not told since the last time.
    pub(crate) fn turn(&self) -> Option<u64> {
        if self.lines.check().is_err() {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.untold.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_without_end_is_told_a_few_times_and_counted() {
        let sparing = Sparing::new(NonZeroU32::MIN.saturating_add(9), Duration::from_secs(3_600));
        let told: Vec<u64> = (0..1_000).filter_map(|_| sparing.turn()).collect();
        assert_eq!(told, [0; 10], "the first ones, and nothing was left out before them");
        assert_eq!(sparing.untold.load(Ordering::Relaxed), 990);
    }

    #[test]
    fn the_next_that_is_told_says_how_many_were_not() {
        let sparing = Sparing::new(NonZeroU32::MIN, Duration::from_millis(1));
        assert_eq!(sparing.turn(), Some(0));
        let untold = (1..).find_map(|_| sparing.turn());
        assert!(untold.is_some());
        assert_eq!(sparing.untold.load(Ordering::Relaxed), 0, "they are told once");
    }
}
