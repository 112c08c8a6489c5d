//! The one place that reads the clock.

use std::time::Instant;

/// Now.
#[allow(
    clippy::disallowed_methods,
    reason = "an attacker has a watch of its own; nothing here is replayed from a seed"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
