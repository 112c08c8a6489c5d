//! Steps and notices in one order, for everyone and for one institution.

use std::time::Duration;

use cashgate_ledger::{FeedEntry, FeedPage, Ledger, PAGE_SIZE_MAX, Sequence};
use cashgate_withdrawal::ids::InstitutionId;
use tokio::task::JoinSet;

use super::reading::of;
use super::store::*;
use crate::sample::*;

/// What an entry is, in the words that SQL shows.
fn kind(entry: &FeedEntry) -> &str {
    match entry {
        FeedEntry::Step(step) => &step.kind,
        FeedEntry::Notice(notice) => &notice.kind,
    }
}

#[tokio::test]
async fn the_feed_resumes_and_shows_an_institution_its_own_and_what_concerns_all() {
    let (ledger, _place) = new_ledger();
    ledger.append(of("aozora", whole_life(1))).await.unwrap(); // 1 to 4
    ledger.record_notice(notice_of("hinode", "approval_refused", 1)).await.unwrap(); // 5
    ledger.append(of("hinode", whole_life(2))).await.unwrap(); // 6 to 9
    ledger.record_notice(notice("stopped", 2)).await.unwrap(); // 10
    ledger.put_device(phone("phone-1"), notice_of("aozora", "device_registered", 3)).await.unwrap(); // 11
    ledger.append(of("aozora", vec![hold_requested(3)])).await.unwrap(); // 12
    let named = |name: &str| -> Option<InstitutionId> { Some(name.parse().unwrap()) };
    let check = |after: u64, institution: Option<InstitutionId>, limit, expected: &[u64], through: u64| {
        let page = ledger.reader().feed_after(Sequence(after), institution.as_ref(), limit).unwrap();
        let found: Vec<_> = page.entries.iter().map(|entry| entry.sequence().0).collect();
        assert_eq!((found.as_slice(), page.through.0), (expected, through), "after {after}, {institution:?}");
    };
    check(0, None, 3, &[1, 2, 3], 3);
    check(3, None, 2, &[4, 5], 5);
    check(4, None, 1, &[5], 5);
    check(5, None, PAGE_SIZE_MAX, &[6, 7, 8, 9, 10, 11, 12], 12);
    check(12, None, 10, &[], 12);
    check(99, None, 10, &[], 99);
    check(3, named("aozora"), 2, &[4, 10], 10);
    check(4, named("aozora"), 9, &[10, 11, 12], 12);
    check(0, named("hinode"), 9, &[5, 6, 7, 8, 9, 10], 12);
    check(0, named("nobody"), 9, &[10], 12);
    check(10, named("nobody"), 9, &[], 12);

    let page = ledger.reader().feed_after(Sequence(8), None, 4).unwrap();
    let kinds: Vec<_> = page.entries.iter().map(kind).collect();
    assert_eq!(kinds, ["closed", "stopped", "device_registered", "hold_requested"]);
}

const LANES: u64 = 24;
const EACH: u64 = 20;

/// Reads on until `end`, in small pages, as a subscriber does.
async fn followed(ledger: Ledger, institution: Option<InstitutionId>, end: Sequence) -> Vec<FeedEntry> {
    let mut last = ledger.subscribe_last_sequence();
    let (mut seen, mut through) = (Vec::new(), Sequence(0));
    while through < end {
        let known = *last.borrow_and_update();
        let (reader, asked) = (ledger.reader().clone(), institution.clone());
        let read = move || reader.feed_after(through, asked.as_ref(), 50);
        let FeedPage { entries, through: next } = tokio::task::spawn_blocking(read).await.unwrap().unwrap();
        seen.extend(entries);
        if next == through {
            assert!(known <= through, "a commit was announced and could not be read");
            last.changed().await.unwrap();
        }
        through = next;
    }
    seen
}

/// A lane's life: every step is awaited, and each life has a notice of its institution, one of everyone's, and one that nobody waits for.
async fn lived(ledger: Ledger, lane: u64) {
    let institution = if lane.is_multiple_of(4) { "hinode" } else { "aozora" };
    for n in lane * EACH..(lane + 1) * EACH {
        for step in of(institution, whole_life(n)) {
            ledger.append(vec![step]).await.unwrap();
        }
        ledger.notice_later(notice_of(institution, "approval_refused", n));
        ledger.record_notice(notice("alarm", n)).await.unwrap();
        ledger.put_device(phone(&format!("phone-{n}")), notice_of(institution, "device_registered", n)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_read_while_lanes_write_misses_nothing_and_repeats_nothing() {
    let end = Sequence(LANES * EACH * 7);
    let (ledger, _place) = new_ledger();
    let hinode: InstitutionId = "hinode".parse().unwrap();
    let [all, its_own] =
        [None, Some(hinode.clone())].map(|institution| tokio::spawn(followed(ledger.clone(), institution, end)));
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        lanes.spawn(lived(ledger.clone(), lane));
    }
    lanes.join_all().await;
    assert_eq!(ledger.stats().notices_dropped, 0);
    let within = Duration::from_secs(20);
    let all = tokio::time::timeout(within, all).await.expect("the feed hangs").unwrap();
    let its_own = tokio::time::timeout(within, its_own).await.expect("the feed hangs").unwrap();
    let sequences: Vec<u64> = all.iter().map(|entry| entry.sequence().0).collect();
    assert_eq!(sequences, (1..=end.0).collect::<Vec<_>>());
    for wanted in ["closed", "approval_refused", "alarm", "device_registered"] {
        assert_eq!(all.iter().filter(|entry| kind(entry) == wanted).count() as u64, LANES * EACH, "{wanted}");
    }
    let concerns_hinode = |entry: &FeedEntry| match entry {
        FeedEntry::Step(step) => step.institution == hinode,
        FeedEntry::Notice(notice) => notice.institution.as_ref().is_none_or(|whose| *whose == hinode),
    };
    let expected: Vec<_> = all.into_iter().filter(concerns_hinode).collect();
    assert_eq!(expected.len() as u64, LANES / 4 * EACH * 6 + LANES * EACH);
    assert_eq!(its_own, expected);
}

#[tokio::test]
async fn a_gap_is_found_wherever_the_page_ends() {
    let (ledger, place) = new_ledger();
    for n in 1..=6 {
        ledger.record_notice(notice("alarm", n)).await.unwrap();
    }
    ledger.close().await.unwrap();
    place.damage("DELETE FROM notices WHERE sequence = 4");
    let reader = place.reader();
    for (after, limit, found) in [(0, 3, true), (0, 4, false), (0, 9, false), (3, 1, false), (4, 2, true)] {
        let page = reader.feed_after(Sequence(after), None, limit);
        assert_eq!(page.is_ok(), found, "after {after}, {limit} of them: {page:?}");
    }
    // Beyond what one call looks at something follows: then the end of what it looked at is missing.
    place.damage("UPDATE notices SET sequence = 20000 WHERE sequence = 6");
    let page = reader.feed_after(Sequence(4), None, 9);
    assert!(page.is_err(), "{page:?}");
}
