//! Everything approved since a moment. Ids of version 7 begin with the moment at which they were made, so the primary key finds what is
//! recent and no index is kept for it.

use cashgate_withdrawal::time::Timestamp;
use rusqlite::{Connection, params};

use super::queries::rows;
use crate::approvals::{ApprovedRow, approved};
use crate::claim::LimitKey;
use crate::columns::{self, signed};
use crate::damage::{Damage, Fault};
use crate::error::ReadError;
use crate::reads::{PART, before_ids_of};
use crate::records::{Sequence, StoredStep, WithdrawalSummary};
use crate::seal::check_first;

const APPROVED_AFTER: &str = "SELECT * FROM withdrawals WHERE id > ?1 AND approved_at_ms >= ?2 ORDER BY id LIMIT ?3";
const FIRST_STEP: &str = "SELECT * FROM steps WHERE withdrawal = ?1 AND number = 1";

pub(super) fn approved_after(
    connection: &Connection,
    after: &str,
    since: Timestamp,
) -> Result<Vec<ApprovedRow>, ReadError> {
    rows(connection, APPROVED_AFTER, params![after, signed(since.unix_ms()), PART], |row| approved(row))
}

pub(super) fn first_steps_after(
    connection: &Connection,
    after: &str,
    since: Timestamp,
) -> Result<Vec<(WithdrawalSummary, StoredStep)>, ReadError> {
    let values = params![after, signed(since.unix_ms()), PART];
    let withdrawals = rows(connection, APPROVED_AFTER, values, |row| columns::withdrawal(row))?;
    withdrawals.into_iter().map(|withdrawal| with_first_step(connection, withdrawal)).collect()
}

const OF_ENTRY: &str = "SELECT * FROM withdrawals INDEXED BY withdrawals_open WHERE open = 1 AND id <= ?1";

/// By walking through what is open and what was approved since: one process counts in memory, and asks this only in tests.
pub(super) fn approved_of(
    connection: &Connection,
    key: &LimitKey,
    since: Timestamp,
) -> Result<Vec<ApprovedRow>, ReadError> {
    let from = before_ids_of(since);
    let mut found = rows(connection, OF_ENTRY, [&from], |row| approved(row))?;
    let recent = "SELECT * FROM withdrawals WHERE id > ?1 AND (open = 1 OR approved_at_ms >= ?2)";
    found.extend(rows(connection, recent, params![from, signed(since.unix_ms())], |row| approved(row))?);
    found.retain(|row| match key {
        LimitKey::Account(institution, account) => row.institution == *institution && row.account == *account,
        LimitKey::Device(institution, device) => row.institution == *institution && row.device == *device,
        LimitKey::Atm(atm) => row.atm == *atm,
    });
    found.sort_by_key(|row| (row.approved_at, row.withdrawal));
    Ok(found)
}

const FIRST_STEPS_OF_SPAN: &str =
    "SELECT * FROM steps WHERE sequence > ?1 AND sequence <= ?2 AND number = 1 ORDER BY sequence";
const WITHDRAWAL: &str = "SELECT * FROM withdrawals WHERE id = ?1";

pub(super) fn first_steps_of_span(
    connection: &Connection,
    after: Sequence,
    through: Sequence,
) -> Result<Vec<(WithdrawalSummary, StoredStep)>, ReadError> {
    let span = params![signed(after.0), signed(through.0)];
    let steps = rows(connection, FIRST_STEPS_OF_SPAN, span, |row| columns::step(row))?;
    let of = |step: StoredStep| {
        let found = rows(connection, WITHDRAWAL, [step.withdrawal.to_string()], |row| columns::withdrawal(row))?;
        let none = || ReadError::Damaged(Damage::of_step(&step, Fault::NoWithdrawal));
        let withdrawal = found.into_iter().next().ok_or_else(none)?;
        check_first(&withdrawal, &step).map_err(ReadError::Damaged)?;
        Ok((withdrawal, step))
    };
    steps.into_iter().map(of).collect()
}

fn with_first_step(
    connection: &Connection,
    withdrawal: WithdrawalSummary,
) -> Result<(WithdrawalSummary, StoredStep), ReadError> {
    let found = rows(connection, FIRST_STEP, [withdrawal.id.to_string()], |row| columns::step(row))?;
    let none = || ReadError::Damaged(Damage::of_withdrawal(withdrawal.id, Fault::NoFirstStep));
    let first = found.into_iter().next().ok_or_else(none)?;
    check_first(&withdrawal, &first).map_err(ReadError::Damaged)?;
    Ok((withdrawal, first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::queries::tests::check_plan;

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
}
