//! Between SQL values and the domain's own types. What does not parse back was not written by this crate.

use std::borrow::Cow;
use std::str::FromStr;

use cashgate_withdrawal::ids::{HoldReference, Nonce, WithdrawalId};
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::time::{CalendarDay, Timestamp};
use rusqlite::Row;
use rusqlite::types::FromSql;

use crate::error::{ReadError, StorageError};
use crate::records::{DeviceRow, Sequence, Spent, StoredStep, WithdrawalRow, WithdrawalSummary};

/// SQLite's integers have a sign. What does not fit (a time in 292 million years) becomes the greatest there is.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn signed_money(money: Money) -> i64 {
    signed(money.minor_units())
}

/// A row of one table, read by column name.
struct Columns<'row, 'statement> {
    row: &'row Row<'statement>,
    table: &'static str,
}

impl Columns<'_, '_> {
    /// A value as SQLite has it.
    fn value<T: FromSql>(&self, column: &'static str) -> Result<T, ReadError> {
        self.row.get(column).map_err(|error| match error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..) => self.damaged(column),
            other => ReadError::Storage(StorageError::new(&other)),
        })
    }

    /// A value that is kept as text.
    fn parsed<T: FromStr>(&self, column: &'static str) -> Result<T, ReadError> {
        let value = self.row.get_ref(column).map_err(|error| ReadError::Storage(StorageError::new(&error)))?;
        value.as_str().ok().and_then(|text| text.parse().ok()).ok_or_else(|| self.damaged(column))
    }

    fn unsigned(&self, column: &'static str) -> Result<u64, ReadError> {
        u64::try_from(self.value::<i64>(column)?).map_err(|_| self.damaged(column))
    }

    fn timestamp(&self, column: &'static str) -> Result<Timestamp, ReadError> {
        self.unsigned(column).map(Timestamp::from_unix_ms)
    }

    fn money(&self, column: &'static str) -> Result<Money, ReadError> {
        let currency: Currency = self.parsed("currency")?;
        Money::from_minor_units(self.unsigned(column)?, currency).map_err(|_| self.damaged(column))
    }

    fn is_null(&self, column: &'static str) -> Result<bool, ReadError> {
        self.value::<Option<rusqlite::types::Value>>(column).map(|value| value.is_none())
    }

    fn damaged(&self, column: &'static str) -> ReadError {
        ReadError::Damaged { table: self.table, column }
    }
}

/// Reads a row of `SELECT * FROM withdrawals`.
pub(crate) fn withdrawal(row: &Row<'_>) -> Result<WithdrawalSummary, ReadError> {
    let columns = Columns { row, table: "withdrawals" };
    let dispensed = if columns.is_null("dispensed")? { None } else { Some(columns.money("dispensed")?) };
    let hold: Option<HoldReference> = if columns.is_null("hold")? { None } else { Some(columns.parsed("hold")?) };
    Ok(WithdrawalSummary {
        id: columns.parsed("id")?,
        row: WithdrawalRow {
            state: Cow::Owned(columns.value("state")?),
            open: columns.value("open")?,
            institution: columns.parsed("institution")?,
            account: columns.parsed("account")?,
            device: columns.parsed("device")?,
            atm: columns.parsed("atm")?,
            qr_session: columns.parsed("qr_session")?,
            nonce: Nonce(columns.value("nonce")?),
            amount: columns.money("amount")?,
            dispensed,
            hold,
            day: CalendarDay(columns.value("day")?),
            approved_at: columns.timestamp("approved_at_ms")?,
            policy_version: columns.value("policy_version")?,
            key_id: columns.parsed("key_id")?,
        },
        last_step: columns.value("last_step")?,
        changed_at: columns.timestamp("changed_at_ms")?,
    })
}

/// Reads the withdrawal's id alone from a row of `withdrawals`.
pub(crate) fn withdrawal_id(row: &Row<'_>) -> Result<WithdrawalId, ReadError> {
    Columns { row, table: "withdrawals" }.parsed("id")
}

/// Reads a row of `SELECT * FROM steps`.
pub(crate) fn step(row: &Row<'_>) -> Result<StoredStep, ReadError> {
    let columns = Columns { row, table: "steps" };
    Ok(StoredStep {
        sequence: Sequence(columns.unsigned("sequence")?),
        withdrawal: columns.parsed("withdrawal")?,
        institution: columns.parsed("institution")?,
        number: columns.value("number")?,
        at: columns.timestamp("at_ms")?,
        kind: columns.value("kind")?,
        body: columns.value("body")?,
    })
}

/// Reads what limits need from a row of `withdrawals`.
pub(crate) fn spent(row: &Row<'_>) -> Result<Spent, ReadError> {
    let columns = Columns { row, table: "withdrawals" };
    Ok(Spent {
        withdrawal: withdrawal_id(row)?,
        institution: columns.parsed("institution")?,
        account: columns.parsed("account")?,
        device: columns.parsed("device")?,
        atm: columns.parsed("atm")?,
        dispensed: match columns.is_null("dispensed")? {
            true => Money::zero(columns.money("amount")?.currency()),
            false => columns.money("dispensed")?,
        },
        day: CalendarDay(columns.value("day")?),
        approved_at: columns.timestamp("approved_at_ms")?,
    })
}

/// Reads a row of `SELECT * FROM devices`.
pub(crate) fn device(row: &Row<'_>) -> Result<DeviceRow, ReadError> {
    let columns = Columns { row, table: "devices" };
    let revoked_at = if columns.is_null("revoked_at_ms")? { None } else { Some(columns.timestamp("revoked_at_ms")?) };
    Ok(DeviceRow {
        institution: columns.parsed("institution")?,
        device: columns.parsed("device")?,
        public_key: columns.value("public_key")?,
        registered_at: columns.timestamp("registered_at_ms")?,
        revoked_at,
    })
}
