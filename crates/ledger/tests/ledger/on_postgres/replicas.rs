//! Two replicas on one ledger: who may write, and what both together may pay out.

use std::time::Duration;

use cashgate_ledger::{
    Append, AppendError, Epoch, InstitutionSpending, Ledger, LimitKey, Raise, ReplicaError, TailMark,
};
use cashgate_postgres_server::Database;
use cashgate_withdrawal::ids::AtmId;
use tokio::task::JoinSet;

use super::store::{database, options_of};
use crate::sample::*;

fn two() -> (Database<'static>, Ledger, Ledger) {
    let database = database();
    let [zero, one] = [0, 1].map(|id| Ledger::connect(&options_of(database.dsn_file(), id)).unwrap());
    (database, zero, one)
}

fn atm() -> AtmId {
    "atm-0001".parse().unwrap()
}

fn account() -> LimitKey {
    LimitKey::Account("aozora".parse().unwrap(), "acc-1".parse().unwrap())
}

fn owned(n: u64, epoch: Epoch) -> Append {
    Append { lane: Some((atm(), epoch)), ..vec![hold_requested(n)].into() }
}

fn computed_from(n: u64, version: u64) -> Append {
    Append { raises: vec![Raise { key: account(), computed_from: Some(version) }], ..vec![hold_requested(n)].into() }
}

#[tokio::test]
async fn a_stale_owner_writes_nothing_more() {
    let (_database, zero, one) = two();
    let (first, before) = zero.replicas().unwrap().claim_lane(&atm()).await.unwrap();
    assert_eq!((first, before), (Epoch(1), None));
    zero.append_owned(owned(1, first)).await.unwrap();
    let (second, before) = one.replicas().unwrap().claim_lane(&atm()).await.unwrap();
    assert_eq!((second, before.unwrap().epoch), (Epoch(2), first));
    let refused = zero.append_owned(owned(2, first)).await;
    assert_eq!(refused, Err(AppendError::NotOwner { atm: atm(), epoch: first }));
    assert_eq!(zero.append_owned(owned(2, second)).await, Err(AppendError::NotOwner { atm: atm(), epoch: second }));
    one.append_owned(owned(2, second)).await.unwrap();
    assert_eq!(one.reader().open_withdrawals_of(&atm()).unwrap().len(), 2);
    let owner = zero.replicas().unwrap().owner_of_withdrawal(id(1)).await.unwrap().unwrap();
    assert_eq!((owner.0, owner.1.unwrap().epoch), (atm(), second));
    assert!(!zero.replicas().unwrap().release_lane(&atm(), first).await.unwrap());
    assert!(one.replicas().unwrap().release_lane(&atm(), second).await.unwrap());
    assert!(matches!(one.append_owned(owned(3, second)).await, Err(AppendError::NotOwner { .. })));
}

#[tokio::test]
async fn a_later_start_puts_the_earlier_one_out() {
    let (database, zero, one) = two();
    zero.append(vec![hold_requested(1)]).await.unwrap();
    let again = Ledger::connect(&options_of(database.dsn_file(), 0)).unwrap();
    assert!(again.replicas().unwrap().incarnation() > zero.replicas().unwrap().incarnation());
    let Err(AppendError::Fatal(failure)) = zero.append(vec![hold_requested(2)]).await else { panic!("it wrote on") };
    assert!(failure.to_string().contains("replica 0"), "{failure}");
    assert!(matches!(zero.replicas().unwrap().heartbeat(false).await, Err(ReplicaError::PutOut { .. })));
    again.append(vec![hold_requested(2)]).await.unwrap();
    one.append(vec![hold_requested(3)]).await.unwrap();
}

#[tokio::test]
async fn lanes_of_replicas_that_are_gone_are_found() {
    let (_database, zero, one) = two();
    let seats = [&zero, &one].map(|ledger| ledger.replicas().unwrap());
    let (epoch, _) = seats[0].claim_lane(&atm()).await.unwrap();
    zero.append_owned(owned(1, epoch)).await.unwrap();
    let long = Duration::from_secs(3_600);
    assert_eq!(seats[1].orphaned_lanes(long).await.unwrap(), []);
    seats[0].heartbeat(true).await.unwrap();
    let listed = seats[1].list().await.unwrap();
    assert!(listed.len() == 2 && listed[0].draining && listed[0].lives(long) && !listed[1].draining, "{listed:?}");
    zero.clone().close().await.unwrap();
    assert_eq!(seats[1].list().await.unwrap()[0].heard_ago, None);
    assert_eq!(seats[1].orphaned_lanes(long).await.unwrap(), [atm()]);
}

#[tokio::test]
async fn an_approval_computed_from_an_old_copy_is_refused_with_the_present_version() {
    let (_database, zero, one) = two();
    let appended = zero.append_owned(computed_from(1, 0)).await.unwrap();
    assert_eq!(appended.raised, Some(vec![(account(), 1)]));
    let refused = one.append_owned(computed_from(2, 0)).await;
    assert_eq!(refused, Err(AppendError::LimitsMoved { moved: vec![(account(), 1)] }));
    let (rows, version) = one.reader().approved_of(&account(), at(0)).unwrap();
    assert_eq!((rows.len(), version), (1, 1));
    one.append_owned(computed_from(2, version)).await.unwrap();
    // An end raises it too, and looks at no version.
    let end = Raise { key: account(), computed_from: None };
    let ended = Append { raises: vec![end], ..vec![hold_granted(1), dispense_commanded(1), ended(1)].into() };
    assert_eq!(zero.append_owned(ended).await.unwrap().raised, Some(vec![(account(), 3)]));
}

/// Room for three of 30,000.
const LIMIT: u64 = 100_000;

/// Draws if its copy of the account says that there is room; `false` if there is none.
async fn draw(ledger: Ledger, n: u64) -> bool {
    loop {
        let reader = ledger.reader().clone();
        let read = move || reader.approved_of(&account(), at(0)).unwrap();
        let (rows, version) = tokio::task::spawn_blocking(read).await.unwrap();
        if rows.iter().map(|row| row.amount.minor_units()).sum::<u64>() + 30_000 > LIMIT {
            return false;
        }
        match ledger.append_owned(computed_from(n, version)).await {
            Ok(_) => return true,
            Err(AppendError::LimitsMoved { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_never_give_the_last_yen_away_twice() {
    let (database, zero, one) = two();
    let mut drawing = JoinSet::new();
    for n in 0..16 {
        drawing.spawn(draw(if n % 2 == 0 { zero.clone() } else { one.clone() }, n));
    }
    assert_eq!(drawing.join_all().await.into_iter().filter(|drawn| *drawn).count(), 3);
    assert_eq!(database.sql("SELECT sum(amount) FROM cashgate.withdrawals"), "90000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_institutions_sum_is_held_by_the_ledger_itself() {
    let (database, zero, one) = two();
    let spending = |amount, withdrawals| InstitutionSpending { caps: capped(LIMIT), ..spending(amount, withdrawals) };
    let approval = |n| Append { spending: vec![spending(30_000, 1)], ..vec![hold_requested(n)].into() };
    let mut asking = JoinSet::new();
    for n in 0..12 {
        let ledger = if n % 2 == 0 { zero.clone() } else { one.clone() };
        let append = approval(n);
        asking.spawn(async move { (n, ledger.append_owned(append).await) });
    }
    let (done, refused): (Vec<_>, Vec<_>) = asking.join_all().await.into_iter().partition(|(_, told)| told.is_ok());
    assert_eq!(done.len(), 3);
    for (_, told) in refused {
        assert_eq!(told, Err(AppendError::InstitutionCapped { institution: "aozora".parse().unwrap() }));
    }
    // What did not leave the machine is free again.
    let n = done[0].0;
    let back = Append { spending: vec![spending(-30_000, -1)], ..vec![step(n, 2, "declined", closed(n))].into() };
    one.append_owned(back).await.unwrap();
    zero.append_owned(approval(100)).await.unwrap();
    assert_eq!(database.sql("SELECT amount, withdrawals, new_amount FROM cashgate.institution_spent"), "90000|3|90000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_replicas_that_claim_one_nonce_one_wins() {
    let (_database, zero, one) = two();
    for n in 0..20_u64 {
        let claim = |ledger: &Ledger, id: u64| {
            let row = cashgate_ledger::WithdrawalRow { nonce: approved(n).nonce, ..approved(id) };
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.append(vec![step(id, 1, "hold_requested", row)]).await.is_ok() })
        };
        let (first, second) = tokio::join!(claim(&zero, 1_000 + n), claim(&one, 2_000 + n));
        assert!(first.unwrap() ^ second.unwrap(), "nonce {n}");
    }
}

#[tokio::test]
async fn a_replica_hears_within_a_moment_what_the_other_wrote() {
    let (_database, zero, one) = two();
    let mark = one.reader().tail_mark().unwrap();
    let mut tail = one.subscribe_tail();
    zero.record_notice(notice("stopped", 1)).await.unwrap();
    zero.put_device(phone("phone-1"), None).await.unwrap();
    let reached = |mark: &TailMark| mark.sequence.0 == 1 && mark.device_changes == 1;
    tokio::time::timeout(Duration::from_secs(10), tail.wait_for(reached)).await.expect("it never heard").unwrap();
    let told = one.reader().tail_after(&mark).unwrap();
    assert_eq!((told.notices.len(), told.devices), (1, vec![phone("phone-1")]));
    assert_eq!(one.reader().tail_after(&told.through).unwrap().notices, []);
    assert_eq!(one.subscribe_last_sequence().borrow().0, 1);
}
