use cashgate_ledger::{Ledger, Remark, StoredRemark};

use crate::damage::remark;
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
    let (ledger, path, _folder) = new_ledger();
    ledger.append(whole_life(1)).await.unwrap();
    let before = ledger.reader().withdrawal(id(1)).unwrap();
    ledger.remark(vec![remark(1, "outcome_repeated", "dispensed 30000"), remark(1, "question", "状態は?")]);
    settled(&ledger, 2).await;
    ledger.remark(vec![remark(1, "outcome_late", "not_dispensed")]);
    ledger.remark(vec![]);
    ledger.close().await.unwrap();

    let ledger = Ledger::open(&path, options()).unwrap();
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

#[tokio::test]
async fn a_hundred_remarks_are_kept_and_the_rest_are_counted() {
    let (ledger, _path, _folder) = new_ledger();
    ledger.append(vec![hold_requested(1), hold_requested(2)]).await.unwrap();
    for n in 0..130 {
        ledger.remark(vec![remark(1, "asked", &n.to_string()), remark(2, "asked", "x")]);
        if n % 40 == 0 {
            settled(&ledger, 2 * n).await;
        }
    }
    settled(&ledger, 260).await;
    let remarks = ledger.reader().remarks(id(1)).unwrap();
    assert_eq!((remarks.kept.len(), remarks.left_out), (100, 30));
    assert_eq!(remarks.kept[99].detail, "99");
    assert_eq!((ledger.stats().remarks, ledger.stats().remarks_dropped), (200, 60));
}

#[tokio::test]
async fn a_long_detail_is_cut_between_characters() {
    let (ledger, _path, _folder) = new_ledger();
    ledger.append(vec![hold_requested(1)]).await.unwrap();
    ledger.remark(vec![remark(1, "asked", &"円".repeat(1000)), remark(1, "asked", &"x".repeat(512))]);
    settled(&ledger, 2).await;
    let lengths: Vec<_> = ledger.reader().remarks(id(1)).unwrap().kept.iter().map(|one| one.detail.len()).collect();
    assert_eq!(lengths, [510, 512]);
}

#[tokio::test]
async fn remarks_that_cannot_be_kept_are_dropped_and_counted_and_harm_nobody() {
    let (ledger, _path, _folder) = new_ledger();
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
    let folder = tempfile::tempdir().unwrap();
    let few = cashgate_ledger::LedgerOptions { queue_length_max: 1, ..options() };
    let ledger = Ledger::open(folder.path().join("ledger.db"), few).unwrap();
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
