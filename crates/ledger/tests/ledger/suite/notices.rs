//! What happened beside the steps: kept, in their sequence, unchanged.

use cashgate_ledger::{AppendError, Notice, RowCheck, Sequence, StoredNotice, Tail};
use rusqlite::Connection;

use super::store::*;
use crate::sample::*;

fn stored(sequence: u64, notice: &Notice) -> StoredNotice {
    let sequence = Sequence(sequence);
    StoredNotice {
        sequence,
        at: notice.at,
        kind: notice.kind.to_owned(),
        institution: notice.institution.clone(),
        body: notice.body.clone(),
        row_check: RowCheck::of_notice(sequence, notice),
    }
}

#[tokio::test]
async fn notices_and_steps_share_a_sequence_also_after_a_restart() {
    let (ledger, place) = new_ledger();
    let last = ledger.subscribe_last_sequence();
    let (stop, alarm) = (notice("stopped", 1), notice_of("aozora", "alarm", 2));
    assert_eq!(ledger.record_notice(stop.clone()).await, Ok(Sequence(1)));
    assert_eq!(*last.borrow(), Sequence(1));
    assert_eq!(ledger.append(vec![hold_requested(1), hold_granted(1)]).await, Ok(Sequence(3)));
    assert_eq!(ledger.record_urgent_notice(alarm.clone()).await, Ok(Sequence(4)));
    ledger.close().await.unwrap();

    let ledger = place.open();
    assert_eq!(*ledger.subscribe_last_sequence().borrow(), Sequence(4));
    let found = ledger.reader().notices_of(&["stopped", "alarm"], at(0)).unwrap();
    assert_eq!(found, [stored(1, &stop), stored(4, &alarm)]);
    assert_eq!(ledger.append(vec![dispense_commanded(1)]).await, Ok(Sequence(5)));
    assert_eq!(ledger.record_notice(notice("released", 3)).await, Ok(Sequence(6)));
    let (_, steps) = ledger.reader().withdrawal(id(1)).unwrap().unwrap();
    assert_eq!(steps.iter().map(|step| step.sequence.0).collect::<Vec<_>>(), [2, 3, 5]);
    ledger.close().await.unwrap();
    assert_eq!(place.verified().1, Vec::<String>::new());
}

#[tokio::test]
async fn a_long_tail_is_told_in_parts_and_the_last_one_says_that_it_is_the_last() {
    let (ledger, _place) = new_ledger();
    let mark = ledger.reader().tail_mark().unwrap();
    let part = usize::try_from(Tail::NOTICES_MAX).unwrap();
    let record = async |many: usize| {
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..many {
            let ledger = ledger.clone();
            all.spawn(async move { ledger.record_notice(notice("alarm", 1)).await.unwrap() });
        }
        assert_eq!(all.join_all().await.len(), many);
    };
    record(part).await;
    let told = ledger.reader().tail_after(&mark).unwrap();
    assert_eq!((told.notices.len(), told.is_whole), (part, true), "full, and yet the end");
    record(part + 1).await;
    ledger.append(vec![hold_requested(1)]).await.unwrap();
    let mut told = vec![ledger.reader().tail_after(&mark).unwrap()];
    while let Some(tail) = told.last().filter(|tail| !tail.is_whole) {
        told.push(ledger.reader().tail_after(&tail.through).unwrap());
    }
    let parts: Vec<_> = told.iter().map(|tail| (tail.notices.len(), tail.through.sequence.0)).collect();
    let (first, all) = (u64::from(Tail::NOTICES_MAX), 2 * u64::from(Tail::NOTICES_MAX) + 2);
    assert_eq!(parts, [(part, first), (part, 2 * first), (1, all)]);
}

#[tokio::test]
async fn a_start_finds_the_notices_of_its_kinds_since_a_moment_in_their_sequence() {
    let (ledger, _place) = new_ledger();
    // The clock was set back between them.
    for (kind, seconds) in
        [("stopped", 50), ("approval_refused", 10), ("released", 40), ("approval_refused", 60), ("stopped", 60)]
    {
        ledger.record_notice(notice(kind, seconds)).await.unwrap();
    }
    let check = |kinds: &[&str], since: u64, expected: &[u64]| {
        let found = ledger.reader().notices_of(kinds, at(since)).unwrap();
        let found: Vec<_> = found.iter().map(|notice| notice.sequence.0).collect();
        assert_eq!(found, expected, "{kinds:?} since {since}");
    };
    check(&["stopped", "released"], 0, &[1, 3, 5]);
    check(&["released", "stopped"], 0, &[1, 3, 5]);
    check(&["stopped"], 51, &[5]);
    check(&["approval_refused"], 10, &[2, 4]);
    check(&["approval_refused"], 11, &[4]);
    check(&["stopped"], 61, &[]);
    check(&["unheard_of"], 0, &[]);
    check(&[], 0, &[]);
}

#[tokio::test]
async fn a_notice_that_is_refused_leaves_nothing_behind() {
    let (ledger, _place) = new_ledger();
    let of_length = |bytes| Notice { body: vec![7; bytes], ..notice("alarm", 1) };
    let (longest, too_long) = (of_length(Notice::BODY_BYTES_MAX), of_length(Notice::BODY_BYTES_MAX + 1));
    let refused = Err(AppendError::NoticeTooLong { kind: "alarm", bytes: 8_193 });
    assert_eq!(ledger.record_notice(too_long.clone()).await, refused);
    let nameless = ledger.record_notice(notice("", 1)).await;
    assert!(matches!(nameless, Err(AppendError::Constraint(_))), "{nameless:?}");
    assert_eq!((ledger.stats().refused, ledger.stats().notices), (2, 0));
    assert_eq!(ledger.record_notice(longest).await, Ok(Sequence(1)));

    // Whom nobody waits for is dropped for the same reasons.
    ledger.notice_later(too_long);
    ledger.notice_later(notice("", 1));
    ledger.notice_later(notice("alarm", 2));
    assert_eq!(ledger.append(vec![hold_requested(1)]).await, Ok(Sequence(3)));
    let stats = ledger.stats();
    assert_eq!((stats.refused, stats.notices, stats.notices_dropped), (2, 2, 2));
    ledger.clone().close().await.unwrap();
    ledger.notice_later(notice("alarm", 3));
    assert_eq!(ledger.stats().notices_dropped, 3);
    assert_eq!(ledger.record_notice(notice("alarm", 3)).await, Err(AppendError::Closed));
}

/// On one thread nobody empties the queue while it is filled.
#[tokio::test(flavor = "current_thread")]
async fn a_full_queue_makes_nobody_wait_who_did_not_ask_for_it() {
    let (ledger, _place) = new_ledger_of(1, 1);
    let many = 2_000;
    for n in 0..many {
        ledger.notice_later(notice("approval_refused", n));
    }
    ledger.record_notice(notice("stopped", 1)).await.unwrap(); // Waits for its turn, and so for all that was taken before it.
    let stats = ledger.stats();
    assert!(stats.notices_dropped > 0 && stats.notices > 1, "{stats:?}");
    assert_eq!(stats.notices + stats.notices_dropped, many + 1);
    assert_eq!(ledger.reader().last_sequence().unwrap(), Sequence(stats.notices));
}

/// All wait when the writer takes them, so that they are one group: those that are refused must fall alone.
#[tokio::test(flavor = "current_thread")]
async fn notices_share_a_commit_with_steps_and_leave_no_gap_where_one_is_refused() {
    let (ledger, place) = new_ledger();
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..300 {
        let ledger = ledger.clone();
        waiting.spawn(async move {
            match n % 3 {
                0 => ledger.append(vec![hold_requested(n)]).await.map(drop),
                1 => ledger.record_notice(notice("alarm", n)).await.map(drop),
                _ => ledger.record_notice(notice("", n)).await.map(drop),
            }
        });
    }
    let refused = waiting.join_all().await.into_iter().filter(Result::is_err).count();
    assert_eq!((refused, ledger.reader().last_sequence().unwrap()), (100, Sequence(200)));
    assert!(ledger.stats().commits < 50, "{:?}: there were no groups, so nothing was shown", ledger.stats());
    ledger.close().await.unwrap();
    assert_eq!(place.verified().1, Vec::<String>::new());
}

#[tokio::test]
async fn plain_sql_tells_one_story_and_cannot_change_it() {
    let (ledger, place) = new_ledger();
    ledger.append(vec![hold_requested(1)]).await.unwrap();
    ledger.record_notice(notice("stopped", 1)).await.unwrap();
    ledger.append(vec![hold_granted(1)]).await.unwrap();
    let Some(path) = place.file() else { return };
    let plain = Connection::open(&path).unwrap();
    let sql = "SELECT group_concat(kind, ' ') FROM
        (SELECT sequence, kind FROM steps UNION ALL SELECT sequence, kind FROM notices ORDER BY 1)";
    let told: String = plain.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(told, "hold_requested stopped hold_granted");

    let as_step = |sequence: u64| {
        format!(
            "INSERT OR REPLACE INTO steps SELECT {sequence}, withdrawal, 3, at_ms, kind, institution, body, seal FROM steps
                 WHERE sequence = 3"
        )
    };
    let as_notice = |sequence: u64, kind: &str, body: &str| {
        format!("INSERT OR REPLACE INTO notices VALUES ({sequence}, 0, '{kind}', NULL, {body}, zeroblob(16))")
    };
    let next = "the sequence must be the next one over steps and notices";
    for (sql, said) in [
        ("UPDATE notices SET body = x''".to_owned(), "notices are append-only"),
        ("UPDATE notices SET sequence = 4".to_owned(), "notices are append-only"),
        ("DELETE FROM notices".to_owned(), "notices are append-only"),
        (as_notice(1, "x", "x''"), next), // a step's place
        (as_notice(2, "x", "x''"), next), // its own
        (as_notice(3, "x", "x''"), next),
        (as_notice(5, "x", "x''"), next),
        (as_notice(4, "", "x''"), "CHECK constraint failed"),
        (as_notice(4, "x", "zeroblob(8193)"), "CHECK constraint failed"),
        (as_notice(4, "x", "'text'"), "cannot store TEXT value"),
        (as_step(2), next), // a notice's place
        (as_step(3), next),
        (as_step(5), next),
    ] {
        let refused = plain.execute_batch(&sql).expect_err(&sql).to_string();
        assert!(refused.contains(said), "{sql}\nwas refused for: {refused}");
    }
    assert_eq!(ledger.record_notice(notice("released", 2)).await, Ok(Sequence(4)));
}
