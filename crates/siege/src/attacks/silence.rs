//! Peers that keep the gateway waiting.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::TcpRepair;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Attack, Borne, at_once};
use crate::clock;
use crate::raw::{self, HEADERS};
use crate::site::Site;

/// Between two bytes of a peer that drips.
const DRIP: Duration = Duration::from_millis(500);

pub(super) const ATTACKS: fn() -> Vec<Attack> = || {
    vec![
        Attack {
            name: "silent_tcp",
            needs_crl: false,
            is_quick: true,
            run: |site, scale| {
                let port = site.ports.atm;
                Box::pin(async move { Ok(at_once(scale.slow, move |_| silent(port)).await) })
            },
        },
        Attack {
            name: "idle_connections",
            needs_crl: false,
            is_quick: false,
            run: |site, scale| {
                let port = site.ports.atm;
                Box::pin(async move { Ok(at_once(scale.idle, move |_| silent(port)).await) })
            },
        },
        Attack {
            name: "slow_tls_handshake",
            needs_crl: false,
            is_quick: false,
            run: |site, scale| {
                let port = site.ports.atm;
                Box::pin(async move {
                    let drip = move |_| async move {
                        let Ok(stream) = raw::tcp(port).await else { return Some(Duration::ZERO) };
                        // The head of a ClientHello of 512 bytes, and then a byte now and then.
                        let mut first = Some(vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
                        raw::press(stream, move || first.take().or(Some(vec![0])), DRIP).await
                    };
                    Ok(at_once(scale.slow, drip).await)
                })
            },
        },
        Attack {
            name: "tls_then_silence",
            needs_crl: false,
            is_quick: false,
            run: |site, scale| {
                let (port, shown) = (site.ports.api, Arc::clone(&site.app));
                Box::pin(async move {
                    let silent = move |_| {
                        let shown = Arc::clone(&shown);
                        async move {
                            let Ok(stream) = raw::tls(port, &shown).await else { return Some(Duration::ZERO) };
                            raw::say(stream, Vec::new()).await
                        }
                    };
                    Ok(at_once(scale.slow, silent).await)
                })
            },
        },
        Attack {
            name: "http2_then_silence",
            needs_crl: false,
            is_quick: false,
            run: |site, scale| {
                let (port, shown) = (site.ports.atm, Arc::clone(&site.stolen));
                Box::pin(async move { Ok(begin_and(scale.fast, port, shown, Vec::new()).await) })
            },
        },
        Attack {
            name: "slow_headers",
            needs_crl: false,
            is_quick: true,
            run: |site, scale| {
                let (port, shown) = (site.ports.api, Arc::clone(&site.app));
                Box::pin(async move {
                    let drip = move |_| {
                        let shown = Arc::clone(&shown);
                        async move {
                            let Ok(stream) = raw::tls(port, &shown).await else { return Some(Duration::ZERO) };
                            // A frame of 4,000 bytes is announced, and comes byte by byte.
                            let announced = raw::frame(HEADERS, raw::END_HEADERS, 1, &[0; 4_000]);
                            let head = announced.get(..9).unwrap_or_default();
                            let mut first = Some([&raw::beginning(&[]), head].concat());
                            let next = move || first.take().or(Some(vec![0x83]));
                            raw::press(stream, next, DRIP).await
                        }
                    };
                    Ok(at_once(scale.slow, drip).await)
                })
            },
        },
        Attack {
            name: "stream_without_hello",
            needs_crl: false,
            is_quick: false,
            run: |site, scale| {
                let (port, shown) = (site.ports.atm, Arc::clone(&site.stolen));
                let call = raw::frame(HEADERS, raw::END_HEADERS, 1, &raw::headers_of(raw::CONNECT, &[]));
                Box::pin(async move { Ok(begin_and(scale.fast, port, shown, call).await) })
            },
        },
        Attack { name: "vanished_machine", needs_crl: false, is_quick: false, run: |site, _| Box::pin(vanished(site)) },
        Attack {
            name: "slow_http_head",
            needs_crl: false,
            is_quick: false,
            run: |site, scale| {
                let port = site.ports.http;
                Box::pin(async move {
                    let drip = move |_| async move {
                        let Ok(stream) = raw::tcp(port).await else { return Some(Duration::ZERO) };
                        let mut first = Some(b"GET /metrics HTTP/1.1\r\nX: ".to_vec());
                        raw::press(stream, move || first.take().or(Some(vec![b'x'])), DRIP).await
                    };
                    Ok(at_once(scale.slow, drip).await)
                })
            },
        },
    ]
};

/// A connected ATM loses its power: no last packet comes. How long the gateway keeps its connection shows in the system's table.
async fn vanished(site: &Site) -> Result<Borne, String> {
    let cannot = |error: std::io::Error| format!("the machine that is to vanish: {error}");
    let mut stream = raw::tls(site.ports.atm, &site.stolen).await.map_err(cannot)?;
    let call = raw::frame(HEADERS, raw::END_HEADERS, 1, &raw::headers_of(raw::CONNECT, &[]));
    let connecting = [raw::beginning(&[]), call, raw::frame(raw::DATA, 0, 1, &raw::hello())].concat();
    stream.write_all(&connecting).await.map_err(cannot)?;
    stream.flush().await.map_err(cannot)?;
    // Until nothing is under way any more: a packet to a machine that is gone would be answered by its system.
    let mut taken = [0; 4_096];
    while matches!(tokio::time::timeout(DRIP, stream.read(&mut taken)).await, Ok(Ok(1..))) {}
    let (socket, _) = stream.into_inner();
    let ports = (site.ports.atm, socket.local_addr().map_err(cannot)?.port());
    if setsockopt(&socket, TcpRepair, &1).is_err() {
        let found = Ok("not tried: it takes CAP_NET_ADMIN".to_owned());
        return Ok(Borne { attackers: 1, longest: Some(Duration::ZERO), found });
    }
    drop(socket);
    let began = clock::now();
    while is_kept(ports) && began.elapsed() < raw::NEVER {
        tokio::time::sleep(DRIP / 5).await;
    }
    let longest = Some(began.elapsed()).filter(|took| *took < raw::NEVER);
    Ok(Borne { attackers: 1, longest, found: Ok(String::new()) })
}

/// Whether a connection from one local port to another is established.
fn is_kept((from, to): (u16, u16)) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let (from, to) = (format!(":{from:04X}"), format!(":{to:04X}"));
    let is_it = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let ends = [(words.next(), &from), (words.next(), &to)];
        ends.into_iter().all(|(word, port)| word.is_some_and(|word| word.ends_with(port.as_str())))
            && words.next() == Some("01")
    };
    table.lines().any(is_it)
}

/// Connects and says nothing.
async fn silent(port: u16) -> Option<Duration> {
    match raw::tcp(port).await {
        Ok(stream) => raw::wait(stream).await,
        Err(_) => Some(Duration::ZERO),
    }
}

/// Begins HTTP/2, says this, and then nothing more.
async fn begin_and(many: usize, port: u16, shown: Arc<rustls::ClientConfig>, what: Vec<u8>) -> Borne {
    let attacker = move |_| {
        let (shown, what) = (Arc::clone(&shown), what.clone());
        async move {
            let Ok(stream) = raw::tls(port, &shown).await else { return Some(Duration::ZERO) };
            raw::say(stream, [raw::beginning(&[]), what].concat()).await
        }
    };
    at_once(many, attacker).await
}
