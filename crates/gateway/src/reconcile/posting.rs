//! The core banking file: one row for each withdrawal that core banking ever heard of.
//!
//! | column | meaning |
//! |---|---|
//! | `withdrawal_id` | the UUID that every request to core banking carried |
//! | `account` | the account as requests named it; may be empty where money was never held |
//! | `currency` | ISO 4217; may be empty where both amounts are zero |
//! | `held_minor_units` | what was ever set aside for the withdrawal, also after that has ended; 0 if nothing was |
//! | `confirmed_minor_units` | what was booked; 0 if nothing was |
//! | `standing` | `held`, `confirmed`, `reversed` or `declined` |
//! | `posted_at_unix_ms` | when the standing was reached, in milliseconds since 1970-01-01T00:00:00Z; may be empty; shown, not compared |

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::str::FromStr;
use std::sync::LazyLock;

use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::money::Currency;
use serde::Serialize;

use super::ReconcileError;
use super::csv_file::{CsvRow, each_row};

/// The columns, in the order in which the fleet's core bank writes them; any order is read.
pub const HEADER: [&str; 7] = [
    "withdrawal_id",
    "account",
    "currency",
    "held_minor_units",
    "confirmed_minor_units",
    "standing",
    "posted_at_unix_ms",
];

/// Where a hold stands at core banking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Money is set aside.
    Held,
    /// Booked; the rest of the hold, if any, was given back.
    Confirmed,
    /// Given back, or never to be placed.
    Reversed,
    /// Refused.
    Declined,
}

impl Standing {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Held, "held"),
        (Self::Confirmed, "confirmed"),
        (Self::Reversed, "reversed"),
        (Self::Declined, "declined"),
    ];
}

impl FromStr for Standing {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.iter().find(|(_, name)| *name == text).map(|(standing, _)| *standing).ok_or(())
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(standing, _)| standing == self).map(|(_, name)| *name);
        f.write_str(name.unwrap_or_default())
    }
}

/// A row, less its key. The account is kept as a mark that can be compared and not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Posting {
    /// Where the hold stands.
    pub standing: Standing,
    /// What was ever set aside, in minor units.
    #[serde(rename = "held_minor_units")]
    pub held: u64,
    /// What was booked, in minor units.
    #[serde(rename = "confirmed_minor_units")]
    pub confirmed: u64,
    /// The currency; `None` where both amounts are zero.
    #[serde(skip)]
    pub currency: Option<Currency>,
    /// When, by core banking's clock.
    pub posted_at_unix_ms: Option<u64>,
    /// The line of the file, from 1.
    pub line: u64,
    #[serde(skip)]
    pub(super) account: Option<AccountMark>,
}

/// What is left of an account's name: enough to compare, nothing to read. Different from process to process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AccountMark(u64);

impl AccountMark {
    pub(super) fn of(account: &str) -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(KEY.hash_one(account))
    }
}

/// Hands every row of a file to `take`.
pub(super) fn read(path: &Path, mut take: impl FnMut((WithdrawalId, Posting))) -> Result<(), ReconcileError> {
    each_row(path, &HEADER, |row| posting(row).map(&mut take))
}

fn posting(row: &CsvRow<'_>) -> Result<(WithdrawalId, Posting), ReconcileError> {
    let (held, confirmed) = (row.amount("held_minor_units")?, row.amount("confirmed_minor_units")?);
    let account = Some(row.text("account")).filter(|account| !account.is_empty());
    if account.is_none() && held.max(confirmed) > 0 {
        return Err(row.wrong("account", "is empty, but the row has an amount: name the account as requests named it"));
    }
    let posting = Posting {
        standing: row.parsed("standing", "must be held, confirmed, reversed or declined")?,
        held,
        confirmed,
        currency: row.currency("currency", &[held, confirmed])?,
        posted_at_unix_ms: row
            .parsed_if_any("posted_at_unix_ms", "must be milliseconds since 1970-01-01T00:00:00Z, or empty")?,
        line: row.line(),
        account: account.map(AccountMark::of),
    };
    Ok((row.parsed("withdrawal_id", "must be a UUID such as 01981f2e-7c1a-7000-8000-0123456789ab")?, posting))
}
