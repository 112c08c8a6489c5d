//! Rules and limits that operators publish through the ledger.

use std::fs;

use cashgate_wire::proto::operations::v1::operations_service_client::OperationsServiceClient;
use cashgate_wire::proto::operations::v1::{GetPublicationRequest, ListPublicationsRequest};
use cashgate_wire::publications::{Files, parts};

use crate::harness::{Atm, PERMIT, Phone, Port, Site, eventually, in_words, no_more_than};

/// What `cashgate withdrawals show` says of the rules behind a withdrawal.
fn policy_version(site: &Site, withdrawal: &str) -> String {
    site.shown(withdrawal)["policy_version"].as_str().unwrap().to_owned()
}

pub(crate) fn published(site: &Site) -> Vec<serde_json::Value> {
    let listed = site.run(&["policy", "published", "--json", "--config", &site.configuration()]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A gateway whose rules come from the ledger, with one publication that permits everything.
async fn with_first_publication() -> Site {
    let mut site = Site::folder_only().await;
    site.take_rules_from_ledger();
    site.write_set("first", PERMIT, 200_000);
    site.start();
    eventually("the gateway answers", async || site.readiness().await).await;
    let said = site.publish("first", &["--note", "to begin with"]).unwrap();
    assert!(said.starts_with("publication 1, rules published-1-"), "{said}");
    site
}

#[tokio::test]
async fn nobody_is_paid_by_rules_that_nobody_published() {
    let mut site = Site::folder_only().await;
    site.take_rules_from_ledger();
    site.start();
    let said = eventually("it says why it is not ready", async || {
        site.readiness().await.filter(|(status, said)| *status == 503 && said.contains("nothing is published"))
    })
    .await;
    assert_eq!(said.1, "not ready: rules come from the ledger, and nothing is published there\n");
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    assert_eq!(phone.tries_at(&site, "A1", 10_000).await, Err("PermissionDenied NOT_ALLOWED".to_owned()));
    let labels = [("set", "running"), ("verdict", "forbid"), ("reason", "nothing_published")];
    assert_eq!(site.metric("cashgate_policy_decisions_total", &labels).await, 1, "and the refusal is on record");

    site.write_set("first", PERMIT, 200_000);
    site.publish("first", &[]).unwrap();
    assert_eq!(site.readiness().await.unwrap().0, 200, "at once");
    assert!(phone.tries_at(&site, "A2", 10_000).await.is_ok());
}

#[tokio::test]
async fn what_is_published_is_in_force_when_it_is_answered_and_after_a_restart() {
    let mut site = with_first_publication().await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let first = phone.tries_at(&site, "A1", 10_000).await.unwrap();
    assert!(policy_version(&site, &first).starts_with("published-1-"));

    site.write_set("second", &no_more_than(5_000), 50_000);
    site.publish("second", &["--note", "a wave at sakura", "--after", "1"]).unwrap();
    // Nothing is waited for.
    assert_eq!(phone.tries_at(&site, "A2", 10_000).await, Err("PermissionDenied NOT_ALLOWED".to_owned()));
    let small = phone.tries_at(&site, "A3", 5_000).await.unwrap();
    assert!(policy_version(&site, &small).starts_with("published-2-"));
    let mut idle = Atm::connect(&site, "IDLE").await;
    assert_eq!(phone.headroom(&mut idle).await, 35_000, "of the 50,000 that are published");

    site.kill();
    site.serve().await;
    phone.reconnect(&site).await;
    assert_eq!(phone.tries_at(&site, "A4", 10_000).await, Err("PermissionDenied NOT_ALLOWED".to_owned()));
    let listed = published(&site);
    let told: Vec<_> =
        listed.iter().map(|one| (&one["number"], &one["in_force"], &one["operator"], &one["note"])).collect();
    let of = |number: u64, in_force: bool, note: &str| (number.into(), in_force.into(), "dev".into(), note.into());
    let expected: [(serde_json::Value, serde_json::Value, serde_json::Value, serde_json::Value); 2] =
        [of(2, true, "a wave at sakura"), of(1, false, "to begin with")];
    assert_eq!(told, expected.each_ref().map(|(a, b, c, d)| (a, b, c, d)));
    assert_eq!(listed[0]["policy_version"], policy_version(&site, &small).as_str());

    // An auditor gets the files of each, and the ledger's check finds nothing wrong.
    for (number, folder) in [("1", "first"), ("2", "second")] {
        let to = site.path(&format!("exported-{number}")).display().to_string();
        let arguments = ["policy", "published", "--export", &to, "--number", number, "--config", &site.configuration()];
        assert!(site.run(&arguments).status.success());
        for file in ["own.cedar", "limits.toml"] {
            let read = |folder: &str| fs::read(site.path(&format!("{folder}/{file}"))).unwrap();
            assert_eq!(read(folder), read(&format!("exported-{number}")), "{file} of {number}");
        }
        assert!(!site.run(&arguments).status.success(), "no folder is written over");
    }
    let verified = site.run(&["ledger", "verify", "--config", &site.configuration()]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[tokio::test]
async fn a_set_that_is_not_fit_is_refused_as_a_whole_and_changes_nothing() {
    let site = with_first_publication().await;
    let institution = |id: &str| format!("[[institution]]\nid = \"{id}\"\n");
    let both = institution("sakura") + &institution("fuji");
    let rows = [
        ("own.cedar", "permit (principal, action, resource) when { context.mood == 1 };\n".to_owned(), "own.cedar:1"),
        ("own.cases.toml", "[[case]]\nname = \"never\"\nexpect = \"forbid\"\n".to_owned(), "own.cases.toml"),
        ("limits.toml", both.clone() + &institution("nobody"), "institution nobody is not served by this gateway"),
        ("limits.toml", institution("fuji"), "institution sakura is served and not named"),
        ("limits.toml", both.clone() + &institution("fuji"), "institution[2].id: fuji is there twice"),
        ("limits.toml", both.clone() + "limits = { per_day = \"much\" }\n", "institution[1].limits.per_day: must be"),
        ("limits.toml", both.clone() + "evidence_demanded = \"D\"\n", "\"D\" is not a grade"),
        ("limits.toml", both.clone() + "[atm_limits]\nper_24 = 1\n", "atm_limits.per_24: is not a key"),
        ("limits.toml", "[[".to_owned(), "limits.toml is not in order"),
    ];
    for (file, text, said) in rows {
        site.write_set("draft", PERMIT, 1_000);
        fs::write(site.path(&format!("draft/{file}")), text).unwrap();
        let refused = site.publish("draft", &[]).unwrap_err();
        assert!(refused.contains(said), "{said}: {refused}");
    }
    site.write_set("draft", PERMIT, 1_000);
    let checked = |folder: &str| {
        let folder = site.path(folder).display().to_string();
        site.run(&["policy", "check", &folder, "--config", &site.configuration()]).status.success()
    };
    assert!(checked("draft"));
    let taken = site.publish("draft", &["--after", "0"]).unwrap_err();
    assert!(taken.contains("publication 1 is the latest"), "{taken}");
    fs::remove_file(site.path("draft/limits.toml")).unwrap();
    assert!(site.publish("draft", &[]).unwrap_err().contains("limits.toml is missing"));
    assert!(!checked("draft"));
    assert_eq!(published(&site).len(), 1);

    // The gateway looks for itself, whoever asks; and only operators may.
    let mut operator = OperationsServiceClient::new(site.channel(Port::Api, "operator/mori").await);
    let bad: Files = [("a.cedar".to_owned(), b"permit".to_vec()), ("limits.toml".to_owned(), both.into_bytes())].into();
    let refused = operator.publish_rules(tokio_stream::iter(parts("", None, &bad))).await.unwrap_err();
    assert_eq!(in_words(&refused), "InvalidArgument RULES_INVALID");
    assert!(refused.message().contains("a.cedar"), "{refused}");
    let unknown = operator.get_publication(GetPublicationRequest { number: 9 }).await.unwrap_err();
    assert_eq!(in_words(&unknown), "NotFound PUBLICATION_UNKNOWN");
    let mut bank = OperationsServiceClient::new(site.channel(Port::Api, "institution/sakura").await);
    let refused = bank.publish_rules(tokio_stream::iter(parts("", None, &bad))).await.unwrap_err();
    assert_eq!(in_words(&refused), "PermissionDenied IDENTITY_NOT_ALLOWED");
    let refused = bank.list_publications(ListPublicationsRequest {}).await.unwrap_err();
    assert_eq!(in_words(&refused), "PermissionDenied IDENTITY_NOT_ALLOWED");
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    assert!(phone.tries_at(&site, "A1", 10_000).await.is_ok(), "the first goes on");
}

#[tokio::test]
async fn a_publication_of_a_later_version_is_said_loudly_and_the_last_good_one_goes_on() {
    let mut site = with_first_publication().await;
    site.write_set("second", &no_more_than(5_000), 200_000);
    site.publish("second", &[]).unwrap();
    site.ask_to_stop();
    assert!(site.ended().await.success());
    site.publish_of_tomorrow(3).await;

    site.serve().await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    assert!(phone.tries_at(&site, "A1", 10_000).await.is_err(), "by the second");
    assert!(phone.tries_at(&site, "A2", 5_000).await.is_ok());
    let standing = async |which: &str| site.metric(&format!("cashgate_publication_{which}"), &[]).await;
    assert_eq!((standing("latest").await, standing("in_force").await), (3, 2));
    assert!(site.log().contains("a publication cannot hold here") && site.log().contains("fact_of_tomorrow"));
    let listed = site.run(&["policy", "published", "--config", &site.configuration()]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("THE LATEST IS NOT IN FORCE"));
    // The next one that it understands mends it.
    site.write_set("fourth", PERMIT, 200_000);
    site.publish("fourth", &[]).unwrap();
    assert_eq!((standing("latest").await, standing("in_force").await), (4, 4));
    assert!(phone.tries_at(&site, "A3", 10_000).await.is_ok());
}

#[tokio::test]
async fn with_rules_from_files_a_publication_is_recorded_and_waits() {
    let site = Site::ready().await;
    site.write_set("first", &no_more_than(5_000), 200_000);
    let said = site.publish("first", &[]).unwrap();
    assert!(said.contains("not in force at this gateway: its rules come from files"), "{said}");
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    assert!(phone.tries_at(&site, "A1", 10_000).await.is_ok());
    // A configuration that takes its rules from the ledger changes nothing before the restart, and one that says both is none.
    site.edit_configuration(|text| text.replace("folder = \"policies\"", "source = \"ledger\""));
    let refused = site.run(&["check-config", "--config", &site.configuration()]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("institution[0].limits: with policy.source = \"ledger\""),
        "{said}"
    );
    let mut site = site;
    site.take_rules_from_ledger();
    site.kill();
    site.serve().await;
    phone.reconnect(&site).await;
    assert!(phone.tries_at(&site, "A2", 10_000).await.is_err(), "what was published before holds now");
}
