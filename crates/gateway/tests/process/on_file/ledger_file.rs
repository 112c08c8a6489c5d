//! The ledger as a file: one process writes it, what is no ledger is left as it was, and it can be named on the command line.

use std::fs;

use crate::harness::{Atm, Site};
use crate::reconciling::Day;
use crate::starting::says;

#[tokio::test]
async fn a_ledger_that_another_gateway_writes() {
    let mut site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    for port in ["atm", "api", "http"] {
        site.set(&format!("listen.{port}"), "127.0.0.1:0");
    }
    says(&site.serve_in_vain().await, &["ledger.db", "in use by another process", "stop that one first"]);
    atm.shows_code().await;
    assert!(site.is_running(), "the first goes on");
}

#[tokio::test]
async fn a_file_that_is_no_ledger() {
    let site = Site::folder_only().await;
    fs::write(site.path("ledger.db"), "a letter, not a ledger").unwrap();
    says(&site.serve_in_vain().await, &["ledger.db"]);
    assert_eq!(fs::read(site.path("ledger.db")).unwrap(), b"a letter, not a ledger", "it is left as it was");
}

#[tokio::test]
async fn books_are_compared_with_a_file_that_is_named() {
    let mut day = Day::new().await;
    day.site.kill();
    let ledger = day.site.path("ledger.db").display().to_string();
    day.check(&day.postings, &day.counters, &["--ledger", &ledger, "--institution", "sakura"], &[]);
}
