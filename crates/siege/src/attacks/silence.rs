//! Peers that keep the gateway waiting.

use std::sync::Arc;
use std::time::Duration;

use super::{Attack, Borne, at_once};
use crate::raw::{self, HEADERS};

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
