//! ATMs whose messages are wrong, too large, or not listened to.

use std::sync::Arc;
use std::time::Duration;

use super::{Attack, Attacking, Scale, at_once};
use crate::raw::{self, DATA, END_HEADERS, HEADERS, WINDOW_UPDATE};
use crate::site::Site;

/// `SETTINGS_INITIAL_WINDOW_SIZE` (RFC 9113, section 6.5.2).
const INITIAL_WINDOW_SIZE: u16 = 4;

/// More than any answers take, in bytes.
const ROOM: u32 = 1 << 30;

pub(super) const ATTACKS: fn() -> Vec<Attack> = || {
    vec![
        attack("oversize_message", |site, scale| {
            // 64 MiB are announced, and what the window takes of them is sent.
            let large = [&[0][..], &(64_u32 << 20).to_be_bytes(), &[1; 16_000]].concat();
            speaking(scale.fast, site, vec![large], Duration::ZERO)
        }),
        attack("malformed_message", |site, scale| {
            let noise: Vec<u8> =
                (0..200_u32).map(|number| u8::try_from(number * 167 % 251).unwrap_or_default()).collect();
            speaking(scale.fast, site, vec![raw::message(&noise)], Duration::ZERO)
        }),
        attack("message_flood", |site, _| {
            // 400 a second, which the stream's window holds for half a minute.
            let asks = raw::message(raw::START_QR_SESSION).repeat(20);
            speaking(1, site, [vec![raw::hello()], vec![asks; 600]].concat(), Duration::from_millis(50))
        }),
        attack("reads_nothing", |site, _| {
            let shown = &site.stolen;
            Box::pin(async move {
                let port = site.ports.atm;
                let attacker = |_| {
                    let shown = Arc::clone(shown);
                    async move {
                        let Ok(stream) = raw::tls(port, &shown).await else { return Some(Duration::ZERO) };
                        // It gives the stream no window, and goes on asking.
                        let mut first = Some(call(&[(INITIAL_WINDOW_SIZE, 0)], &raw::hello()));
                        let asks = raw::frame(DATA, 0, 1, &raw::message(raw::START_QR_SESSION));
                        let next = move || first.take().or_else(|| Some(asks.clone()));
                        raw::press(stream, next, Duration::from_secs(1)).await
                    }
                };
                // One, since a second one would replace the first.
                Ok(at_once(1, attacker).await)
            })
        }),
        attack("slow_body_api", |site, scale| {
            let (port, shown) = (site.ports.api, &site.app);
            Box::pin(async move {
                let attacker = |_| {
                    let shown = Arc::clone(shown);
                    async move {
                        let Ok(stream) = raw::tls(port, &shown).await else { return Some(Duration::ZERO) };
                        let path = "/cashgate.customer.v1.CustomerService/Scan";
                        let begun = raw::frame(HEADERS, END_HEADERS, 1, &raw::headers_of(path, &[]));
                        raw::answered(stream, [raw::beginning(&[]), begun].concat()).await
                    }
                };
                let mut borne = at_once(scale.slow.min(50), attacker).await;
                borne.found = Ok("until its request was given up; the connection may go on".to_owned());
                Ok(borne)
            })
        }),
    ]
};

fn attack(name: &'static str, run: for<'a> fn(&'a Site, &'a Scale) -> Attacking<'a>) -> Attack {
    Attack { name, needs_crl: false, is_quick: name == "malformed_message", run }
}

/// A Connect call with its first message.
fn call(settings: &[(u16, u32)], first: &[u8]) -> Vec<u8> {
    let headers = raw::frame(HEADERS, END_HEADERS, 1, &raw::headers_of(raw::CONNECT, &[]));
    [raw::beginning(settings), headers, raw::frame(DATA, 0, 1, first)].concat()
}

/// An ATM connects and sends these, one DATA frame each, or several if they are large.
fn speaking<'a>(many: usize, site: &'a Site, said: Vec<Vec<u8>>, pause: Duration) -> Attacking<'a> {
    let (port, shown) = (site.ports.atm, &site.stolen);
    Box::pin(async move {
        let attacker = |_| {
            let (shown, said) = (Arc::clone(shown), said.clone());
            async move {
                let Ok(stream) = raw::tls(port, &shown).await else { return Some(Duration::ZERO) };
                let mut said = said.into_iter();
                let mut begun = false;
                let next = move || {
                    let frames: Vec<u8> =
                        said.next()?.chunks(16_000).flat_map(|part| raw::frame(DATA, 0, 1, part)).collect();
                    let headers = raw::frame(HEADERS, END_HEADERS, 1, &raw::headers_of(raw::CONNECT, &[]));
                    // It takes all answers, so that nothing but what it says is wrong with it.
                    let room = raw::frame(WINDOW_UPDATE, 0, 0, &ROOM.to_be_bytes());
                    let beginning = raw::beginning(&[(INITIAL_WINDOW_SIZE, ROOM)]);
                    let before = if begun { Vec::new() } else { [beginning, room, headers].concat() };
                    begun = true;
                    Some([before, frames].concat())
                };
                raw::press(stream, next, pause).await
            }
        };
        Ok(at_once(many, attacker).await)
    })
}
