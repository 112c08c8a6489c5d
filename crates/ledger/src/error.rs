//! What can go wrong, apart by whose fault it is: the caller's, the file's or the disk's.

use std::fmt;

use std::sync::Arc;

use cashgate_withdrawal::ids::{AtmId, InstitutionId, KeyId, WithdrawalId};

use crate::claim::{Append, LimitKey};
use crate::damage::{Damage, WHAT_TO_DO};
use crate::key_events::KeyEvent;
use crate::notices::Notice;
use crate::publications::Publication;
use crate::records::StepRecord;
use crate::replicas::{Epoch, ReplicaId};

/// Why a write was not made. Except for [`AppendError::Fatal`] and [`AppendError::Unanswered`], nothing of it was written.
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
    /// Somebody else has published under that number.
    #[error("publication {latest} is the latest: somebody else has published meanwhile")]
    PublicationTaken {
        /// The number of the latest publication.
        latest: u64,
    },
    /// Nothing is published behind a publication that is damaged.
    #[error("{0}; nothing is published behind it")]
    PublicationDamaged(Damage),
    /// A text or the body of a publication is longer than [`Publication::TEXT_BYTES_MAX`] or [`Publication::BODY_BYTES_MAX`].
    #[error("a text or the body of the publication has {bytes} bytes, more than {most}")]
    PublicationTooLong {
        /// Its length.
        bytes: usize,
        /// The longest there may be.
        most: usize,
    },
    /// A publication without actor, version or body, or whose notice is none of a publication.
    #[error("a publication needs an actor, a version, a body, and a notice of kind {}", Publication::NOTICE_KIND)]
    PublicationIncomplete,
    /// The database did not answer. Whether it was written is not known; the same publication under the same number may be asked for again.
    #[error("the database did not answer, and whether it was published is not known: {0}")]
    Unanswered(StorageError),
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
    pub(crate) may_want_room: bool,
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
