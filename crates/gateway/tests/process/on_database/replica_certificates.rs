//! A replica's certificate towards its peers that is replaced while it runs, by one that they would not believe.

use std::path::PathBuf;

use crate::harness::certificates::{reloads, replace_by_one_of_another_authority};
use crate::harness::{Atm, Phone, Site, eventually, in_words};

const WHY: &str = "would not believe it";

#[tokio::test(flavor = "multi_thread")]
async fn what_peers_would_not_believe_is_not_taken_and_does_not_start() {
    let mut first = Site::folder_only().await;
    first.edit_configuration(|text| text.replace("ca = \"ca.pem\"", "ca = \"ca.pem\"\ncheck_every_s = 1"));
    let mut second = first.beside("second");
    first.be_replica(0);
    second.be_replica(1);
    first.serve().await;
    second.serve().await;
    let files = [".pem", "-key.pem"]
        .map(|suffix| PathBuf::from(format!("{}{suffix}", first.certificate("replica/0").display())));
    let authority = replace_by_one_of_another_authority(&files[0], &files[1], "spiffe://cashgate.test/replica/0");
    reloads(&first, "refused", 1).await;
    assert_eq!(first.metric("cashgate_tls_reloads_total", &[("result", "taken")]).await, 0);
    assert!(first.log().contains(WHY) && first.log().contains("replica-0.pem"), "and the log says why");

    // The two have not spoken yet: now each has to show itself to the other.
    for (atm, phone, at, by) in [("A1", "phone-1", &first, &second), ("A2", "phone-2", &second, &first)] {
        let mut atm = Atm::connect(at, atm).await;
        let shown = atm.shows_code().await;
        let mut phone = Phone::registered(by, phone, "acct-1").await;
        // A phone is known at the other replica a moment later.
        eventually("it reaches the replica that shows the code", async || {
            let scanned = phone.scan(&shown.qr_text).await;
            scanned.inspect_err(|status| eprintln!("{}", in_words(status))).ok()
        })
        .await;
    }

    first.kill();
    let refused = first.serve_in_vain().await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains(WHY) && said.contains("ca.pem"), "{said}");
    let both = std::fs::read_to_string(first.path("ca.pem")).unwrap() + &authority;
    std::fs::write(first.path("ca.pem"), both).unwrap();
    first.serve().await;
}
