//! Who asked for money, as a replica that was away is told it.

use cashgate_ledger::{AttemptsPart, Ledger, Sequence};
use tokio::task::JoinSet;

use super::store::*;
use crate::sample::*;

#[tokio::test]
async fn they_are_told_in_the_ledgers_order_with_the_notices_that_are_asked_for() {
    let (ledger, _place) = new_ledger();
    ledger.append(vec![hold_requested(1), hold_granted(1)]).await.unwrap();
    ledger.record_notice(notice("approval_refused", 1)).await.unwrap();
    ledger.record_notice(notice("stopped", 1)).await.unwrap();
    ledger.append(vec![hold_requested(2)]).await.unwrap();
    let reader = ledger.reader();
    let part = reader.attempts_after(Sequence(0), &["approval_refused", "alarm"]).unwrap();
    let approved: Vec<_> = part.approved.iter().map(|(row, step)| (row.id, step.number, step.sequence.0)).collect();
    assert_eq!(approved, [(id(1), 1, 1), (id(2), 1, 5)]);
    assert_eq!(part.notices.iter().map(|notice| notice.sequence.0).collect::<Vec<_>>(), [3]);
    assert_eq!((part.through, part.is_whole), (Sequence(5), true));
    let part = reader.attempts_after(Sequence(5), &["alarm"]).unwrap();
    assert_eq!((part.approved.len(), part.notices.len(), part.through, part.is_whole), (0, 0, Sequence(5), true));
    let part = reader.attempts_after(Sequence(9), &["alarm"]).unwrap();
    assert_eq!((part.through, part.is_whole), (Sequence(9), true), "whoever is ahead stays there");
}

/// So many refusals, in whatever order.
async fn refused(ledger: &Ledger, many: u64) {
    let mut writing = JoinSet::new();
    for _ in 0..many {
        let ledger = ledger.clone();
        writing.spawn(async move { ledger.record_notice(notice("approval_refused", 1)).await.unwrap() });
    }
    writing.join_all().await;
}

#[tokio::test]
async fn a_long_absence_is_told_in_parts_and_nothing_twice_or_not_at_all_where_they_meet() {
    const PART: u64 = AttemptsPart::LOOKED_AT_MAX;
    let (ledger, _place) = new_ledger();
    // An approval on either side of the end of each part.
    refused(&ledger, PART - 1).await;
    ledger.append(vec![hold_requested(1), hold_requested(2)]).await.unwrap();
    refused(&ledger, PART - 2).await;
    ledger.append(vec![hold_requested(3), hold_requested(4)]).await.unwrap();
    refused(&ledger, 1).await;
    let (mut parts, mut told) = (Vec::new(), Vec::new());
    let mut after = Sequence(0);
    loop {
        let part = ledger.reader().attempts_after(after, &["approval_refused"]).unwrap();
        let approved: Vec<_> = part.approved.iter().map(|(row, _)| number_of(row.id)).collect();
        told.extend(part.approved.iter().map(|(_, step)| step.sequence.0));
        told.extend(part.notices.iter().map(|notice| notice.sequence.0));
        parts.push((part.through.0, approved, part.is_whole));
        after = part.through;
        if part.is_whole {
            break;
        }
    }
    let last = 2 * PART + 2;
    assert_eq!(parts, [(PART, vec![1], false), (2 * PART, vec![2, 3], false), (last, vec![4], true)]);
    told.sort_unstable();
    assert_eq!(told, (1..=last).collect::<Vec<_>>(), "each once");
}
