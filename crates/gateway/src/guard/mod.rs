//! What a peer may take of the gateway: how long it is waited for, how many connections, frames, requests and messages it has.
//!
//! Every bound, with its reason and what the peer sees, stands in `docs/hardening.md`. Who may do what is not decided here.

mod door;
mod frames;
mod metrics;
pub(crate) mod open_files;
mod registry;
mod requests;
mod shares;

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::GuardSection;

pub(crate) use door::{Door, Visitor};
pub(crate) use frames::FrameMeter;
pub use metrics::GuardMetrics;
pub use registry::Link;
pub(crate) use registry::{Registry, Seat};
pub use requests::Counted;
pub(crate) use shares::Shares;

/// Why an open connection is closed from this side. Its name is a label of `cashgate_connections_cut_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cut {
    /// TLS was done, and then the peer did not begin HTTP/2.
    NoPreface = 1,
    /// It asked for nothing.
    Idle,
    /// It began headers and did not end them.
    SlowHeaders,
    /// More frames than any honest peer sends.
    FrameFlood,
    /// More frames that carry nothing: PING, SETTINGS, empty DATA, CONTINUATION.
    EmptyFrameFlood,
    /// It opens streams and takes them back.
    ResetFlood,
    /// An ATM said more than it may for so long that it cannot be a moment's haste.
    MessageFlood,
    /// It does not take what is sent to it.
    SlowReader,
    /// The same identity has connected again too often.
    Replaced,
    /// Its certificate would not be accepted any more: revoked, or of an authority that is no longer ours.
    Revoked,
    /// Its certificate has expired.
    Expired,
    /// It was open for long, and nothing was under way.
    Aged,
}

impl Cut {
    const ALL: [Self; 12] = [
        Self::NoPreface,
        Self::Idle,
        Self::SlowHeaders,
        Self::FrameFlood,
        Self::EmptyFrameFlood,
        Self::ResetFlood,
        Self::MessageFlood,
        Self::SlowReader,
        Self::Replaced,
        Self::Revoked,
        Self::Expired,
        Self::Aged,
    ];

    /// Its name, for metrics and the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoPreface => "no_preface",
            Self::Idle => "idle",
            Self::SlowHeaders => "slow_headers",
            Self::FrameFlood => "frame_flood",
            Self::EmptyFrameFlood => "empty_frame_flood",
            Self::ResetFlood => "reset_flood",
            Self::MessageFlood => "message_flood",
            Self::SlowReader => "slow_reader",
            Self::Replaced => "replaced",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Aged => "aged",
        }
    }

    fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|cut| *cut as u8 == number)
    }

    /// Whether an honest peer can come to this: then it is not worth a warning.
    #[must_use]
    pub const fn is_ordinary(self) -> bool {
        matches!(self, Self::Aged | Self::Idle | Self::Replaced)
    }
}

impl From<Cut> for std::io::Error {
    fn from(cut: Cut) -> Self {
        Self::new(std::io::ErrorKind::ConnectionAborted, cut.name())
    }
}

/// So many at once, and then so many a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) burst: u32,
    pub(crate) per_s: u32,
}

impl Rate {
    fn quota(self) -> governor::Quota {
        let some = |many: u32| std::num::NonZeroU32::new(many).unwrap_or(std::num::NonZeroU32::MIN);
        governor::Quota::per_second(some(self.per_s)).allow_burst(some(self.burst))
    }
}

/// What an identity with too many connections is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// The newest wins: an ATM that comes back must not wait until its dead connection is noticed.
    CutTheOldest,
    /// The newest is turned away: an app back end that opens connections without end must not disturb those that work.
    RefuseTheNewest,
}

/// The bounds of one port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PortGuard {
    /// `atm` or `api`, a label of the metrics.
    pub(crate) port: &'static str,
    /// Connections in all whose peer is known.
    pub(crate) connections_max: usize,
    /// Of these, of one identity.
    pub(crate) connections_per_peer_max: usize,
    pub(crate) when_full: WhenFull,
    /// New connections of one identity.
    pub(crate) connects: Rate,
    /// Handshakes of one source address at once.
    pub(crate) handshakes_per_address_max: usize,
    /// Requests of one identity.
    pub(crate) requests: Rate,
    /// Requests in flight on the whole port; one more is refused at once, so that none waits behind more than these.
    pub(crate) in_flight_max: usize,
    /// Messages on an ATM's stream.
    pub(crate) messages: Rate,
    /// All frames, those that carry nothing, and resets, of one connection.
    pub(crate) frames: Rate,
    pub(crate) empty_frames: Rate,
    pub(crate) resets: Rate,
    /// Concurrent streams of one connection.
    pub(crate) streams_max: u32,
    /// How long a connection may stand open without a request; `None` where clients keep connections for later.
    pub(crate) idle_max: Option<Duration>,
    /// About how long a connection is kept.
    pub(crate) age: Duration,
    /// How long a request without a stream of messages may take.
    pub(crate) request_max: Option<Duration>,
}

impl PortGuard {
    /// The port of the ATMs: one connection each with one long stream, and little on it.
    pub(crate) fn atm(section: &GuardSection) -> Self {
        let messages = section.messages_per_atm_s;
        Self {
            port: "atm",
            connections_max: section.atm_connections_max,
            // The one that serves, and one that replaces it.
            connections_per_peer_max: 2,
            when_full: WhenFull::CutTheOldest,
            // A line that flaps comes back at once a few times.
            connects: Rate { burst: 30, per_s: 1 },
            handshakes_per_address_max: section.handshakes_per_address_max,
            requests: Rate { burst: 60, per_s: 5 },
            in_flight_max: section.atm_connections_max.saturating_mul(2),
            // Two seconds' worth at once, which is less than may wait for it in answers.
            messages: Rate { burst: messages.saturating_mul(2), per_s: messages },
            // A message is one frame, and what the gateway sends is acknowledged with others.
            frames: Rate { burst: messages.saturating_mul(40), per_s: messages.saturating_mul(4) },
            empty_frames: Rate { burst: 256, per_s: 20 },
            resets: Rate { burst: 64, per_s: 5 },
            streams_max: 4,
            idle_max: Some(Duration::from_secs(4)),
            age: section.connection_age,
            request_max: None,
        }
    }

    /// The port of the other replicas: few peers, each of which brings what many callers ask.
    pub(crate) fn replica(section: &GuardSection) -> Self {
        let api = Self::api(section);
        Self { port: "replica", connections_max: 256, connections_per_peer_max: 16, ..api }
    }

    /// The port of app back ends, core banking's consumers and operators: few peers, each with many requests on a few connections.
    pub(crate) fn api(section: &GuardSection) -> Self {
        let requests = section.requests_per_peer_s;
        Self {
            port: "api",
            connections_max: section.api_connections_max,
            connections_per_peer_max: section.connections_per_peer_max,
            when_full: WhenFull::RefuseTheNewest,
            connects: Rate { burst: 500, per_s: 50 },
            handshakes_per_address_max: section.handshakes_per_address_max,
            requests: Rate { burst: requests.saturating_mul(2), per_s: requests },
            in_flight_max: 16_384,
            messages: Rate { burst: 1, per_s: 1 },
            // Headers, body, end, and what acknowledges the answer.
            frames: Rate { burst: requests.saturating_mul(20), per_s: requests.saturating_mul(10) },
            empty_frames: Rate { burst: 2_000, per_s: 200 },
            // Whoever stops following a withdrawal resets its stream.
            resets: Rate { burst: requests, per_s: requests },
            streams_max: 256,
            idle_max: None,
            age: section.connection_age,
            request_max: Some(Duration::from_secs(9)),
        }
    }
}

/// What counts as one source: an IPv4 address, or the 64 bits of an IPv6 network, which one subscriber has whole.
pub(crate) fn source(address: SocketAddr) -> std::net::IpAddr {
    match address.ip().to_canonical() {
        std::net::IpAddr::V6(v6) => std::net::Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 @ std::net::IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_is_found_by_its_number_and_has_a_name_of_its_own() {
        let mut names: Vec<&str> = Cut::ALL.iter().map(|cut| cut.name()).collect();
        assert!(Cut::ALL.iter().all(|cut| Cut::of(*cut as u8) == Some(*cut)));
        assert_eq!(Cut::of(0), None, "nothing was cut");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Cut::ALL.len());
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let of = |text: &str| source(text.parse().unwrap());
        assert_eq!(of("[2001:db8::1]:1"), of("[2001:db8::ffff:2]:2"));
        assert_ne!(of("[2001:db8::1]:1"), of("[2001:db8:0:1::1]:1"));
        assert_eq!(of("[::ffff:10.0.0.1]:1"), of("10.0.0.1:9"), "IPv4 through an IPv6 socket");
        assert_ne!(of("10.0.0.1:1"), of("10.0.0.2:1"));
    }
}
