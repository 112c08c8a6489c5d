//! What the check of the whole ledger asks of the file.

use rusqlite::{Connection, Row, params};

use super::queries::{history, rows};
use crate::columns::{self, signed};
use crate::devices;
use crate::error::ReadError;
use crate::notices;
use crate::reads::{Judged, JudgedAt, PlacedRecord, Record, Whole, judged};
use crate::records::Sequence;

/// How many rows are read at a time. Between two parts the writer of a running ledger may let its log start over.
const PART: i64 = 500;

const END_OF_PART: &str = "SELECT max(sequence) FROM (
    SELECT sequence FROM steps WHERE sequence > ?1 AND sequence <= ?2
    UNION ALL SELECT sequence FROM notices WHERE sequence > ?1 AND sequence <= ?2 ORDER BY 1 LIMIT ?3)";
const STEPS: &str = "SELECT *,
        (SELECT seal FROM steps AS previous
            WHERE previous.withdrawal = steps.withdrawal AND previous.number = steps.number - 1) AS previous_seal,
        EXISTS (SELECT 1 FROM withdrawals WHERE id = steps.withdrawal) AS has_row
    FROM steps WHERE sequence > ?1 AND sequence <= ?2 ORDER BY sequence";
const NOTICES: &str = "SELECT * FROM notices WHERE sequence > ?1 AND sequence <= ?2 ORDER BY sequence";

pub(super) fn order_part(
    connection: &Connection,
    seen: Sequence,
    last: Sequence,
) -> Result<Vec<PlacedRecord>, ReadError> {
    let end: Option<i64> = connection
        .prepare_cached(END_OF_PART)
        .and_then(|mut end| end.query_row(params![signed(seen.0), signed(last.0), PART], |row| row.get(0)))
        .map_err(|error| ReadError::storage(&error))?;
    let span = params![signed(seen.0), end];
    let mut part = rows(connection, STEPS, span, placed_step)?;
    part.extend(rows(connection, NOTICES, span, placed_notice)?);
    part.sort_by_key(|placed| placed.sequence);
    Ok(part)
}

fn placed_step(row: &Row<'_>) -> Result<PlacedRecord, ReadError> {
    let has_row = value(row, "has_row")?;
    let step = judged(columns::step_after_previous(row))?;
    Ok(PlacedRecord { sequence: sequence(row)?, record: Record::Step { has_row, step } })
}

fn placed_notice(row: &Row<'_>) -> Result<PlacedRecord, ReadError> {
    let notice = judged(notices::notice(row).map(drop))?;
    Ok(PlacedRecord { sequence: sequence(row)?, record: Record::Notice(notice) })
}

fn sequence(row: &Row<'_>) -> Result<Sequence, ReadError> {
    value::<i64>(row, "sequence").map(|sequence| Sequence(u64::try_from(sequence).unwrap_or(0)))
}

fn value<T: rusqlite::types::FromSql>(row: &Row<'_>, column: &str) -> Result<T, ReadError> {
    row.get(column).map_err(|error| ReadError::storage(&error))
}

pub(super) fn structure(connection: &Connection) -> Result<Vec<String>, ReadError> {
    let mut said = rows(connection, "PRAGMA integrity_check(100)", [], |row| value::<String>(row, "integrity_check"))?;
    said.retain(|line| line != "ok");
    Ok(said)
}

/// By their place in the file and not by id, which damage may have changed.
pub(super) fn places_after(connection: &Connection, place: &str) -> Result<Vec<String>, ReadError> {
    let seen = place.parse().unwrap_or(i64::MIN);
    let sql = "SELECT rowid FROM withdrawals WHERE rowid > ?1 ORDER BY rowid LIMIT ?2";
    rows(connection, sql, [seen, PART], |row| value::<i64>(row, "rowid").map(|place| place.to_string()))
}

/// The withdrawal at a place in the file with its steps, if they fit together.
pub(super) fn whole_at(connection: &Connection, place: &str) -> Result<Option<Whole>, ReadError> {
    let sql = "SELECT * FROM withdrawals WHERE rowid = ?1";
    let place: i64 = place.parse().unwrap_or(i64::MIN);
    let found = rows(connection, sql, [place], |row| columns::withdrawal(row))?;
    let Some(withdrawal) = found.into_iter().next() else { return Ok(None) };
    let steps = history(connection, &withdrawal)?;
    Ok(Some((withdrawal, steps)))
}

pub(super) fn nonces_claimed_twice(connection: &Connection) -> Result<Vec<(String, u64)>, ReadError> {
    let sql = "SELECT hex(nonce) AS nonce, count(*) AS claims FROM withdrawals GROUP BY 1 HAVING count(*) > 1";
    rows(connection, sql, [], |row| {
        Ok((value(row, "nonce")?, u64::try_from(value::<i64>(row, "claims")?).unwrap_or(0)))
    })
}

pub(super) fn devices_after(connection: &Connection, seen: &(String, String)) -> JudgedAt<(String, String)> {
    let sql = "SELECT * FROM devices WHERE (institution, device) > (?1, ?2) ORDER BY institution, device LIMIT ?3";
    rows(connection, sql, (&seen.0, &seen.1, PART), |row| {
        Ok(((value(row, "institution")?, value(row, "device")?), judged(devices::device(row).map(drop))?))
    })
}

pub(super) fn remarks_after(connection: &Connection, seen: &(String, i64)) -> JudgedAt<(String, i64)> {
    let sql = "SELECT * FROM remarks WHERE (withdrawal, number) > (?1, ?2) ORDER BY withdrawal, number LIMIT ?3";
    rows(connection, sql, (&seen.0, seen.1, PART), |row| {
        Ok(((value(row, "withdrawal")?, value(row, "number")?), judged(columns::remark(row).map(drop))?))
    })
}

/// There are as many as withdrawals that were talked about more often than is kept: few.
pub(super) fn remarks_left_out(connection: &Connection) -> Result<Vec<Judged<()>>, ReadError> {
    rows(connection, "SELECT * FROM remarks_left_out", [], |row| judged(columns::remarks_left_out(row).map(drop)))
}

pub(super) fn without_withdrawal(connection: &Connection, table: &'static str) -> Result<Vec<String>, ReadError> {
    let sql = format!(
        "SELECT DISTINCT withdrawal FROM {table} WHERE NOT EXISTS (SELECT 1 FROM withdrawals WHERE id = withdrawal)"
    );
    rows(connection, &sql, [], |row| value(row, "withdrawal"))
}
