//! Tells of peers that were not let in before it was known who they are: often enough to find a machine whose certificate has ended, and never so often
//! that whoever knocks without end fills the log.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::identity::IdentityError;

/// So many lines at once, and then one in each of these times. All are counted in `cashgate_connections_turned_away_total`.
const AT_ONCE: std::num::NonZeroU32 = std::num::NonZeroU32::MIN.saturating_add(9);
const ONE_IN: Duration = Duration::from_secs(10);

/// Tells for one port.
#[derive(Debug)]
pub(super) struct Telling {
    port: &'static str,
    lines: DefaultDirectRateLimiter,
    untold: AtomicU64,
}

impl Telling {
    pub(super) fn new(port: &'static str) -> Self {
        // Only a time of zero has no quota.
        let quota = Quota::with_period(ONE_IN).unwrap_or(Quota::per_hour(AT_ONCE)).allow_burst(AT_ONCE);
        Self { port, lines: RateLimiter::direct(quota), untold: AtomicU64::new(0) }
    }

    /// Its TLS came to nothing.
    pub(super) fn handshake_failed(&self, from: io::Result<SocketAddr>, why: &io::Error) {
        if let Some(untold) = self.turn() {
            let from = in_words(from);
            tracing::warn!(port = self.port, from, %why, untold, "a TLS handshake failed");
        }
    }

    /// Its certificate is one of ours and names no peer.
    pub(super) fn named_nobody(&self, from: io::Result<SocketAddr>, why: &IdentityError) {
        if let Some(untold) = self.turn() {
            let from = in_words(from);
            tracing::warn!(port = self.port, from, %why, untold, "a certificate names no peer");
        }
    }

    /// How many were not told since the last that was, if this one may be.
    fn turn(&self) -> Option<u64> {
        if self.lines.check().is_err() {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.untold.swap(0, Ordering::Relaxed))
    }
}

/// A peer that is gone already has no address any more.
fn in_words(from: io::Result<SocketAddr>) -> String {
    from.map_or_else(|_| "gone".to_owned(), |from| from.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_knocks_without_end_fills_no_log_and_is_counted() {
        let telling = Telling::new("atm");
        let told: Vec<u64> = (0..1_000).filter_map(|_| telling.turn()).collect();
        assert_eq!(told, [0; 10], "the first ones, and nothing was left out before them");
        assert_eq!(telling.untold.load(Ordering::Relaxed), 990);
    }
}
