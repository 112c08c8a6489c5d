//! Tells of peers that were not let in before it was known who they are: often enough to find a machine whose certificate has ended, and never so often
//! that whoever knocks without end fills the log.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::identity::IdentityError;
use crate::sparing::Sparing;

/// So many lines at once, and then one in each of these times. Handshakes are all counted in `cashgate_connections_turned_away_total`.
const AT_ONCE: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
const ONE_IN: Duration = Duration::from_secs(10);

/// Tells for one port.
#[derive(Debug)]
pub(super) struct Telling {
    port: &'static str,
    lines: Sparing,
}

impl Telling {
    pub(super) fn new(port: &'static str) -> Self {
        Self { port, lines: Sparing::new(AT_ONCE, ONE_IN) }
    }

    /// Its TLS came to nothing.
    pub(super) fn handshake_failed(&self, from: io::Result<SocketAddr>, why: &io::Error) {
        if let Some(untold) = self.lines.turn() {
            let from = in_words(from);
            tracing::warn!(port = self.port, from, %why, untold, "a TLS handshake failed");
        }
    }

    /// Its certificate is one of ours and names no peer.
    pub(super) fn named_nobody(&self, from: io::Result<SocketAddr>, why: &IdentityError) {
        if let Some(untold) = self.lines.turn() {
            let from = in_words(from);
            tracing::warn!(port = self.port, from, %why, untold, "a certificate names no peer");
        }
    }
}

/// A peer that is gone already has no address any more.
fn in_words(from: io::Result<SocketAddr>) -> String {
    from.map_or_else(|_| "gone".to_owned(), |from| from.to_string())
}
