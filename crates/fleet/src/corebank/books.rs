//! The bank's books for an auditor.

use std::io::Write;

use rusqlite::params;
use serde::Serialize;

use super::answers::Standing;
use super::bank::{Bank, BankError, standing_of, unsigned};
use crate::csv::write_line;

/// The columns of [`Bank::write_csv`], as `docs/reconciliation.md` has them.
const CSV_HEADER: [&str; 7] = [
    "withdrawal_id",
    "account",
    "currency",
    "held_minor_units",
    "confirmed_minor_units",
    "standing",
    "posted_at_unix_ms",
];

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

    /// Writes every hold as the CSV that reconciliation reads, header first, in the order of the withdrawals' ids. A posting from before
    /// this bank noted times has an empty one.
    ///
    /// # Errors
    /// SQLite, or the writer.
    pub fn write_csv(&self, out: &mut impl Write) -> Result<(), BankError> {
        let connection = self.connection();
        let mut statement = connection.prepare(
            "SELECT withdrawal_id, account, currency, held, confirmed, standing, posted_at_ms FROM holds
             ORDER BY withdrawal_id",
        )?;
        write_line(out, &CSV_HEADER)?;
        let mut rows = statement.query(params![])?;
        while let Some(row) = rows.next()? {
            let texts: [String; 3] = [row.get(0)?, row.get(1)?, row.get(2)?];
            let [withdrawal_id, account, currency] = texts.each_ref().map(String::as_str);
            let amount = |column| Ok::<_, BankError>(unsigned(row.get(column)?).to_string());
            let (held, confirmed, standing) = (amount(3)?, amount(4)?, standing_of(row, 5)?.as_str());
            let posted_at = row.get::<_, Option<i64>>(6)?.map_or_else(String::new, |at| at.to_string());
            write_line(out, &[withdrawal_id, account, currency, &held, &confirmed, standing, &posted_at])?;
        }
        Ok(())
    }
}
