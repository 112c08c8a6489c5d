//! Why a ledger cannot be opened, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::StorageError;

/// Why a ledger could not be opened. Each message is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LedgerOpenError {
    /// Another process writes to it.
    #[error("the ledger {path} is in use by another process ({holder}): stop that one first, or name another file")]
    InUse {
        /// The ledger.
        path: PathBuf,
        /// What the other one left in the lock file.
        holder: String,
    },
    /// The folder is missing or not writable, so not even the lock could be taken.
    #[error("the ledger {path} cannot be locked: {source}; its folder must exist and be writable")]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{path} is not a Cashgate ledger ({found}): name another file; this one was left as it is")]
    NotALedger {
        /// The file.
        path: PathBuf,
        /// What it looks like.
        found: String,
    },
    /// A later Cashgate wrote it.
    #[error("the ledger {path} has schema version {found}, this program knows up to {known}: run the newer Cashgate")]
    NewerSchema {
        /// The ledger.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The highest that this program knows.
        known: i64,
    },
    /// An earlier Cashgate wrote it, and a reader does not migrate.
    #[error("the ledger {path} has schema version {found}, reading it takes {known}: start the gateway on it once")]
    OlderSchema {
        /// The ledger.
        path: PathBuf,
        /// Its version; 0 for an empty file.
        found: i64,
        /// The version of this program.
        known: i64,
    },
    /// The write-ahead log is damaged in its middle: SQLite would silently drop the acknowledged commits behind that place.
    #[error(
        "the write-ahead log {log} is damaged {}, and acknowledged commits follow, which opening it would drop: \
         {KEEP_AND_RESTORE}; then remove the file <ledger>.damaged, which keeps this refusal", place_in_log(*frame, *offset)
    )]
    LogDamaged {
        /// The log.
        log: PathBuf,
        /// The first frame that does not fit, from 1; 0 is the log's header.
        frame: u64,
        /// Where it begins, in bytes.
        offset: u64,
    },
    /// An earlier start found the log damaged and left a marker. The log may be gone by now: any program that opens the ledger for writing
    /// folds what is left of it and deletes it.
    #[error(
        "the ledger was found damaged, and {marker} is still there ({said}): restore the ledger from backup, reconcile what came after \
         the backup, then remove that file"
    )]
    MarkedDamaged {
        /// The marker, `<ledger>.damaged`.
        marker: PathBuf,
        /// What was found, as it stands there.
        said: String,
    },
    /// A Cashgate from before there were seals wrote it.
    #[error(
        "the ledger {path} was made by a Cashgate before steps were sealed, and there is no way to seal it now: start a new ledger, and \
         keep this one as it is"
    )]
    WithoutSeals {
        /// The ledger.
        path: PathBuf,
    },
    /// The ledger file itself is damaged.
    #[error("the ledger {path} is damaged ({doing}): {found}; {KEEP_AND_RESTORE}")]
    Damaged {
        /// The ledger.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What was found.
        found: String,
    },
    /// The file system cannot do what write-ahead logging needs.
    #[error("the ledger {path} cannot use a write-ahead log here (journal mode is {found}): keep it on a local disk")]
    NoWriteAheadLog {
        /// The ledger.
        path: PathBuf,
        /// The journal mode that came instead.
        found: String,
    },
    /// A migration did not go through; the ledger is as it was before it.
    #[error("the ledger {path} could not be brought to schema version {version}: {source}")]
    Migration {
        /// The ledger.
        path: PathBuf,
        /// The version that was not reached.
        version: i64,
        /// What SQLite said.
        source: StorageError,
    },
    /// Anything else that SQLite refused.
    #[error("the ledger {path} could not be opened ({doing}): {source}")]
    Storage {
        /// The ledger.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        source: StorageError,
    },
    /// The database cannot be reached, or refuses this user.
    #[error("the ledger on PostgreSQL could not be opened ({doing}): {source}; the connection string is in {dsn_file}")]
    Database {
        /// The file with the connection string.
        dsn_file: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the server, or the way to it, said.
        source: StorageError,
    },
    /// A file that says how to reach the database cannot be used.
    #[error("{path} cannot be used to reach the database: {why}")]
    DatabaseFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it. No part of a connection string is shown.
        why: String,
    },
    /// The database's schema is not this program's.
    #[error("the ledger on PostgreSQL has schema version {found}, this program takes {known}: {}", schema_advice(*found, *known))]
    DatabaseSchema {
        /// Its version; 0 for a database without a ledger.
        found: i64,
        /// The version of this program.
        known: i64,
    },
    /// A version of the database's schema was made by another text than this program's: by a build that was never released.
    #[error(
        "the database of {dsn_file} has a schema version {version} that is not this program's: use the build that made it; only if nothing in it counts, as \
         in a trial, give this one an empty database and `cashgate migrate`"
    )]
    DatabaseSchemaOfOther {
        /// The file with the connection string.
        dsn_file: PathBuf,
        /// The version.
        version: i64,
    },
    /// The operating system refused something else: a folder that cannot be synced, a thread that cannot be started.
    #[error("the ledger {path} could not be opened ({doing}): {source}")]
    System {
        /// The ledger.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
}

/// What to do about a ledger that must not be opened.
const KEEP_AND_RESTORE: &str = "do not start on it; copy the ledger with its -wal and -shm files away, run `cashgate ledger verify` on the copy \
     to see what is left, restore from backup, and reconcile what came after the backup";

fn schema_advice(found: i64, known: i64) -> &'static str {
    if found < known { "run `cashgate migrate` once, with the new program" } else { "run the newer Cashgate" }
}

fn place_in_log(frame: u64, offset: u64) -> String {
    match frame {
        0 => "in its header".to_owned(),
        _ => format!("in frame {frame} (byte {offset})"),
    }
}

impl LedgerOpenError {
    pub(crate) fn storage(path: &Path, doing: &'static str, error: &rusqlite::Error) -> Self {
        let (path, source) = (path.to_path_buf(), StorageError::new(error));
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                Self::Damaged { path, doing, found: source.to_string() }
            }
            _ => Self::Storage { path, doing, source },
        }
    }

    /// Whether more room on the disk could help.
    pub(crate) fn may_want_room(&self) -> bool {
        match self {
            Self::Storage { source, .. } | Self::Migration { source, .. } => source.may_want_room,
            _ => false,
        }
    }
}
