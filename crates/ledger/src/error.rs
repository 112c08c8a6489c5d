//! What can go wrong, apart by whose fault it is: the caller's, the file's or the disk's.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cashgate_withdrawal::ids::{AtmId, InstitutionId, KeyId, WithdrawalId};

use crate::claim::{Append, LimitKey};
use crate::damage::{Damage, WHAT_TO_DO};
use crate::key_events::KeyEvent;
use crate::notices::Notice;
use crate::records::StepRecord;
use crate::replicas::{Epoch, ReplicaId};

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

/// Why a write was not made. Except for [`AppendError::Fatal`], nothing of it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The nonce belongs to another withdrawal: a replayed QR token.
    #[error("the nonce of withdrawal {withdrawal} was already claimed by withdrawal {by}")]
    NonceAlreadyClaimed {
        /// The withdrawal that came second.
        withdrawal: WithdrawalId,
        /// The one that has the nonce.
        by: WithdrawalId,
    },
    /// A gap or a repetition.
    #[error("withdrawal {withdrawal} expects step {expected}, not {found}")]
    StepOutOfOrder {
        /// The withdrawal.
        withdrawal: WithdrawalId,
        /// The number that comes next.
        expected: u32,
        /// The number that came.
        found: u32,
    },
    /// Nothing follows the end.
    #[error("withdrawal {withdrawal} has ended")]
    WithdrawalEnded {
        /// The withdrawal.
        withdrawal: WithdrawalId,
    },
    /// A later step shows another account, amount, nonce ... than the first.
    #[error("step {number} would change what was approved in withdrawal {withdrawal}")]
    ApprovalChanged {
        /// The withdrawal.
        withdrawal: WithdrawalId,
        /// The step.
        number: u32,
    },
    /// The dispensed amount is not in the currency of the approved one.
    #[error(
        "step {number} of withdrawal {withdrawal} has a dispensed amount in another currency than the approved one"
    )]
    CurrenciesDiffer {
        /// The withdrawal.
        withdrawal: WithdrawalId,
        /// The step.
        number: u32,
    },
    /// No step, or more than [`StepRecord::PER_APPEND_MAX`].
    #[error("an append takes 1 to {} steps, not {found}", StepRecord::PER_APPEND_MAX)]
    StepCount {
        /// How many there were.
        found: usize,
    },
    /// The body is longer than [`StepRecord::BODY_BYTES_MAX`].
    #[error("step {number} of withdrawal {withdrawal} has {bytes} bytes, more than {}", StepRecord::BODY_BYTES_MAX)]
    BodyTooLong {
        /// The withdrawal.
        withdrawal: WithdrawalId,
        /// The step.
        number: u32,
        /// The body's length.
        bytes: usize,
    },
    /// No key event, or more than [`KeyEvent::PER_WRITE_MAX`].
    #[error("a write takes 1 to {} key events, not {found}", KeyEvent::PER_WRITE_MAX)]
    KeyEventCount {
        /// How many there were.
        found: usize,
    },
    /// A text in a key event is longer than [`KeyEvent::TEXT_BYTES_MAX`].
    #[error("a text in an event of key {key_id} has more than {} bytes", KeyEvent::TEXT_BYTES_MAX)]
    KeyEventTooLong {
        /// The key.
        key_id: KeyId,
    },
    /// The body of a notice is longer than [`Notice::BODY_BYTES_MAX`].
    #[error("a notice of kind {kind} has {bytes} bytes, more than {}", Notice::BODY_BYTES_MAX)]
    NoticeTooLong {
        /// What the notice says.
        kind: &'static str,
        /// The body's length.
        bytes: usize,
    },
    /// The disk is full but for the reserve, which is kept for the ends of open withdrawals and for what bars somebody. Try again when
    /// there is room.
    #[error("the disk is full: the ledger lives on its reserve")]
    NoRoom,
    /// The lane is another replica's, or was claimed anew since: nothing of this owner's may be written any more.
    #[error("the lane of {atm} is not owned in epoch {} any more", epoch.0)]
    NotOwner {
        /// The lane's ATM.
        atm: AtmId,
        /// The epoch that was claimed.
        epoch: Epoch,
    },
    /// Another replica has changed limit entries since the approval was computed from them. Count them anew, and compute it again.
    #[error("the limits moved since the approval was computed: {} entries have another version", moved.len())]
    LimitsMoved {
        /// The entries that moved, with the versions that they have.
        moved: Vec<(LimitKey, u64)>,
    },
    /// What all customers of the institution withdrew would come to more than it allows.
    #[error("the customers of {institution} have withdrawn what it allows them all together")]
    InstitutionCapped {
        /// The institution.
        institution: InstitutionId,
    },
    /// More limit entries or sums than [`Append::RAISES_MAX`].
    #[error("an append changes {} limit entries and sums at most, not {found}", Append::RAISES_MAX)]
    RaiseCount {
        /// How many there were.
        found: usize,
    },
    /// A constraint of the schema that has no error of its own, such as an empty kind.
    #[error("the ledger's schema refused it: {0}")]
    Constraint(StorageError),
    /// The ledger was closed in good order before this came.
    #[error("the ledger is closed")]
    Closed,
    /// The ledger failed. Whether this write survived is not known; nothing may be built on it, and the process must stop.
    #[error(transparent)]
    Fatal(#[from] LedgerFailure),
}

/// The failure after which a ledger takes no writes any more, for good (design rule 10).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger failed and takes no more writes: {doing}: {cause}")]
pub struct LedgerFailure {
    /// What was being done.
    pub doing: &'static str,
    /// What the disk, the operating system or SQLite said.
    pub cause: Arc<str>,
}

/// Why the registry of replicas and lanes did not answer, or did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaError {
    /// Another process registered under this replica's number since: this one must stop.
    #[error("another process has registered as replica {id}: this one is put out, and stops")]
    PutOut {
        /// The number.
        id: ReplicaId,
    },
    /// The database did not answer, or refused. Whether what was asked for was done is not known; every call may be repeated.
    #[error("the registry of replicas could not be asked: {0}")]
    Storage(StorageError),
}

/// Why a read gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store could not read.
    #[error("the ledger could not be read: {0}")]
    Storage(#[source] StorageError),
    /// A record is not what was written, or does not fit those beside it: the file was changed by someone else, or is damaged.
    #[error("the ledger is damaged: {0}; {WHAT_TO_DO}")]
    Damaged(Damage),
}

impl ReadError {
    pub(crate) fn storage(error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                Self::Damaged(Damage::of_file(StorageError::new(error).to_string()))
            }
            _ => Self::Storage(StorageError::new(error)),
        }
    }
}

/// What the storage engine said. Opaque, so that no caller depends on which engine it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageError {
    said: Arc<str>,
    may_want_room: bool,
    /// The way to the engine is lost, and the same may be asked again.
    lost: bool,
}

impl StorageError {
    /// What another engine said.
    pub(crate) fn said(said: impl Into<Arc<str>>) -> Self {
        Self { said: said.into(), may_want_room: false, lost: false }
    }

    /// The engine was not reached, or went away.
    pub(crate) fn lost(said: impl Into<Arc<str>>) -> Self {
        Self { lost: true, ..Self::said(said) }
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    pub(crate) fn new(error: &rusqlite::Error) -> Self {
        // The extended code tells a failed fsync (1034) from a failed write (778); the text alone does not.
        let said = match error.sqlite_error() {
            Some(code) => format!("{error} (SQLite code {})", code.extended_code).into(),
            None => error.to_string().into(),
        };
        // A file that cannot be made on a full disk is reported as one that cannot be opened.
        let not_opened = error.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen);
        Self { said, may_want_room: not_opened || crate::sqlite::found_no_room(error), lost: false }
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

impl std::error::Error for StorageError {}

impl LedgerFailure {
    pub(crate) fn new(doing: &'static str, error: &rusqlite::Error) -> Self {
        Self { doing, cause: StorageError::new(error).said }
    }
}
