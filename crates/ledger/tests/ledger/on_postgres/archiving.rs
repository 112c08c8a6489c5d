//! Old history out of the way: nothing is lost, and everything still fits.

use cashgate_ledger::{Sequence, WithdrawalFilter, archive};

use super::store::*;
use crate::sample::*;

#[tokio::test]
async fn what_is_archived_is_found_as_before_and_its_chains_still_fit() {
    let (ledger, place) = new_ledger();
    for n in 1..=8 {
        ledger.append(whole_life(n)).await.unwrap();
    }
    ledger.append(vec![hold_requested(9)]).await.unwrap();
    ledger.remark(vec![super::damage::remark(1, "asked", "x")]);
    ledger.record_notice(notice("alarm", 1)).await.unwrap();
    let all = |ledger: &cashgate_ledger::Ledger| {
        let reader = ledger.reader();
        (
            reader.feed_after(Sequence(0), None, 1000).unwrap(),
            reader.list(&WithdrawalFilter::default(), None, 100).unwrap(),
            reader.withdrawal(id(1)).unwrap(),
            reader.remarks(id(1)).unwrap(),
            reader.counts_by_state().unwrap(),
            reader.withdrawal_of_nonce(approved(1).nonce).unwrap(),
        )
    };
    let before = all(&ledger);
    let options = place.options();
    let moved = tokio::task::spawn_blocking(move || archive(&options, at(5), &mut |_| ()).unwrap()).await.unwrap();
    assert_eq!(moved, 4, "those of before the moment that have ended");
    assert_eq!(all(&ledger), before);
    assert_eq!(place.sql("SELECT count(*) FROM withdrawals"), "5");
    assert_eq!(place.sql("SELECT count(*) FROM archived_steps"), "16");
    assert_eq!(place.verified().1, Vec::<String>::new());
    // Remarks may come late, and count on.
    ledger.remark(vec![super::damage::remark(1, "asked", "again")]);
    ledger.append(whole_life(10)).await.unwrap();
    assert_eq!(ledger.reader().remarks(id(1)).unwrap().kept.len(), 2);
    place.damage(&format!("UPDATE archived_steps SET body = x'00' WHERE withdrawal = '{}' AND number = 2", id(2)));
    assert_eq!(place.verified().1.len(), 1, "and damage there is found");
}
