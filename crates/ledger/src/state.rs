//! What a ledger's writer and its handles have in common.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use crate::error::{AppendError, LedgerFailure};
use crate::observer::CommitObserver;
use crate::records::Sequence;
use crate::room::Room;
use crate::sqlite::TornTail;
use crate::tail::TailMark;
use crate::work::{Work, Write, Written};

/// What the writer did since the ledger was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerStats {
    /// Commits, each with one sync of the log.
    pub commits: u64,
    /// Appends that became durable.
    pub appends: u64,
    /// Steps that became durable.
    pub steps: u64,
    /// Writes that were refused. The rest of their groups went through.
    pub refused: u64,
    /// Remarks that became durable.
    pub remarks: u64,
    /// Remarks that were not kept: the queue or the disk was full, the withdrawal was not known or had too many.
    pub remarks_dropped: u64,
    /// Notices that became durable.
    pub notices: u64,
    /// Notices that nobody waited for and that were not kept: the queue or the disk was full, or the ledger does not take such.
    pub notices_dropped: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) appends: AtomicU64,
    pub(crate) steps: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) remarks: AtomicU64,
    pub(crate) remarks_dropped: AtomicU64,
    pub(crate) notices: AtomicU64,
    pub(crate) notices_dropped: AtomicU64,
}

impl Shared {
    /// What writer and handles of a new ledger share.
    pub(crate) fn new(last: Sequence, room: Room, torn_tail: Option<TornTail>, tail: TailMark) -> Self {
        Self {
            counters: Counters::default(),
            observer: OnceLock::new(),
            last_sequence: watch::Sender::new(last),
            failure: watch::Sender::new(None),
            room: watch::Sender::new(room),
            torn_tail,
            reachable: watch::Sender::new(true),
            tail: watch::Sender::new(tail),
            closing: watch::Sender::new(false),
        }
    }

    /// Has everybody know of the failure that ends the writing; only of the first.
    pub(crate) fn fail(&self, failure: &LedgerFailure) {
        self.failure.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                tracing::error!(%failure, "the ledger stops");
                *known = Some(failure.clone());
            }
            first
        });
    }
}

impl Counters {
    /// A write that was refused by itself, before any commit.
    pub(crate) fn count_refused(&self, write: &Write) {
        let counter = match &write.work {
            Work::Notice { awaited: false, .. } => &self.notices_dropped,
            Work::Remark(remarks) => {
                let count = u64::try_from(remarks.len()).unwrap_or(u64::MAX);
                self.remarks_dropped.fetch_add(count, Ordering::Relaxed);
                return;
            }
            _ => &self.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, group: &[Write], outcomes: &[Result<Written, AppendError>]) {
        let add = |counter: &AtomicU64, n: usize| {
            counter.fetch_add(u64::try_from(n).unwrap_or(u64::MAX), Ordering::Relaxed);
        };
        add(&self.commits, 1);
        for (write, outcome) in group.iter().zip(outcomes) {
            match (outcome, &write.work) {
                (Ok(_), Work::Append(append)) => {
                    add(&self.appends, 1);
                    add(&self.steps, append.steps.len());
                }
                (Ok(written), Work::Remark(remarks)) => {
                    add(&self.remarks, written.rows);
                    add(&self.remarks_dropped, remarks.len().saturating_sub(written.rows));
                }
                (Err(_), Work::Remark(remarks)) => add(&self.remarks_dropped, remarks.len()),
                (Ok(_), Work::Notice { .. } | Work::PutDevice(_, Some(_)) | Work::Publish(_)) => add(&self.notices, 1),
                (Err(_), Work::Notice { awaited: false, .. }) => add(&self.notices_dropped, 1),
                (Ok(_), Work::KeyEvents(_) | Work::PutDevice(_, None)) => {}
                (Err(_), _) => add(&self.refused, 1),
            }
        }
    }
}

/// What the writer and the handles share.
pub(crate) struct Shared {
    pub(crate) counters: Counters,
    pub(crate) observer: OnceLock<Box<dyn CommitObserver>>,
    pub(crate) last_sequence: watch::Sender<Sequence>,
    pub(crate) failure: watch::Sender<Option<LedgerFailure>>,
    pub(crate) room: watch::Sender<Room>,
    /// What was found at the end of the log when the ledger was opened.
    pub(crate) torn_tail: Option<TornTail>,
    /// Whether the store answered when it was last asked.
    pub(crate) reachable: watch::Sender<bool>,
    /// How far the ledger is, as far as is known here; sent each time that it was looked at.
    pub(crate) tail: watch::Sender<TailMark>,
    /// Set once somebody wants it closed.
    pub(crate) closing: watch::Sender<bool>,
}

/// A panic in a writer is a failure of the ledger like any other: it must not leave the gateway waiting for answers.
pub(crate) struct PanicSignal(pub(crate) Arc<Shared>);

impl Drop for PanicSignal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(&LedgerFailure { doing: "writing", cause: "the writer thread panicked".into() });
        }
    }
}
