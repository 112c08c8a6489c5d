//! A wave that stands out only in what all replicas were asked for.

use std::time::Duration;

use cashgate_wire::proto::events::v1::notice::Notice as What;

use super::approves;
use super::three::Replicas;
use crate::harness::{PERMIT, Phone, Site, eventually, notices};

/// New phones of both banks draw, and count as new.
fn new_phones_draw() -> String {
    let bank = |id| {
        format!(
            "[[institution]]\nid = \"{id}\"\n[institution.limits]\nburst = 1000\n\
             [[institution.limits.new_device]]\nuntil_h = 72\nper_day = 200000\n"
        )
    };
    ["sakura", "fuji"].map(bank).concat()
}

/// The alarms in the feed, by pattern and bank.
async fn alarms(site: &Site) -> Vec<(String, String)> {
    let alarm = |what| if let What::Alarm(alarm) = what { Some((alarm.pattern, alarm.institution_id)) } else { None };
    let told = notices(site, "operator/mori").await.into_iter().filter_map(|notice| notice.notice);
    told.filter_map(alarm).collect()
}

/// Eight customers of a bank with new phones, three at two of the replicas and two at the third: too many in an hour, and no replica knows of more
/// than its own, as if they had come at the same moment. It is for whoever holds `archived_steps` to see to that.
async fn wave(replicas: &Replicas, bank: &str) {
    for number in 0..8 {
        let (site, name) = (&replicas.sites[number % 3], format!("{bank}-{number}"));
        let mut phone = Phone::registered_at(site, bank, &format!("phone-{name}"), &format!("acct-{name}")).await;
        approves(site, &mut phone, &format!("A-{name}")).await.unwrap();
    }
}

/// The alarms when there are so many, and those whose turn to tell came later have let it pass: each replica waits a second longer than the one before.
async fn are_told(site: &Site, count: usize, others_wait: Duration) -> Vec<(String, String)> {
    eventually("it is told", async || (alarms(site).await.len() >= count).then_some(())).await;
    tokio::time::sleep(others_wait).await;
    alarms(site).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wave_that_only_all_of_them_see_is_told_once_whoever_dies() {
    let mut replicas = Replicas::with_set(PERMIT, Some(&new_phones_draw())).await;
    let told = |bank: &str| ("institution_hour".to_owned(), bank.to_owned());
    let held = replicas.sites[0].holds("archived_steps");
    wave(&replicas, "sakura").await;
    drop(held);
    assert_eq!(are_told(&replicas.sites[1], 1, Duration::from_millis(2_500)).await, [told("sakura")]);

    // The one that waits the shortest is killed before it hears of the wave.
    let held = replicas.sites[0].holds("archived_steps");
    wave(&replicas, "fuji").await;
    replicas.sites[0].kill();
    drop(held);
    let all = [told("sakura"), told("fuji")];
    assert_eq!(are_told(&replicas.sites[1], 2, Duration::from_millis(1_500)).await, all);
}
