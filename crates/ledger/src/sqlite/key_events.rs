//! Key events: read whole, and written behind those that are there.

use rusqlite::{Connection, params};

use super::queries::rows;
use super::writer::WriteFault;
use crate::chain;
use crate::columns::signed;
use crate::damage::Damage;
use crate::error::ReadError;
use crate::key_events::{KeyEvent, StoredKeyEvent, check, placed};
use crate::seal::Seal;

/// How many there are.
pub(super) fn count(connection: &Connection) -> Result<u64, ReadError> {
    let sql = "SELECT coalesce(max(sequence), 0) FROM key_events";
    let count: i64 = connection
        .prepare_cached(sql)
        .and_then(|mut count| count.query_row([], |row| row.get(0)))
        .map_err(|error| ReadError::storage(&error))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Each event, or what is wrong with it.
pub(super) fn judged(connection: &Connection) -> Result<Vec<Result<StoredKeyEvent, Damage>>, ReadError> {
    rows(connection, "SELECT * FROM key_events ORDER BY sequence", [], |row| placed(row)).map(chain::judged)
}

/// Writes the events behind those that are there, inside the writer's transaction.
pub(super) fn add(connection: &Connection, events: &[KeyEvent]) -> Result<usize, WriteFault> {
    check(events).map_err(WriteFault::Refused)?;
    let before = judged(connection)?.into_iter().collect::<Result<Vec<_>, _>>().map_err(ReadError::Damaged)?;
    let (mut sequence, mut previous) = before.last().map_or((0, None), |last| (last.sequence, Some(last.seal)));
    for event in events {
        let KeyEvent { at, actor, action, key_id, label, token_label, public_key, reason } = event;
        sequence += 1;
        let seal = Seal::of_key_event(previous.as_ref(), sequence, event);
        connection
            .prepare_cached(
                "INSERT INTO key_events (sequence, at_ms, actor, action, key_id, label, token_label, public_key, use_from_ms, reason, seal)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?
            .execute(params![
                signed(sequence),
                signed(at.unix_ms()),
                actor,
                action.name(),
                key_id.to_string(),
                label,
                token_label,
                public_key,
                action.use_from().map(|moment| signed(moment.unix_ms())),
                reason,
                seal.as_bytes(),
            ])?;
        previous = Some(seal);
    }
    Ok(events.len())
}
