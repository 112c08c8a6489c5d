//! `[guard]`: what peers may take of the gateway. Everything has a default; `docs/hardening.md` lists it with what is fixed.

use std::time::Duration;

use super::reader::Reader;

/// The bounds that depend on the size of the fleet and of the banks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardSection {
    /// Connections of ATMs in all.
    pub atm_connections_max: usize,
    /// Connections of app back ends, event consumers and operators in all.
    pub api_connections_max: usize,
    /// Of these, of one identity.
    pub connections_per_peer_max: usize,
    /// Handshakes at once from one source address.
    pub handshakes_per_address_max: usize,
    /// Requests a second of one app back end, event consumer or operator; for a moment twice as many.
    pub requests_per_peer_s: u32,
    /// Messages a second of one ATM; for a moment twice as many. More are read later; one that is behind for long is cut off.
    pub messages_per_atm_s: u32,
    /// About how long a connection is kept; then it is closed when nothing is under way on it.
    pub connection_age: Duration,
}

impl Default for GuardSection {
    fn default() -> Self {
        Self {
            atm_connections_max: 20_000,
            api_connections_max: 2_000,
            connections_per_peer_max: 256,
            handshakes_per_address_max: 16,
            requests_per_peer_s: 5_000,
            messages_per_atm_s: 100,
            connection_age: Duration::from_secs(3_600),
        }
    }
}

pub(super) fn read(root: &Reader) -> Option<GuardSection> {
    let usual = GuardSection::default();
    if !root.has("guard") {
        return Some(usual);
    }
    let guard = root.table("guard");
    let size = |key: &str, usual: usize, range| {
        guard.number(key, u64::try_from(usual).ok(), range).and_then(|number| usize::try_from(number).ok())
    };
    let rate = |key: &str, usual: u32, range| {
        guard.number(key, Some(usual.into()), range).and_then(|number| u32::try_from(number).ok())
    };
    let read = (
        size("atm_connections_max", usual.atm_connections_max, 1..=1_000_000),
        size("api_connections_max", usual.api_connections_max, 1..=100_000),
        size("connections_per_peer_max", usual.connections_per_peer_max, 1..=10_000),
        size("handshakes_per_address_max", usual.handshakes_per_address_max, 1..=256),
        rate("requests_per_peer_s", usual.requests_per_peer_s, 1..=1_000_000),
        rate("messages_per_atm_s", usual.messages_per_atm_s, 1..=10_000),
        guard.seconds("connection_age_s", usual.connection_age, 5..=30 * 24 * 3_600),
    );
    guard.close();
    Some(GuardSection {
        atm_connections_max: read.0?,
        api_connections_max: read.1?,
        connections_per_peer_max: read.2?,
        handshakes_per_address_max: read.3?,
        requests_per_peer_s: read.4?,
        messages_per_atm_s: read.5?,
        connection_age: read.6?,
    })
}
