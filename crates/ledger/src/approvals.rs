//! Everything approved since a moment, handed out one by one: what limits and patterns are rebuilt from, and what a draft of a policy is
//! rehearsed on.
//!
//! Ids of version 7 begin with the moment at which they were made, so the primary key finds what is recent and no index is kept for it.
//! What is read lies in parts, and nothing is held between them: the caller may take its time, the log may start over meanwhile, and
//! memory does not grow with the answer.

use cashgate_withdrawal::ids::{AccountId, AtmId, DeviceId, InstitutionId, WithdrawalId};
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::{CalendarDay, Timestamp};
use rusqlite::{Connection, Row, params};

use crate::columns::{self, Columns, signed};
use crate::damage::{Damage, Fault};
use crate::error::ReadError;
use crate::queries::rows;
use crate::reader::LedgerReader;
use crate::records::{StoredStep, WithdrawalSummary};
use crate::row_check::RowColumns;
use crate::seal::check_first;
use crate::table::Table;

/// What a withdrawal counts for in limits and patterns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovedRow {
    /// The withdrawal.
    pub withdrawal: WithdrawalId,
    /// Whether anything may still happen to it.
    pub open: bool,
    /// Whose customer draws.
    pub institution: InstitutionId,
    /// The account that pays.
    pub account: AccountId,
    /// The phone that approved.
    pub device: DeviceId,
    /// The machine that pays out.
    pub atm: AtmId,
    /// What was approved.
    pub amount: Money,
    /// What left the machine, in the currency of `amount`; `None` while that is not known, and if it ended before any could.
    pub dispensed: Option<Money>,
    /// The institution's calendar day of the approval.
    pub day: CalendarDay,
    /// When the approval was accepted.
    pub approved_at: Timestamp,
}

/// How far an id's moment and that of its approval may lie apart, in milliseconds: a day.
const ID_MARGIN_MS: u64 = 24 * 3_600 * 1_000;

/// How many withdrawals are read at a time.
const PART: u32 = 1_000;

const APPROVED_AFTER: &str = "SELECT * FROM withdrawals WHERE id > ?1 AND approved_at_ms >= ?2 ORDER BY id LIMIT ?3";
const FIRST_STEP: &str = "SELECT * FROM steps WHERE withdrawal = ?1 AND number = 1";

impl LedgerReader {
    /// Every withdrawal that was approved at `since` or later, open or ended, in the order of their ids, which is that of time. Returns how
    /// many there were. The cost grows with what was approved since, not with history.
    ///
    /// What changes meanwhile is seen as it was when its part was read.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every query; `each` has then seen what lies before.
    pub fn for_each_approved_since(
        &self,
        since: Timestamp,
        each: &mut dyn FnMut(ApprovedRow),
    ) -> Result<u64, ReadError> {
        let read = |connection: &Connection, after: &str| approved_after(connection, after, since, approved);
        self.in_parts(since, read, |row| row.withdrawal, each)
    }

    /// The same withdrawals with the first step of each, the approval, of which the seal is checked.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every query; `each` has then seen what lies before.
    pub fn for_each_first_step_since(
        &self,
        since: Timestamp,
        each: &mut dyn FnMut(WithdrawalSummary, StoredStep),
    ) -> Result<u64, ReadError> {
        let read = |connection: &Connection, after: &str| {
            let withdrawals = approved_after(connection, after, since, columns::withdrawal)?;
            withdrawals.into_iter().map(|withdrawal| with_first_step(connection, withdrawal)).collect()
        };
        self.in_parts(since, read, |(withdrawal, _)| withdrawal.id, &mut |(withdrawal, step)| each(withdrawal, step))
    }

    fn in_parts<T>(
        &self,
        since: Timestamp,
        read: impl Fn(&Connection, &str) -> Result<Vec<T>, ReadError>,
        id: impl Fn(&T) -> WithdrawalId,
        each: &mut dyn FnMut(T),
    ) -> Result<u64, ReadError> {
        let (mut after, mut count) = (before_ids_of(since), 0_u64);
        loop {
            let part = self.read(|connection| read(connection, &after))?;
            let Some(last) = part.last() else { return Ok(count) };
            after = id(last).to_string();
            let more = u32::try_from(part.len()).is_ok_and(|found| found >= PART);
            for one in part {
                count += 1;
                each(one);
            }
            if !more {
                return Ok(count);
            }
        }
    }
}

/// A text below every id that was made for an approval at `since` or later.
fn before_ids_of(since: Timestamp) -> String {
    let from_ms = since.unix_ms().saturating_sub(ID_MARGIN_MS);
    format!("{:08x}-{:04x}-", (from_ms >> 16) & 0xffff_ffff, from_ms & 0xffff)
}

fn approved_after<T>(
    connection: &Connection,
    after: &str,
    since: Timestamp,
    read: impl Fn(&Row<'_>) -> Result<T, ReadError>,
) -> Result<Vec<T>, ReadError> {
    rows(connection, APPROVED_AFTER, params![after, signed(since.unix_ms()), PART], read)
}

/// Reads a row of `SELECT * FROM withdrawals`.
fn approved(row: &Row<'_>) -> Result<ApprovedRow, ReadError> {
    let columns = Columns::checked(row, Table::Withdrawals, RowColumns::of_withdrawals())?;
    Ok(ApprovedRow {
        withdrawal: columns.parsed("id")?,
        open: columns.value("open")?,
        institution: columns.parsed("institution")?,
        account: columns.parsed("account")?,
        device: columns.parsed("device")?,
        atm: columns.parsed("atm")?,
        amount: columns.money("amount")?,
        dispensed: columns.money_or_null("dispensed")?,
        day: CalendarDay(columns.value("day")?),
        approved_at: columns.timestamp("approved_at_ms")?,
    })
}

fn with_first_step(
    connection: &Connection,
    withdrawal: WithdrawalSummary,
) -> Result<(WithdrawalSummary, StoredStep), ReadError> {
    let found = rows(connection, FIRST_STEP, [withdrawal.id.to_string()], columns::step)?;
    let none = || ReadError::Damaged(Damage::of_withdrawal(withdrawal.id, Fault::NoFirstStep));
    let first = found.into_iter().next().ok_or_else(none)?;
    check_first(&withdrawal, &first).map_err(ReadError::Damaged)?;
    Ok((withdrawal, first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queries::tests::check_plan;

    #[test]
    fn what_was_approved_is_found_by_id_without_reading_history() {
        check_plan(
            APPROVED_AFTER,
            params!["0198", 1, 1],
            "SEARCH withdrawals USING INDEX sqlite_autoindex_withdrawals_1 (id>?)",
        );
        check_plan(
            FIRST_STEP,
            &[&"x"],
            "SEARCH steps USING INDEX sqlite_autoindex_steps_1 (withdrawal=? AND number=?)",
        );
    }

    #[test]
    fn ids_of_a_moment_lie_above_the_text_for_it_and_those_of_two_days_before_below() {
        let day = 24 * 3_600 * 1_000;
        let id_at = |ms: u64| WithdrawalId::from_bytes((u128::from(ms) << 80).to_be_bytes()).to_string();
        for moment in [2 * day, 1_752_885_361_690, 0xffff_ffff_ffff] {
            let text = before_ids_of(Timestamp::from_unix_ms(moment));
            assert!(id_at(moment) > text && id_at(moment - day) > text, "{text}");
            assert!(id_at(moment - day - 1) < text, "{text}");
        }
        assert!(id_at(0) > before_ids_of(Timestamp::from_unix_ms(0)));
    }
}
