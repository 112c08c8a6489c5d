use cashgate_ledger::{Ledger, Remark, StoredRemark};

use super::damage::remark;
use super::store::*;
use crate::sample::*;

async fn settled(ledger: &Ledger, remarks: u64) {
    let arrived = || ledger.stats().remarks + ledger.stats().remarks_dropped >= remarks;
    let wait = async {
        while !arrived() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), wait).await.expect("remarks were lost uncounted");
}

#[tokio::test]
async fn remarks_are_kept_in_order_also_about_what_has_ended_and_change_nothing() {
    let (ledger, place) = new_ledger();
    ledger.append(whole_life(1)).await.unwrap();
    let before = ledger.reader().withdrawal(id(1)).unwrap();
    ledger.remark(vec![remark(1, "outcome_repeated", "dispensed 30000"), remark(1, "question", "状態は?")]);
    settled(&ledger, 2).await;
    ledger.remark(vec![remark(1, "outcome_late", "not_dispensed")]);
    ledger.remark(vec![]);
    ledger.close().await.unwrap();

    let ledger = place.open();
    let remarks = ledger.reader().remarks(id(1)).unwrap();
    let kept = |number, kind: &str, detail: &str| StoredRemark {
        number,
        at: at(1),
        kind: kind.to_owned(),
        detail: detail.to_owned(),
    };
    let expected = [
        kept(1, "outcome_repeated", "dispensed 30000"),
        kept(2, "question", "状態は?"),
        kept(3, "outcome_late", "not_dispensed"),
    ];
    assert_eq!((remarks.kept.as_slice(), remarks.left_out), (expected.as_slice(), 0));
    assert_eq!(ledger.reader().withdrawal(id(1)).unwrap(), before);
    assert_eq!(ledger.reader().remarks(id(2)).unwrap(), cashgate_ledger::Remarks::default());
}

const KINDS: [&str; 11] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];

#[tokio::test]
async fn a_hundred_remarks_are_kept_ten_of_a_kind_and_the_rest_are_counted() {
    let (ledger, _place) = new_ledger();
    ledger.append(vec![hold_requested(1), hold_requested(2)]).await.unwrap();
    let mut sent = 0;
    for kind in KINDS {
        for n in 0..12 {
            ledger.remark(vec![remark(1, kind, &n.to_string()), remark(2, "asked", "x")]);
            sent += 2;
        }
        settled(&ledger, sent).await;
    }
    let remarks = ledger.reader().remarks(id(1)).unwrap();
    // Left out: two of each of ten kinds, and twelve of the eleventh, 32 in all.
    assert_eq!((remarks.kept.len(), remarks.left_out), (100, 32));
    for kind in &KINDS[..10] {
        let details: Vec<_> =
            remarks.kept.iter().filter(|one| one.kind == *kind).map(|one| one.detail.as_str()).collect();
        assert_eq!(details, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"], "{kind}");
    }
    let remarks = ledger.reader().remarks(id(2)).unwrap();
    assert_eq!((remarks.kept.len(), remarks.left_out), (10, 64), "of 122");
    assert_eq!((ledger.stats().remarks, ledger.stats().remarks_dropped), (110, 154));
}

#[tokio::test]
async fn one_kind_does_not_take_the_place_of_the_others() {
    let (ledger, _place) = new_ledger();
    ledger.append(vec![hold_requested(1)]).await.unwrap();
    ledger.remark(vec![remark(1, "question", "?"); 500]);
    ledger.remark(vec![remark(1, "outcome_late", "dispensed 30000")]);
    settled(&ledger, 501).await;
    let remarks = ledger.reader().remarks(id(1)).unwrap();
    assert_eq!(remarks.kept.last().unwrap().detail, "dispensed 30000");
    assert_eq!((remarks.kept.len(), remarks.left_out), (11, 256), "of 490");
}

#[tokio::test]
async fn what_is_left_out_is_written_at_powers_of_two_and_never_as_more_than_came() {
    let (ledger, place) = new_ledger();
    ledger.append(vec![hold_requested(1)]).await.unwrap();
    ledger.remark(vec![remark(1, "question", "?"); 10]);
    settled(&ledger, 10).await;
    let mut written = Vec::new();
    for left_out in 1..=40_u64 {
        let before = place.left_out_written();
        ledger.remark(vec![remark(1, "question", "?")]);
        settled(&ledger, 10 + left_out).await;
        if place.left_out_written() != before {
            written.push(left_out);
        }
    }
    assert_eq!(written, [1, 2, 4, 8, 16, 32]);
    ledger.close().await.unwrap();

    let ledger = place.open();
    ledger.remark(vec![remark(1, "question", "?"); 31]);
    settled(&ledger, 31).await;
    assert_eq!(ledger.reader().remarks(id(1)).unwrap().left_out, 32, "it went on from what is written");
    ledger.remark(vec![remark(1, "question", "?")]);
    settled(&ledger, 32).await;
    assert_eq!(ledger.reader().remarks(id(1)).unwrap().left_out, 64);
}

#[tokio::test]
async fn a_long_detail_is_cut_between_characters() {
    let (ledger, _place) = new_ledger();
    ledger.append(vec![hold_requested(1)]).await.unwrap();
    ledger.remark(vec![remark(1, "asked", &"円".repeat(1000)), remark(1, "asked", &"x".repeat(512))]);
    settled(&ledger, 2).await;
    let lengths: Vec<_> = ledger.reader().remarks(id(1)).unwrap().kept.iter().map(|one| one.detail.len()).collect();
    assert_eq!(lengths, [510, 512]);
}

#[tokio::test]
async fn remarks_that_cannot_be_kept_are_dropped_and_counted_and_harm_nobody() {
    let (ledger, _place) = new_ledger();
    ledger.append(vec![hold_requested(1)]).await.unwrap();
    ledger.remark(vec![remark(9, "asked", "about nobody")]);
    ledger.remark(vec![remark(1, "", "without a kind")]);
    settled(&ledger, 2).await;
    assert_eq!((ledger.stats().remarks, ledger.stats().remarks_dropped, ledger.stats().refused), (0, 2, 0));
    ledger.append(vec![hold_granted(1)]).await.unwrap();
    ledger.clone().close().await.unwrap();
    ledger.remark(vec![remark(1, "asked", "too late")]);
    assert_eq!(ledger.stats().remarks_dropped, 3);
}

/// On one thread nobody empties the queue while it is filled.
#[tokio::test(flavor = "current_thread")]
async fn a_full_queue_makes_nobody_wait() {
    let (ledger, _place) = new_ledger_of(1, 1);
    ledger.append(vec![hold_requested(1)]).await.unwrap();
    let many = 5000;
    for _ in 0..many {
        ledger.remark(vec![Remark { kind: "asked", ..remark(1, "asked", "x") }]);
    }
    settled(&ledger, many).await;
    let stats = ledger.stats();
    assert!(stats.remarks_dropped > 0 && stats.remarks > 0, "{stats:?}");
    assert_eq!(stats.remarks + stats.remarks_dropped, many);
}
