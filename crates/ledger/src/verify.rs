//! `cashgate ledger verify`: everything is read once and checked, in memory that does not grow with the ledger.

mod order;

use std::fmt;
use std::path::Path;

use cashgate_withdrawal::ids::WithdrawalId;
use rusqlite::{Connection, Row};

use crate::columns;
use crate::damage::{Damage, Fault};
use crate::devices;
use crate::error::{LedgerOpenError, ReadError};
use crate::key_events;
use crate::lock::StoppedLock;
use crate::marker;
use crate::open::{resolved, torn_tail};
use crate::queries::{history, rows};
use crate::reader::LedgerReader;
use crate::records::{Sequence, StoredStep, WithdrawalSummary};
use crate::wal::{self, LogEnd, TornTail};

/// How many rows are read at a time. Between two parts the writer of a running ledger may let its log start over.
const PART: i64 = 500;

/// Something that is wrong, on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The file as a whole: what the storage engine says of its pages and indexes.
    File(String),
    /// The write-ahead log.
    Log(String),
    /// One record.
    Record(Damage),
    /// A withdrawal whose records are whole and tell a history that cannot be: what the caller's check said.
    History {
        /// The withdrawal.
        withdrawal: WithdrawalId,
        /// What is wrong with it.
        fault: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(said) => write!(f, "file: {said}"),
            Self::Log(said) => write!(f, "log: {said}"),
            Self::Record(damage) => damage.fmt(f),
            Self::History { withdrawal, fault } => write!(f, "history, withdrawal {withdrawal}: {fault}"),
        }
    }
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// How many withdrawals there are.
    pub withdrawals: u64,
    /// How many of them are open; a damaged row counts as none.
    pub open: u64,
    /// How many steps there are.
    pub steps: u64,
    /// The bytes of all their bodies.
    pub step_bytes: u64,
    /// How many notices there are.
    pub notices: u64,
    /// How many phones there are.
    pub devices: u64,
    /// How many remarks there are.
    pub remarks: u64,
    /// How many things happened to signing keys.
    pub key_events: u64,
    /// The sequence of the last step or notice, when the check began.
    pub last_sequence: Sequence,
    /// How many findings were handed out.
    pub findings: u64,
    /// Whether a gateway was running on the ledger. Its log changes all the time and was not looked at.
    pub running: bool,
    /// What a crash left at the end of the log, if anything. The next start cuts it. With [`TornTail::commit_mark`] it is a finding, too: it
    /// may have been acknowledged.
    pub torn_tail: Option<TornTail>,
}

/// Checks all of the ledger at `path` and hands out each thing that is wrong: the log, the structure of the file, the check of each row,
/// the seal of each step, gaps in the order of steps and notices, rows without steps and steps without rows, nonces claimed twice, the seal of each key event, and what
/// `check_history` says of each withdrawal whose records are whole.
///
/// It only reads, and may run beside a gateway: what is added meanwhile is not looked at. While the structure of the file is checked, a
/// gateway's log cannot start over and grows. The folder must be writable, for the storage engine's own file beside the ledger.
///
/// # Errors
///
/// [`LedgerOpenError`] if nothing could be checked: no such file, or none that opens as a ledger. All else is a finding.
pub fn verify(
    path: impl AsRef<Path>,
    on_finding: &mut dyn FnMut(Finding),
    check_history: &mut dyn FnMut(&WithdrawalSummary, &[StoredStep]) -> Vec<String>,
) -> Result<VerifyReport, LedgerOpenError> {
    let path = &resolved(path.as_ref());
    let mut check = Check { on_finding, report: VerifyReport::default() };
    let log_end = check.log(path)?;
    let reader = LedgerReader::open(path, 1)?;
    check.structure(&reader);
    if let Some(last) = check.pass(reader.last_sequence()) {
        check.report.last_sequence = last;
        check.report.torn_tail = torn_tail(log_end, last);
        if let Some(torn) = check.report.torn_tail.filter(|torn| torn.commit_mark) {
            check.found(Finding::Log(torn.to_string()));
        }
        check.order(&reader, last);
    }
    check.withdrawals(&reader, check_history);
    check.nonces(&reader);
    check.devices(&reader);
    check.remarks(&reader);
    check.key_events(&reader);
    Ok(check.report)
}

struct Check<'caller> {
    on_finding: &'caller mut dyn FnMut(Finding),
    report: VerifyReport,
}

impl Check<'_> {
    fn found(&mut self, finding: Finding) {
        self.report.findings += 1;
        (self.on_finding)(finding);
    }

    /// A value that was read, or `None` after a finding that says why not.
    fn pass<T>(&mut self, read: Result<T, ReadError>) -> Option<T> {
        match read {
            Ok(value) => return Some(value),
            Err(ReadError::Damaged(Damage { fault: Fault::Malformed(said), .. })) => self.found(Finding::File(said)),
            Err(ReadError::Damaged(damage)) => self.found(Finding::Record(damage)),
            Err(ReadError::Storage(error)) => self.found(Finding::File(format!("it could not be read on: {error}"))),
        }
        None
    }

    fn log(&mut self, path: &Path) -> Result<LogEnd, LedgerOpenError> {
        let fault = |source| LedgerOpenError::System { path: path.to_path_buf(), doing: "reading its log", source };
        if let Some(said) = marker::read(path).map_err(fault)? {
            self.found(Finding::Log(format!(
                "a start found it damaged, and left {}: {said}",
                marker::beside(path).display()
            )));
        }
        let Some(_stopped) = StoppedLock::take(path).map_err(fault)? else {
            self.report.running = true;
            return Ok(LogEnd::Whole);
        };
        let end = wal::end_of_log(path).map_err(fault)?;
        if let LogEnd::Damaged { frame, offset } = end {
            self.found(Finding::Log(format!(
                "frame {frame} (byte {offset}) is damaged and acknowledged commits follow; all else here was read without them"
            )));
        }
        Ok(end)
    }

    fn structure(&mut self, reader: &LedgerReader) {
        let said = reader.read(|connection| {
            rows(connection, "PRAGMA integrity_check(100)", [], |row| {
                row.get::<_, String>(0).map_err(|error| ReadError::storage(&error))
            })
        });
        for line in self.pass(said).unwrap_or_default() {
            if line != "ok" {
                self.found(Finding::File(line));
            }
        }
    }

    /// Every withdrawal with its steps.
    fn withdrawals(
        &mut self,
        reader: &LedgerReader,
        check_history: &mut dyn FnMut(&WithdrawalSummary, &[StoredStep]) -> Vec<String>,
    ) {
        let mut seen = i64::MIN;
        loop {
            // By their place in the file and not by id, which damage may have changed.
            let part = reader.read(|connection| {
                let sql = "SELECT rowid FROM withdrawals WHERE rowid > ?1 ORDER BY rowid LIMIT ?2";
                rows(connection, sql, [seen, PART], |row| row.get(0).map_err(|error| ReadError::storage(&error)))
            });
            let Some(part) = self.pass(part) else { return };
            let Some(end) = part.last() else { return };
            seen = *end;
            for place in part {
                self.report.withdrawals += 1;
                let whole = reader.read(|connection| with_steps(connection, place));
                match whole {
                    Err(ReadError::Damaged(damage)) if seen_with_its_step(&damage) => {}
                    other => {
                        if let Some(Some((withdrawal, steps))) = self.pass(other) {
                            self.report.open += u64::from(withdrawal.row.open);
                            for fault in check_history(&withdrawal, &steps) {
                                self.found(Finding::History { withdrawal: withdrawal.id, fault });
                            }
                        }
                    }
                }
            }
        }
    }

    fn nonces(&mut self, reader: &LedgerReader) {
        let sql = "SELECT hex(nonce), count(*) FROM withdrawals GROUP BY nonce HAVING count(*) > 1";
        let twice = reader.read(|connection| {
            rows(connection, sql, [], |row| {
                let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
                read(row).map_err(|error| ReadError::storage(&error))
            })
        });
        for (nonce, count) in self.pass(twice).unwrap_or_default() {
            let fault = Fault::NonceClaimedTwice(u64::try_from(count).unwrap_or(0));
            self.found(Finding::Record(Damage { table: "withdrawals", record: format!("nonce {nonce}"), fault }));
        }
    }

    fn devices(&mut self, reader: &LedgerReader) {
        let sql = "SELECT * FROM devices WHERE (institution, device) > (?1, ?2) ORDER BY institution, device LIMIT ?3";
        let mut seen = (String::new(), String::new());
        loop {
            let part = reader.read(|connection| {
                rows(connection, sql, (&seen.0, &seen.1, PART), |row| {
                    let key = |index| row.get::<_, String>(index).map_err(|error| ReadError::storage(&error));
                    Ok(((key(0)?, key(1)?), devices::device(row).map(drop)))
                })
            });
            let Some(part) = self.pass(part) else { return };
            if part.is_empty() {
                return;
            }
            for (key, device) in part {
                seen = key;
                self.report.devices += 1;
                let _ = self.pass(device);
            }
        }
    }

    fn remarks(&mut self, reader: &LedgerReader) {
        let sql = "SELECT * FROM remarks WHERE (withdrawal, number) > (?1, ?2) ORDER BY withdrawal, number LIMIT ?3";
        let mut seen = (String::new(), 0_i64);
        loop {
            let part = reader.read(|connection| {
                rows(connection, sql, (&seen.0, seen.1, PART), |row| {
                    let key = || Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
                    let key = key().map_err(|error| ReadError::storage(&error))?;
                    Ok((key, columns::remark(row).map(drop)))
                })
            });
            let Some(part) = self.pass(part) else { return };
            if part.is_empty() {
                break;
            }
            for (key, remark) in part {
                seen = key;
                self.report.remarks += 1;
                let _ = self.pass(remark);
            }
        }
        // There are as many as withdrawals that were talked about more often than is kept: few.
        let counts = reader.read(|connection| {
            rows(connection, "SELECT * FROM remarks_left_out", [], |row| Ok(columns::remarks_left_out(row).map(drop)))
        });
        for count in self.pass(counts).unwrap_or_default() {
            let _ = self.pass(count);
        }
        for table in ["remarks", "remarks_left_out"] {
            self.without_withdrawal(reader, table);
        }
    }

    fn key_events(&mut self, reader: &LedgerReader) {
        let judged = self.pass(reader.read(key_events::judged)).unwrap_or_default();
        for event in judged {
            let is_gap = matches!(&event, Err(Damage { fault: Fault::SequenceGap { .. }, .. }));
            self.report.key_events += u64::from(!is_gap);
            let _ = self.pass(event.map_err(ReadError::Damaged));
        }
    }

    fn without_withdrawal(&mut self, reader: &LedgerReader, table: &'static str) {
        let sql = format!(
            "SELECT DISTINCT withdrawal FROM {table} WHERE NOT EXISTS (SELECT 1 FROM withdrawals WHERE id = withdrawal)"
        );
        let read = |row: &Row<'_>| row.get::<_, String>(0).map_err(|error| ReadError::storage(&error));
        let orphans = reader.read(|connection| rows(connection, &sql, [], read));
        for withdrawal in self.pass(orphans).unwrap_or_default() {
            let record = format!("withdrawal {withdrawal}");
            self.found(Finding::Record(Damage { table, record, fault: Fault::NoWithdrawal }));
        }
    }
}

/// Whether the same was found when all steps were read one by one.
fn seen_with_its_step(damage: &Damage) -> bool {
    damage.table == "steps" && matches!(damage.fault, Fault::Seal | Fault::Column(_) | Fault::StepNumber { .. })
}

type Whole = Option<(WithdrawalSummary, Vec<StoredStep>)>;

/// The withdrawal at a place in the file with its steps, if they fit together.
fn with_steps(connection: &Connection, place: i64) -> Result<Whole, ReadError> {
    let found = rows(connection, "SELECT * FROM withdrawals WHERE rowid = ?1", [place], columns::withdrawal)?;
    let Some(withdrawal) = found.into_iter().next() else { return Ok(None) };
    let steps = history(connection, &withdrawal)?;
    Ok(Some((withdrawal, steps)))
}
