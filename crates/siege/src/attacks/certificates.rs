//! Peers who are not whom the gateway knows, or say that they are somebody else, or come again and again.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Attack, Attacking, Borne, Scale, at_once};
use crate::clock;
use crate::raw::{self, DATA, END_HEADERS, HEADERS};
use crate::site::Site;

pub(super) const ATTACKS: fn() -> Vec<Attack> = || {
    vec![
        Attack { needs_crl: true, ..attack("revoked_certificate", |site, scale| refused(scale, site, &site.revoked)) },
        attack("certificate_of_another_authority", |site, scale| refused(scale, site, &site.foreign)),
        attack("expired_certificate", |site, scale| refused(scale, site, &site.expired)),
        attack("certificate_that_names_nobody", |site, scale| refused(scale, site, &site.unnamed)),
        attack("atm_that_claims_to_be_another", |site, _| Box::pin(impersonation(site))),
        attack("reconnect_storm", |site, scale| Box::pin(storm(site, scale))),
    ]
};

fn attack(name: &'static str, run: for<'a> fn(&'a Site, &'a Scale) -> Attacking<'a>) -> Attack {
    Attack { name, needs_crl: false, is_quick: true, run }
}

/// Peers with this certificate call Connect as an ATM would; none may be welcome.
fn refused<'a>(scale: &'a Scale, site: &'a Site, shown: &'a Arc<ClientConfig>) -> Attacking<'a> {
    Box::pin(async move {
        let port = site.ports.atm;
        let attacker = |_| {
            let shown = Arc::clone(shown);
            async move {
                let Ok(stream) = raw::tls(port, &shown).await else { return Some(Duration::ZERO) };
                raw::say(stream, connecting(&[])).await
            }
        };
        let mut borne = at_once(scale.slow, attacker).await;
        borne.found = match heard(port, shown, &[]).await {
            heard if contains(&heard, b"M") => Err("it was welcome".to_owned()),
            _ => Ok("not welcome".to_owned()),
        };
        Ok(borne)
    })
}

/// The certificate of M1, and headers that say H1: the machine that is welcome is M1, and H1 goes on.
async fn impersonation(site: &Site) -> Result<Borne, String> {
    let claims = [("x-atm-id", "H1"), ("x-forwarded-client-cert", "URI=spiffe://cashgate.test/atm/H1")];
    let began = clock::now();
    let heard = heard(site.ports.atm, &site.stolen, &claims).await;
    let found = match (contains(&heard, b"M1"), contains(&heard, b"H1")) {
        (true, false) => Ok("welcome as what its certificate says".to_owned()),
        (_, true) => Err("it was taken for H1".to_owned()),
        (false, false) => Err("it was not welcome as itself".to_owned()),
    };
    Ok(Borne { attackers: 1, longest: Some(began.elapsed()), found })
}

/// One identity connects again and again, as fast as it can.
async fn storm(site: &Site, scale: &Scale) -> Result<Borne, String> {
    let (mut welcome, mut turned_away) = (0, 0);
    let began = clock::now();
    let mut kept = Vec::new();
    for _ in 0..scale.storm {
        if began.elapsed() > Duration::from_secs(20) {
            break;
        }
        let Ok(mut stream) = raw::tls(site.ports.atm, &site.stolen).await else {
            turned_away += 1;
            continue;
        };
        let mut answer = [0; 1];
        let answered = async {
            stream.write_all(&connecting(&[])).await?;
            stream.flush().await?;
            stream.read_exact(&mut answer).await
        };
        match tokio::time::timeout(Duration::from_secs(2), answered).await {
            Ok(Ok(_)) => {
                welcome += 1;
                kept.push(stream);
            }
            _ => turned_away += 1,
        }
    }
    let tried = welcome + turned_away;
    let count = kept.len();
    let mut closing = kept.into_iter().map(|stream| raw::say(stream, Vec::new()));
    // Those that were replaced are closed; the newest two may stay.
    let mut closed = 0;
    let mut longest = Some(Duration::ZERO);
    for waiting in closing.by_ref().take(count.saturating_sub(2)) {
        match tokio::time::timeout(Duration::from_secs(15), waiting).await {
            Ok(Some(took)) => {
                closed += 1;
                longest = longest.map(|longest| longest.max(took));
            }
            _ => {
                longest = None;
                break;
            }
        }
    }
    Ok(Borne {
        attackers: tried,
        longest,
        found: Ok(format!("{welcome} of {tried} let in, {closed} closed for newer ones")),
    })
}

/// The beginning of HTTP/2 and a Connect call with Hello.
fn connecting(claims: &[(&str, &str)]) -> Vec<u8> {
    let headers = raw::frame(HEADERS, END_HEADERS, 1, &raw::headers_of(raw::CONNECT, claims));
    [raw::beginning(&[]), headers, raw::frame(DATA, 0, 1, &raw::hello())].concat()
}

/// What the gateway says in the first second to whoever connects so.
async fn heard(port: u16, shown: &Arc<ClientConfig>, claims: &[(&str, &str)]) -> Vec<u8> {
    let mut heard = Vec::new();
    let listening = async {
        let mut stream = raw::tls(port, shown).await?;
        stream.write_all(&connecting(claims)).await?;
        stream.flush().await?;
        let mut taken = [0; 4_096];
        loop {
            match stream.read(&mut taken).await? {
                0 => return Ok::<_, std::io::Error>(()),
                many => heard.extend_from_slice(taken.get(..many).unwrap_or_default()),
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), listening).await;
    heard
}

/// Whether the answer names this ATM: `Welcome.atm_id` (field 2, a text) is the only field that does.
fn contains(heard: &[u8], name: &[u8]) -> bool {
    let length = u8::try_from(name.len()).unwrap_or_default();
    let field: Vec<u8> = match name.len() {
        // Any id that begins so.
        1 => [&[0x12, 2][..], name].concat(),
        _ => [&[0x12, length][..], name].concat(),
    };
    heard.windows(field.len()).any(|part| part == field)
}
