//! Moments as arguments. This crate reads no clock.

use std::fmt;
use std::time::Duration;

/// A moment, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// A moment from milliseconds since the epoch.
    #[must_use]
    pub const fn from_unix_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn unix_ms(self) -> u64 {
        self.0
    }

    /// The moment that lies `duration` later; the last there is if it would not fit.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// A calendar day in an institution's time zone, as the number of days since 1970-01-01 there. Whoever knows time zones makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CalendarDay(pub i32);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_ms(ms)
    }

    #[test]
    fn time_goes_on_until_it_ends_and_never_runs_backwards() {
        assert_eq!(at(1_000).after(Duration::from_secs(2)), at(3_000));
        assert_eq!(at(1_000).after(Duration::MAX), at(u64::MAX));
        assert_eq!(at(3_000).since(at(1_000)), Duration::from_secs(2));
        assert_eq!(at(1_000).since(at(3_000)), Duration::ZERO);
        assert_eq!((at(1_500).unix_ms(), at(1_500).to_string().as_str()), (1_500, "1500 ms"));
    }
}
