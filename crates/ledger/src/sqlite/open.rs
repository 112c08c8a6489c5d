//! Opening a ledger: the lock, the file, its settings, its schema, and the writer thread.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::mpsc;

use crate::ledger::{Ledger, LedgerOptions};
use crate::open_error::LedgerOpenError;
use crate::reader::LedgerReader;
use crate::records::Sequence;
use crate::room::Room;
use crate::sqlite::SqliteReader;
use crate::sqlite::commit::{checkpoint, found_no_room};
use crate::sqlite::lock::WriterLock;
use crate::sqlite::marker;
use crate::sqlite::reserve::Reserve;
use crate::sqlite::schema;
use crate::sqlite::wal::{self, LogEnd, TornTail};
use crate::sqlite::writer::Writer;
use crate::state::Shared;
use crate::tail::TailMark;

/// How long the writer waits for someone who holds SQLite's own write lock (a person with `sqlite3`, say) before it gives up, which
/// stops the process. Other gateways never get so far: [`WriterLock`] keeps them out.
const WRITE_LOCK_WAIT: Duration = Duration::from_secs(30);

/// Prepared statements that a connection keeps; there are about twenty.
pub(crate) const STATEMENTS_KEPT: usize = 64;

pub(crate) fn ledger(path: &Path, options: &LedgerOptions) -> Result<Ledger, LedgerOpenError> {
    adjusted_ledger(path, options, |_| {})
}

/// `adjust` is for tests that need a disk of their own kind.
pub(crate) fn adjusted_ledger(
    path: &Path,
    options: &LedgerOptions,
    adjust: impl FnOnce(&mut Writer),
) -> Result<Ledger, LedgerOpenError> {
    let path = &resolved(path);
    let lock = WriterLock::take(path)?;
    let log_end = checked_log(path)?;
    let torn = Torn::seen(path, log_end);
    let reserve = Reserve::beside(path, options.reserve_bytes);
    let Opened { connection, log_pages, last, file_may_grow, reader } = match opened(path, options, torn) {
        // A full disk must not keep the gateway from recording the ends of what is open.
        Err(error) if error.may_want_room() && released(&reserve, path)? => opened(path, options, torn)?,
        other => other?,
    };
    let room = if file_may_grow && reserve.restore() { Room::Ample } else { Room::Reserve };
    let (queue, requests) = mpsc::channel(options.queue_length_max.max(1));
    let torn_tail = torn_tail(log_end, last);
    let shared = Arc::new(Shared::new(last, room, torn_tail, TailMark::default()));
    let mut writer = Writer::new((connection, log_pages), lock, reserve, requests, Arc::clone(&shared), options);
    adjust(&mut writer);
    std::thread::Builder::new()
        .name("ledger-writer".to_owned())
        .spawn(move || writer.run())
        .map_err(|source| LedgerOpenError::System { path: path.clone(), doing: "starting its thread", source })?;
    report(path, &shared);
    Ok(Ledger::new(queue, LedgerReader::over(reader), shared, None))
}

fn report(path: &Path, shared: &Shared) {
    let path = path.display();
    match shared.torn_tail {
        Some(tail) if tail.commit_mark => tracing::error!(%path, "{tail}"),
        Some(tail) => tracing::warn!(%path, "{tail}"),
        None => {}
    }
    if *shared.room.borrow() == Room::Reserve {
        tracing::error!(%path, "the disk is full: the ledger has no reserve, and no new withdrawal may begin");
    }
    tracing::info!(%path, last_sequence = shared.last_sequence.borrow().0, "ledger opened");
}

/// How the log ends, unless opening it would lose what was acknowledged. Looked at before SQLite, which drops it silently.
fn checked_log(path: &Path) -> Result<LogEnd, LedgerOpenError> {
    let fault = |doing| move |source| LedgerOpenError::System { path: path.to_path_buf(), doing, source };
    let end = wal::end_of_log(path).map_err(fault("reading its write-ahead log"))?;
    if let LogEnd::Damaged { frame, offset } = end {
        let error = LedgerOpenError::LogDamaged { log: wal::path_of(path), frame, offset };
        marker::leave(path, &error);
        return Err(error);
    }
    // The damaged log may have been folded by another program since, and then nothing else tells.
    match marker::read(path).map_err(fault("reading what an earlier start left"))? {
        Some(said) => Err(LedgerOpenError::MarkedDamaged { marker: marker::beside(path), said }),
        None => Ok(end),
    }
}

/// What is to be done with the end of the log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Torn {
    /// Nothing: it is no torn one, or a copy for whoever looks could not be made.
    Left,
    /// It goes, or what remains of it behind later commits would look like damage.
    Cut,
}

impl Torn {
    fn seen(path: &Path, end: LogEnd) -> Self {
        match end {
            LogEnd::Whole | LogEnd::Damaged { .. } => Self::Left,
            LogEnd::Torn { commit_mark: false, .. } => Self::Cut,
            LogEnd::Torn { commit_mark: true, .. } => match wal::keep_torn(path) {
                Ok(kept) => {
                    tracing::warn!(kept = %kept.display(), "the log with the torn end was copied");
                    Self::Cut
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "the log with the torn end could not be copied");
                    Self::Left
                }
            },
        }
    }
}

pub(crate) fn torn_tail(end: LogEnd, after_sequence: Sequence) -> Option<TornTail> {
    match end {
        LogEnd::Torn { offset, bytes, commit_mark } => Some(TornTail { offset, bytes, commit_mark, after_sequence }),
        LogEnd::Whole | LogEnd::Damaged { .. } => None,
    }
}

fn released(reserve: &Reserve, path: &Path) -> Result<bool, LedgerOpenError> {
    reserve.release().map_err(|source| LedgerOpenError::System {
        path: path.to_path_buf(),
        doing: "giving up its reserve on a full disk",
        source,
    })
}

/// All that takes room on the disk to open.
struct Opened {
    connection: Connection,
    log_pages: Arc<AtomicU32>,
    last: Sequence,
    /// Whether the log could be copied into the file.
    file_may_grow: bool,
    reader: SqliteReader,
}

fn opened(path: &Path, options: &LedgerOptions, torn: Torn) -> Result<Opened, LedgerOpenError> {
    let (connection, log_pages) = writing_connection(path)?;
    let fault = |error: rusqlite::Error| LedgerOpenError::storage(path, "syncing what it holds", &error);
    let folded = folded(&connection).map_err(fault)?;
    if folded != Folded::All {
        sync_log(path)?;
    } else if torn == Torn::Cut {
        empty_log(&connection).map_err(fault)?;
    }
    let last = crate::sqlite::append::last_sequence(&connection).map_err(fault)?;
    sync_folder(path)?;
    let reader = SqliteReader::open(path, options.readers)?;
    Ok(Opened { connection, log_pages, last, file_may_grow: folded != Folded::NoRoom, reader })
}

/// One name for one file, or two gateways could each lock a name of their own. A file that does not exist yet keeps the name it got.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}

/// A connection that commits durably, and the length of the log in pages, which it keeps up to date.
fn writing_connection(path: &Path) -> Result<(Connection, Arc<AtomicU32>), LedgerOpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)
        .map_err(|error| LedgerOpenError::storage(path, "opening the file", &error))?;
    connection
        .busy_timeout(WRITE_LOCK_WAIT)
        .map_err(|error| LedgerOpenError::storage(path, "setting the wait", &error))?;
    schema::check_identity(&connection, path)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(|error| LedgerOpenError::storage(path, "turning its write-ahead log on", &error))?;
    if mode != "wal" {
        return Err(LedgerOpenError::NoWriteAheadLog { path: path.to_path_buf(), found: mode });
    }
    let log_pages =
        settings(&mut connection).map_err(|error| LedgerOpenError::storage(path, "applying its settings", &error))?;
    schema::migrate(&connection, path, schema::MIGRATIONS)?;
    leave_the_checks_to_the_writer(&connection)
        .map_err(|error| LedgerOpenError::storage(path, "applying its settings", &error))?;
    Ok((connection, log_pages))
}

fn settings(connection: &mut Connection) -> rusqlite::Result<Arc<AtomicU32>> {
    // Each commit syncs the log before it returns: without it a power cut takes back what was acknowledged.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // On macOS a plain fsync does not reach the disk; elsewhere this does nothing.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // SQLite's own checkpoints ignore errors, and a failed sync must not pass unseen: the writer checkpoints, and looks.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "cache_size", -32 * 1024)?; // KiB: the inner pages of the nonce index above all
    keep_plans(connection)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    let log_pages = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&log_pages);
    connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
        seen.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }))?;
    Ok(log_pages)
}

/// Triggers and references hold other programs. The writer has checked the same before it writes, against what it knows, and asking again
/// in SQL takes a third of the time of a step.
fn leave_the_checks_to_the_writer(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.pragma_update(None, "foreign_keys", false)
}

/// Without this SQLite plans a kept statement anew for each set of values: a fifth of the time of a restart with many open withdrawals.
pub(crate) fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// How much of the log could be copied into the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Folded {
    All,
    /// Not all: another process reads older pages, or checkpoints itself.
    Kept,
    NoRoom,
}

/// A process killed between its write and its sync leaves commits that can be read but may not survive a power cut. Nothing may be
/// built on those (design rule 3), so they are synced before anyone reads: a checkpoint that copies all syncs the log first, then the
/// file. One that does not copy all may have synced nothing: then [`sync_log`] must.
fn folded(connection: &Connection) -> rusqlite::Result<Folded> {
    match checkpoint(connection, "PASSIVE") {
        Ok(true) => Ok(Folded::All),
        Ok(false) => Ok(Folded::Kept),
        Err(error) if found_no_room(&error) => Ok(Folded::NoRoom),
        Err(error) => Err(error),
    }
}

/// What others keep from being copied stays in the log, and what they copy they have synced there before.
fn sync_log(path: &Path) -> Result<(), LedgerOpenError> {
    // SQLite holds no lock on this file that closing it could lose; those are on the index of the log.
    let synced = fs::OpenOptions::new().write(true).open(wal::path_of(path)).and_then(|log| log.sync_all());
    synced.map_err(|source| LedgerOpenError::System {
        path: path.to_path_buf(),
        doing: "syncing its write-ahead log",
        source,
    })
}

/// Cuts the log, all of which is in the file, unless someone reads it just now: then it starts over with the next commits as always.
fn empty_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::ZERO)?;
    let emptied = checkpoint(connection, "TRUNCATE");
    connection.busy_timeout(WRITE_LOCK_WAIT)?;
    match emptied {
        Ok(_) => Ok(()),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The names of a new ledger and its log survive a power cut only if their folder is synced.
fn sync_folder(path: &Path) -> Result<(), LedgerOpenError> {
    if !cfg!(unix) {
        return Ok(()); // Elsewhere a folder cannot be opened as a file.
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| LedgerOpenError::System {
        path: path.to_path_buf(),
        doing: "syncing its folder",
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both checkpoints and readers of others keep a checkpoint from syncing anything, and it does not call that an error.
    #[test]
    fn a_checkpoint_that_copied_nothing_is_not_taken_for_one_that_synced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let (connection, _) = writing_connection(&path).unwrap();
        assert_eq!(folded(&connection).unwrap(), Folded::All);
        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM steps").unwrap();
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
        assert_eq!(folded(&connection).unwrap(), Folded::Kept);
        sync_log(&path).unwrap();
        // Emptying it does not wait for the reader either.
        let begun = fs::metadata(wal::path_of(&path)).unwrap().len();
        empty_log(&connection).unwrap();
        assert_eq!(fs::metadata(wal::path_of(&path)).unwrap().len(), begun);
        drop(reader);
        assert_eq!(folded(&connection).unwrap(), Folded::All);
        empty_log(&connection).unwrap();
        assert_eq!(fs::metadata(wal::path_of(&path)).unwrap().len(), 0);
    }

    /// No test can cut the power. This one sees to it that nobody trades the sync of each commit for speed unnoticed.
    #[test]
    fn every_commit_is_synced_and_no_checkpoint_runs_unwatched() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, _) = writing_connection(&folder.path().join("ledger.db")).unwrap();
        let setting = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(setting("synchronous"), 2, "FULL");
        assert_eq!(setting("fullfsync"), 1);
        assert_eq!(setting("wal_autocheckpoint"), 0);
        assert!(connection.db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE).unwrap());
    }
}
