//! Rules and limits that change under a running gateway, and drafts that are tried on what it has recorded.

use std::fs;

use crate::harness::{Atm, PERMIT, Phone, Site, eventually, no_more_than};

/// A gateway whose rules lie in a folder of its own, one file as it is given, and that looks at them every second.
async fn with_rules(rules: &str) -> Site {
    let site = Site::folder_only().await;
    fs::create_dir(site.path("rules")).unwrap();
    fs::write(site.path("rules/own.cedar"), rules).unwrap();
    site.edit_configuration(|text| text.replace("folder = \"policies\"", "folder = \"rules\"\ncheck_every_s = 1"));
    let mut site = site;
    site.serve().await;
    site
}

async fn reloaded(site: &Site, result: &str, times: u64) {
    eventually("the rules are read again", async || {
        (site.metric("cashgate_rule_reloads_total", &[("result", result)]).await == times).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_valid_set_holds_from_the_moment_it_lies_there_and_a_bad_one_never() {
    let site = with_rules(PERMIT).await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let first = phone.tries_at(&site, "A1", 10_000).await.unwrap();

    fs::write(site.path("rules/own.cedar"), no_more_than(5_000)).unwrap();
    reloaded(&site, "taken", 1).await;
    let refused = phone.tries_at(&site, "A2", 10_000).await;
    assert_eq!(refused, Err("PermissionDenied NOT_ALLOWED".to_owned()), "and no word of the house rule");
    let labels = [("set", "running"), ("verdict", "forbid"), ("reason", "house_rule")];
    assert_eq!(site.metric("cashgate_policy_decisions_total", &labels).await, 1, "but to operators");

    // A fact that there is not, and a case that fails: the set from before goes on.
    for (name, text) in [
        ("own.cedar", "permit (principal, action, resource) when { context.mood == 1 };\n".to_owned()),
        ("own.cases.toml", "[[case]]\nname = \"never\"\nexpect = \"forbid\"\n".to_owned()),
    ] {
        let before = fs::read_to_string(site.path("rules/own.cedar")).unwrap();
        let refusals = site.metric("cashgate_rule_reloads_total", &[("result", "refused")]).await;
        fs::write(site.path(&format!("rules/{name}")), text).unwrap();
        reloaded(&site, "refused", refusals + 1).await;
        assert!(phone.tries_at(&site, &format!("B-{name}"), 10_000).await.is_err(), "{name}");
        assert!(phone.tries_at(&site, &format!("C-{name}"), 5_000).await.is_ok(), "{name}");
        let taken = site.metric("cashgate_rule_reloads_total", &[("result", "taken")]).await;
        fs::remove_file(site.path(&format!("rules/{name}"))).unwrap();
        fs::write(site.path("rules/own.cedar"), before + "// again\n").unwrap();
        reloaded(&site, "taken", taken + 1).await;
    }
    assert!(site.log().contains("not fit to hold"), "loudly");

    // Both versions stand in the ledger, each with its withdrawal, its facts and its rules.
    let shown = site.shown(&first);
    assert_eq!(shown["rules"], serde_json::json!(["own.cedar#1"]));
    assert_eq!(
        (&shown["facts"]["account"], &shown["facts"]["device"]),
        (&"acct-1".into(), &"phone-1".into()),
        "{shown}"
    );
}

#[tokio::test]
async fn limits_change_while_running_and_forget_nothing() {
    let site = with_rules(PERMIT).await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let mut atm = Atm::connect(&site, "A1").await;
    phone.approve_at(&mut atm, 60_000).await;
    atm.pays_out().await;
    site.edit_configuration(|text| {
        text.replace("per_day = 200000", "per_day = 100000")
            .replace("per_withdrawal = 200000", "per_withdrawal = 100000")
    });
    reloaded(&site, "taken", 1).await;
    let mut idle = Atm::connect(&site, "IDLE").await;
    let left = async || (phone.headroom(&mut idle).await == 40_000).then_some(());
    let mut left = left;
    eventually("100,000 less the 60,000 of before", async || left().await).await;
    site.edit_configuration(|text| text.replace("per_day = 100000", "per_day = \"much\""));
    reloaded(&site, "refused", 1).await;
    assert!(site.log().contains("per_day: must be a whole number"), "what, where");
}

#[tokio::test]
async fn a_shadow_set_is_counted_and_decides_nothing() {
    let site = Site::folder_only().await;
    fs::create_dir(site.path("draft")).unwrap();
    fs::write(site.path("draft/own.cedar"), no_more_than(5_000)).unwrap();
    site.edit_configuration(|text| text.replace("[policy]", "[policy]\nshadow_folder = \"draft\""));
    let mut site = site;
    site.serve().await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    assert!(phone.tries_at(&site, "A1", 10_000).await.is_ok());
    assert!(phone.tries_at(&site, "A2", 4_000).await.is_ok());
    let differ = [("running", "permit"), ("shadow", "forbid")];
    assert_eq!(site.metric("cashgate_policy_shadow_differences_total", &differ).await, 1);
    let would = [("set", "shadow"), ("reason", "house_rule")];
    assert_eq!(site.metric("cashgate_policy_decisions_total", &would).await, 1);
}

#[tokio::test]
async fn a_draft_is_rehearsed_on_what_was_accepted_and_what_was_refused() {
    let site = with_rules(&no_more_than(50_000)).await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    for (atm, amount, accepted) in [("A1", 4_000, true), ("A2", 10_000, true), ("A3", 60_000, false)] {
        assert_eq!(phone.tries_at(&site, atm, amount).await.is_ok(), accepted, "{amount}");
    }
    fs::create_dir(site.path("draft")).unwrap();
    fs::write(site.path("draft/own.cedar"), no_more_than(5_000)).unwrap();
    let rehearse = |folder: &str| {
        let draft = site.path(folder).display().to_string();
        let output = site.run(&["policy", "rehearse", &draft, "--config", &site.configuration()]);
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    // While the gateway runs.
    let told = eventually("the refusal is on disk", async || {
        let told = rehearse("draft");
        told.contains("3 approvals").then_some(told)
    })
    .await;
    assert!(told.contains("1 would come out differently") && told.contains("house_rule"), "{told}");
    fs::write(site.path("draft/own.cedar"), PERMIT).unwrap();
    let told = rehearse("draft");
    assert!(told.contains("1 would come out differently"), "the refused one: {told}");

    let check = |folder: &str| site.run(&["policy", "check", &site.path(folder).display().to_string()]);
    assert!(check("draft").status.success());
    fs::write(site.path("draft/own.cedar"), "forbid (principal, action, resource);\n").unwrap();
    let refused = check("draft");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("own.cedar:1") && said.contains("@reason"), "{said}");
    assert!(site.run(&["policy", "check"]).status.success(), "the rules that are built in");
    // What the gateway would not start on is no valid configuration.
    let valid = || site.run(&["check-config", "--config", &site.configuration()]);
    assert!(valid().status.success());
    fs::copy(site.path("draft/own.cedar"), site.path("rules/own.cedar")).unwrap();
    let refused = valid();
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("own.cedar:1"));
}
