//! Between the values of a row and the domain's own types. What does not parse back, or does not fit its check, was not written by this crate.

use std::borrow::Cow;
use std::str::FromStr;

use cashgate_withdrawal::ids::{HoldReference, Nonce, WithdrawalId};
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::time::{CalendarDay, Timestamp};

use crate::cells::{Cell, Cells, FromCell};
use crate::damage::{Damage, Fault};
use crate::error::ReadError;
use crate::key_events::{KeyAction, KeyEvent, StoredKeyEvent};
use crate::publications::StoredPublication;
use crate::records::{Sequence, StoredRemark, StoredStep, WithdrawalRow, WithdrawalSummary};
use crate::row_check::RowColumns;
use crate::seal::Seal;
use crate::table::Table;

/// The integers of both stores have a sign. What does not fit (a time in 292 million years) becomes the greatest there is.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn signed_money(money: Money) -> i64 {
    signed(money.minor_units())
}

/// Reads a row of `SELECT * FROM withdrawals`.
pub(crate) fn withdrawal(row: &impl Cells) -> Result<WithdrawalSummary, ReadError> {
    let columns = Columns::checked(row, Table::Withdrawals, RowColumns::of_withdrawals())?;
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
            dispensed: columns.money_or_null("dispensed")?,
            hold,
            day: CalendarDay(columns.value("day")?),
            approved_at: columns.timestamp("approved_at_ms")?,
            policy_version: columns.value("policy_version")?,
            key_id: columns.parsed("key_id")?,
        },
        last_step: columns.value("last_step")?,
        changed_at: columns.timestamp("changed_at_ms")?,
        last_seal: columns.seal("last_seal")?,
    })
}

/// How a withdrawal stands before its next step: all that decides whether the step may come.
#[derive(Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) last_step: u32,
    pub(crate) open: bool,
    pub(crate) last_seal: Seal,
}

/// Reads it from a row of `SELECT * FROM withdrawals`.
pub(crate) fn standing(row: &impl Cells) -> Result<Standing, ReadError> {
    let columns = Columns::checked(row, Table::Withdrawals, RowColumns::of_withdrawals())?;
    Ok(Standing {
        last_step: columns.value("last_step")?,
        open: columns.value("open")?,
        last_seal: columns.seal("last_seal")?,
    })
}

/// Reads a row of `SELECT steps.*`. Whether its seal fits is for the caller to see, who knows the step before it.
pub(crate) fn step(row: &impl Cells) -> Result<StoredStep, ReadError> {
    let columns = Columns { row, table: Table::Steps };
    Ok(StoredStep {
        sequence: Sequence(columns.unsigned("sequence")?),
        withdrawal: columns.parsed("withdrawal")?,
        institution: columns.parsed("institution")?,
        number: columns.value("number")?,
        at: columns.timestamp("at_ms")?,
        kind: columns.value("kind")?,
        body: columns.value("body")?,
        seal: columns.seal("seal")?,
    })
}

/// Reads a row of `steps` that has the seal of the withdrawal's step before it in the column `previous_seal`, and checks its own.
pub(crate) fn step_after_previous(row: &impl Cells) -> Result<StoredStep, ReadError> {
    let columns = Columns { row, table: Table::Steps };
    let previous = if columns.is_null("previous_seal")? { None } else { Some(columns.seal("previous_seal")?) };
    let step = step(row)?;
    if previous.is_none() && step.number > 1 {
        let fault = Fault::StepNumber { expected: step.number.saturating_sub(1), found: step.number };
        Err(ReadError::Damaged(Damage::of_step(&step, fault)))
    } else if !step.seal.fits(previous.as_ref(), &step) {
        Err(ReadError::Damaged(Damage::of_step(&step, Fault::Seal)))
    } else {
        Ok(step)
    }
}

/// Reads a row of `SELECT * FROM remarks`.
pub(crate) fn remark(row: &impl Cells) -> Result<(WithdrawalId, StoredRemark), ReadError> {
    let columns = Columns::checked(row, Table::Remarks, RowColumns::of_remarks())?;
    let remark = StoredRemark {
        number: columns.value("number")?,
        at: columns.timestamp("at_ms")?,
        kind: columns.value("kind")?,
        detail: columns.value("detail")?,
    };
    Ok((columns.parsed("withdrawal")?, remark))
}

/// Reads a row of `SELECT * FROM remarks_left_out`.
pub(crate) fn remarks_left_out(row: &impl Cells) -> Result<u64, ReadError> {
    Columns::checked(row, Table::RemarksLeftOut, RowColumns::of_remarks_left_out())?.unsigned("count")
}

/// Reads a row of `SELECT * FROM key_events`. Whether its seal fits is for the caller to see, who knows the event before it.
pub(crate) fn key_event(row: &impl Cells) -> Result<StoredKeyEvent, ReadError> {
    let columns = Columns { row, table: Table::KeyEvents };
    let action = match (columns.value::<String>("action")?.as_str(), columns.is_null("use_from_ms")?) {
        ("published", false) => KeyAction::Published { use_from: columns.timestamp("use_from_ms")? },
        ("signing", true) => KeyAction::Signing,
        ("retired", true) => KeyAction::Retired { at_once: false },
        ("retired_at_once", true) => KeyAction::Retired { at_once: true },
        _ => return Err(columns.damaged(Fault::Column("action"))),
    };
    Ok(StoredKeyEvent {
        sequence: columns.unsigned("sequence")?,
        event: KeyEvent {
            at: columns.timestamp("at_ms")?,
            actor: columns.value("actor")?,
            action,
            key_id: columns.parsed("key_id")?,
            label: columns.value("label")?,
            token_label: columns.value("token_label")?,
            public_key: columns.value("public_key")?,
            reason: columns.value("reason")?,
        },
        seal: columns.seal("seal")?,
    })
}

/// Reads a row of `publications` without its body. Whether its seal fits is for the caller to see, who knows the one before it.
pub(crate) fn publication(row: &impl Cells) -> Result<StoredPublication, ReadError> {
    let columns = Columns { row, table: Table::Publications };
    Ok(StoredPublication {
        number: columns.unsigned("number")?,
        sequence: Sequence(columns.unsigned("sequence")?),
        at: columns.timestamp("at_ms")?,
        actor: columns.value("actor")?,
        note: columns.value("note")?,
        version: columns.value("version")?,
        digest: columns.value("digest")?,
        seal: columns.seal("seal")?,
    })
}

/// A row of one table, read by column name.
pub(crate) struct Columns<'row, R> {
    row: &'row R,
    table: Table,
}

impl<'row, R: Cells> Columns<'row, R> {
    /// A whole row whose last column is its check, which fits. `found` takes the columns before it.
    pub(crate) fn checked(row: &'row R, table: Table, mut found: RowColumns) -> Result<Self, ReadError> {
        let columns = Self { row, table };
        let check_at = row.count().saturating_sub(1);
        for index in 0..check_at {
            match row.cell(index)? {
                Cell::Null => found.null(),
                Cell::Integer(value) => found.integer(value),
                Cell::Text(value) => found.text_bytes(&value),
                Cell::Blob(value) => found.blob(value),
                Cell::Other => return Err(columns.damaged(Fault::RowCheck)), // No column has such.
            };
        }
        if row.cell(check_at)? == Cell::Blob(found.check().as_bytes()) {
            Ok(columns)
        } else {
            Err(columns.damaged(Fault::RowCheck))
        }
    }

    /// Where a column stands; beyond the row if the table has none of that name, which the row then refuses.
    fn place(&self, column: &str) -> usize {
        self.table.columns().iter().position(|name| *name == column).unwrap_or(usize::MAX)
    }

    pub(crate) fn value<T: FromCell>(&self, column: &'static str) -> Result<T, ReadError> {
        T::from_cell(&self.row.cell(self.place(column))?).ok_or_else(|| self.damaged(Fault::Column(column)))
    }

    /// A value that is kept as text.
    pub(crate) fn parsed<T: FromStr>(&self, column: &'static str) -> Result<T, ReadError> {
        let parsed = match self.row.cell(self.place(column))? {
            Cell::Text(value) => str::from_utf8(&value).ok().and_then(|text| text.parse().ok()),
            _ => None,
        };
        parsed.ok_or_else(|| self.damaged(Fault::Column(column)))
    }

    pub(crate) fn unsigned(&self, column: &'static str) -> Result<u64, ReadError> {
        self.value(column)
    }

    pub(crate) fn timestamp(&self, column: &'static str) -> Result<Timestamp, ReadError> {
        self.unsigned(column).map(Timestamp::from_unix_ms)
    }

    pub(crate) fn timestamp_or_null(&self, column: &'static str) -> Result<Option<Timestamp>, ReadError> {
        if self.is_null(column)? { Ok(None) } else { self.timestamp(column).map(Some) }
    }

    pub(crate) fn money_or_null(&self, column: &'static str) -> Result<Option<Money>, ReadError> {
        if self.is_null(column)? { Ok(None) } else { self.money(column).map(Some) }
    }

    pub(crate) fn money(&self, column: &'static str) -> Result<Money, ReadError> {
        let currency: Currency = self.parsed("currency")?;
        Money::from_minor_units(self.unsigned(column)?, currency).map_err(|_| self.damaged(Fault::Column(column)))
    }

    fn seal(&self, column: &'static str) -> Result<Seal, ReadError> {
        self.value(column).map(Seal::from_bytes)
    }

    pub(crate) fn is_null(&self, column: &'static str) -> Result<bool, ReadError> {
        Ok(self.row.cell(self.place(column))? == Cell::Null)
    }

    fn damaged(&self, fault: Fault) -> ReadError {
        let shown = |column| self.shown(column);
        let (table, record) = self.table.record(shown);
        ReadError::Damaged(Damage { table, record, fault })
    }

    /// A column of a row that may be damaged, to find it by.
    fn shown(&self, column: &'static str) -> String {
        match self.row.cell(self.place(column)) {
            Ok(Cell::Integer(value)) => value.to_string(),
            Ok(Cell::Text(value)) => String::from_utf8_lossy(&value).escape_debug().to_string(),
            _ => "(unreadable)".to_owned(),
        }
    }
}
