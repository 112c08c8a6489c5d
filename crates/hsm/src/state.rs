//! How the HSMs are, for readiness, metrics and people.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

/// How all slots together are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HsmState {
    /// No slot answers, or none has a key that may sign. Nothing is signed.
    Lost,
    /// Work is done, but a slot is out or has fewer workers than it should.
    Degraded,
    /// Every slot has all its workers.
    Ready,
}

impl HsmState {
    /// A stable name for metrics and people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Degraded => "degraded",
            Self::Ready => "ready",
        }
    }
}

/// How one slot is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotStatus {
    /// Its HSM token.
    pub token_label: String,
    /// Alone, as if there were no other.
    pub state: HsmState,
    /// Workers that take work.
    pub workers: usize,
    /// Of these, the ones whose key may sign. With none the slot makes authentication codes only.
    pub signers: usize,
    /// Workers that were given up because their call does not return.
    pub stuck: usize,
    /// What was wrong last, in one line; empty while it is ready.
    pub reason: String,
}

/// All slots, and who wants to hear of a change.
pub(crate) struct Board {
    slots: Mutex<Vec<SlotStatus>>,
    workers_wanted: usize,
    overall: watch::Sender<HsmState>,
    /// Nothing that happens from now on is news.
    closing: AtomicBool,
}

impl Board {
    pub(crate) fn new(token_labels: impl Iterator<Item = String>, workers_wanted: usize) -> Self {
        let unopened = |token_label| SlotStatus {
            token_label,
            state: HsmState::Lost,
            workers: 0,
            signers: 0,
            stuck: 0,
            reason: "not opened yet".to_owned(),
        };
        let slots = token_labels.map(unopened).collect();
        Self {
            slots: Mutex::new(slots),
            workers_wanted,
            overall: watch::Sender::new(HsmState::Lost),
            closing: AtomicBool::new(false),
        }
    }

    /// A slot has so many workers, so many of them with a key that may sign, and so many stuck ones; `reason` is what was wrong last, `None` to
    /// leave what was said before.
    pub(crate) fn slot_is(
        &self,
        slot: usize,
        (workers, signers, stuck): (usize, usize, usize),
        reason: Option<String>,
    ) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(status) = slots.get_mut(slot) else { return };
        let (state_before, reason_before) = (status.state, status.reason.clone());
        status.workers = workers;
        status.stuck = stuck;
        status.signers = signers;
        status.state = match workers {
            0 => HsmState::Lost,
            some if some >= self.workers_wanted && stuck == 0 && signers > 0 => HsmState::Ready,
            _ => HsmState::Degraded,
        };
        if let Some(reason) = reason {
            status.reason = reason;
        } else if workers > 0 && signers == 0 {
            NO_KEY_IN_USE.clone_into(&mut status.reason);
        }
        if status.state == HsmState::Ready {
            status.reason.clear();
        }
        // Also why it is still lost, if that is something new: what is wrong at the start is not what was wrong before.
        let has_new_reason = status.state == HsmState::Lost && status.reason != reason_before;
        if (status.state != state_before || has_new_reason) && !self.closing.load(Ordering::Relaxed) {
            log_change(status);
        }
        let overall = overall(&slots);
        self.overall.send_if_modified(|known| std::mem::replace(known, overall) != overall);
    }

    /// The HSMs are being closed: that they are lost from now on is as it should be.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Workers of all slots.
    pub(crate) fn workers(&self) -> usize {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|slot| slot.workers).sum()
    }

    pub(crate) fn statuses(&self) -> Vec<SlotStatus> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn overall(&self) -> HsmState {
        *self.overall.borrow()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<HsmState> {
        self.overall.subscribe()
    }
}

const NO_KEY_IN_USE: &str = "its signing key is not in use: it is only published, or retired (cashgate keys status)";

fn overall(slots: &[SlotStatus]) -> HsmState {
    let all = |state| slots.iter().all(|slot| slot.state == state);
    if all(HsmState::Ready) {
        HsmState::Ready
    } else if slots.iter().all(|slot| slot.signers == 0) {
        HsmState::Lost
    } else {
        HsmState::Degraded
    }
}

fn log_change(status: &SlotStatus) {
    let SlotStatus { token_label, workers, stuck, reason, .. } = status;
    match status.state {
        HsmState::Ready => tracing::info!(token = token_label, workers, "the HSM slot is ready"),
        HsmState::Degraded => tracing::warn!(token = token_label, workers, stuck, reason, "the HSM slot is degraded"),
        HsmState::Lost => tracing::error!(token = token_label, stuck, reason, "the HSM slot is lost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        Board::new(["left".to_owned(), "right".to_owned()].into_iter(), 2)
    }

    #[test]
    fn one_slot_that_works_is_enough_to_go_on_and_not_enough_to_be_ready() {
        let board = board();
        assert_eq!(board.overall(), HsmState::Lost);
        board.slot_is(0, (2, 2, 0), None);
        assert_eq!(board.overall(), HsmState::Degraded);
        board.slot_is(1, (2, 2, 0), None);
        assert_eq!(board.overall(), HsmState::Ready);
        board.slot_is(1, (1, 1, 0), Some("C_Sign: CKR_DEVICE_ERROR".to_owned()));
        assert_eq!(board.overall(), HsmState::Degraded);
        board.slot_is(0, (0, 0, 0), None);
        assert_eq!(board.overall(), HsmState::Degraded, "the other still has a worker");
        board.slot_is(1, (0, 0, 0), None);
        assert_eq!(board.overall(), HsmState::Lost);
    }

    #[test]
    fn a_key_that_may_not_sign_makes_no_code() {
        let board = board();
        board.slot_is(0, (2, 0, 0), None);
        assert_eq!(board.overall(), HsmState::Lost);
        let status = board.statuses().remove(0);
        assert_eq!((status.state, status.reason.as_str()), (HsmState::Degraded, NO_KEY_IN_USE));
        board.slot_is(0, (2, 2, 0), None);
        assert_eq!(board.overall(), HsmState::Degraded, "the other slot is still lost");
        assert_eq!(board.statuses().remove(0).reason, "");
    }

    #[test]
    fn a_stuck_worker_degrades_and_the_reason_goes_when_all_is_well() {
        let board = board();
        board.slot_is(0, (2, 2, 1), Some("C_Sign does not return".to_owned()));
        let status = board.statuses().remove(0);
        assert_eq!((status.state, status.reason.as_str()), (HsmState::Degraded, "C_Sign does not return"));
        board.slot_is(0, (2, 2, 0), None);
        let status = board.statuses().remove(0);
        assert_eq!((status.state, status.reason.as_str()), (HsmState::Ready, ""));
    }
}
