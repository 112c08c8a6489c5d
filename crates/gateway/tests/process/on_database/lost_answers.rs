//! Answers of the database that are lost with their connection.

use std::fs;

use cashgate_postgres_server::Proxy;

use crate::harness::{LedgerKind, PERMIT, Site, eventually};
use crate::publishing::published;

/// Has a site reach its database over a line that may lose answers.
fn over_a_line(site: &Site) -> Proxy {
    let file = site.path(LedgerKind::Postgresql.file());
    let dsn = fs::read_to_string(&file).unwrap();
    let port = dsn.split_whitespace().find_map(|word| word.strip_prefix("port=")).expect("a port").to_owned();
    let proxy = Proxy::before(port.parse().unwrap());
    fs::write(&file, dsn.replace(&format!("port={port}"), &format!("port={}", proxy.port()))).unwrap();
    proxy
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_whose_answer_is_lost_succeeds_and_stands_once() {
    let mut site = Site::folder_only().await;
    let proxy = over_a_line(&site);
    site.take_rules_from_ledger();
    site.write_set("first", PERMIT, 200_000);
    site.start();
    eventually("the gateway answers", async || site.readiness().await).await;
    proxy.lose_answer_to("a wave at sakura");
    let said = site.publish("first", &["--note", "a wave at sakura"]).unwrap();
    assert!(said.starts_with("publication 1, "), "{said}");
    assert_eq!(proxy.lost(), 1, "the answer to the first try");
    let listed = published(&site);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((&listed[0]["number"], &listed[0]["in_force"]), (&1.into(), &true.into()));
    assert_eq!(site.readiness().await.unwrap().0, 200);
    let verified = site.run(&["ledger", "verify", "--config", &site.configuration()]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}
