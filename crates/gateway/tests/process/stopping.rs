//! SIGTERM: who is being served is served to the end, and everybody else is sent away.

use cashgate_wire::proto::atm::v1::AtmMessage;
use cashgate_wire::proto::atm::v1::atm_message::Message;

use crate::harness::{Atm, Heard, Phone, Site, eventually, hello, in_words, report_dispensed, withdrawal_state, yen};

#[tokio::test]
async fn idle_atms_are_told_to_come_back() {
    let mut site = Site::ready().await;
    let (first, second) = (Atm::connect(&site, "A1").await, Atm::connect(&site, "A2").await);
    site.ask_to_stop();
    for mut atm in [first, second] {
        assert!(matches!(atm.hears().await, Heard::Reconnect(_)));
        assert!(matches!(atm.hears_or_ends().await, Ok(None)), "the gateway ends the stream, in good order");
    }
    assert_eq!(site.ended().await.code(), Some(0));
    let log = site.log();
    assert!(!log.contains("some connections were cut"), "nothing had to be cut");
    // Not always the last line: what ATMs heard is written by tasks of their own.
    assert!(log.contains(r#""message":"stopped""#));
}

#[tokio::test]
async fn a_customer_who_is_being_served_is_served_to_the_end() {
    let mut site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut idle = Atm::connect(&site, "A2").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let withdrawal_id = phone.approve_at(&mut atm, 10_000).await;
    let command = atm.is_commanded().await;
    site.ask_to_stop();
    assert!(matches!(idle.hears().await, Heard::Reconnect(_)));
    let first = AtmMessage { message: Some(Message::Hello(hello())), ..Default::default() };
    let refused = Atm::try_connect(&site, "atm/A3", first).await.err().expect("nobody is taken any more");
    assert_eq!(in_words(&refused), "Unavailable OVERLOADED");
    assert!(site.is_running(), "it waits for the customer");

    atm.says(Message::Outcome(report_dispensed(&command))).await;
    atm.hears_it_recorded(&withdrawal_id).await;
    assert!(matches!(atm.hears().await, Heard::QrSessionEnded(_)));
    assert!(matches!(atm.hears().await, Heard::Reconnect(_)));
    assert_eq!(site.ended().await.code(), Some(0));

    // If core banking had not answered yet, the next gateway asks again.
    site.serve().await;
    let ended = async || (withdrawal_state(&site, &withdrawal_id) == "confirmed").then_some(());
    eventually("the withdrawal ends", ended).await;
    let mut calls = site.core_bank.call_names(&withdrawal_id);
    calls.dedup();
    assert_eq!(calls, ["place", "confirm 10000"]);
}

/// Who has scanned at the first of two ATMs of a gateway that stops approves, is paid, and the ATM is sent away; then the gateway ends.
async fn is_served_before_the_end(mut site: Site, phone: &mut Phone, code: &str, [mut atm, idle]: [Atm; 2]) {
    let approval = phone.approval(code, &yen(10_000));
    phone.bank.approve(approval).await.expect("the customer had begun before the stop");
    let command = atm.pays_out().await;
    assert!(matches!(atm.hears().await, Heard::Reconnect(_)));
    drop((atm, idle));
    assert_eq!(site.ended().await.code(), Some(0));
    assert!(!site.log().contains("still being served"), "the drain was long enough");
    assert_eq!(site.core_bank.call_names(&command.withdrawal_id), ["place", "confirm 10000"]);
}

#[tokio::test]
async fn a_customer_who_has_scanned_may_still_approve() {
    let site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let code = atm.shows_code().await.qr_text;
    phone.scan(&code).await.unwrap();
    let mut idle = Atm::connect(&site, "A2").await;
    site.ask_to_stop();
    assert!(matches!(idle.hears().await, Heard::Reconnect(_)));
    is_served_before_the_end(site, &mut phone, &code, [atm, idle]).await;
}

#[tokio::test]
async fn a_customer_before_a_code_may_still_scan_it_and_is_served_to_the_end() {
    let site = Site::ready().await;
    let (mut atm, mut idle) = (Atm::connect(&site, "A1").await, Atm::connect(&site, "A2").await);
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let code = atm.shows_code().await.qr_text;
    site.ask_to_stop();
    assert!(matches!(idle.hears().await, Heard::Reconnect(_)), "the gateway is stopping");
    phone.scan(&code).await.expect("the code is on the screen");
    is_served_before_the_end(site, &mut phone, &code, [atm, idle]).await;
}

#[tokio::test]
async fn where_nobody_scans_the_atm_is_sent_away_while_who_scanned_has_time_to_be_served() {
    let site = Site::ready_with(&[("timing.drain_s", "6")]).await;
    let (mut atm, mut scanned) = (Atm::connect(&site, "A1").await, Atm::connect(&site, "A2").await);
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let code = scanned.shows_code().await.qr_text;
    phone.scan(&code).await.unwrap();
    atm.shows_code().await;
    site.ask_to_stop();
    let after_ms = atm.is_sent_away().await;
    assert!(after_ms < 250, "a customer waits: {after_ms} ms");
    assert!(matches!(atm.hears_or_ends().await, Ok(None)));
    is_served_before_the_end(site, &mut phone, &code, [scanned, atm]).await;
}

#[tokio::test]
async fn an_atm_that_is_away_is_not_waited_for() {
    let mut site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let withdrawal_id = phone.approve_at(&mut atm, 10_000).await;
    atm.is_commanded().await;
    drop(atm);
    let gone = async || (site.metric("cashgate_atms_connected", &[]).await == 0).then_some(());
    eventually("the gateway notices", gone).await;
    site.ask_to_stop();
    assert_eq!(site.ended().await.code(), Some(0));
    assert!(!site.log().contains("still being served"), "nobody stands there");
    assert_eq!(withdrawal_state(&site, &withdrawal_id), "dispense_commanded", "the next gateway goes on with it");
}

#[tokio::test]
async fn nobody_is_waited_for_longer_than_the_drain_allows() {
    let mut site = Site::ready_with(&[("timing.drain_s", "1")]).await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let withdrawal_id = phone.approve_at(&mut atm, 10_000).await;
    let command = atm.is_commanded().await;
    site.ask_to_stop();
    assert_eq!(site.ended().await.code(), Some(0));
    assert_eq!(withdrawal_state(&site, &withdrawal_id), "dispense_commanded", "it stays open");

    site.serve().await;
    let mut atm = Atm::connect(&site, "A1").await;
    assert_eq!(atm.is_commanded().await, command);
    atm.says(Message::Outcome(report_dispensed(&command))).await;
    atm.hears_it_recorded(&withdrawal_id).await;
    assert_eq!(site.core_bank.called(&withdrawal_id, "confirm").await.name(), "confirm 10000");
}
