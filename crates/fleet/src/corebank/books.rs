//! The bank's books for an auditor.

use rusqlite::params;
use serde::Serialize;

use super::answers::Standing;
use super::bank::{Bank, BankError, standing_of, unsigned};

/// One account's books, in minor units. `opening = balance + held + confirmed` and `holds = held + confirmed + reversed`, always.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountBooks {
    /// The account.
    pub account: String,
    /// What was there in the beginning.
    pub opening: u64,
    /// What is there now.
    pub balance: u64,
    /// What is aside now.
    pub held: u64,
    /// What was booked.
    pub confirmed: u64,
    /// What was aside and was given back, also the rest of a smaller confirmation.
    pub reversed: u64,
    /// Everything that was ever aside.
    pub holds: u64,
}

/// One hold's books, in minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HoldBooks {
    /// The withdrawal.
    pub withdrawal_id: String,
    /// The account; empty if only a reversal ever came.
    pub account: String,
    /// What was asked for.
    pub amount: u64,
    /// Where it stands.
    pub status: Standing,
    /// What was booked.
    pub confirmed: u64,
}

impl Bank {
    /// Every account's books, in the order of the accounts' names.
    ///
    /// # Errors
    /// SQLite.
    pub fn account_books(&self) -> Result<Vec<AccountBooks>, BankError> {
        let connection = self.connection();
        let mut statement = connection.prepare(
            "SELECT a.account, a.opening, a.balance,
                    coalesce(sum(CASE WHEN h.standing = 'held' THEN h.held END), 0),
                    coalesce(sum(h.confirmed), 0),
                    coalesce(sum(CASE WHEN h.standing <> 'held' THEN h.held - h.confirmed END), 0),
                    coalesce(sum(h.held), 0)
             FROM accounts a LEFT JOIN holds h ON h.account = a.account GROUP BY a.account ORDER BY a.account",
        )?;
        let rows = statement.query_map(params![], |row| {
            Ok(AccountBooks {
                account: row.get(0)?,
                opening: unsigned(row.get(1)?),
                balance: unsigned(row.get(2)?),
                held: unsigned(row.get(3)?),
                confirmed: unsigned(row.get(4)?),
                reversed: unsigned(row.get(5)?),
                holds: unsigned(row.get(6)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Every hold's books, in the order of the withdrawals' ids.
    ///
    /// # Errors
    /// SQLite.
    pub fn hold_books(&self) -> Result<Vec<HoldBooks>, BankError> {
        let connection = self.connection();
        let mut statement = connection
            .prepare("SELECT withdrawal_id, account, asked, standing, confirmed FROM holds ORDER BY withdrawal_id")?;
        let rows = statement.query_map(params![], |row| {
            Ok(HoldBooks {
                withdrawal_id: row.get(0)?,
                account: row.get(1)?,
                amount: unsigned(row.get(2)?),
                status: standing_of(row, 3)?,
                confirmed: unsigned(row.get(4)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
