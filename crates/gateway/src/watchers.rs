//! Who follows which withdrawal.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::withdrawal::Withdrawal;
use tokio::sync::watch;

/// The latest durable state of every open withdrawal, to be followed.
#[derive(Debug, Default)]
pub struct Watchers {
    open: Mutex<HashMap<WithdrawalId, watch::Sender<Withdrawal>>>,
}

impl Watchers {
    /// A withdrawal came to a new durable state. With its end it leaves, after its followers have heard.
    pub fn changed(&self, withdrawal: Withdrawal) {
        let id = withdrawal.terms.withdrawal;
        let mut open = self.open();
        if withdrawal.state.is_ended() {
            if let Some(sender) = open.remove(&id) {
                sender.send_replace(withdrawal);
            }
        } else if let Some(sender) = open.get(&id) {
            sender.send_replace(withdrawal);
        } else {
            open.insert(id, watch::Sender::new(withdrawal));
        }
    }

    /// A withdrawal goes on at another replica: its followers' streams end, and they follow it there.
    pub fn left(&self, id: WithdrawalId) {
        self.open().remove(&id);
    }

    /// Follows an open withdrawal; `None` if it is not open.
    #[must_use]
    pub fn follow(&self, id: WithdrawalId) -> Option<watch::Receiver<Withdrawal>> {
        self.open().get(&id).map(watch::Sender::subscribe)
    }

    /// The name of the last durable state of an open withdrawal.
    #[must_use]
    pub fn state_name(&self, id: WithdrawalId) -> Option<&'static str> {
        self.open().get(&id).map(|sender| sender.borrow().state.name())
    }

    fn open(&self) -> MutexGuard<'_, HashMap<WithdrawalId, watch::Sender<Withdrawal>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
