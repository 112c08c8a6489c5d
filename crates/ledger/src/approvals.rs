//! What a withdrawal counts for: what limits and patterns are rebuilt from, and what a draft of a policy is rehearsed on.

use cashgate_withdrawal::ids::{AccountId, AtmId, DeviceId, InstitutionId, WithdrawalId};
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::{CalendarDay, Timestamp};

use crate::cells::Cells;
use crate::columns::Columns;
use crate::error::ReadError;
use crate::row_check::RowColumns;
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

/// Reads a row of `withdrawals`.
pub(crate) fn approved(row: &impl Cells) -> Result<ApprovedRow, ReadError> {
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
