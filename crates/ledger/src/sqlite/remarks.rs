//! Remarks, inside the writer's transaction: what is kept of them, and the count of the rest.
//!
//! Whoever talks about a withdrawal (a machine, say) may do so for ever. So what one withdrawal can cost is bounded, and what one kind of
//! remark can take of it as well, or it would keep the others out: [`Remark::PER_WITHDRAWAL_MAX`], [`Remark::PER_KIND_MAX`]. The count of
//! the rest is written only when it reaches a power of two.

use std::collections::HashMap;

use cashgate_withdrawal::ids::WithdrawalId;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::writer::WriteFault;
use crate::columns::signed;
use crate::records::{Remark, StoredRemark};
use crate::row_check::RowCheck;

/// Writes those of `remarks` that are about a known withdrawal and find room; returns how many those were.
pub(super) fn add(connection: &Connection, remarks: &[Remark], left_out: &mut LeftOut) -> Result<usize, WriteFault> {
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
        let (last, of_kind): (u32, u32) = connection
            .prepare_cached(
                "SELECT coalesce(max(number), 0), coalesce(sum(kind = ?2), 0) FROM remarks WHERE withdrawal = ?1",
            )?
            .query_row([id.as_str(), remark.kind], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if last < Remark::PER_WITHDRAWAL_MAX && of_kind < Remark::PER_KIND_MAX {
            insert(connection, remark, &id, last + 1)?;
            kept += 1;
        } else {
            left_out.count(connection, remark.withdrawal, &id)?;
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

/// How many remarks were left out, for the withdrawals of which one was since the start. The ledger has the last power of two, from which
/// it goes on after a restart: what is written is never more than what came.
#[derive(Default)]
pub(super) struct LeftOut {
    counts: HashMap<WithdrawalId, i64>,
}

/// How many withdrawals are counted at a time; beyond it, all are forgotten.
const COUNTED_MAX: usize = 10_000;

impl LeftOut {
    /// Goes back to what is written.
    pub(super) fn forget(&mut self) {
        self.counts.clear();
    }

    fn count(&mut self, connection: &Connection, withdrawal: WithdrawalId, id: &str) -> Result<(), WriteFault> {
        let before = match self.counts.get(&withdrawal) {
            Some(count) => *count,
            None => written(connection, id)?,
        };
        if self.counts.len() >= COUNTED_MAX {
            self.forget();
        }
        let count = before.saturating_add(1);
        self.counts.insert(withdrawal, count);
        if count.unsigned_abs().is_power_of_two() {
            connection
                .prepare_cached("REPLACE INTO remarks_left_out (withdrawal, count, row_check) VALUES (?1, ?2, ?3)")?
                .execute(params![id, count, RowCheck::of_left_out(id, count).as_bytes()])?;
        }
        Ok(())
    }
}

fn written(connection: &Connection, id: &str) -> rusqlite::Result<i64> {
    let count = connection
        .prepare_cached("SELECT count FROM remarks_left_out WHERE withdrawal = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(count.unwrap_or(0))
}
