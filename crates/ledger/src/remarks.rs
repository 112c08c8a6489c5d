//! Remarks, inside the writer's transaction: what is kept of them, and the count of the rest.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::columns::signed;
use crate::records::{Remark, StoredRemark};
use crate::row_check::RowCheck;
use crate::writer::WriteFault;

/// Writes those of `remarks` that are about a known withdrawal and find room; returns how many those were.
pub(crate) fn add(connection: &Connection, remarks: &[Remark]) -> Result<usize, WriteFault> {
    let mut kept = 0;
    for remark in remarks {
        let id = remark.withdrawal.to_string();
        let known = connection
            .prepare_cached("SELECT 1 FROM withdrawals WHERE id = ?1")?
            .query_row([&id], |_| Ok(()))
            .optional()?
            .is_some();
        if !known {
            continue;
        }
        let last: u32 = connection
            .prepare_cached("SELECT coalesce(max(number), 0) FROM remarks WHERE withdrawal = ?1")?
            .query_row([&id], |row| row.get(0))?;
        if last < Remark::PER_WITHDRAWAL_MAX {
            insert(connection, remark, &id, last + 1)?;
            kept += 1;
        } else {
            count_left_out(connection, &id)?;
        }
    }
    Ok(kept)
}

fn insert(connection: &Connection, remark: &Remark, id: &str, number: u32) -> Result<(), WriteFault> {
    let end = remark.detail.floor_char_boundary(Remark::DETAIL_BYTES_MAX);
    let stored = StoredRemark {
        number,
        at: remark.at,
        kind: remark.kind.to_owned(),
        detail: remark.detail.get(..end).unwrap_or_default().to_owned(),
    };
    connection
        .prepare_cached(
            "INSERT INTO remarks (withdrawal, number, at_ms, kind, detail, row_check) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            id,
            number,
            signed(stored.at.unix_ms()),
            stored.kind,
            stored.detail,
            RowCheck::of_remark(remark.withdrawal, &stored).as_bytes(),
        ])?;
    Ok(())
}

fn count_left_out(connection: &Connection, id: &str) -> Result<(), WriteFault> {
    let before: Option<i64> = connection
        .prepare_cached("SELECT count FROM remarks_left_out WHERE withdrawal = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let count = before.unwrap_or(0).saturating_add(1);
    connection
        .prepare_cached("REPLACE INTO remarks_left_out (withdrawal, count, row_check) VALUES (?1, ?2, ?3)")?
        .execute(params![id, count, RowCheck::of_left_out(id, count).as_bytes()])?;
    Ok(())
}
