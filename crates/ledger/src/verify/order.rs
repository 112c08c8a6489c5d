//! Every step and every notice by itself, in the one order of both.

use rusqlite::{Connection, Row, params};

use super::{Check, Finding, PART};
use crate::columns::{self, signed};
use crate::damage::{Damage, Fault};
use crate::error::ReadError;
use crate::notices;
use crate::queries::rows;
use crate::reader::LedgerReader;
use crate::records::{Sequence, StoredStep};

const END_OF_PART: &str = "SELECT max(sequence) FROM (
    SELECT sequence FROM steps WHERE sequence > ?1 AND sequence <= ?2
    UNION ALL SELECT sequence FROM notices WHERE sequence > ?1 AND sequence <= ?2 ORDER BY 1 LIMIT ?3)";
const STEPS: &str = "SELECT *,
        (SELECT seal FROM steps AS previous
            WHERE previous.withdrawal = steps.withdrawal AND previous.number = steps.number - 1) AS previous_seal,
        EXISTS (SELECT 1 FROM withdrawals WHERE id = steps.withdrawal) AS has_row
    FROM steps WHERE sequence > ?1 AND sequence <= ?2 ORDER BY sequence";
const NOTICES: &str = "SELECT * FROM notices WHERE sequence > ?1 AND sequence <= ?2 ORDER BY sequence";

/// A record where it was found, or what is wrong with it.
struct Placed {
    sequence: Sequence,
    record: Record,
}

enum Record {
    Step { has_row: bool, step: Result<StoredStep, Damage> },
    Notice(Result<(), Damage>),
}

impl Check<'_> {
    pub(super) fn order(&mut self, reader: &LedgerReader, last: Sequence) {
        let mut seen = Sequence(0);
        while seen < last {
            let part = reader.read(|connection| part(connection, seen, last));
            let Some(part) = self.pass(part) else { return };
            if part.is_empty() {
                return; // Everything up to `last` is found unless an index lies, which `structure` reports.
            }
            for Placed { sequence, record } in part {
                if let Some(damage) = Damage::between(seen, sequence) {
                    self.found(Finding::Record(damage));
                }
                seen = sequence;
                self.record(record);
            }
        }
    }

    fn record(&mut self, record: Record) {
        let damage = match record {
            Record::Step { has_row, step } => {
                self.report.steps += 1;
                self.report.step_bytes += step.as_ref().map_or(0, |step| step.body.len() as u64);
                match step {
                    Ok(step) => (!has_row).then(|| Damage::of_step(&step, Fault::NoWithdrawal)),
                    Err(damage) => Some(damage),
                }
            }
            Record::Notice(notice) => {
                self.report.notices += 1;
                notice.err()
            }
        };
        if let Some(damage) = damage {
            self.found(Finding::Record(damage));
        }
    }
}

fn part(connection: &Connection, seen: Sequence, last: Sequence) -> Result<Vec<Placed>, ReadError> {
    let end: Option<i64> = connection
        .prepare_cached(END_OF_PART)
        .and_then(|mut end| end.query_row(params![signed(seen.0), signed(last.0), PART], |row| row.get(0)))
        .map_err(|error| ReadError::storage(&error))?;
    let span = params![signed(seen.0), end];
    let mut part = rows(connection, STEPS, span, placed_step)?;
    part.extend(rows(connection, NOTICES, span, placed_notice)?);
    part.sort_by_key(|placed| placed.sequence);
    Ok(part)
}

fn placed_step(row: &Row<'_>) -> Result<Placed, ReadError> {
    let has_row = row.get("has_row").map_err(|error| ReadError::storage(&error))?;
    let step = judged(columns::step_after_previous(row))?;
    Ok(Placed { sequence: sequence(row)?, record: Record::Step { has_row, step } })
}

fn placed_notice(row: &Row<'_>) -> Result<Placed, ReadError> {
    let notice = judged(notices::notice(row).map(drop))?;
    Ok(Placed { sequence: sequence(row)?, record: Record::Notice(notice) })
}

/// What is damaged is handed on as a finding; only what cannot be read at all ends the check.
fn judged<T>(read: Result<T, ReadError>) -> Result<Result<T, Damage>, ReadError> {
    match read {
        Ok(value) => Ok(Ok(value)),
        Err(ReadError::Damaged(damage)) => Ok(Err(damage)),
        Err(other) => Err(other),
    }
}

fn sequence(row: &Row<'_>) -> Result<Sequence, ReadError> {
    let sequence: i64 = row.get("sequence").map_err(|error| ReadError::storage(&error))?;
    Ok(Sequence(u64::try_from(sequence).unwrap_or(0)))
}
