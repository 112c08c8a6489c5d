//! The database is not there: at the start, and while customers are served.

use std::fs;

use cashgate_postgres_server::Server;
use cashgate_wire::proto::atm::v1::atm_message::Message;

use crate::harness::{Atm, Phone, Site, eventually, in_words, report_dispensed, withdrawal_state, yen};
use crate::hsm_loss::http;
use crate::starting::says;

/// A site on a server of its own, of which it may be robbed. There is no ledger on it yet.
async fn site_on(server: &Server) -> Site {
    let _ = server.sql("postgres", "CREATE DATABASE cashgate");
    let site = Site::folder_only().await;
    fs::write(site.path("ledger-dsn"), server.dsn("cashgate")).unwrap();
    site
}

pub(super) async fn is_ready(site: &Site, ready: bool) {
    let wanted = async || {
        let (status, page) = http(site, "/readyz").await?;
        ((status == 200) == ready).then_some(page)
    };
    let page = eventually(&format!("ready: {ready}"), wanted).await;
    assert!(ready || page.contains("the ledger does not answer"), "{page}");
}

#[tokio::test]
async fn what_keeps_a_gateway_from_starting() {
    let server = Server::start_new();
    let site = site_on(&server).await;
    says(&site.serve_in_vain().await, &["schema version 0", "cashgate migrate"]);
    let migrate = ["migrate", "--config", &site.configuration()];
    assert!(site.run(&migrate).status.success());
    server.kill();
    says(&site.serve_in_vain().await, &["ledger-dsn", "connecting", "refused"]);
}

#[tokio::test]
async fn while_it_is_away_nobody_new_is_served_and_what_was_paid_is_not_forgotten() {
    let server = Server::start_new();
    let mut site = site_on(&server).await;
    assert!(site.run(&["migrate", "--config", &site.configuration()]).status.success());
    site.serve().await;
    let (mut atm, mut other) = (Atm::connect(&site, "A1").await, Atm::connect(&site, "A2").await);
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let paid = phone.approve_at(&mut atm, 10_000).await;
    let command = atm.is_commanded().await;
    let code = other.shows_code().await.qr_text;
    phone.scan(&code).await.unwrap();

    server.kill();
    is_ready(&site, false).await;
    atm.says(Message::Outcome(report_dispensed(&command))).await;
    let refused = phone.bank.approve(phone.approval(&code, &yen(20_000))).await.unwrap_err();
    assert_eq!(in_words(&refused), "Unavailable OVERLOADED", "at once, not after the database is back");

    server.start();
    atm.hears_it_recorded(&paid).await;
    is_ready(&site, true).await;
    phone.bank.approve(phone.approval(&code, &yen(20_000))).await.expect("the same customer tries again");
    other.pays_out().await;
    eventually("both are confirmed", async || (withdrawal_state(&site, &paid) == "confirmed").then_some(())).await;
    assert!(site.is_running());
}
