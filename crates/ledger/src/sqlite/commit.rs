//! One commit and one checkpoint, and whether a failure of either only found the disk full.
//!
//! A full disk is the one failure that may be tried again, and only when it met a *write*. A write that found no room says so at once:
//! those bytes are not in the file, all that was written before is still in the operating system's cache and goes to disk with the next
//! sync, and SQLite rolls back to the last commit, whose end it knows. A failed *sync* says that some earlier write, nobody knows which,
//! did not reach the disk, and the system may have dropped those pages and marked them clean: the next sync would report success for
//! data that is gone. So it ends the ledger, whatever its cause, a full disk included (design rule 10).

use rusqlite::Connection;

use super::append::{self, Appending};
use super::chain_ends::ChainEnds;
use super::{devices, key_events, notices, publications, remarks};
use crate::error::{AppendError, LedgerFailure, StorageError};
use crate::records::Sequence;
use crate::sqlite::remarks::LeftOut;
use crate::sqlite::writer::WriteFault;
use crate::work::{Work, Write, Written};

/// SQLITE_IOERR_SHMSIZE: the index of the log could not grow. It is a write as well, of a file that is never synced and can be made anew.
const INDEX_OF_LOG_FULL: i32 = rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

/// Whether an error is a write that found no room. A failed sync never is, even if its cause is a full disk.
pub(crate) fn found_no_room(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
        || error.sqlite_error().is_some_and(|code| code.extended_code == INDEX_OF_LOG_FULL)
}

/// Why a group was not committed.
pub(crate) enum CommitFault {
    /// A write found no room. All was rolled back; the same group may be tried once more when there is room.
    NoRoom(LedgerFailure),
    /// Anything else. Nothing may be tried again.
    Fatal(LedgerFailure),
}

/// What the writer knows of what it wrote, and forgets whenever something is taken back.
#[derive(Default)]
pub(crate) struct Noted {
    pub(crate) ends: ChainEnds,
    pub(crate) left_out: LeftOut,
}

impl Noted {
    fn forget(&mut self) {
        self.ends.forget();
        self.left_out.forget();
    }
}

/// One transaction around the group. A write that is refused takes no other with it: the group is then written once more, each write in a
/// savepoint of its own. Nearly all groups need none, and a savepoint costs as much as a row.
pub(crate) fn committed(
    connection: &Connection,
    group: &[Write],
    noted: &mut Noted,
) -> Result<Vec<Result<Written, AppendError>>, CommitFault> {
    let outcomes = match attempted(connection, group, noted, plainly) {
        Err((_, WriteFault::Refused(_))) => {
            noted.forget();
            rolled_back(connection, "taking a group back in which a write was refused")?;
            attempted(connection, group, noted, in_a_savepoint)
        }
        other => other,
    };
    outcomes.map_err(|(doing, fault)| {
        noted.forget();
        match fault {
            WriteFault::Storage(error) if found_no_room(&error) => {
                let failure = LedgerFailure::new(doing, &error);
                rolled_back(connection, "rolling back on a full disk").err().unwrap_or(CommitFault::NoRoom(failure))
            }
            WriteFault::Storage(error) => CommitFault::Fatal(LedgerFailure::new(doing, &error)),
            WriteFault::Unreadable(error) => {
                CommitFault::Fatal(LedgerFailure { doing, cause: error.to_string().into() })
            }
            // Never comes: it is the answer to one write.
            WriteFault::Refused(refusal) => {
                CommitFault::Fatal(LedgerFailure { doing, cause: refusal.to_string().into() })
            }
        }
    })
}

/// After some errors SQLite has rolled back itself.
fn rolled_back(connection: &Connection, doing: &'static str) -> Result<(), CommitFault> {
    let done = if connection.is_autocommit() { Ok(()) } else { connection.execute_batch("ROLLBACK") };
    done.map_err(|error| CommitFault::Fatal(LedgerFailure::new(doing, &error)))
}

type Outcome = Result<Written, AppendError>;
type Fault = (&'static str, WriteFault);

fn attempted(
    connection: &Connection,
    group: &[Write],
    noted: &mut Noted,
    write: fn(&mut Writing<'_>, &Work, Sequence) -> Result<Outcome, Fault>,
) -> Result<Vec<Outcome>, Fault> {
    run(connection, "BEGIN IMMEDIATE").map_err(failed("beginning a commit"))?;
    let mut last = append::last_sequence(connection).map_err(failed("reading the last sequence"))?;
    let Noted { ends, left_out } = noted;
    let appending = Appending::new(connection, ends).map_err(failed("preparing to write"))?;
    let mut writing = Writing { connection, appending, left_out };
    let mut outcomes = Vec::with_capacity(group.len());
    for one in group {
        let outcome = write(&mut writing, &one.work, last)?;
        last = outcome.as_ref().map_or(last, |written| written.last);
        outcomes.push(outcome);
    }
    run(connection, "COMMIT").map_err(failed("committing"))?;
    Ok(outcomes)
}

fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> Fault {
    move |error| (doing, WriteFault::Storage(error))
}

/// A transaction, while a group is written in it.
struct Writing<'group> {
    connection: &'group Connection,
    appending: Appending<'group>,
    left_out: &'group mut LeftOut,
}

fn plainly(writing: &mut Writing<'_>, work: &Work, last: Sequence) -> Result<Outcome, Fault> {
    writing.apply(work, last).map(Ok).map_err(|fault| ("writing", fault))
}

fn in_a_savepoint(writing: &mut Writing<'_>, work: &Work, last: Sequence) -> Result<Outcome, Fault> {
    let connection = writing.connection;
    run(connection, "SAVEPOINT one_write").map_err(failed("setting a savepoint"))?;
    let outcome = match writing.apply(work, last) {
        Ok(written) => Ok(written),
        Err(WriteFault::Refused(refusal)) => {
            writing.appending.forget();
            run(connection, "ROLLBACK TO one_write").map_err(failed("taking a refused write back"))?;
            Err(refusal)
        }
        Err(fault) => return Err(("writing", fault)),
    };
    run(connection, "RELEASE one_write").map_err(failed("releasing a savepoint"))?;
    Ok(outcome)
}

impl Writing<'_> {
    fn apply(&mut self, work: &Work, last: Sequence) -> Result<Written, WriteFault> {
        let connection = self.connection;
        let applied = match work {
            Work::Append(append) => self.appending.append(&append.steps, last),
            Work::Notice { notice, .. } => notices::add(connection, notice, last),
            Work::PutDevice(device, notice) => devices::put(connection, device).and_then(|()| match notice {
                Some(notice) => notices::add(connection, notice, last),
                None => Ok(Written::of(last, 1)),
            }),
            Work::KeyEvents(events) => key_events::add(connection, events).map(|rows| Written::of(last, rows)),
            Work::Publish(publishing) => publications::add(connection, publishing, last),
            Work::Remark(remarks) => {
                remarks::add(connection, remarks, self.left_out).map(|rows| Written::of(last, rows))
            }
        };
        applied.map_err(|fault| match fault {
            WriteFault::Storage(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) =>
            {
                WriteFault::Refused(AppendError::Constraint(StorageError::new(&error)))
            }
            other => other,
        })
    }
}

/// Whether all of the log is in the file now. Readers of older pages may have kept some of it back, or another process that checkpoints
/// all of it.
///
/// SQLite syncs the log before it writes to the file, and counts nothing as copied before the file is synced. So a checkpoint that finds
/// no room for the file to grow has lost nothing: the log holds it all, goes on growing, and the next checkpoint copies it again.
pub(crate) fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<bool> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        let (busy, in_log, copied): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(busy == 0 && in_log == copied)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The causes that SQLite tells apart by its extended codes (<https://www.sqlite.org/rescode.html>).
    #[test]
    fn only_a_write_can_find_no_room() {
        let of = |code| found_no_room(&rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None));
        assert!(of(rusqlite::ffi::SQLITE_FULL));
        assert!(of(rusqlite::ffi::SQLITE_IOERR_SHMSIZE));
        for code in [
            rusqlite::ffi::SQLITE_IOERR_FSYNC,
            rusqlite::ffi::SQLITE_IOERR_DIR_FSYNC,
            rusqlite::ffi::SQLITE_IOERR_WRITE,
            rusqlite::ffi::SQLITE_IOERR_TRUNCATE,
            rusqlite::ffi::SQLITE_IOERR,
            rusqlite::ffi::SQLITE_CORRUPT,
            rusqlite::ffi::SQLITE_CANTOPEN,
        ] {
            assert!(!of(code), "{code}");
        }
    }
}
