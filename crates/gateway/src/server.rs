//! The gRPC server of a port, with bounds that were attacked. `docs/hardening.md` lists them all.

use std::time::Duration;

use tonic::transport::Server;
use tonic::transport::server::Router;
use tower::layer::util::{Identity, Stack};

use crate::guard::{Counted, PortGuard};

/// The largest message that any port takes, in bytes. A Hello with 64 reports fits.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// A router whose requests are counted before anything is done for them.
pub(crate) type Guarded = Router<Stack<Counted, Identity>>;

/// A server with bounds that were attacked. `docs/hardening.md` lists them all, with those of [`crate::guard`].
pub(crate) fn hardened(guard: &PortGuard) -> Server<Stack<Counted, Identity>> {
    let server = Server::builder()
        // Streams that a peer may have open, and so what it may make the gateway keep. Left alone, tonic would take hyper's own bound away.
        .max_concurrent_streams(guard.streams_max)
        // Streams that were reset and are still remembered. With more than these the connection is closed: rapid reset (CVE-2023-44487).
        .http2_max_local_error_reset_streams(Some(64))
        .http2_max_pending_accept_reset_streams(Some(16))
        // A stream's window bounds what is buffered of one message; it holds the largest one. The connection's is not smaller than 1 MiB, because
        // `h2` counts small frames against it: at 128 KiB a burst of 300 small messages cut an honest connection.
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(1024 * 1024)
        // Windows that adapt would grow with the peer's speed, and probe with PINGs.
        .http2_adaptive_window(Some(false))
        .max_frame_size(16 * 1024)
        // gRPC's own headers take a few hundred bytes. CONTINUATION frames are bounded with it (`h2` counts how many it could take).
        .http2_max_header_list_size(8 * 1024)
        // A peer whose process hangs; one whose line is dead is noticed sooner, by the kernel (`listener`).
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)));
    // No `max_connection_age`: tonic's cuts without GOAWAY, in the middle of a withdrawal. `listener` and `services::atm` end old connections
    // where nothing is under way.
    let server = match guard.request_max {
        Some(max) => server.timeout(max),
        None => server,
    };
    server.layer(Counted)
}

/// Health and reflection, as every port has them.
pub(crate) fn with_reflection(
    mut server: Server<Stack<Counted, Identity>>,
) -> Result<Guarded, tonic_reflection::server::Error> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(cashgate_wire::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    // Ports are served only while the gateway is up; finer readiness is /readyz.
    let (_, health) = tonic_health::server::health_reporter();
    // Left alone they take 4 MiB: a message that is never ended is kept for as long as its stream, and a connection has hundreds of those.
    let reflection = reflection.max_decoding_message_size(MESSAGE_BYTES_MAX);
    let health = health.max_decoding_message_size(MESSAGE_BYTES_MAX);
    Ok(server.add_service(reflection).add_service(health))
}
