//! Claims that leave together: what is wrong with one takes none of the others along, and what is raised is what was written.

use cashgate_ledger::{
    Append, AppendError, Epoch, InstitutionSpending, Ledger, LimitKey, Raise, WithdrawalRow, verify_open,
};
use cashgate_withdrawal::ids::AtmId;
use tokio::task::JoinSet;

use super::store::{database, options_of};
use crate::sample::*;

/// As many as two batches.
const AT_ONCE: u64 = 70;

fn atm(n: u64) -> AtmId {
    format!("atm-{n}").parse().unwrap()
}

fn account(n: u64) -> LimitKey {
    LimitKey::Account("aozora".parse().unwrap(), format!("acc-{n}").parse().unwrap())
}

/// A claim of a lane of its own, for an account of its own of which nobody knows yet.
fn claim(n: u64) -> Append {
    let raises = vec![
        Raise { key: account(n), computed_from: Some(0) },
        Raise { key: LimitKey::Atm(atm(0)), computed_from: None },
    ];
    let lane = Some((atm(n), Epoch(1)));
    Append { steps: vec![hold_requested(n)], lane, raises, spending: vec![spending(30_000, 1)] }
}

async fn own_lanes(ledger: &Ledger) {
    for n in 0..AT_ONCE {
        let _ = ledger.replicas().unwrap().claim_lane(&atm(n)).await.unwrap();
    }
}

async fn all_at_once(ledger: &Ledger, claims: Vec<Append>) -> Vec<Result<Option<Vec<u64>>, AppendError>> {
    let mut asking = JoinSet::new();
    for (place, claim) in claims.into_iter().enumerate() {
        let ledger = ledger.clone();
        asking.spawn(async move {
            let versions = |raised: Vec<(LimitKey, u64)>| raised.into_iter().map(|(_, version)| version).collect();
            (place, ledger.append_owned(claim).await.map(|done| done.raised.map(versions)))
        });
    }
    let mut told = asking.join_all().await;
    told.sort_by_key(|(place, _)| *place);
    told.into_iter().map(|(_, told)| told).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_refused_takes_none_of_its_batch_along() {
    let database = database();
    let ledger = Ledger::connect(&options_of(database.dsn_file(), 0)).unwrap();
    own_lanes(&ledger).await;
    ledger.append(vec![hold_requested(1_000)]).await.unwrap();
    let claims = (0..AT_ONCE).map(|n| match n % 7 {
        1 => Append { lane: Some((atm(n), Epoch(2))), ..claim(n) },
        2 => Append { raises: vec![Raise { key: account(n), computed_from: Some(3) }], ..claim(n) },
        3 => {
            let row = WithdrawalRow { nonce: approved(1_000).nonce, ..approved(n) };
            Append { steps: vec![step(n, 1, "hold_requested", row)], ..claim(n) }
        }
        4 => Append { spending: vec![InstitutionSpending { caps: capped(29_999), ..spending(30_000, 1) }], ..claim(n) },
        _ => claim(n),
    });
    let claims: Vec<Append> = claims.collect();
    for (n, told) in (0..).zip(all_at_once(&ledger, claims).await) {
        match n % 7 {
            1 => assert_eq!(told, Err(AppendError::NotOwner { atm: atm(n), epoch: Epoch(2) })),
            2 => assert_eq!(told, Err(AppendError::LimitsMoved { moved: vec![(account(n), 0)] })),
            3 => assert_eq!(told, Err(AppendError::NonceAlreadyClaimed { withdrawal: id(n), by: id(1_000) })),
            4 => assert_eq!(told, Err(AppendError::InstitutionCapped { institution: "aozora".parse().unwrap() })),
            _ => assert_eq!(told.unwrap().unwrap()[0], 1, "the account's version after it"),
        }
    }
    let written = 3 * AT_ONCE / 7;
    let report = verify_open(ledger.reader(), &mut |finding| panic!("{finding}"), &mut |_, _| vec![]);
    assert_eq!((report.steps, report.withdrawals), (written + 1, written + 1));
    assert_eq!(database.sql("SELECT sum(version) FROM cashgate.limit_versions WHERE kind = 0"), written.to_string());
    assert_eq!(database.sql("SELECT version FROM cashgate.limit_versions WHERE kind = 2"), written.to_string());
    let spent = database.sql("SELECT amount, withdrawals, new_withdrawals FROM cashgate.institution_spent");
    assert_eq!(spent, format!("{}|{written}|{written}", 30_000 * written));
}

/// Codes that are scanned at many machines at once, by one replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_code_is_claimed_once_and_nobody_waits_in_a_ring() {
    let database = database();
    let ledger = Ledger::connect(&options_of(database.dsn_file(), 0)).unwrap();
    own_lanes(&ledger).await;
    let nonce = |n: u64| approved(1_000 + n % 10).nonce;
    let claims = (0..AT_ONCE).map(|n| {
        let row = WithdrawalRow { nonce: nonce(n), ..approved(n) };
        Append { steps: vec![step(n, 1, "hold_requested", row)], ..claim(n) }
    });
    let told = all_at_once(&ledger, claims.collect()).await;
    let winners: Vec<u64> = (0..AT_ONCE).zip(&told).filter(|(_, told)| told.is_ok()).map(|(n, _)| n).collect();
    assert_eq!(winners.iter().map(|n| nonce(*n)).collect::<std::collections::HashSet<_>>().len(), 10);
    assert_eq!(winners.len(), 10);
    for (n, told) in (0..).zip(told).filter(|(_, told)| told.is_err()) {
        let by = winners.iter().find(|winner| nonce(**winner) == nonce(n)).map(|winner| id(*winner)).unwrap();
        assert_eq!(told, Err(AppendError::NonceAlreadyClaimed { withdrawal: id(n), by }));
    }
    ledger.close().await.unwrap();
    assert_eq!(database.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), "0");
}

/// Two approvals of one batch on both sides of an hour: the later one's window has the earlier one in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cap_holds_over_the_end_of_an_hour() {
    let database = database();
    let ledger = Ledger::connect(&options_of(database.dsn_file(), 0)).unwrap();
    own_lanes(&ledger).await;
    for with_lanes in [true, false] {
        let before = if with_lanes { 0 } else { 100 };
        let institution = if with_lanes { "aozora" } else { "midori" };
        let claims = (0..20).map(|n| {
            let late = u32::from(n % 2 == 1);
            let spent = InstitutionSpending {
                institution: institution.parse().unwrap(),
                hour: 1_000 + late,
                since_hour: 976 + late,
                caps: capped(100_000),
                ..spending(30_000, 1)
            };
            let lane = with_lanes.then(|| (atm(n), Epoch(1)));
            Append { steps: vec![hold_requested(before + n)], lane, raises: Vec::new(), spending: vec![spent] }
        });
        let told = all_at_once(&ledger, claims.collect()).await;
        assert_eq!(told.iter().filter(|told| told.is_ok()).count(), 3, "three of 30,000 within 100,000");
    }
}

/// Claims take entries and then the ledger's head; so must all else that raises entries, or two would wait for each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_and_ends_that_raise_the_same_entries_never_wait_in_a_ring() {
    let database = database();
    let [zero, one] = [0, 1].map(|id| Ledger::connect(&options_of(database.dsn_file(), id)).unwrap());
    let mut lanes = JoinSet::new();
    for lane in 0..AT_ONCE {
        let ledger = if lane % 2 == 0 { zero.clone() } else { one.clone() };
        let (epoch, _) = ledger.replicas().unwrap().claim_lane(&atm(lane)).await.unwrap();
        lanes.spawn(async move {
            for life in 0..5 {
                for step in whole_life(lane * 1_000 + life) {
                    // Of a few that everybody raises, in an order of its own.
                    let keys =
                        [account((lane + life) % 5), account((3 * lane + life) % 5), LimitKey::Atm(atm(lane % 3))];
                    let mut raises: Vec<_> = keys.map(|key| Raise { key, computed_from: None }).into();
                    raises.dedup_by(|one, other| one.key == other.key);
                    let steps = vec![step];
                    ledger
                        .append_owned(Append { steps, lane: Some((atm(lane), epoch)), raises, spending: Vec::new() })
                        .await
                        .unwrap();
                }
            }
        });
    }
    lanes.join_all().await;
    let (first, second) = tokio::join!(zero.close(), one.close());
    first.and(second).unwrap();
    assert_eq!(database.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), "0");
    assert_eq!(database.sql("SELECT count(*) FROM cashgate.withdrawals"), (5 * AT_ONCE).to_string());
}
