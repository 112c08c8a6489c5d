//! `cashgate ledger verify` on the command line: beside a running gateway, on a dead one's ledger, and on one that somebody changed.

use serde_json::Value;

use crate::LEDGER;
use crate::harness::{Atm, LedgerKind, Phone, Site};

const ACCOUNT: &str = "acct-7f3a9c41d2e8";

fn verify(site: &Site, more: &[&str]) -> (i32, String) {
    let configuration = site.configuration();
    let output = site.run(&[&["ledger", "verify", "--config", &configuration], more].concat());
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(!text.contains(ACCOUNT), "an account is printed: {text}");
    (output.status.code().unwrap(), text)
}

#[tokio::test]
async fn a_ledger_is_verified_while_it_is_written_and_after_a_crash_and_a_changed_byte_is_found() {
    let mut site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", ACCOUNT).await;
    let id = phone.approve_at(&mut atm, 21_000).await;
    atm.pays_out().await;
    phone.watch_to_end(&id).await;

    let (code, text) = verify(&site, &[]);
    assert_eq!(code, 0, "{text}");
    assert!(text.ends_with("nothing is wrong\n"), "{text}");
    // In a database there is no log to be looked at or not.
    assert_eq!(text.contains("a gateway runs on this ledger"), LEDGER == LedgerKind::File, "{text}");
    site.kill();
    let (code, text) = verify(&site, &["--json"]);
    let summary: Value = serde_json::from_str(&text).unwrap();
    let sums = &summary["summary"]["totals"][0];
    assert_eq!(
        (code, sums["approved_minor_units"].as_u64(), sums["confirmed_minor_units"].as_u64()),
        (0, Some(21_000), Some(21_000)),
        "{text}"
    );

    // What lies in a file's log is brought into the file first.
    site.serve().await;
    site.ask_to_stop();
    site.ended().await;
    site.damage_phone("phone-1");
    let (code, text) = verify(&site, &["--json"]);
    assert_eq!(code, 1, "{text}");
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert!(first["finding"]["said"].is_string(), "{text}");

    let (code, text) = verify(&site, &["--ledger", "no/such.db"]);
    assert!(code == 2 && text.contains("no/such.db"), "{text}");
}
