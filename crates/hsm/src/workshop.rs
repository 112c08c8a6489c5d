//! What the handle, the keepers and the workers have in common.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::runtime::Handle;

use crate::batcher::Batcher;
use crate::job::Reply;
use crate::queue::Queue;
use crate::state::Board;

/// How many callers a worker wakes itself.
const HANDED_OUT_DIRECTLY_MAX: usize = 2;

pub(crate) struct Workshop<B: Batcher> {
    pub(crate) queue: Queue<B>,
    pub(crate) board: Board,
    pub(crate) batcher: B,
    pub(crate) counters: Counters,
    pub(crate) batch_max: usize,
    /// Where callers wait, if the HSM was opened there.
    runtime: Option<Handle>,
    signing_key_label: RwLock<String>,
    key_epoch: Arc<AtomicU64>,
}

impl<B: Batcher> Workshop<B> {
    pub(crate) fn new(queue: Queue<B>, board: Board, batcher: B, batch_max: usize, signing_key_label: String) -> Self {
        Self {
            queue,
            board,
            batcher,
            counters: Counters::default(),
            batch_max,
            runtime: Handle::try_current().ok(),
            signing_key_label: RwLock::new(signing_key_label),
            key_epoch: Arc::default(),
        }
    }

    /// Gives callers what was signed for them.
    pub(crate) fn hand_out(&self, signed: Vec<(Reply<B::Signed>, B::Signed)>) {
        // A caller may have given up meanwhile; it has counted that itself.
        let give = |(reply, signed): (Reply<B::Signed>, B::Signed)| drop(reply.send(Ok(signed)));
        match &self.runtime {
            // Waking many callers from outside the runtime costs more than signing for them: one is woken, who wakes the others inside.
            Some(runtime) if signed.len() > HANDED_OUT_DIRECTLY_MAX => {
                drop(runtime.spawn(async move { signed.into_iter().for_each(give) }));
            }
            _ => signed.into_iter().for_each(give),
        }
    }

    pub(crate) fn signing_key_label(&self) -> String {
        self.signing_key_label.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has every worker go over to another signing key before it takes more work.
    pub(crate) fn sign_with(&self, label: &str) {
        label.clone_into(&mut self.signing_key_label.write().unwrap_or_else(PoisonError::into_inner));
        self.key_epoch.fetch_add(1, Ordering::AcqRel);
        self.queue.wake_all();
    }

    pub(crate) fn key_epoch(&self) -> &Arc<AtomicU64> {
        &self.key_epoch
    }
}

/// Counts since the HSM was opened; they only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HsmStats {
    /// Calls that the HSM answered: signatures, blocks of nonces, authentication codes.
    pub calls: u64,
    /// Of these, signatures.
    pub signatures: u64,
    /// Orders under these signatures.
    pub signed: u64,
    /// Failures: errors of the HSM, calls that did not return, signatures that were wrong.
    pub failures: u64,
    /// Refused before they were queued, because the queue was full or the HSM lost.
    pub refused: u64,
    /// Given up by their caller when its patience was at an end.
    pub timed_out: u64,
    /// Never asked of the HSM, because their caller had gone when their turn came.
    pub skipped: u64,
    /// Workers that were given up because their call did not return.
    pub stuck: u64,
    /// How often a module was finalised and initialised again.
    pub reopened: u64,
}

#[derive(Default)]
pub(crate) struct Counters {
    calls: AtomicU64,
    signatures: AtomicU64,
    signed: AtomicU64,
    failures: AtomicU64,
    refused: AtomicU64,
    timed_out: AtomicU64,
    skipped: AtomicU64,
    stuck: AtomicU64,
    reopened: AtomicU64,
}

fn add(counter: &AtomicU64, many: usize) {
    counter.fetch_add(u64::try_from(many).unwrap_or(u64::MAX), Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn called(&self) {
        add(&self.calls, 1);
    }

    pub(crate) fn signed(&self, orders: usize) {
        add(&self.calls, 1);
        add(&self.signatures, 1);
        add(&self.signed, orders);
    }

    pub(crate) fn failed(&self) {
        add(&self.failures, 1);
    }

    pub(crate) fn refused(&self) {
        add(&self.refused, 1);
    }

    pub(crate) fn timed_out(&self) {
        add(&self.timed_out, 1);
    }

    pub(crate) fn skipped(&self, many: usize) {
        add(&self.skipped, many);
    }

    pub(crate) fn stuck(&self) {
        add(&self.stuck, 1);
        add(&self.failures, 1);
    }

    pub(crate) fn reopened(&self) {
        add(&self.reopened, 1);
    }

    pub(crate) fn read(&self) -> HsmStats {
        let figure = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        HsmStats {
            calls: figure(&self.calls),
            signatures: figure(&self.signatures),
            signed: figure(&self.signed),
            failures: figure(&self.failures),
            refused: figure(&self.refused),
            timed_out: figure(&self.timed_out),
            skipped: figure(&self.skipped),
            stuck: figure(&self.stuck),
            reopened: figure(&self.reopened),
        }
    }
}
