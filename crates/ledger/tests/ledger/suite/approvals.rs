//! What limits, patterns and rehearsals are made from.

use cashgate_ledger::{ApprovedRow, Ledger, StepRecord};
use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::time::{CalendarDay, Timestamp};

use super::store::*;
use crate::sample::*;

fn approved_since(ledger: &Ledger, since: Timestamp) -> Vec<ApprovedRow> {
    let mut found = Vec::new();
    let count = ledger.reader().for_each_approved_since(since, &mut |row| found.push(row)).unwrap();
    assert_eq!(count, found.len() as u64);
    found
}

#[tokio::test]
async fn everything_approved_since_a_moment_is_there_open_or_ended() {
    let (ledger, _place) = new_ledger();
    let ended_with = |n: u64, dispensed: Option<u64>| {
        let mut steps = whole_life(n);
        steps.last_mut().unwrap().row.dispensed = dispensed.map(yen);
        steps
    };
    ledger.append(ended_with(1, Some(30_000))).await.unwrap();
    ledger.append(ended_with(5, Some(5_000))).await.unwrap();
    ledger.append(ended_with(3, Some(0))).await.unwrap();
    ledger.append(ended_with(2, Some(20_000))).await.unwrap();
    ledger.append(vec![hold_requested(6)]).await.unwrap();
    ledger.append(ended_with(4, None)).await.unwrap();
    let found: Vec<_> = approved_since(&ledger, at(2))
        .into_iter()
        .map(|row| (number_of(row.withdrawal), row.open, row.dispensed, row.approved_at))
        .collect();
    let expected = [
        (2, false, Some(yen(20_000)), at(2)),
        (3, false, Some(yen(0)), at(3)),
        (4, false, None, at(4)),
        (5, false, Some(yen(5_000)), at(5)),
        (6, true, None, at(6)),
    ];
    assert_eq!(found, expected);
    assert_eq!(approved_since(&ledger, at(0)).len(), 6);
    assert_eq!(approved_since(&ledger, at(7)), []);

    let whole = ApprovedRow {
        withdrawal: id(6),
        open: true,
        institution: "aozora".parse().unwrap(),
        account: "acc-1".parse().unwrap(),
        device: "phone-1".parse().unwrap(),
        atm: "atm-0001".parse().unwrap(),
        amount: yen(30_000),
        dispensed: None,
        day: CalendarDay(20_717),
        approved_at: at(6),
    };
    assert_eq!(approved_since(&ledger, at(6)), [whole]);
}

/// An id is made a little before or after the approval is accepted, by up to a day; far older ids are not even looked at.
#[tokio::test]
async fn the_moment_of_an_id_may_lie_a_day_off() {
    let (ledger, _place) = new_ledger();
    let moment = Timestamp::from_unix_ms(1_760_000_000_000);
    let hours_before = |hours: u64, n: u64| {
        let ms = moment.unix_ms() - hours * 3_600_000;
        let withdrawal = WithdrawalId::from_bytes(((u128::from(ms) << 80) + u128::from(n)).to_be_bytes());
        let step = hold_requested(n);
        let row = cashgate_ledger::WithdrawalRow { approved_at: moment, ..step.row };
        StepRecord { withdrawal, row, ..step }
    };
    for (hours, n) in [(0, 1), (23, 2), (24, 3), (25, 4)] {
        ledger.append(vec![hours_before(hours, n)]).await.unwrap();
    }
    let found: Vec<_> = approved_since(&ledger, moment).iter().map(|row| row.withdrawal.as_bytes()[15]).collect();
    assert_eq!(found, [3, 2, 1]);
}

/// Two thousand and a half: more than is read at a time, and the caller reads on its own meanwhile with the only connection.
#[tokio::test]
async fn what_is_read_in_parts_is_complete_in_order_and_holds_nothing() {
    let (ledger, _place) = new_ledger_of(1024, 1);
    let all: Vec<u64> = (0..2_500).collect();
    for part in all.chunks(50) {
        ledger.append(part.iter().map(|n| hold_requested(*n)).collect()).await.unwrap();
    }
    let mut found = Vec::new();
    let count = ledger.reader().for_each_approved_since(at(0), &mut |row| {
        if found.len() % 500 == 0 {
            assert!(ledger.reader().withdrawal(row.withdrawal).unwrap().is_some());
        }
        found.push(number_of(row.withdrawal));
    });
    assert_eq!((count.unwrap(), &found), (2_500, &all));
    for (since, expected) in [(1_500, 1_000), (1_501, 999), (499, 2_001), (2_499, 1)] {
        let mut seen = 0;
        ledger.reader().for_each_first_step_since(at(since), &mut |_, _| seen += 1).unwrap();
        assert_eq!((seen, approved_since(&ledger, at(since)).len()), (expected, expected));
    }
}

#[tokio::test]
async fn a_rehearsal_sees_each_approval_with_how_it_ended() {
    let (ledger, _place) = new_ledger();
    ledger.append(whole_life(1)).await.unwrap();
    ledger.append(vec![hold_requested(2), hold_granted(2)]).await.unwrap();
    let mut found = Vec::new();
    let count = ledger.reader().for_each_first_step_since(at(1), &mut |withdrawal, step| {
        found.push((withdrawal.row.state.into_owned(), step.number, step.sequence.0, step.body));
    });
    let of = |state: &str, sequence, n: u64| (state.to_owned(), 1, sequence, hold_requested(n).body);
    assert_eq!((count.unwrap(), found), (2, vec![of("closed", 1, 1), of("dispensing", 5, 2)]));
}
