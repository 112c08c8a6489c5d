//! The one place in this crate that reads the clock: the wall clock of the simulated device.

/// Milliseconds since 1970-01-01T00:00:00Z.
#[must_use]
#[allow(clippy::disallowed_methods)] // A machine, a phone and a bank outside the gateway have clocks of their own.
pub fn unix_ms() -> i64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
