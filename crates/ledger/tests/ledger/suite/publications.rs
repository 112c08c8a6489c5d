//! Rules and limits that were published: one after the other, in one chain, each with its notice, never changed.

use cashgate_ledger::{AppendError, Ledger, Notice, Publication, Sequence};
use rusqlite::Connection;

use super::store::*;
use crate::sample::*;

pub(crate) fn publication(seconds: u64, body: &[u8]) -> Publication {
    Publication {
        at: at(seconds),
        actor: "mori".to_owned(),
        note: "a wave at sakura".to_owned(),
        version: format!("published-{seconds}"),
        body: body.to_vec(),
    }
}

pub(crate) fn told(seconds: u64) -> Notice {
    Notice { at: at(seconds), kind: Publication::NOTICE_KIND, institution: None, body: vec![7] }
}

async fn ledger_with_three() -> (Ledger, Place) {
    let (ledger, place) = new_ledger();
    for (number, body) in [(1, &b"one"[..]), (2, b"two"), (3, b"three")] {
        let published = ledger.publish(number, publication(number, body), told(number)).await.unwrap();
        assert_eq!(published, Sequence(2 * number - 1));
        ledger.record_notice(notice("alarm", number)).await.unwrap();
    }
    (ledger, place)
}

#[tokio::test]
async fn what_was_published_is_read_back_after_a_restart_and_the_latest_is_the_last() {
    let (ledger, place) = new_ledger();
    assert_eq!(ledger.reader().latest_publication().unwrap(), None);
    ledger.append(whole_life(1)).await.unwrap();
    let before = ledger.reader().last_sequence().unwrap();
    let mark = ledger.reader().tail_mark().unwrap();
    let sequence = ledger.publish(1, publication(5, b"one"), told(5)).await.unwrap();
    assert_eq!(sequence.0, before.0 + 1, "a place in the one order");
    let tail = ledger.reader().tail_after(&mark).unwrap();
    assert_eq!(
        tail.notices.iter().map(|notice| (notice.sequence, notice.kind.as_str())).collect::<Vec<_>>(),
        [(sequence, "rules_published")]
    );
    ledger.publish(2, publication(6, b"two"), told(6)).await.unwrap();
    ledger.close().await.unwrap();

    let ledger = place.open();
    let (latest, body) = ledger.reader().latest_publication().unwrap().unwrap();
    assert_eq!((latest.number, body.as_slice(), latest.version.as_str()), (2, &b"two"[..], "published-6"));
    let (first, body) = ledger.reader().publication(1).unwrap().unwrap();
    assert_eq!((first.sequence, body.as_slice(), first.actor.as_str()), (sequence, &b"one"[..], "mori"));
    assert_eq!(ledger.reader().publication(3).unwrap(), None);
    assert_eq!(ledger.reader().publications().unwrap(), [first, latest]);
    ledger.close().await.unwrap();
    let (report, found) = place.verified();
    assert_eq!((report.publications, found), (2, vec![]));
}

#[tokio::test]
async fn a_number_is_given_once_and_none_is_left_out() {
    let (ledger, _place) = ledger_with_three().await;
    let last = ledger.reader().last_sequence().unwrap();
    for number in [0, 1, 3, 5] {
        let refused = ledger.publish(number, publication(9, b"four"), told(9)).await.unwrap_err();
        assert_eq!(refused, AppendError::PublicationTaken { latest: 3 }, "{number}");
    }
    assert_eq!(ledger.reader().last_sequence().unwrap(), last, "no notice of what was not published");
    // Two operators at once: one of them hears that there is another.
    let first = ledger.publish(4, publication(9, b"four"), told(9));
    let second = ledger.publish(4, publication(9, b"vier"), told(9));
    let (first, second) = tokio::join!(first, second);
    let taken = Err(AppendError::PublicationTaken { latest: 4 });
    assert!(first.is_ok() && second == taken || second.is_ok() && first == taken, "{first:?} {second:?}");
    ledger.publish(5, publication(10, b"five"), told(10)).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_published_is_refused_with_a_word() {
    let (ledger, _place) = new_ledger();
    let long = "x".repeat(Publication::TEXT_BYTES_MAX + 1);
    let whole = publication(1, b"one");
    let cases = [
        (Publication { note: long.clone(), ..whole.clone() }, told(1), "has 1025 bytes, more than 1024"),
        (Publication { actor: long, ..whole.clone() }, told(1), "has 1025 bytes, more than 1024"),
        (publication(1, &[0; Publication::BODY_BYTES_MAX + 1]), told(1), "has 262145 bytes, more than 262144"),
        (publication(1, b""), told(1), "needs an actor, a version, a body"),
        (Publication { actor: String::new(), ..whole.clone() }, told(1), "needs an actor"),
        (whole.clone(), Notice { kind: "alarm", ..told(1) }, "a notice of kind rules_published"),
        (whole.clone(), Notice { body: vec![0; 8_193], ..told(1) }, "has 8193 bytes, more than 8192"),
    ];
    for (publication, notice, said) in cases {
        let refused = ledger.publish(1, publication, notice).await.unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
    }
    assert_eq!(ledger.reader().last_sequence().unwrap(), Sequence(0));
    let largest = publication(1, &[7; Publication::BODY_BYTES_MAX]);
    ledger.publish(1, largest.clone(), told(1)).await.unwrap();
    assert_eq!(ledger.reader().publication(1).unwrap().unwrap().1, largest.body);
}

#[tokio::test]
async fn plain_sql_tells_them_and_cannot_change_them() {
    let (ledger, place) = ledger_with_three().await;
    let Some(path) = place.file() else { return };
    let plain = Connection::open(&path).unwrap();
    let sql = "SELECT group_concat(number || ' ' || actor || ' ' || version, '; ') FROM publications";
    let told: String = plain.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(told, "1 mori published-1; 2 mori published-2; 3 mori published-3");
    for (sql, said) in [
        ("UPDATE publications SET actor = 'sato'", "publications are append-only"),
        ("DELETE FROM publications WHERE number = 3", "publications are append-only"),
        ("REPLACE INTO publications SELECT * FROM publications WHERE number = 3", "the number must be the next one"),
    ] {
        let refused = plain.execute_batch(sql).unwrap_err().to_string();
        assert!(refused.contains(said), "{sql}: {refused}");
    }
    drop(ledger);
}

#[tokio::test]
async fn every_damage_is_found_and_named_and_nothing_is_published_behind_it() {
    let seal = |n| format!("publications, publication {n}: it does not fit its seal");
    let gap = |n| format!("publications, publication {n}: sequence {n} should stand there");
    let column = |n, column| format!("publications, publication {n}: the value in column {column}");
    let digest = |n| format!("publications, publication {n}: its body does not fit its digest");
    let missing = |n| format!("notices, notice at sequence {n}: the publication that it tells of is missing");
    let untold = |n| format!("publications, publication {n}: no notice stands at its sequence");
    let cases = [
        ("UPDATE publications SET actor = 'sato' WHERE number = 2", vec![seal(2), missing(3)]),
        ("UPDATE publications SET note = '' WHERE number = 3", vec![seal(3), missing(5)]),
        ("UPDATE publications SET version = 'x' WHERE number = 1", vec![seal(1), missing(1)]),
        ("UPDATE publications SET at_ms = at_ms + 1 WHERE number = 3", vec![seal(3), missing(5)]),
        ("UPDATE publications SET digest = zeroblob(32) WHERE number = 3", vec![seal(3), missing(5)]),
        ("UPDATE publications SET digest = x'00' WHERE number = 3", vec![column(3, "digest"), missing(5)]),
        (
            "UPDATE publications SET seal = zeroblob(32) WHERE number = 1",
            vec![seal(1), seal(2), missing(1), missing(3)],
        ),
        ("UPDATE publications SET body = x'05' WHERE number = 2", vec![digest(2)]),
        ("DELETE FROM publications WHERE number = 2", vec![gap(2), seal(3), missing(3), missing(5)]),
        ("DELETE FROM publications WHERE number = 3", vec![missing(5)]),
        (
            "UPDATE notices SET kind = 'alarm' WHERE sequence = 3",
            vec!["notices, notice at sequence 3: its columns".to_owned(), untold(2)],
        ),
        ("SELECT 1", vec![]),
    ];
    for (sql, expected) in cases {
        let (ledger, place) = ledger_with_three().await;
        ledger.close().await.unwrap();
        place.damage(sql);
        let (_, found) = place.verified();
        assert_eq!(found.len(), expected.len(), "{sql}: {found:#?}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!(found.starts_with(expected), "{sql}\nfound:    {found}\nexpected: {expected}");
        }
        let in_chain =
            expected.iter().any(|one| one.starts_with("publications") && *one != digest(2) && *one != untold(2));
        assert_eq!(place.reader().publications().is_err(), in_chain, "{sql}");
    }
    let (ledger, place) = ledger_with_three().await;
    ledger.close().await.unwrap();
    place.damage("UPDATE publications SET actor = 'sato' WHERE number = 2");
    let ledger = place.open();
    let refused = ledger.publish(4, publication(9, b"four"), told(9)).await.unwrap_err();
    assert!(matches!(&refused, AppendError::PublicationDamaged(_)), "{refused}");
    assert!(refused.to_string().contains("publication 2"), "{refused}");
}
