//! Accepts connections, finds out who they are, and hands them on with the peer's identity.
//!
//! A peer that says nothing, stops in the middle of its handshake or does not begin HTTP/2 is dropped after a few seconds. What a peer may take of
//! the gateway is [`crate::guard`]'s business.

mod connection;
mod telling;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::guard::{Door, Link, Registry, Visitor, source};
use crate::identity::{self, Identity, IdentityError};
use crate::tls::Tls;
pub use connection::TlsConnection;
use telling::Telling;

/// How long a peer may take to say its first word.
const FIRST_BYTE_MAX: Duration = Duration::from_secs(5);
/// How long it then waits for its turn. One that does not get it is turned away, and tries again.
const TURN_MAX: Duration = Duration::from_secs(4);
/// How long its handshake may take from then on.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// How long a source waits for another turn after a handshake that came to nothing. It costs honest peers nothing, and holds a source that tries
/// again and again to a few a second.
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);
/// How long accepting pauses when the system has no more sockets to give.
const PAUSE_ON_ERROR: Duration = Duration::from_millis(100);
/// Connections that the kernel keeps until they are accepted. Linux caps it at `net.core.somaxconn`, 4,096 by default.
const BACKLOG: u32 = 4_096;
/// How often the rates of peers that are gone are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// A peer whose machine lost its power or its line answers nothing: the kernel asks after 4 s of silence, every 2 s, twice.
const PROBE_AFTER: Duration = Duration::from_secs(4);
const PROBE_EVERY: Duration = Duration::from_secs(2);
const PROBES: u32 = 2;
/// How long what was sent may stay unacknowledged.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(9);

/// What a service knows of its peer.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Who it is, or why its certificate names nobody.
    pub identity: Result<Identity, IdentityError>,
    /// Its connection.
    pub link: Arc<Link>,
}

/// Binds a port.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As after any restart: connections of the process before may still be in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What every connection of a port needs.
struct Port {
    tls: Tls,
    trust_domain: Arc<str>,
    registry: Arc<Registry>,
    telling: Telling,
}

/// Connections of a port, one by one, until the receiver is dropped.
pub(crate) fn connections(
    listener: TcpListener,
    tls: Tls,
    trust_domain: Arc<str>,
    registry: Arc<Registry>,
) -> mpsc::Receiver<io::Result<TlsConnection>> {
    let (ready, connections) = mpsc::channel(64);
    let door = Door::new(registry.guard());
    let telling = Telling::new(registry.guard().port);
    let port = Arc::new(Port { tls, trust_domain, registry, telling });
    tokio::spawn(async move {
        let mut forgetting = tokio::time::interval(FORGET_EVERY);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = ready.closed() => return,
                _ = forgetting.tick() => {
                    port.registry.forget_idle();
                    continue;
                }
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE_ON_ERROR).await;
                    continue;
                }
            };
            match door.enter(source(address)) {
                Ok(visitor) => drop(tokio::spawn(receive(stream, visitor, Arc::clone(&port), ready.clone()))),
                Err(why) => port.registry.metrics().turned_away(port.registry.guard().port, why),
            }
        }
    });
    connections
}

/// Finds out who a peer is. It waits at the door until then.
async fn receive(stream: TcpStream, visitor: Visitor, port: Arc<Port>, ready: mpsc::Sender<io::Result<TlsConnection>>) {
    let turned_away = |why| {
        tracing::debug!(port = port.registry.guard().port, why, "a connection came to nothing");
        port.registry.metrics().turned_away(port.registry.guard().port, why);
    };
    match tokio::time::timeout(FIRST_BYTE_MAX, stream.peek(&mut [0])).await {
        Ok(Ok(1..)) => {}
        // A probe of a load balancer does this all day.
        Ok(_) => return,
        Err(_) => return turned_away("silent"),
    }
    let Ok(Some(turn)) = tokio::time::timeout(TURN_MAX, visitor.turn()).await else { return turned_away("no_turn") };
    match tokio::time::timeout(HANDSHAKE_MAX, handshake(stream, &port)).await.unwrap_or(Err("slow_handshake")) {
        Ok(connection) => {
            drop((turn, visitor));
            // Nobody takes it only when the port is closing.
            let _ = ready.send(Ok(connection)).await;
        }
        Err(why) => {
            turned_away(why);
            let _of_its_source = turn.of_source_only();
            tokio::time::sleep(AFTER_A_FAILURE).await;
        }
    }
}

async fn handshake(stream: TcpStream, port: &Port) -> Result<TlsConnection, &'static str> {
    attend(&stream).map_err(|_| "socket")?;
    let tls = port.tls.clone();
    let acceptor = TlsAcceptor::from(Arc::clone(&tls.now().server));
    let address = stream.peer_addr();
    let stream = acceptor.accept(stream).await.map_err(|error| {
        port.telling.handshake_failed(address, &error);
        "handshake_failed"
    })?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let identity = match certificate {
        Some(certificate) => Identity::from_certificate(certificate, &port.trust_domain),
        None => Err(IdentityError::Unreadable),
    };
    let ends = certificate.and_then(|certificate| identity::ends_at(certificate));
    // Those whom a certificate does not name are told so by every rpc; until then they count as one peer.
    if let Err(why) = &identity {
        port.telling.named_nobody(stream.get_ref().0.peer_addr(), why);
    }
    let who = identity.as_ref().map_or_else(|_| "unnamed".to_owned(), Identity::path);
    let seat = port.registry.admit(who.clone()).map_err(|why| {
        tracing::warn!(port = port.registry.guard().port, peer = who, why = why.name(), "a peer was not let in");
        why.name()
    })?;
    let peer = Peer { identity, link: Arc::clone(seat.link()) };
    Ok(TlsConnection::new(stream, peer, seat, tls, ends))
}

/// Has the kernel notice a peer that is gone without a word.
fn attend(stream: &TcpStream) -> io::Result<()> {
    // Nagle's algorithm would hold small messages back for tens of milliseconds.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY).with_retries(PROBES);
    socket.set_tcp_keepalive(&probes)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))
}
