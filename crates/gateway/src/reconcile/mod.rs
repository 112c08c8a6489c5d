//! `cashgate reconcile`: the gateway's books against core banking's postings and the ATMs' counters.
//!
//! The three parties keep their books apart, so that what one of them lost, invented or miscounted shows as a difference. This module
//! reads the gateway's books straight from the ledger (also while a gateway runs), the other two from CSV files whose columns stand in
//! `posting` and `counter`, and in `docs/reconciliation.md`.
//!
//! An ended withdrawal must stand at core banking and at its ATM exactly as in the ledger. One that is still open may be anywhere on its
//! way, so only what can never be right is a finding there, besides its age. An account's name is compared and never shown.

mod book;
mod comparison;
mod counter;
mod csv_file;
mod finding;
mod judging;
mod posting;
mod summary;
#[cfg(test)]
mod tests;
mod window;

use std::path::{Path, PathBuf};
use std::time::Duration;

use cashgate_ledger::{LedgerReader, ReadError};
use cashgate_withdrawal::ids::{InstitutionId, WithdrawalId};
use cashgate_withdrawal::time::Timestamp;

pub use self::book::BookState;
pub use self::counter::{Counter, HEADER as ATM_COUNTERS_HEADER};
pub use self::finding::{Finding, GatewaySide, Kind};
pub use self::posting::{HEADER as CORE_BANKING_HEADER, Posting, Standing};
pub use self::summary::{KindTotal, Open, SideTotals, Summary};
pub use self::window::Window;

use self::book::Book;
use self::comparison::Comparison;

/// What is compared, and what counts as old.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whose core banking the file is from. `None`: that of the only institution in the books.
    pub institution: Option<InstitutionId>,
    /// Which withdrawals.
    pub window: Window,
    /// The present moment; ages count up to the end of the window or up to here, whichever comes first.
    pub now: Timestamp,
    /// A suspect whose approval is longer ago is a finding.
    pub suspects_older_than: Duration,
    /// Any other open withdrawal whose approval is longer ago is a finding.
    pub open_longer_than: Duration,
}

impl Plan {
    /// The moment as of which the books are compared.
    fn as_of(&self) -> Timestamp {
        self.window.until.map_or(self.now, |until| until.min(self.now))
    }
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Reconciliation {
    /// Every difference, in the order of the withdrawals' ids, which is the order of time.
    pub findings: Vec<Finding>,
    /// Counts and sums.
    pub summary: Summary,
}

impl Reconciliation {
    /// Whether the three books agree.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The gateway's own books.
    #[error("the ledger: {0}")]
    Ledger(#[from] ReadError),
    /// A state that a later Cashgate wrote.
    #[error(
        "withdrawal {withdrawal} is {state:?} in the ledger, which this program does not know; use the version that wrote it"
    )]
    UnknownState {
        /// The withdrawal.
        withdrawal: WithdrawalId,
        /// Its state.
        state: String,
    },
    /// Withdrawals of several institutions, and no word whose file it is.
    #[error("the books hold withdrawals of {institutions}: say with --institution whose core banking the file is from")]
    WhoseFile {
        /// Their ids.
        institutions: String,
    },
    /// A file cannot be read.
    #[error("{file}: {source}")]
    File {
        /// Which.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file's first line.
    #[error("{file}, line 1: {problem}")]
    Header {
        /// Which.
        file: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A line that is no line of the table.
    #[error("{file}, line {line}: {problem}")]
    Line {
        /// Which file.
        file: String,
        /// The line on which the row begins, from 1.
        line: u64,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A value. It is not repeated here: it may be an account's name in the wrong column.
    #[error("{file}, line {line}, column {column}: {problem}")]
    Value {
        /// Which file.
        file: String,
        /// The line on which the row begins, from 1.
        line: u64,
        /// The column's name.
        column: &'static str,
        /// What is wrong, and what to do.
        problem: String,
    },
}

/// Compares. Blocking. Keeps some 300 bytes for each withdrawal in the window and each finding; the files are read row by row.
///
/// # Errors
///
/// [`ReconcileError`]: nothing is said about the books then, not even about the part that was read.
pub fn reconcile(
    reader: &LedgerReader,
    plan: &Plan,
    core_banking: &Path,
    atm_counters: &[PathBuf],
) -> Result<Reconciliation, ReconcileError> {
    let mut comparison = Comparison::new(Book::load(reader, plan)?, plan)?;
    posting::read(core_banking, |posting| comparison.core_banking_has(posting))?;
    for file in atm_counters {
        counter::read(file, |counter| comparison.atm_has(counter))?;
    }
    Ok(comparison.finish())
}
