//! QR tokens that are damaged, foreign, of another network, or over, in Scan and Approve.

use tonic::Response;

use crate::harness::{Atm, Phone, Refusals, Site, yen};

/// Refuses the code wherever one is taken.
async fn is_refused_everywhere(site: &Site, phone: &mut Phone, what: &str, code: &str, expected: &str) {
    let mut refused = Refusals::of(site, "Scan").await;
    refused.row(what, phone.scan(code).await.map(Response::new), expected).await;
    refused.done();
    let mut refused = Refusals::of(site, "Approve").await;
    let approval = phone.approval(code, &yen(10_000));
    refused.row(what, phone.bank.approve(approval).await, expected).await;
    refused.done();
}

#[tokio::test]
async fn damaged_codes() {
    let site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let code = atm.shows_code().await.qr_text;
    let last = code.chars().last().unwrap();
    let rows = [
        ("a text", "hello".to_owned()),
        ("an address", "https://cashgate.example/CG1:".to_owned()),
        ("nothing but the prefix", code[..4].to_owned()),
        ("without its prefix", code[4..].to_owned()),
        ("in small letters", code.to_lowercase()),
        ("cut short", code[..code.len() - 3].to_owned()),
        ("with more behind it", format!("{code}000")),
        ("with a blank behind it", format!("{code} ")),
        (
            "with its last character changed",
            format!("{}{}", &code[..code.len() - 1], if last == '0' { '1' } else { '0' }),
        ),
        ("with characters swapped in the middle", swapped(&code)),
    ];
    for (what, damaged) in rows {
        is_refused_everywhere(&site, &mut phone, what, &damaged, "InvalidArgument QR_TOKEN_INVALID").await;
    }
    phone.scan(&code).await.expect("the code itself is good");
}

fn swapped(code: &str) -> String {
    let mut characters: Vec<char> = code.chars().collect();
    let at = (40..).find(|at| characters[*at] != characters[at + 1]).unwrap();
    characters.swap(at, at + 1);
    characters.into_iter().collect()
}

#[tokio::test]
async fn a_code_of_another_gateway_is_not_ours() {
    let (site, foreign) = (Site::ready().await, Site::ready().await);
    Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let code = Atm::connect(&foreign, "A1").await.shows_code().await.qr_text;
    let expected = "InvalidArgument QR_TOKEN_INVALID";
    is_refused_everywhere(&site, &mut phone, "signed with another key", &code, expected).await;
}

#[tokio::test]
async fn a_code_of_another_network_is_not_ours_though_the_key_is_the_same() {
    let mut site = Site::ready().await;
    let code = Atm::connect(&site, "A1").await.shows_code().await.qr_text;
    site.kill();
    site.set("network", "elsewhere");
    site.serve().await;
    let mut atm = Atm::connect(&site, "A1").await;
    atm.shows_code().await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let expected = "InvalidArgument QR_TOKEN_INVALID";
    is_refused_everywhere(&site, &mut phone, "of the network demo", &code, expected).await;
}

#[tokio::test]
async fn an_expired_code_is_refused_while_the_atm_shows_its_successors() {
    let site = Site::ready_with(&[("timing.qr_lifetime_s", "5")]).await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let first = atm.shows_code().await;
    let mut shown = atm.shows_next_code().await;
    // A code is replaced before it expires. One that is issued no earlier than the first expires proves that the first has.
    while shown.expires_at_unix_ms < first.expires_at_unix_ms + 5_000 {
        shown = atm.shows_next_code().await;
    }
    assert_eq!(shown.qr_session_id, first.qr_session_id);
    let mut refused = Refusals::of(&site, "Scan").await;
    let request = phone.scan_request(&first.qr_text);
    refused.row("the first code", phone.bank.scan(request).await, "FailedPrecondition QR_TOKEN_EXPIRED").await;
    refused.done();
    phone.scan(&shown.qr_text).await.expect("its successor is good");
}

#[tokio::test]
async fn a_code_does_not_outlive_its_session_or_its_gateway() {
    let mut site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let first = atm.shows_code().await.qr_text;
    atm.shows_code().await;
    let ended = "FailedPrecondition QR_SESSION_ENDED";
    is_refused_everywhere(&site, &mut phone, "the next customer is there", &first, ended).await;

    let shown = atm.shows_code().await.qr_text;
    site.kill();
    site.serve().await;
    let mut phone = Phone::unknown(&site, "sakura", "phone-2", "acct-1").await;
    phone.bank.register_device(phone.registration()).await.unwrap();
    is_refused_everywhere(&site, &mut phone, "the gateway was killed", &shown, ended).await;
    let mut atm = Atm::connect(&site, "A1").await;
    is_refused_everywhere(&site, &mut phone, "and the ATM came back", &shown, ended).await;
    let fresh = atm.shows_code().await.qr_text;
    phone.scan(&fresh).await.expect("a fresh code is good");
}
