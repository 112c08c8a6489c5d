//! All that is counted against one device: what it drew from whatever account, and its failed attempts.

use std::num::NonZeroU8;

use crate::drawn::DrawnList;
use crate::window::Since;

/// Failed attempts of a device: wrong codes, wrong signatures, whatever the caller counts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// How many failed in a row, up to 255.
    pub failed: u8,
    /// Whether the device is locked: it stays so until [`crate::Limits::release_lock`].
    pub locked: bool,
    /// Whether this very attempt locked it. Of attempts that race, one sees it.
    pub locked_now: bool,
}

/// One device's entry.
#[derive(Debug, Default)]
pub(crate) struct Device {
    pub(crate) drawn: DrawnList,
    failed: u8,
    locked: bool,
}

impl Device {
    pub(crate) fn attempts(&self) -> Attempts {
        Attempts { failed: self.failed, locked: self.locked, locked_now: false }
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.locked
    }

    pub(crate) fn attempt_failed(&mut self, lock_after: NonZeroU8) -> Attempts {
        let was_locked = self.locked;
        self.failed = self.failed.saturating_add(1);
        self.locked = was_locked || self.failed >= lock_after.get();
        Attempts { locked_now: self.locked && !was_locked, ..self.attempts() }
    }

    pub(crate) fn attempt_succeeded(&mut self) {
        self.failed = 0;
    }

    pub(crate) fn release_lock(&mut self) {
        (self.failed, self.locked) = (0, false);
    }

    /// Restores attempts; what was counted meanwhile is not undone.
    pub(crate) fn restore_attempts(&mut self, failed: u8, locked: bool) {
        self.failed = self.failed.max(failed);
        self.locked |= locked;
    }

    /// Whether it says no more than no entry would.
    pub(crate) fn is_empty(&self) -> bool {
        self.drawn.is_empty() && self.failed == 0 && !self.locked
    }

    /// Whether no decision from `since` on would miss this entry. Lets go of what no decision would look at.
    pub(crate) fn is_idle(&mut self, since: &Since) -> bool {
        self.drawn.forget_before(since.kept_s());
        self.is_empty()
    }
}
