//! Keys on the command line of an operator, while customers draw: published, used after a time, retired, and what apps see of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cashgate_qr::{KeySet, QrTokenError, verify};
use cashgate_wire::proto::withdrawal::v1::WithdrawalState;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::harness::{Atm, Heard, Phone, Site, eventually, in_words, yen};

fn keys(site: &Site, arguments: &[&str]) -> (bool, String) {
    let configuration = site.configuration();
    let output = site.run(&[&["keys"], arguments, &["--config", &configuration]].concat());
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

fn lines(site: &Site, what: &str) -> Vec<Value> {
    let (done, said) = keys(site, &[what, "--json"]);
    assert!(done, "{said}");
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Each key's label, state and id.
fn states(site: &Site) -> Vec<(String, String, String)> {
    let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    let keys = lines(site, "status").into_iter().filter(|line| line["key_id"].is_string());
    keys.map(|line| (text(&line, "label"), text(&line, "state"), text(&line, "key_id"))).collect()
}

fn key_id(site: &Site, label: &str) -> String {
    states(site).into_iter().find(|(known, ..)| known == label).unwrap().2
}

async fn signs(site: &Site, label: &str) {
    let is = |(known, state, _): &(String, String, String)| known == label && state == "signing";
    eventually("the key signs", async || states(site).iter().any(is).then_some(())).await;
}

fn rotate(site: &Site, label: &str) -> String {
    let (done, said) = keys(site, &["rotate", "--to", label, "--generate", "--reason", "yearly"]);
    assert!(done && said.contains("signs from"), "{said}");
    key_id(site, label)
}

/// The key set as an app fetches it, and how long it may keep it.
async fn fetched(http: &str) -> (KeySet, String) {
    let mut stream = TcpStream::connect(http).await.unwrap();
    let request = format!("GET /.well-known/jwks.json HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let kept = head.lines().find_map(|line| line.to_lowercase().strip_prefix("cache-control: ").map(str::to_owned));
    (KeySet::from_jwks(body).unwrap(), kept.unwrap())
}

fn http(site: &Site) -> String {
    let text = std::fs::read_to_string(site.path("cashgate.toml")).unwrap();
    let value = text.split_once("http = \"").unwrap().1;
    value.split_once('"').unwrap().0.to_owned()
}

fn ids(keys: &KeySet) -> Vec<String> {
    keys.keys().map(|key| key.key_id().to_string()).collect()
}

/// Customers who come one after the other to an ATM: the app looks at the code with the keys that it fetched up to two seconds ago, then
/// the bank scans it. How many codes there were under each key, and when the first was issued; one that is refused ends the test.
fn customers(
    site: &Site,
    atm: Atm,
    phone: Phone,
    stop: &Arc<AtomicBool>,
) -> JoinHandle<BTreeMap<String, (usize, u64)>> {
    let (http, stop) = (http(site), Arc::clone(stop));
    let (mut atm, mut phone) = (atm, phone);
    tokio::spawn(async move {
        let mut codes = BTreeMap::new();
        while !stop.load(Ordering::Relaxed) {
            let (keys, _) = fetched(&http).await;
            let fetched_at = tokio::time::Instant::now();
            while fetched_at.elapsed() < Duration::from_secs(2) {
                let shown = atm.shows_code().await;
                let verified = verify(&shown.qr_text, &keys).unwrap_or_else(|error| panic!("the app refuses: {error}"));
                let scanned = phone.scan(&shown.qr_text).await;
                scanned.unwrap_or_else(|status| panic!("the gateway refuses: {}", in_words(&status)));
                assert!(matches!(atm.hears().await, Heard::QrClaimed(_)), "the code was scanned");
                let issued_at = verified.claims().issued_at.unix_ms();
                codes.entry(verified.key_id().to_string()).or_insert((0, issued_at)).0 += 1;
            }
        }
        codes
    })
}

/// With a publication of six seconds and codes that may be used for fifteen.
async fn site() -> Site {
    let settings =
        [("hsm.publish_before_use_s", "6"), ("timing.qr_lifetime_s", "5"), ("timing.approve_within_s", "10")];
    Site::ready_with(&settings).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_customers_draw_one_key_takes_over_from_another_and_no_code_is_refused() {
    let site = site().await;
    let http = http(&site);
    let old = key_id(&site, "qr-signing-1");
    let (published, kept) = fetched(&http).await;
    assert_eq!((ids(&published), kept.as_str()), (vec![old.clone()], "public, max-age=3"));
    let stop = Arc::new(AtomicBool::new(false));
    let mut drawing = Vec::new();
    for n in 0..3 {
        let atm = Atm::connect(&site, &format!("A{n}")).await;
        let phone = Phone::registered(&site, &format!("phone-{n}"), &format!("acct-{n}")).await;
        drawing.push(customers(&site, atm, phone, &stop));
    }
    let new = rotate(&site, "qr-2");
    let (published, _) = fetched(&http).await;
    assert!(ids(&published).contains(&new) && published.len() == 2, "published at once: {published:?}");
    let (refused, said) = keys(&site, &["retire", &old, "--reason", "too early"]);
    assert!(!refused && said.contains("signs; rotate"), "{said}");
    let use_from = lines(&site, "history").last().unwrap()["use_from_unix_ms"].as_u64().unwrap();
    signs(&site, "qr-2").await;
    let (refused, said) = keys(&site, &["retire", &old, "--reason", "too early"]);
    assert!(!refused && said.contains("may be valid until"), "{said}");
    eventually("the old key may be retired", async || {
        keys(&site, &["retire", &old, "--reason", "yearly"]).0.then_some(())
    })
    .await;
    assert_eq!(ids(&fetched(&http).await.0), [new.as_str()]);
    // Customers go on for a while under the new key alone.
    tokio::time::sleep(Duration::from_secs(3)).await;
    stop.store(true, Ordering::Relaxed);
    for customers in drawing {
        let codes = customers.await.unwrap();
        assert!(codes.len() == 2 && codes.values().all(|(count, _)| *count > 5), "{codes:?}");
        let (_, first_of_new) = codes[&new];
        assert!(first_of_new + 1_000 > use_from, "a code under the new key before its time: tokens count in seconds");
    }
    assert_eq!(site.metric("cashgate_qr_tokens_minted", &[("result", "failed")]).await, 0);
    let told: Vec<String> = lines(&site, "history").iter().map(told).collect();
    assert_eq!(
        told,
        [
            "gateway published qr-signing-1: first key",
            "gateway signing qr-signing-1: first key",
            "dev published qr-2: yearly",
            "gateway signing qr-2: its time has come",
            "dev retired qr-signing-1: yearly",
        ]
    );
}

fn told(event: &Value) -> String {
    let text = |name: &str| event[name].as_str().unwrap();
    format!("{} {} {}: {}", text("actor"), text("action"), text("label"), text("reason"))
}

#[tokio::test]
async fn in_an_emergency_a_key_is_retired_at_once_and_its_codes_are_refused() {
    let site = Site::ready_with(&[("hsm.publish_before_use_s", "0"), ("timing.qr_lifetime_s", "60")]).await;
    let old = key_id(&site, "qr-signing-1");
    let mut atm = Atm::connect(&site, "A1").await;
    let mut other_atm = Atm::connect(&site, "A2").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let (shown, of_old) = (atm.shows_code().await, other_atm.shows_code().await);
    let before = fetched(&http(&site)).await.0;
    rotate(&site, "qr-2");
    signs(&site, "qr-2").await;
    // Codes of both keys are good while they overlap, to the last note.
    let key_of = |text: &str, keys: &KeySet| verify(text, keys).unwrap().key_id().to_string();
    assert_eq!(key_of(&of_old.qr_text, &before), old);
    phone.scan(&of_old.qr_text).await.unwrap();
    let approval = phone.approval(&of_old.qr_text, &yen(10_000));
    let id = phone.bank.approve(approval).await.unwrap().into_inner().withdrawal_id;
    other_atm.pays_out().await;
    assert_eq!(phone.watch_to_end(&id).await.last(), Some(&WithdrawalState::Confirmed));
    let of_new = other_atm.shows_code().await;
    assert_eq!(key_of(&of_new.qr_text, &fetched(&http(&site)).await.0), key_id(&site, "qr-2"));
    phone.scan(&of_new.qr_text).await.unwrap();
    let (refused, said) = keys(&site, &["retire", &old, "--reason", "known to others"]);
    assert!(!refused && said.contains("--now"), "{said}");
    let (done, said) = keys(&site, &["retire", &old, "--now", "--reason", "known to others"]);
    assert!(done, "{said}");
    let after = fetched(&http(&site)).await.0;
    assert!(verify(&shown.qr_text, &before).is_ok());
    assert!(matches!(verify(&shown.qr_text, &after), Err(QrTokenError::UnknownKey { .. })));
    let refused = phone.scan(&shown.qr_text).await.unwrap_err();
    assert!(in_words(&refused).contains("QR_TOKEN_INVALID"), "{}", in_words(&refused));
    // The customer gets another code.
    let id = phone.approve_at(&mut atm, 10_000).await;
    atm.pays_out().await;
    assert_eq!(phone.watch_to_end(&id).await.last(), Some(&WithdrawalState::Confirmed));
    assert_eq!(told(lines(&site, "history").last().unwrap()), "dev retired_at_once qr-signing-1: known to others");
    let (done, said) = keys(&site, &["retire", &key_id(&site, "qr-2"), "--now", "--reason", "the last one"]);
    assert!(!done && said.contains("rotate to another one first"), "{said}");
}

#[tokio::test]
async fn a_kill_between_order_and_use_keeps_the_schedule() {
    let mut site = site().await;
    rotate(&site, "qr-2");
    let line = |site: &Site| lines(site, "status").into_iter().find(|line| line["label"] == "qr-2").unwrap();
    let waits = line(&site)["use_from_unix_ms"].as_i64().unwrap();
    site.kill();
    site.serve().await;
    assert_eq!(line(&site)["use_from_unix_ms"].as_i64(), Some(waits), "the time is kept");
    signs(&site, "qr-2").await;
    assert!(line(&site)["signing_since_unix_ms"].as_i64().unwrap() >= waits, "not before its time");
    // It signs after a restart too, whatever the configuration calls the first key.
    site.kill();
    site.serve().await;
    let new = key_id(&site, "qr-2");
    let shown = Atm::connect(&site, "A1").await.shows_code().await;
    assert_eq!(verify(&shown.qr_text, &fetched(&http(&site)).await.0).unwrap().key_id().to_string(), new);
    let (code, said) = (site.run(&["ledger", "verify", "--config", &site.configuration()]), "verified");
    assert!(code.status.success(), "{said}: {}", String::from_utf8_lossy(&code.stdout));
}

#[tokio::test]
async fn what_cannot_be_done_is_said_and_only_an_operator_may() {
    let site = site().await;
    let refused = |arguments: &[&str], why: &str| {
        let (done, said) = keys(&site, arguments);
        assert!(!done && said.contains(why), "{arguments:?}: {said}");
    };
    refused(&["rotate", "--to", "qr-2", "--reason", "x"], "has no such key");
    refused(&["rotate", "--to", "qr-signing-1", "--reason", "x"], "sign already");
    refused(&["rotate", "--to", "", "--generate", "--reason", "x"], "label: must have 1 to 128 bytes");
    refused(&["rotate", "--to", "qr-2", "--generate", "--reason", ""], "reason: must have 1 to 512 bytes");
    refused(&["retire", "00000000", "--reason", "x"], "there is no key 00000000");
    refused(&["retire", "key", "--reason", "x"], "key_id: ");
    let stem = site.certificate("institution/sakura").display().to_string();
    let (certificate, key) = (format!("{stem}.pem"), format!("{stem}-key.pem"));
    let as_bank = |arguments: &[&str]| {
        let stranger = ["--certificate", &certificate, "--key", &key];
        let (done, said) = keys(&site, &[arguments, &stranger].concat());
        assert!(!done && said.contains("operator/<name>"), "{said}");
    };
    as_bank(&["status"]);
    as_bank(&["history"]);
    as_bank(&["rotate", "--to", "qr-2", "--generate", "--reason", "x"]);
    as_bank(&["retire", "00000000", "--reason", "x"]);
    assert_eq!(lines(&site, "history").len(), 2, "nothing was published");
    rotate(&site, "qr-2");
    refused(&["rotate", "--to", "qr-3", "--generate", "--reason", "x"], "wait to sign already");
    let (_, said) = keys(&site, &["status"]);
    assert!(said.contains("signs from") && said.ends_with("the HSM is ready\n"), "{said}");
}
