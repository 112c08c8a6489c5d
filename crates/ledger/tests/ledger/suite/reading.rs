use cashgate_ledger::{StateCount, StepRecord, WithdrawalFilter, WithdrawalRow};
use cashgate_withdrawal::ids::Nonce;
use cashgate_withdrawal::time::CalendarDay;

use super::store::*;
use crate::sample::*;

pub(crate) fn of(institution: &str, mut steps: Vec<StepRecord>) -> Vec<StepRecord> {
    for step in &mut steps {
        step.row.institution = institution.parse().unwrap();
    }
    steps
}

#[tokio::test]
async fn recovery_finds_what_is_open_with_its_steps() {
    let (ledger, _place) = new_ledger();
    ledger.append(whole_life(1)).await.unwrap();
    ledger.append(vec![hold_requested(3), hold_granted(3)]).await.unwrap();
    ledger.append(vec![hold_requested(2)]).await.unwrap();
    let open = ledger.reader().open_withdrawals().unwrap();
    let found: Vec<_> =
        open.iter().map(|(withdrawal, steps)| (withdrawal.id, withdrawal.row.clone(), steps.len())).collect();
    assert_eq!(found, [(id(2), approved(2), 1), (id(3), dispensing(3), 2)]);
}

#[tokio::test]
async fn a_nonce_finds_the_withdrawal_that_claimed_it() {
    let (ledger, _place) = new_ledger();
    ledger.append(vec![hold_requested(1)]).await.unwrap();
    let nonce = hold_requested(1).row.nonce;
    assert_eq!(ledger.reader().withdrawal_of_nonce(nonce).unwrap(), Some(id(1)));
    assert_eq!(ledger.reader().withdrawal_of_nonce(Nonce([0xff; 16])).unwrap(), None);
}

#[tokio::test]
async fn lists_are_filtered_newest_first_and_paged_without_loss() {
    let (ledger, _place) = new_ledger();
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
    let (ledger, _place) = new_ledger();
    ledger.append(whole_life(1)).await.unwrap();
    ledger.append(whole_life(2)).await.unwrap();
    ledger.append(vec![hold_requested(3)]).await.unwrap();
    let ended = StateCount { state: "closed".to_owned(), open: false, count: 2 };
    let open = StateCount { state: "hold_requested".to_owned(), open: true, count: 1 };
    assert_eq!(ledger.reader().counts_by_state().unwrap(), [ended, open.clone()]);
    assert_eq!(ledger.reader().open_counts_by_state().unwrap(), [open]);
}

#[tokio::test]
async fn a_row_that_never_ended_well_reads_back_in_full() {
    let (ledger, _place) = new_ledger();
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
