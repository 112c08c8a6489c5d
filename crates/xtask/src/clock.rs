//! The one place of this program that reads the clock.

use std::time::{Duration, Instant};

/// A moment until which something must have happened.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(time: Duration) -> Self {
        Self(now() + time)
    }

    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(now())
    }

    pub(crate) fn has_passed(self) -> bool {
        self.left().is_zero()
    }
}

#[allow(clippy::disallowed_methods)] // real processes take real time
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970-01-01T00:00:00Z.
pub(crate) fn unix_ms() -> u64 {
    nanoseconds() / 1_000_000
}

/// A number that differs from run to run: seeds the live demo and names its folder.
#[allow(clippy::disallowed_methods)]
pub(crate) fn nanoseconds() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos() & u128::from(u64::MAX)).unwrap_or_default()
}
