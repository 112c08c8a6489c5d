use std::time::Duration;

use cashgate_ledger::{PAGE_SIZE_MAX, Sequence, StateCount, StepPage, StepRecord, WithdrawalFilter, WithdrawalRow};
use cashgate_withdrawal::ids::{InstitutionId, Nonce};
use cashgate_withdrawal::time::CalendarDay;
use tokio::task::JoinSet;

use crate::sample::*;

fn of(institution: &str, mut steps: Vec<StepRecord>) -> Vec<StepRecord> {
    for step in &mut steps {
        step.row.institution = institution.parse().unwrap();
    }
    steps
}

#[tokio::test]
async fn recovery_finds_what_is_open_with_its_steps() {
    let (ledger, _path, _folder) = new_ledger();
    ledger.append(whole_life(1)).await.unwrap();
    ledger.append(vec![hold_requested(3), hold_granted(3)]).await.unwrap();
    ledger.append(vec![hold_requested(2)]).await.unwrap();
    let open = ledger.reader().open_withdrawals().unwrap();
    let found: Vec<_> =
        open.iter().map(|(withdrawal, steps)| (withdrawal.id, withdrawal.row.clone(), steps.len())).collect();
    assert_eq!(found, [(id(2), approved(2), 1), (id(3), dispensing(3), 2)]);
}

#[tokio::test]
async fn limits_are_rebuilt_from_what_left_machines_and_has_ended() {
    let (ledger, _path, _folder) = new_ledger();
    let on_day = |n: u64, day: i32, dispensed: Option<u64>| {
        let mut steps = whole_life(n);
        for step in &mut steps {
            step.row.day = CalendarDay(day);
        }
        steps.last_mut().unwrap().row.dispensed = dispensed.map(yen);
        steps
    };
    ledger.append(on_day(1, 99, Some(10_000))).await.unwrap();
    ledger.append(on_day(2, 100, Some(20_000))).await.unwrap();
    ledger.append(on_day(3, 100, Some(0))).await.unwrap();
    ledger.append(on_day(4, 101, None)).await.unwrap();
    ledger.append(on_day(5, 101, Some(5_000))).await.unwrap();
    let mut partly = on_day(6, 101, None);
    partly.pop();
    partly.last_mut().unwrap().row.dispensed = Some(yen(1_000)); // Known, but open: its reservation still counts it.
    ledger.append(partly).await.unwrap();
    let spent = ledger.reader().spent_since(CalendarDay(100)).unwrap();
    let found: Vec<_> =
        spent.iter().map(|spent| (spent.withdrawal, spent.dispensed, spent.day.0, spent.approved_at)).collect();
    assert_eq!(found, [(id(2), yen(20_000), 100, at(2)), (id(5), yen(5_000), 101, at(5))]);

    // Pace counts attempts: those of which nothing left are there as well, those that are open or older are not.
    let recent = ledger.reader().ended_since(at(3)).unwrap();
    let recent: Vec<_> = recent.iter().map(|one| (one.withdrawal, one.dispensed)).collect();
    assert_eq!(recent, [(id(3), yen(0)), (id(4), yen(0)), (id(5), yen(5_000))]);
}

#[tokio::test]
async fn a_nonce_finds_the_withdrawal_that_claimed_it() {
    let (ledger, _path, _folder) = new_ledger();
    ledger.append(vec![hold_requested(1)]).await.unwrap();
    let nonce = hold_requested(1).row.nonce;
    assert_eq!(ledger.reader().withdrawal_of_nonce(nonce).unwrap(), Some(id(1)));
    assert_eq!(ledger.reader().withdrawal_of_nonce(Nonce([0xff; 16])).unwrap(), None);
}

#[tokio::test]
async fn lists_are_filtered_newest_first_and_paged_without_loss() {
    let (ledger, _path, _folder) = new_ledger();
    for n in 0..25 {
        let institution = if n % 5 == 0 { "hinode" } else { "aozora" };
        let steps = if n % 2 == 0 { whole_life(n) } else { vec![hold_requested(n)] };
        ledger.append(of(institution, steps)).await.unwrap();
    }
    let check = |filter: WithdrawalFilter, expected: Vec<u64>| {
        let (mut found, mut before, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = ledger.reader().list(&filter, before, 4).unwrap();
            assert!(page.withdrawals.len() <= 4);
            found.extend(page.withdrawals.iter().map(|withdrawal| number_of(withdrawal.id)));
            pages += 1;
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{filter:?}");
        assert_eq!(pages, expected.len().div_ceil(4).max(1), "{filter:?}: no empty page at the end");
    };
    let all = WithdrawalFilter::default;
    let that = |keep: fn(&u64) -> bool| (0..25).rev().filter(keep).collect::<Vec<_>>();
    check(all(), that(|_| true));
    check(WithdrawalFilter { institution: "hinode".parse().ok(), ..all() }, that(|n| n % 5 == 0));
    check(WithdrawalFilter { open_only: true, ..all() }, that(|n| n % 2 == 1));
    check(WithdrawalFilter { state: Some("closed".to_owned()), ..all() }, that(|n| n % 2 == 0));
    check(
        WithdrawalFilter { institution: "hinode".parse().ok(), open_only: true, ..all() },
        that(|n| n % 5 == 0 && n % 2 == 1),
    );
    check(WithdrawalFilter { atm: "atm-0001".parse().ok(), account: "acc-1".parse().ok(), ..all() }, that(|_| true));
    check(WithdrawalFilter { atm: "atm-0002".parse().ok(), ..all() }, vec![]);
    check(WithdrawalFilter { account: "acc-2".parse().ok(), ..all() }, vec![]);
}

#[tokio::test]
async fn states_are_counted() {
    let (ledger, _path, _folder) = new_ledger();
    ledger.append(whole_life(1)).await.unwrap();
    ledger.append(whole_life(2)).await.unwrap();
    ledger.append(vec![hold_requested(3)]).await.unwrap();
    let ended = StateCount { state: "closed".to_owned(), open: false, count: 2 };
    let open = StateCount { state: "hold_requested".to_owned(), open: true, count: 1 };
    assert_eq!(ledger.reader().counts_by_state().unwrap(), [ended, open.clone()]);
    assert_eq!(ledger.reader().open_counts_by_state().unwrap(), [open]);
}

#[tokio::test]
async fn the_feed_resumes_and_shows_an_institution_its_own() {
    let (ledger, _path, _folder) = new_ledger();
    ledger.append(of("aozora", whole_life(1))).await.unwrap();
    ledger.append(of("hinode", whole_life(2))).await.unwrap();
    ledger.append(of("aozora", whole_life(3))).await.unwrap();
    let aozora: InstitutionId = "aozora".parse().unwrap();
    let check = |after: u64, institution: Option<&InstitutionId>, limit, expected: &[u64], through: u64| {
        let page = ledger.reader().steps_after(Sequence(after), institution, limit).unwrap();
        let found: Vec<_> = page.steps.iter().map(|step| step.sequence.0).collect();
        assert_eq!((found.as_slice(), page.through.0), (expected, through), "after {after}");
    };
    check(0, None, 3, &[1, 2, 3], 3);
    check(3, None, PAGE_SIZE_MAX, &[4, 5, 6, 7, 8, 9, 10, 11, 12], 12);
    check(12, None, 10, &[], 12);
    check(99, None, 10, &[], 99);
    check(3, Some(&aozora), 2, &[4, 9], 9);
    check(4, Some(&aozora), 9, &[9, 10, 11, 12], 12);
    check(0, Some(&"nobody".parse().unwrap()), 9, &[], 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_read_while_lanes_append_misses_nothing_and_repeats_nothing() {
    const LANES: u64 = 24;
    const EACH: u64 = 20;
    let (ledger, _path, _folder) = new_ledger();
    let feeds = [None, Some("hinode")].map(|institution| {
        let (ledger, mut last) = (ledger.clone(), ledger.subscribe_last_sequence());
        tokio::spawn(async move {
            let institution: Option<InstitutionId> = institution.map(|name| name.parse().unwrap());
            let (mut seen, mut through) = (Vec::new(), Sequence(0));
            while through < Sequence(LANES * EACH * 4) {
                let known = *last.borrow_and_update();
                let (reader, asked) = (ledger.reader().clone(), institution.clone());
                let read = move || reader.steps_after(through, asked.as_ref(), 50);
                let StepPage { steps, through: next } = tokio::task::spawn_blocking(read).await.unwrap().unwrap();
                seen.extend(steps.iter().map(|step| (step.sequence, step.withdrawal, step.number)));
                if next == through {
                    assert!(known <= through, "a commit was announced and could not be read");
                    last.changed().await.unwrap();
                }
                through = next;
            }
            seen
        })
    });
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let ledger = ledger.clone();
        let institution = if lane % 4 == 0 { "hinode" } else { "aozora" };
        lanes.spawn(async move {
            for n in 0..EACH {
                for step in of(institution, whole_life(lane * EACH + n)) {
                    ledger.append(vec![step]).await.unwrap();
                }
            }
        });
    }
    lanes.join_all().await;
    let [all, hinode] = feeds;
    let within = Duration::from_secs(20);
    let all = tokio::time::timeout(within, all).await.expect("the feed hangs").unwrap();
    let hinode = tokio::time::timeout(within, hinode).await.expect("the feed hangs").unwrap();
    let sequences: Vec<u64> = all.iter().map(|(sequence, _, _)| sequence.0).collect();
    assert_eq!(sequences, (1..=LANES * EACH * 4).collect::<Vec<_>>());
    let its_own: Vec<_> =
        all.into_iter().filter(|(_, withdrawal, _)| (number_of(*withdrawal) / EACH).is_multiple_of(4)).collect();
    assert_eq!(hinode, its_own);
}

#[tokio::test]
async fn a_row_that_never_ended_well_reads_back_in_full() {
    let (ledger, _path, _folder) = new_ledger();
    let row = WithdrawalRow {
        state: "suspect".into(),
        dispensed: Some(yen(0)),
        amount: cashgate_withdrawal::money::Money::new(1, "EUR".parse().unwrap()).unwrap(),
        day: CalendarDay(-1),
        ..dispensing(1)
    };
    let row = WithdrawalRow { dispensed: Some(cashgate_withdrawal::money::Money::zero("EUR".parse().unwrap())), ..row };
    ledger.append(vec![step(1, 1, "outcome_unknown", row.clone())]).await.unwrap();
    assert_eq!(ledger.reader().withdrawal(id(1)).unwrap().unwrap().0.row, row);
}
