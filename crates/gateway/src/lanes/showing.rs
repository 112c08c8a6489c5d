//! Which ATM shows which QR session, so that a cancellation finds its lane without asking them all.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cashgate_withdrawal::ids::{AtmId, QrSessionId};

/// At most one QR session an ATM: the latest that it began.
#[derive(Debug, Default)]
pub struct Showing {
    atms: Mutex<HashMap<QrSessionId, AtmId>>,
}

impl Showing {
    /// An ATM begins a QR session, and with it leaves the one before.
    pub(super) fn begins(&self, atm: &AtmId, session: QrSessionId, before: Option<QrSessionId>) {
        let mut atms = self.atms();
        if let Some(before) = before {
            atms.remove(&before);
        }
        atms.insert(session, atm.clone());
    }

    /// The ATM whose latest QR session this is.
    #[must_use]
    pub fn atm_of(&self, session: QrSessionId) -> Option<AtmId> {
        self.atms().get(&session).cloned()
    }

    fn atms(&self) -> MutexGuard<'_, HashMap<QrSessionId, AtmId>> {
        self.atms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
