use std::sync::atomic::{AtomicU64, Ordering};

use cashgate_ledger::{AppendError, Sequence, StepRecord, WithdrawalRow};
use cashgate_withdrawal::ids::Nonce;
use cashgate_withdrawal::money::Money;
use tokio::task::JoinSet;

use super::store::*;
use crate::sample::*;

#[tokio::test]
async fn what_was_appended_comes_back_also_after_a_restart() {
    let (ledger, place) = new_ledger();
    assert_eq!(ledger.append(vec![hold_requested(1)]).await, Ok(Sequence(1)));
    assert_eq!(ledger.append(vec![hold_granted(1), dispense_commanded(1)]).await, Ok(Sequence(3)));
    ledger.close().await.unwrap();

    let ledger = place.open();
    assert_eq!(*ledger.subscribe_last_sequence().borrow(), Sequence(3));
    let (withdrawal, steps) = ledger.reader().withdrawal(id(1)).unwrap().unwrap();
    assert_eq!((withdrawal.row, withdrawal.last_step, withdrawal.changed_at), (dispensing(1), 3, at(1)));
    let expected = [hold_requested(1), hold_granted(1), dispense_commanded(1)];
    assert_eq!(steps.len(), expected.len());
    for (index, (found, appended)) in steps.iter().zip(&expected).enumerate() {
        assert_eq!(found.sequence, Sequence(index as u64 + 1));
        assert_eq!((found.withdrawal, found.number, found.at), (appended.withdrawal, appended.number, appended.at));
        assert_eq!((found.kind.as_str(), &found.body), (appended.kind, &appended.body));
        assert_eq!(found.institution, appended.row.institution);
    }
    // And goes on where it stopped.
    assert_eq!(ledger.append(vec![ended(1)]).await, Ok(Sequence(4)));
}

/// Appends whose codes must be refused while withdrawal 2 has ended.
fn refused_codes() -> Vec<(&'static str, Vec<StepRecord>, AppendError)> {
    vec![
        (
            "a replayed code",
            vec![step(3, 1, "hold_requested", WithdrawalRow { nonce: Nonce(2_u128.to_be_bytes()), ..approved(3) })],
            AppendError::NonceAlreadyClaimed { withdrawal: id(3), by: id(2) },
        ),
        (
            "one code for two",
            vec![
                hold_requested(3),
                step(4, 1, "hold_requested", WithdrawalRow { nonce: approved(3).nonce, ..approved(4) }),
            ],
            AppendError::NonceAlreadyClaimed { withdrawal: id(4), by: id(3) },
        ),
    ]
}

/// Appends that must be refused while withdrawal 1 has one step and withdrawal 2 has ended.
fn refused_appends() -> Vec<(&'static str, Vec<StepRecord>, AppendError)> {
    let withdrawal = id(1);
    let out_of_order = |expected, found| AppendError::StepOutOfOrder { withdrawal, expected, found };
    let differently = |change: fn(&mut WithdrawalRow)| {
        let mut step = hold_granted(1);
        change(&mut step.row);
        vec![step]
    };
    vec![
        ("a repetition", vec![hold_requested(1)], out_of_order(2, 1)),
        ("a gap", vec![dispense_commanded(1)], out_of_order(2, 3)),
        ("a repetition in one append", vec![hold_granted(1), hold_granted(1)], out_of_order(3, 2)),
        (
            "a beginning in the middle",
            vec![hold_granted(3)],
            AppendError::StepOutOfOrder { withdrawal: id(3), expected: 1, found: 2 },
        ),
        (
            "a step after the end",
            vec![step(2, 5, "late", closed(2))],
            AppendError::WithdrawalEnded { withdrawal: id(2) },
        ),
        (
            "another amount",
            differently(|row| row.amount = yen(40_000)),
            AppendError::ApprovalChanged { withdrawal, number: 2 },
        ),
        (
            "another nonce",
            differently(|row| row.nonce = Nonce([8; 16])),
            AppendError::ApprovalChanged { withdrawal, number: 2 },
        ),
        (
            "another account",
            differently(|row| row.account = "acc-2".parse().unwrap()),
            AppendError::ApprovalChanged { withdrawal, number: 2 },
        ),
        (
            "euros out of yen",
            differently(|row| row.dispensed = Some(Money::zero("EUR".parse().unwrap()))),
            AppendError::CurrenciesDiffer { withdrawal, number: 2 },
        ),
        ("nothing", vec![], AppendError::StepCount { found: 0 }),
        ("too much", vec![hold_granted(1); 65], AppendError::StepCount { found: 65 }),
        (
            "a long body",
            vec![StepRecord { body: vec![0; 65_537], ..hold_granted(1) }],
            AppendError::BodyTooLong { withdrawal, number: 2, bytes: 65_537 },
        ),
    ]
}

#[tokio::test]
async fn refuses_precisely() {
    let (ledger, _place) = new_ledger();
    ledger.append(vec![hold_requested(1)]).await.unwrap();
    ledger.append(whole_life(2)).await.unwrap();
    let cases = [refused_codes(), refused_appends()].concat();
    let count = cases.len() as u64;
    for (what, steps, expected) in cases {
        assert_eq!(ledger.append(steps).await, Err(expected), "{what}");
    }
    let without_name = ledger.append(vec![step(1, 2, "", dispensing(1))]).await;
    assert!(matches!(without_name, Err(AppendError::Constraint(_))), "{without_name:?}");
    assert_eq!(ledger.stats().refused, count + 1);

    // None of it left a trace, and the withdrawal goes on.
    assert_eq!(ledger.reader().last_sequence().unwrap(), Sequence(5));
    assert_eq!(ledger.append(vec![hold_granted(1)]).await, Ok(Sequence(6)));
}

#[tokio::test]
async fn an_append_is_written_whole_or_not_at_all() {
    let (ledger, _place) = new_ledger();
    let mut steps = whole_life(1);
    steps.push(hold_requested(2));
    steps.push(dispense_commanded(2)); // The gap: five good steps stand before it.
    let refused = ledger.append(steps).await;
    assert_eq!(refused, Err(AppendError::StepOutOfOrder { withdrawal: id(2), expected: 2, found: 3 }));
    assert_eq!(ledger.reader().withdrawal(id(1)).unwrap(), None);
    assert_eq!(ledger.reader().withdrawal(id(2)).unwrap(), None);
    assert_eq!(ledger.append(vec![hold_requested(1)]).await, Ok(Sequence(1)), "the sequence must not have a gap");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_that_wait_together_share_a_commit() {
    let (ledger, _place) = new_ledger();
    let mut lanes = JoinSet::new();
    for lane in 0..64_u64 {
        let ledger = ledger.clone();
        lanes.spawn(async move {
            for n in 0..10 {
                for step in whole_life(lane * 10 + n) {
                    ledger.append(vec![step]).await.unwrap();
                }
            }
        });
    }
    lanes.join_all().await;
    let stats = ledger.stats();
    assert_eq!((stats.appends, stats.steps, stats.refused), (2560, 2560, 0));
    println!("{} appends in {} commits", stats.appends, stats.commits);
    assert!(stats.commits * 4 < stats.appends, "{} commits for {} appends", stats.commits, stats.appends);
    assert!(stats.commits * 128 >= stats.appends, "a group cannot be larger than what waits");
}

/// All wait in the queue when the writer takes them, so that they are one group: the middle one must fall alone.
#[tokio::test(flavor = "current_thread")]
async fn a_refused_append_does_not_take_its_group_with_it() {
    let (ledger, _place) = new_ledger();
    ledger.append(vec![hold_requested(0)]).await.unwrap();
    let refused = AtomicU64::new(0);
    let commits_before = ledger.stats().commits;
    let attempts = (1..=300_u64).map(|n| {
        let (ledger, refused) = (&ledger, &refused);
        async move {
            let replays = n % 3 == 0;
            let row = if replays { WithdrawalRow { nonce: Nonce([0; 16]), ..approved(n) } } else { approved(n) };
            match ledger.append(vec![step(n, 1, "hold_requested", row)]).await {
                Ok(_) => assert!(!replays, "withdrawal {n} claimed a nonce that was taken"),
                Err(error) => {
                    assert_eq!(error, AppendError::NonceAlreadyClaimed { withdrawal: id(n), by: id(0) });
                    assert!(replays, "withdrawal {n} fell for another's fault");
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    });
    join_all(attempts).await;
    assert_eq!(refused.into_inner(), 100);
    assert_eq!(ledger.reader().last_sequence().unwrap(), Sequence(201));
    let commits = ledger.stats().commits - commits_before;
    assert!(commits < 100, "{commits} commits: nearly every append had a group of its own, so nothing was shown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_claims_of_one_nonce_one_wins() {
    let (ledger, _place) = new_ledger();
    let mut claims = JoinSet::new();
    for n in 0..100 {
        let ledger = ledger.clone();
        let claim = step(n, 1, "hold_requested", WithdrawalRow { nonce: Nonce([7; 16]), ..approved(n) });
        claims.spawn(async move { ledger.append(vec![claim]).await.is_ok() });
    }
    let won = claims.join_all().await.into_iter().filter(|won| *won).count();
    assert_eq!(won, 1);
}

#[tokio::test]
async fn a_closed_ledger_has_written_what_was_queued_and_takes_no_more() {
    let (ledger, place) = new_ledger();
    let other = ledger.clone();
    let (written, closed) = tokio::join!(ledger.append(vec![hold_requested(1)]), other.clone().close());
    assert_eq!((written, closed), (Ok(Sequence(1)), Ok(())));
    assert_eq!(other.append(vec![hold_granted(1)]).await, Err(AppendError::Closed));
    assert_eq!(other.failure(), None);
    assert!(other.reader().withdrawal(id(1)).unwrap().is_some(), "reading goes on");
    let Some(path) = place.file() else { return };
    let log = std::fs::metadata(path.with_extension("db-wal")).map_or(0, |log| log.len());
    assert_eq!(log, 0, "the log was folded into the file");
}

/// Polls all in one task, in order; enough for tests that fill the queue.
async fn join_all<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) {
    let mut waiting: Vec<_> = futures.into_iter().map(Box::pin).collect();
    std::future::poll_fn(|context| {
        waiting.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if waiting.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
