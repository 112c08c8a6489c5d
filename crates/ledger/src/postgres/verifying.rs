//! What the check of the whole ledger asks of the database. What of its pages is damaged is for PostgreSQL's own checksums and `pg_amcheck`.

use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::reader::{rows, value};
use super::reading::id_above;
use super::sql;
use crate::columns::{self, signed};
use crate::devices;
use crate::error::ReadError;
use crate::notices;
use crate::reads::{Judged, JudgedAt, PlacedRecord, Record, judged};
use crate::records::Sequence;

/// How many rows are read at a time.
const PART: i64 = 500;

pub(super) async fn end_of_records(transaction: &Transaction<'_>) -> Result<Sequence, ReadError> {
    let sql = "SELECT greatest((SELECT last_sequence FROM ledger_head WHERE one), (SELECT coalesce(max(sequence), 0) FROM steps),
        (SELECT coalesce(max(sequence), 0) FROM archived_steps), (SELECT coalesce(max(sequence), 0) FROM notices))";
    let found = rows(transaction, sql, &[], sequence).await?;
    Ok(found.into_iter().next().unwrap_or_default())
}

/// What the head says of key events and their table does not hold.
pub(super) async fn structure(transaction: &Transaction<'_>) -> Result<Vec<String>, ReadError> {
    let sql = "SELECT h.key_events, (SELECT coalesce(max(sequence), 0) FROM key_events) FROM ledger_head h";
    let heads = rows(transaction, sql, &[], |row| Ok((value::<i64>(row, 0)?, value::<i64>(row, 1)?))).await?;
    Ok(match heads.as_slice() {
        [(counted, found)] if found < counted => {
            vec![format!("ledger_head counts {counted} key events, and they end with {found}")]
        }
        [_] => Vec::new(),
        other => vec![format!("ledger_head has {} rows, not one", other.len())],
    })
}

pub(super) async fn order_part(
    transaction: &Transaction<'_>,
    seen: Sequence,
    last: Sequence,
) -> Result<Vec<PlacedRecord>, ReadError> {
    let (seen, last) = (signed(seen.0), signed(last.0));
    let ends = rows(transaction, sql::END_OF_PART, &[&seen, &last, &PART], |row| value::<Option<i64>>(row, 0)).await?;
    let end = ends.into_iter().flatten().next().unwrap_or(seen);
    let mut part = rows(transaction, &sql::STEPS_TO_CHECK, &[&seen, &end], placed_step).await?;
    let institution: Option<&str> = None;
    let values: [&(dyn ToSql + Sync); 4] = [&seen, &end, &institution, &i64::MAX];
    part.extend(rows(transaction, &sql::NOTICES_OF_SPAN, &values, placed_notice).await?);
    part.sort_by_key(|placed| placed.sequence);
    Ok(part)
}

fn placed_step(row: &Row) -> Result<PlacedRecord, ReadError> {
    let has_row = row.try_get("has_row").map_err(|error| super::faults::reading(&error))?;
    Ok(PlacedRecord {
        sequence: sequence(row)?,
        record: Record::Step { has_row, step: judged(columns::step_after_previous(row))? },
    })
}

fn placed_notice(row: &Row) -> Result<PlacedRecord, ReadError> {
    Ok(PlacedRecord { sequence: sequence(row)?, record: Record::Notice(judged(notices::notice(row).map(drop))?) })
}

fn sequence(row: &Row) -> Result<Sequence, ReadError> {
    value::<i64>(row, 0).map(|sequence| Sequence(u64::try_from(sequence).unwrap_or(0)))
}

pub(super) async fn places_after(transaction: &Transaction<'_>, place: &str) -> Result<Vec<String>, ReadError> {
    let seen: Option<Uuid> = (!place.is_empty()).then(|| id_above(place));
    let sql = "SELECT id FROM every_withdrawal WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $2";
    rows(transaction, sql, &[&seen, &PART], |row| value::<Uuid>(row, 0).map(|id| id.to_string())).await
}

/// Within each table an index sees to it; a row that was archived and still stands is found here.
pub(super) async fn nonces_claimed_twice(transaction: &Transaction<'_>) -> Result<Vec<(String, u64)>, ReadError> {
    let sql = "SELECT upper(encode(nonce, 'hex')), count(*) FROM every_withdrawal GROUP BY nonce HAVING count(*) > 1";
    rows(transaction, sql, &[], |row| Ok((value(row, 0)?, u64::try_from(value::<i64>(row, 1)?).unwrap_or(0)))).await
}

pub(super) async fn devices_after(
    transaction: &Transaction<'_>,
    seen: &(String, String),
) -> JudgedAt<(String, String)> {
    rows(transaction, &sql::DEVICES_AFTER, &[&seen.0, &seen.1, &PART], |row| {
        Ok(((value(row, 0)?, value(row, 1)?), judged(devices::device(row).map(drop))?))
    })
    .await
}

pub(super) async fn remarks_after(transaction: &Transaction<'_>, seen: &(String, i64)) -> JudgedAt<(String, i64)> {
    let number = i32::try_from(seen.1).unwrap_or(i32::MAX);
    rows(transaction, &sql::REMARKS_AFTER, &[&id_above(&seen.0), &number, &PART], |row| {
        let key = (value::<Uuid>(row, 0)?.to_string(), i64::from(value::<i32>(row, 1)?));
        Ok((key, judged(columns::remark(row).map(drop))?))
    })
    .await
}

pub(super) async fn remarks_left_out(transaction: &Transaction<'_>) -> Result<Vec<Judged<()>>, ReadError> {
    rows(transaction, &sql::LEFT_OUT, &[], |row| judged(columns::remarks_left_out(row).map(drop))).await
}

pub(super) async fn without_withdrawal(
    transaction: &Transaction<'_>,
    table: &'static str,
) -> Result<Vec<String>, ReadError> {
    let from = if table == "remarks" { "every_remark" } else { table };
    let sql = format!(
        "SELECT DISTINCT withdrawal FROM {from} m WHERE NOT EXISTS (SELECT 1 FROM every_withdrawal w WHERE w.id = m.withdrawal)"
    );
    rows(transaction, &sql, &[], |row| value::<Uuid>(row, 0).map(|id| id.to_string())).await
}
