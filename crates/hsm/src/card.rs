//! What a worker and the keeper of its slot share: whether it may go on, where it is, what it holds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::batcher::Batcher;
use crate::job::Work;
use crate::signing_key::SigningPublicKey;

/// One worker's card.
pub(crate) struct Card<B: Batcher> {
    revoked: AtomicBool,
    /// Odd while the worker is inside a PKCS#11 call, and another number each time.
    calls: AtomicU64,
    answered: AtomicU64,
    /// Counts the changes of the signing key, for all workers.
    key_epoch: Arc<AtomicU64>,
    /// The work that the call under way is for. Whoever takes it out answers for it.
    in_hand: Mutex<Option<Work<B>>>,
    /// The key that its device signs with, once it has one.
    key: Mutex<Option<SigningPublicKey>>,
}

impl<B: Batcher> Card<B> {
    pub(crate) fn new(key_epoch: Arc<AtomicU64>) -> Self {
        Self {
            revoked: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            key_epoch,
            in_hand: Mutex::new(None),
            key: Mutex::new(None),
        }
    }

    /// The worker is to end as soon as it is back from the HSM.
    pub(crate) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
    }

    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    pub(crate) fn key_epoch(&self) -> u64 {
        self.key_epoch.load(Ordering::Acquire)
    }

    /// Runs one or a few PKCS#11 calls. Whoever looks at [`Self::call_under_way`] sees how long.
    pub(crate) fn inside<T>(&self, call: impl FnOnce() -> T) -> T {
        self.calls.fetch_add(1, Ordering::AcqRel);
        let result = call();
        self.calls.fetch_add(1, Ordering::AcqRel);
        result
    }

    /// As [`Self::inside`], for `work`, which somebody else may take meanwhile. `None`: it was taken, and the result is worth nothing.
    pub(crate) fn inside_for<T>(&self, work: Work<B>, call: impl FnOnce() -> T) -> Option<(Work<B>, T)> {
        self.hold(Some(work));
        let result = self.inside(call);
        self.hold(None).map(|work| (work, result))
    }

    /// The number of the call that the worker is inside of.
    pub(crate) fn call_under_way(&self) -> Option<u64> {
        let calls = self.calls.load(Ordering::Acquire);
        (calls % 2 == 1).then_some(calls)
    }

    /// Takes the work out of the worker's hands, if it holds any in a call.
    pub(crate) fn take_work(&self) -> Option<Work<B>> {
        self.hold(None)
    }

    /// The worker's device signs with this key.
    pub(crate) fn uses(&self, key: SigningPublicKey) {
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
    }

    /// The key that the worker's device signs with.
    pub(crate) fn key(&self) -> Option<SigningPublicKey> {
        *self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The HSM answered the worker.
    pub(crate) fn count_answer(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the HSM ever answered the worker.
    pub(crate) fn was_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed) > 0
    }

    fn hold(&self, work: Option<Work<B>>) -> Option<Work<B>> {
        std::mem::replace(&mut *self.in_hand.lock().unwrap_or_else(PoisonError::into_inner), work)
    }
}
