//! What a ledger's writer is asked for, whichever store it writes to.

use tokio::sync::oneshot;

use crate::claim::Append;
use crate::devices::DeviceRow;
use crate::error::{AppendError, LedgerFailure};
use crate::key_events::KeyEvent;
use crate::notices::Notice;
use crate::publications::Publication;
use crate::records::{Remark, Sequence};

pub(crate) enum Request {
    Write(Write),
    /// Look whether the disk has room again.
    RestoreReserve,
    /// Finish what is queued, then end. Answered when the store is closed.
    Close(oneshot::Sender<Result<(), AppendError>>),
}

pub(crate) struct Write {
    pub(crate) work: Work,
    pub(crate) answer: oneshot::Sender<Result<Written, AppendError>>,
}

pub(crate) enum Work {
    Append(Append),
    /// `awaited`: somebody wants to know what came of it.
    Notice {
        notice: Notice,
        awaited: bool,
    },
    PutDevice(Box<DeviceRow>, Option<Notice>),
    Remark(Vec<Remark>),
    KeyEvents(Vec<KeyEvent>),
    /// Only in a file: PostgreSQL has a function of its own for it.
    Publish(Box<Publishing>),
}

/// A publication, the number that it is to have, and the notice about it.
pub(crate) struct Publishing {
    pub(crate) number: u64,
    pub(crate) publication: Publication,
    pub(crate) notice: Notice,
}

impl Work {
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Append(append) => append.steps.len(),
            Self::Remark(remarks) => remarks.len(),
            Self::KeyEvents(events) => events.len(),
            Self::Notice { .. } | Self::PutDevice(..) | Self::Publish(_) => 1,
        }
    }
}

/// What a write did.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// The last sequence after it.
    pub(crate) last: Sequence,
    /// How many rows it touched.
    pub(crate) rows: usize,
    /// The versions of the limit entries that it raised, in the order in which it named them, if the store keeps such and the answer has
    /// not been lost.
    pub(crate) raised: Option<Vec<u64>>,
}

impl Written {
    pub(crate) fn of(last: Sequence, rows: usize) -> Self {
        Self { last, rows, raised: None }
    }
}

/// Answers writes that a failure keeps from being made.
pub(crate) fn refuse(group: impl IntoIterator<Item = Write>, failure: &LedgerFailure) {
    for write in group {
        let _ = write.answer.send(Err(AppendError::Fatal(failure.clone())));
    }
}
