//! Opening a ledger: the lock, the file, its settings, its schema, and the writer thread.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{mpsc, watch};

use crate::error::{LedgerOpenError, StorageError};
use crate::ledger::{Counters, Ledger, LedgerOptions, Shared};
use crate::lock::WriterLock;
use crate::reader::LedgerReader;
use crate::records::Sequence;
use crate::schema;
use crate::writer::Writer;

/// How long the writer waits for someone who holds SQLite's own write lock (a person with `sqlite3`, say) before it gives up, which
/// stops the process. Other gateways never get so far: [`WriterLock`] keeps them out.
const WRITE_LOCK_WAIT: Duration = Duration::from_secs(30);

/// Prepared statements that a connection keeps; there are about twenty.
pub(crate) const STATEMENTS_KEPT: usize = 64;

pub(crate) fn ledger(path: &Path, options: &LedgerOptions) -> Result<Ledger, LedgerOpenError> {
    let path = &resolved(path);
    let lock = WriterLock::take(path)?;
    let (connection, log_pages) = writing_connection(path)?;
    let last = synced_last_sequence(&connection).map_err(|error| fault(path, "syncing what it holds", &error))?;
    sync_folder(path)?;
    let reader = LedgerReader::open(path, options.readers)?;
    let (queue, requests) = mpsc::channel(options.queue_length_max.max(1));
    let shared = Arc::new(Shared {
        counters: Counters::default(),
        last_sequence: watch::Sender::new(last),
        failure: watch::Sender::new(None),
    });
    let writer = Writer::new(connection, log_pages, lock, requests, Arc::clone(&shared), options);
    std::thread::Builder::new()
        .name("ledger-writer".to_owned())
        .spawn(move || writer.run())
        .map_err(|source| LedgerOpenError::System { path: path.clone(), doing: "starting its thread", source })?;
    tracing::info!(path = %path.display(), last_sequence = last.0, "ledger opened");
    Ok(Ledger::new(queue, reader, shared))
}

/// One name for one file, or two gateways could each lock a name of their own. A file that does not exist yet keeps the name it got.
fn resolved(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}

/// A connection that commits durably, and the length of the log in pages, which it keeps up to date.
fn writing_connection(path: &Path) -> Result<(Connection, Arc<AtomicU32>), LedgerOpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection =
        Connection::open_with_flags(path, flags).map_err(|error| fault(path, "opening the file", &error))?;
    connection.busy_timeout(WRITE_LOCK_WAIT).map_err(|error| fault(path, "setting the wait", &error))?;
    schema::check_identity(&connection, path)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(|error| fault(path, "turning its write-ahead log on", &error))?;
    if mode != "wal" {
        return Err(LedgerOpenError::NoWriteAheadLog { path: path.to_path_buf(), found: mode });
    }
    let log_pages = settings(&mut connection).map_err(|error| fault(path, "applying its settings", &error))?;
    schema::migrate(&connection, path, schema::MIGRATIONS)?;
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
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    let log_pages = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&log_pages);
    connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
        seen.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }))?;
    Ok(log_pages)
}

/// A process killed between its write and its sync leaves commits that can be read but may not survive a power cut. Nothing may be
/// built on those (design rule 3), so they are synced before anyone reads: a checkpoint syncs the log first, then the file.
fn synced_last_sequence(connection: &Connection) -> rusqlite::Result<Sequence> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    crate::append::last_sequence(connection)
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

fn fault(path: &Path, doing: &'static str, error: &rusqlite::Error) -> LedgerOpenError {
    LedgerOpenError::Storage { path: path.to_path_buf(), doing, source: StorageError::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No test can cut the power. This one sees to it that nobody trades the sync of each commit for speed unnoticed.
    #[test]
    fn every_commit_is_synced_and_no_checkpoint_runs_unwatched() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, _) = writing_connection(&folder.path().join("ledger.db")).unwrap();
        let setting = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(setting("synchronous"), 2, "FULL");
        assert_eq!(setting("fullfsync"), 1);
        assert_eq!(setting("wal_autocheckpoint"), 0);
        assert_eq!(setting("foreign_keys"), 1);
        assert!(connection.db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE).unwrap());
    }
}
