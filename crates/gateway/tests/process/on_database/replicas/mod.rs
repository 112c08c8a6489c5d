//! What replicas learn of each other through the ledger they share: published rules, patterns over all of them, and each other's ATMs.

mod alarms;
mod catching_up;
mod following;
mod three;

use cashgate_wire::proto::atm::v1::Hello;
use cashgate_wire::proto::operations::v1::operations_service_client::OperationsServiceClient;
use cashgate_wire::proto::operations::v1::{ListAtmsRequest, ListAtmsResponse};
use cashgate_wire::proto::withdrawal::v1::Location;

use crate::harness::publishing::forbid;
use crate::harness::{Atm, Heard, PERMIT, Phone, Port, Site, eventually, hello, in_words, no_more_than, yen};
use three::Replicas;

/// Approves at an ATM of its own, and asks again as long as the gateway says that it cannot take it now; the withdrawal, or the refusal.
async fn approves_at(site: &Site, phone: &mut Phone, atm: &str, hello: Hello) -> Result<String, String> {
    let mut atm = Atm::connect_saying(site, atm, hello).await;
    let shown = atm.shows_code().await;
    eventually("it is answered", async || {
        let answer = match phone.scan(&shown.qr_text).await {
            Err(status) => Err(in_words(&status)),
            Ok(_) => {
                let approved = phone.bank.approve(phone.approval(&shown.qr_text, &yen(10_000))).await;
                approved.map(|approved| approved.into_inner().withdrawal_id).map_err(|status| in_words(&status))
            }
        };
        (answer != Err("Unavailable OVERLOADED".to_owned())).then_some(answer)
    })
    .await
}

async fn approves(site: &Site, phone: &mut Phone, atm: &str) -> Result<String, String> {
    approves_at(site, phone, atm, hello()).await
}

const REFUSED: &str = "PermissionDenied NOT_ALLOWED";

async fn standing(site: &Site) -> (u64, u64) {
    let of = async |which: &str| site.metric(&format!("cashgate_publication_{which}"), &[]).await;
    (of("latest").await, of("in_force").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_at_one_replica_is_in_force_at_every_one() {
    let mut replicas = Replicas::with_set(PERMIT, None).await;
    let mut phone = Phone::registered(&replicas.sites[1], "phone-1", "acct-1").await;
    let before = approves(&replicas.sites[2], &mut phone, "A1").await.unwrap();

    replicas.sites[1].write_set("second", &no_more_than(5_000), 50_000);
    replicas.sites[1].publish("second", &["--note", "a wave"]).unwrap();
    let answered = tokio::time::Instant::now();
    for (number, site) in replicas.sites.iter().enumerate() {
        eventually("it is in force", async || (standing(site).await == (2, 2)).then_some(())).await;
        eprintln!("in force at replica {number} within {:?} of the answer", answered.elapsed());
    }
    for (number, site) in replicas.sites.iter().enumerate() {
        assert_eq!(approves(site, &mut phone, &format!("B{number}")).await, Err(REFUSED.to_owned()), "{number}");
        let labels = [("set", "running"), ("reason", "house_rule")];
        assert_eq!(site.metric("cashgate_policy_decisions_total", &labels).await, 1, "{number}");
    }
    assert!(replicas.sites[0].shown(&before)["policy_version"].as_str().unwrap().starts_with("published-1-"));

    // One stands still while a third set is published: the first that it decides afterwards it decides by that.
    replicas.sites[2].stands_still().await;
    replicas.sites[0].write_set("third", PERMIT, 200_000);
    replicas.sites[0].publish("third", &[]).unwrap();
    // Long enough that what it knows is not fresh any more.
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    replicas.sites[2].goes_on();
    let after = approves(&replicas.sites[2], &mut phone, "C2").await.unwrap();
    assert!(replicas.sites[0].shown(&after)["policy_version"].as_str().unwrap().starts_with("published-3-"));

    // One starts again.
    replicas.sites[0].kill();
    replicas.sites[0].serve().await;
    assert_eq!(standing(&replicas.sites[0]).await, (3, 3));

    // A later version publishes what this one does not understand: loudly, and what held goes on.
    replicas.sites[0].publish_of_tomorrow(4).await;
    for site in &replicas.sites {
        eventually("it has seen it", async || (standing(site).await == (4, 3)).then_some(())).await;
        assert_eq!(site.readiness().await.unwrap().0, 200);
        assert!(site.log().contains("a publication cannot hold here"));
    }
    assert!(approves(&replicas.sites[1], &mut phone, "D1").await.is_ok());
    let verified = replicas.sites[0].run(&["ledger", "verify", "--config", &replicas.sites[0].configuration()]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

/// New phones may draw, and count as new.
const NEW_PHONES_DRAW: &str = "[[institution]]\nid = \"fuji\"\n[[institution]]\nid = \"sakura\"\n[institution.limits]\nburst = 1000\n\
    [[institution.limits.new_device]]\nuntil_h = 72\nper_day = 200000\n";

/// What a probe asks for: always refused, with the number of withdrawals by new phones that the replica knows of, the probe included, as a reason.
const PROBED: i64 = 100_000;

fn burst_rules() -> String {
    let at =
        |count: u32| format!("context.amount == {PROBED} && context.institution.new_device_withdrawals_1h == {count}");
    let mut rules =
        forbid("burst", &format!("context.amount < {PROBED} && context.institution.new_device_withdrawals_1h >= 5"));
    for count in 1..=9 {
        rules += forbid(&format!("seen_{count}"), &at(count)).strip_prefix(PERMIT).unwrap();
    }
    rules
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_over_two_replicas_is_seen_by_the_third_and_each_is_counted_once() {
    let mut replicas = Replicas::with_set(&burst_rules(), Some(NEW_PHONES_DRAW)).await;
    let mut phones = Vec::new();
    for number in 0..8 {
        let (device, account) = (format!("phone-{number}"), format!("acct-{number}"));
        phones.push(Phone::registered(&replicas.sites[number % 3], &device, &account).await);
    }
    let mut probe = Phone::registered(&replicas.sites[0], "probe", "acct-probe").await;
    let there = |latitude_e7, longitude_e7| Hello { location: Some(Location { latitude_e7, longitude_e7 }), ..hello() };
    let (tokyo, osaka) = (there(356_812_360, 1_397_671_250), there(347_024_850, 1_354_959_510));
    approves_at(&replicas.sites[0], &mut phones[0], "A0", tokyo).await.unwrap();
    approves(&replicas.sites[1], &mut phones[1], "A1").await.unwrap();
    every_replica_knows_of(&replicas, &mut probe, 2).await;
    // Where the money was drawn before, at another replica.
    let far = approves_at(&replicas.sites[1], &mut phones[0], "A2", osaka).await.unwrap();
    let facts = replicas.sites[0].shown(&far)["facts"].clone();
    assert_eq!((&facts["travel_km"], &facts["institution_new_1h"]), (&403.into(), &3.into()), "{facts}");

    // What the third reads at its start it hears of again when it follows the ledger from before that.
    replicas.sites[2].kill();
    replicas.sites[2].start();
    phones[2].reconnect(&replicas.sites[0]).await;
    approves(&replicas.sites[0], &mut phones[2], "A3").await.unwrap();
    replicas.ready(&replicas.sites[2]).await;
    phones[5].reconnect(&replicas.sites[2]).await;
    every_replica_knows_of(&replicas, &mut probe, 4).await;
    // The fifth is one too many, wherever it comes: four were at two replicas, none at the third.
    for (number, site) in [(2, &replicas.sites[2]), (0, &replicas.sites[0]), (1, &replicas.sites[1])] {
        let phone = &mut phones[4 + number];
        assert_eq!(approves(site, phone, &format!("B{number}")).await, Err(REFUSED.to_owned()), "{number}");
        assert_eq!(site.metric("cashgate_policy_decisions_total", &[("reason", "burst")]).await, 1, "{number}");
    }
    // Refusals are no withdrawals: nothing has changed.
    every_replica_knows_of(&replicas, &mut probe, 4).await;
}

/// Waits until every replica knows of so many withdrawals by new phones; none may ever know of more.
async fn every_replica_knows_of(replicas: &Replicas, probe: &mut Phone, withdrawals: u32) {
    for (number, site) in replicas.sites.iter().enumerate() {
        let mut atm = Atm::connect(site, &format!("PROBE{number}")).await;
        eventually("it has heard of them all", async || {
            let shown = atm.shows_code().await;
            probe.scan(&shown.qr_text).await.ok()?;
            assert!(matches!(atm.hears().await, Heard::QrClaimed(_)));
            let before = seen(site).await;
            let refused = probe.bank.approve(probe.approval(&shown.qr_text, &yen(PROBED))).await.unwrap_err();
            assert_eq!(in_words(&refused), REFUSED);
            let after = seen(site).await;
            let known = (0..9).find(|count| before[*count] != after[*count]).unwrap();
            assert!(known <= usize::try_from(withdrawals).unwrap(), "{known} at replica {number}, not {withdrawals}");
            (known == usize::try_from(withdrawals).unwrap()).then_some(())
        })
        .await;
    }
}

/// How often a probe was told each number, from none on.
async fn seen(site: &Site) -> Vec<u64> {
    let mut seen = Vec::new();
    for count in 1..=9 {
        let reason = format!("seen_{count}");
        seen.push(site.metric("cashgate_policy_decisions_total", &[("set", "running"), ("reason", &reason)]).await);
    }
    seen
}

async fn atms(operator: &mut OperationsServiceClient<tonic::transport::Channel>) -> ListAtmsResponse {
    operator.list_atms(ListAtmsRequest {}).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_fleet_is_listed_and_who_did_not_answer_is_said() {
    let replicas = Replicas::with_set(PERMIT, None).await;
    let mut connected = Vec::new();
    for (number, site) in replicas.sites.iter().enumerate() {
        connected.push(Atm::connect(site, &format!("A{number}")).await);
    }
    let [asked, ..] = &replicas.sites;
    let mut operator = OperationsServiceClient::new(asked.channel(Port::Api, "operator/mori").await);
    let told = |listed: &ListAtmsResponse| -> Vec<_> {
        listed.atms.iter().map(|atm| (atm.atm_id.clone(), atm.connected, atm.replica)).collect()
    };
    let all = [0, 1, 2].map(|number| (format!("A{number}"), true, Some(number)));
    eventually("all are listed", async || {
        let listed = atms(&mut operator).await;
        (told(&listed) == all && listed.unanswered_replicas.is_empty()).then_some(())
    })
    .await;
    replicas.sites[1].stands_still().await;
    eventually("the third answers in time", async || {
        let listed = atms(&mut operator).await;
        assert!(listed.unanswered_replicas.contains(&1) && told(&listed).iter().all(|(atm, ..)| atm != "A1"));
        let whole = [all[0].clone(), all[2].clone()];
        (listed.unanswered_replicas == [1] && told(&listed) == whole).then_some(())
    })
    .await;
    replicas.sites[1].goes_on();
}
