//! Two processes on one database that were not told of each other. A file keeps the second out; a database cannot tell a process that is dead from one
//! that is cut off, so the later one stays.

use crate::harness::{Atm, Phone, Site};

#[tokio::test]
async fn the_process_that_was_started_last_stays() {
    let mut first = Site::ready().await;
    let mut atm = Atm::connect(&first, "A1").await;
    let mut second = first.beside("second");
    second.serve().await;
    assert_eq!(first.ended().await.code(), Some(1), "it notices by itself, without a write");
    assert!(first.log().contains("another process has registered as replica 0"), "{}", first.log());
    while atm.hears_if_anything().await.is_some() {}

    let mut atm = Atm::connect(&second, "A1").await;
    let mut phone = Phone::registered(&second, "phone-1", "acct-1").await;
    phone.approve_at(&mut atm, 10_000).await;
    atm.pays_out().await;
    assert!(second.is_running());
}

#[tokio::test]
async fn of_two_processes_with_one_replicas_number_the_later_stays() {
    let mut first = Site::folder_only().await;
    let mut second = first.beside("second");
    first.be_replica(0);
    second.be_replica(0);
    first.serve().await;
    second.serve().await;
    assert_eq!(first.ended().await.code(), Some(1), "its pulse tells it, without a write");
    assert!(first.log().contains("another process has registered as replica 0"), "{}", first.log());
    assert!(second.is_running());
}

#[tokio::test]
async fn a_customer_before_a_code_gets_a_fresh_one_from_the_next_replica() {
    let mut first = Site::folder_only().await;
    first.set("timing.drain_s", "3");
    let mut second = first.beside("second");
    first.be_replica(0);
    second.be_replica(1);
    first.serve().await;
    second.serve().await;
    let mut atm = Atm::connect(&first, "A1").await;
    let mut phone = Phone::registered(&second, "phone-1", "acct-1").await;
    let old = atm.shows_code().await.qr_text;
    first.ask_to_stop();
    let after_ms = atm.is_sent_away().await;
    assert!(after_ms < 250, "a customer waits: {after_ms} ms");
    // Wherever it connects next, here to the other one.
    let mut atm = Atm::connect(&second, "A1").await;
    let fresh = atm.shows_code().await.qr_text;
    phone.scan(&old).await.expect_err("that code was taken off the screen");
    phone.scan(&fresh).await.expect("the customer did not have to touch again");
    let approval = phone.approval(&fresh, &crate::harness::yen(10_000));
    phone.bank.approve(approval).await.unwrap();
    atm.pays_out().await;
    assert_eq!(first.ended().await.code(), Some(0));
    assert!(second.is_running());
}
