//! The ATM counters file: one row for each dispense command that a machine has on record. Files of several machines may be given one by
//! one or as one.
//!
//! | column | meaning |
//! |---|---|
//! | `atm_id` | the machine, as its certificate names it |
//! | `withdrawal_id` | the dispense command's id, a UUID |
//! | `currency` | ISO 4217; may be empty where both amounts are zero |
//! | `presented_minor_units` | the value of the notes that reached the customer's side, counted |
//! | `retracted_minor_units` | the value of those that the machine took back, counted; empty while the retract bin is not counted |

use std::path::Path;

use cashgate_withdrawal::ids::{AtmId, WithdrawalId};
use cashgate_withdrawal::money::Currency;
use serde::Serialize;

use super::ReconcileError;
use super::csv_file::{CsvRow, each_row};

/// The columns, in the order in which the fleet's ATMs write them; any order is read.
pub const HEADER: [&str; 5] = ["atm_id", "withdrawal_id", "currency", "presented_minor_units", "retracted_minor_units"];

/// A row, less its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Counter {
    /// What reached the customer's side, in minor units.
    #[serde(rename = "presented_minor_units")]
    pub presented: u64,
    /// What came back, in minor units; `None` while that is not counted.
    #[serde(rename = "retracted_minor_units")]
    pub retracted: Option<u64>,
    /// The currency; `None` where both amounts are zero.
    #[serde(skip)]
    pub currency: Option<Currency>,
    /// The line of the file, from 1.
    pub line: u64,
}

impl Counter {
    /// What left the machine and stayed out; `None` while that is not counted.
    #[must_use]
    pub fn stayed_out(&self) -> Option<u64> {
        // Nothing can come back of nothing.
        let retracted = if self.presented == 0 { 0 } else { self.retracted? };
        Some(self.presented.saturating_sub(retracted))
    }
}

/// Hands every row of a file to `take`.
pub(super) fn read(path: &Path, mut take: impl FnMut((AtmId, WithdrawalId, Counter))) -> Result<(), ReconcileError> {
    each_row(path, &HEADER, |row| counter(row).map(&mut take))
}

fn counter(row: &CsvRow<'_>) -> Result<(AtmId, WithdrawalId, Counter), ReconcileError> {
    let presented = row.amount("presented_minor_units")?;
    let retracted = row.amount_if_any("retracted_minor_units")?;
    if retracted.is_some_and(|retracted| retracted > presented) {
        let problem = "is more than was presented; count the retract bin again, or leave the field empty";
        return Err(row.wrong("retracted_minor_units", problem));
    }
    let currency = row.currency("currency", &[presented])?;
    let atm = row.parsed("atm_id", "must have 1 to 64 characters out of A-Z a-z 0-9 . _ -")?;
    let id = row.parsed("withdrawal_id", "must be a UUID such as 01981f2e-7c1a-7000-8000-0123456789ab")?;
    Ok((atm, id, Counter { presented, retracted, currency, line: row.line() }))
}
