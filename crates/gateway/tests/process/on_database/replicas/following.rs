//! Customers who follow a withdrawal while its machine's lane changes hands.

use cashgate_wire::proto::atm::v1::atm_message::Message;
use cashgate_wire::proto::customer::v1::WatchRequest;
use cashgate_wire::proto::withdrawal::v1::WithdrawalState;

use super::three::Replicas;
use crate::harness::{Atm, PERMIT, Phone, Site, eventually, in_time, report_dispensed};

async fn refused_writes(site: &Site) -> u64 {
    site.metric("cashgate_replica_lanes_let_go_total", &[("why", "refused_write")]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_a_withdrawal_whose_end_was_refused_here_hears_of_it_from_the_next() {
    let replicas = Replicas::with_set(PERMIT, None).await;
    let [first, second, _] = &replicas.sites;
    let mut phone = Phone::registered(first, "phone-1", "acct-1").await;
    let mut atm = Atm::connect(first, "A1").await;
    first.core_bank.settles(false);
    let id = phone.approve_at(&mut atm, 10_000).await;
    let command = atm.is_commanded().await;
    atm.says(Message::Outcome(report_dispensed(&command))).await;
    atm.hears_it_recorded(&id).await;
    first.core_bank.called(&id, "confirm").await;
    let request = WatchRequest { withdrawal_id: id.clone() };
    let mut followed = phone.bank.watch(request.clone()).await.unwrap().into_inner();
    let update = in_time("it is told", followed.message()).await.unwrap().unwrap();
    assert_eq!(update.state(), WithdrawalState::Confirming);

    // The end is on its way to the ledger when the lane becomes another's.
    let taken = first.gives_lane("A1", 1);
    first.core_bank.settles(true);
    eventually("the end waits for the ledger", async || (first.waiting_writes() == 1).then_some(())).await;
    taken.commit();
    assert_eq!(in_time("it goes on elsewhere", followed.message()).await.unwrap(), None, "not the refused end");
    eventually("the write was refused", async || (refused_writes(first).await == 1).then_some(())).await;
    assert_eq!(first.metric("cashgate_withdrawals_open", &[("state", "confirming")]).await, 0);

    let _atm = Atm::connect(second, "A1").await;
    let last = eventually("whoever asks again hears the end", async || {
        let mut followed = phone.bank.watch(request.clone()).await.ok()?.into_inner();
        let mut last = None;
        while let Some(update) = in_time("the withdrawal goes on", followed.message()).await.ok()? {
            last = Some(update.state());
        }
        last
    })
    .await;
    assert_eq!(last, WithdrawalState::Confirmed);
}
