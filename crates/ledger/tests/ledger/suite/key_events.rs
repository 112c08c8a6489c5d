//! What happened to signing keys: kept in one chain, never changed, and no damage passed on.

use cashgate_ledger::{AppendError, Fault, KeyAction, KeyEvent, Ledger, ReadError};
use cashgate_withdrawal::ids::KeyId;
use rusqlite::Connection;

use super::store::*;
use crate::sample::*;

fn event(seconds: u64, key: u8, action: KeyAction) -> KeyEvent {
    KeyEvent {
        at: at(seconds),
        actor: "mori".to_owned(),
        action,
        key_id: KeyId([key; 4]),
        label: format!("qr-{key}"),
        token_label: "cashgate".to_owned(),
        public_key: [key; 65],
        reason: "yearly".to_owned(),
    }
}

fn published(seconds: u64, key: u8) -> KeyEvent {
    event(seconds, key, KeyAction::Published { use_from: at(seconds + 3_600) })
}

/// A key and its successor, and an emergency.
fn story() -> Vec<KeyEvent> {
    vec![
        published(0, 1),
        event(0, 1, KeyAction::Signing),
        published(10, 2),
        event(4_000, 2, KeyAction::Signing),
        event(4_001, 1, KeyAction::Retired { at_once: true }),
        event(5_000, 2, KeyAction::Retired { at_once: false }),
    ]
}

async fn ledger_with_story() -> (Ledger, Place) {
    let (ledger, place) = new_ledger();
    ledger.record_key_events(story()[..2].to_vec()).await.unwrap();
    ledger.append(whole_life(1)).await.unwrap();
    for event in &story()[2..] {
        ledger.record_key_events(vec![event.clone()]).await.unwrap();
    }
    (ledger, place)
}

#[tokio::test]
async fn what_was_recorded_is_read_back_after_a_restart_in_one_order() {
    let (ledger, place) = ledger_with_story().await;
    ledger.close().await.unwrap();
    let ledger = place.open();
    let found = ledger.reader().key_events().unwrap();
    assert_eq!(found.iter().map(|stored| stored.sequence).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(found.into_iter().map(|stored| stored.event).collect::<Vec<_>>(), story());
}

#[tokio::test]
async fn events_are_written_all_or_none() {
    let (ledger, _place) = new_ledger();
    let too_long = KeyEvent { reason: "x".repeat(KeyEvent::TEXT_BYTES_MAX + 1), ..published(0, 2) };
    let refused = ledger.record_key_events(vec![published(0, 1), too_long]).await.unwrap_err();
    assert_eq!(refused, AppendError::KeyEventTooLong { key_id: KeyId([2; 4]) });
    let nameless = KeyEvent { actor: String::new(), ..published(0, 2) };
    let refused = ledger.record_key_events(vec![published(0, 1), nameless]).await.unwrap_err();
    assert!(matches!(refused, AppendError::Constraint(_)), "{refused}");
    let refused = ledger.record_key_events(vec![]).await.unwrap_err();
    assert_eq!(refused, AppendError::KeyEventCount { found: 0 });
    assert_eq!(ledger.reader().key_events().unwrap(), []);
    ledger.record_key_events(vec![published(0, 1)]).await.unwrap();
    assert_eq!(ledger.reader().key_events().unwrap().len(), 1);
}

#[tokio::test]
async fn plain_sql_tells_the_story_and_cannot_change_it() {
    let (ledger, place) = ledger_with_story().await;
    let Some(path) = place.file() else { return };
    let plain = Connection::open(&path).unwrap();
    let sql = "SELECT group_concat(actor || ' ' || action || ' ' || key_id, '; ') FROM key_events WHERE sequence > 3";
    let told: String = plain.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(told, "mori signing 02020202; mori retired_at_once 01010101; mori retired 02020202");
    let changes = [
        ("UPDATE key_events SET actor = 'sato'", "key events are append-only"),
        ("DELETE FROM key_events WHERE sequence = 6", "key events are append-only"),
        ("REPLACE INTO key_events SELECT * FROM key_events WHERE sequence = 6", "the sequence must be the next one"),
        (
            "INSERT INTO key_events SELECT 8, at_ms, actor, action, key_id, label, token_label, public_key, use_from_ms,
                 reason, seal FROM key_events WHERE sequence = 6",
            "the sequence must be the next one",
        ),
        (
            "INSERT INTO key_events SELECT 7, at_ms, actor, action, key_id, label, token_label, public_key, NULL,
                 reason, seal FROM key_events WHERE sequence = 1",
            "CHECK constraint failed",
        ),
    ];
    for (sql, said) in changes {
        let refused = plain.execute_batch(sql).unwrap_err().to_string();
        assert!(refused.contains(said), "{sql}: {refused}");
    }
    ledger.record_key_events(vec![published(9_000, 3)]).await.unwrap();
    assert_eq!(ledger.reader().key_events().unwrap().len(), 7);
}

#[tokio::test]
async fn every_damage_is_found_and_named_and_no_read_passes_it_on() {
    let seal = |n| format!("key_events, key event {n}: it does not fit its seal");
    let gap = |n| format!("key_events, key event {n}: sequence {n} should stand there");
    let column = |n, column| format!("key_events, key event {n}: the value in column {column}");
    let cases = [
        ("UPDATE key_events SET actor = 'sato' WHERE sequence = 2", 6, vec![seal(2)]),
        ("UPDATE key_events SET at_ms = at_ms + 1 WHERE sequence = 6", 6, vec![seal(6)]),
        ("UPDATE key_events SET action = 'retired' WHERE sequence = 5", 6, vec![seal(5)]),
        ("UPDATE key_events SET use_from_ms = 0 WHERE sequence = 1", 6, vec![seal(1)]),
        ("UPDATE key_events SET public_key = zeroblob(65) WHERE sequence = 3", 6, vec![seal(3)]),
        ("UPDATE key_events SET reason = '' WHERE sequence = 3", 6, vec![seal(3)]),
        ("UPDATE key_events SET key_id = 'x' WHERE sequence = 4", 6, vec![column(4, "key_id")]),
        ("UPDATE key_events SET action = 'lost' WHERE sequence = 4", 6, vec![column(4, "action")]),
        ("UPDATE key_events SET use_from_ms = NULL WHERE sequence = 1", 6, vec![column(1, "action")]),
        ("UPDATE key_events SET seal = zeroblob(32) WHERE sequence = 4", 6, vec![seal(4), seal(5)]),
        ("UPDATE key_events SET seal = x'00' WHERE sequence = 4", 6, vec![column(4, "seal"), seal(5)]),
        ("DELETE FROM key_events WHERE sequence = 5", 5, vec![gap(5), seal(6)]),
        ("DELETE FROM key_events WHERE sequence = 1", 5, vec![gap(1), seal(2)]),
        ("SELECT 1", 6, vec![]),
    ];
    for (sql, counted, expected) in cases {
        let (ledger, place) = ledger_with_story().await;
        ledger.close().await.unwrap();
        place.damage(sql);
        let (report, found) = place.verified();
        assert_eq!((report.key_events, found.len()), (counted, expected.len()), "{sql}: {found:#?}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!(found.starts_with(expected), "{sql}\nfound:    {found}\nexpected: {expected}");
        }
        let read = place.reader().key_events();
        assert_eq!(matches!(read, Err(ReadError::Damaged(_))), !expected.is_empty(), "{sql}: {read:?}");
    }
}

#[tokio::test]
async fn nothing_is_chained_to_a_damaged_event() {
    let (ledger, place) = ledger_with_story().await;
    ledger.close().await.unwrap();
    place.damage("UPDATE key_events SET actor = 'sato' WHERE sequence = 6");
    let ledger = place.open();
    let Err(AppendError::Fatal(failure)) = ledger.record_key_events(vec![published(9_000, 3)]).await else {
        panic!("it was chained to")
    };
    assert!(failure.to_string().contains(&format!("key event 6: {}", Fault::Seal)), "{failure}");
}
