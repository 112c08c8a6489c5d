//! `cargo xtask bench`: figures of the design as ratios, ours and the baseline alternating in one run on one machine.
//!
//! Writes `target/bench/results.json`, and the table in `loadtest/RESULTS.md`. Machines differ and are shared, so a ratio is what counts; the median of the rounds is given.

// Ratios of measured figures; no money here.
#![allow(clippy::float_arithmetic, clippy::cast_precision_loss)]

mod claims;
mod forwarded;
mod ledger;
mod limits;
mod mint;
mod policy;
mod program;
mod qr;
mod recovery;
mod results;
mod row;
mod withdrawal;

use crate::{interrupt, packages};
use row::Row;

/// Rows that are measured together.
struct Group {
    names: &'static [&'static str],
    measure: fn(Order<'_>) -> Result<Vec<Row>, String>,
}

const GROUPS: [Group; 9] = [
    Group { names: &mint::NAMES, measure: mint::measure },
    Group { names: &policy::NAMES, measure: |_| policy::measure() },
    Group { names: &qr::NAMES, measure: |_| qr::measure() },
    Group { names: &limits::NAMES, measure: limits::measure },
    Group { names: &ledger::NAMES, measure: ledger::measure },
    Group { names: &claims::NAMES, measure: claims::measure },
    Group { names: &forwarded::NAMES, measure: forwarded::measure },
    Group { names: &recovery::NAMES, measure: recovery::measure },
    Group { names: &withdrawal::NAMES, measure: withdrawal::measure },
];

/// What is measured, and how long.
#[derive(Clone, Copy)]
pub(crate) struct Order<'a> {
    /// Seconds instead of minutes; for a first look.
    pub(crate) quick: bool,
    /// Only rows whose name begins so.
    pub(crate) only: Option<&'a str>,
}

impl Order<'_> {
    /// How often ours and the baseline are measured in turn.
    const fn rounds(self) -> usize {
        if self.quick { 3 } else { 5 }
    }

    /// How long each time.
    const fn seconds(self) -> u64 {
        if self.quick { 2 } else { 4 }
    }

    fn wants(self, name: &str) -> bool {
        self.only.is_none_or(|only| name.starts_with(only))
    }
}

/// Measures, prints a table and writes the file. Rows below their target are no failure: they are to be read.
pub(crate) fn run(order: Order<'_>) -> Result<(), String> {
    interrupt::watch()?;
    packages::ensure(&[packages::C_COMPILER, packages::SOFTHSM])?;
    let mut rows = Vec::new();
    for group in GROUPS.iter().filter(|group| group.names.iter().any(|name| order.wants(name))) {
        let load_before = results::load();
        let measured = (group.measure)(order)?.into_iter().filter(|row| order.wants(&row.name));
        let first = rows.len();
        rows.extend(measured);
        // At once: a run of half an hour that ends early keeps what it had.
        results::write(&rows, first, order, &load_before)?;
    }
    if rows.is_empty() {
        let names: Vec<&str> = GROUPS.iter().flat_map(|group| group.names).copied().collect();
        return Err(format!("nothing is called {:?}; there are {}", order.only.unwrap_or_default(), names.join(", ")));
    }
    println!("\n{}", Row::HEADING);
    rows.iter().for_each(|row| println!("{row}"));
    results::say_where()
}
