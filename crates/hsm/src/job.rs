//! What callers wait for.

use tokio::sync::oneshot;

use crate::batcher::Batcher;
use crate::error::HsmError;

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, HsmError>>;

/// An order that waits to be signed.
pub(crate) struct OrderJob<B: Batcher> {
    pub(crate) order: B::Order,
    pub(crate) reply: Reply<B::Signed>,
    /// How often the HSM failed while it was in a worker's hands.
    pub(crate) failures: u16,
}

/// An authentication code that is to be made or verified.
pub(crate) struct MacJob {
    pub(crate) key_label: String,
    pub(crate) message: Vec<u8>,
    pub(crate) wanted: MacWanted,
    pub(crate) failures: u16,
}

/// Which of the two.
pub(crate) enum MacWanted {
    Made(Reply<[u8; 32]>),
    Verified { mac: [u8; 32], reply: Reply<bool> },
}

impl MacJob {
    /// Whether nobody waits for it any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        match &self.wanted {
            MacWanted::Made(reply) => reply.is_closed(),
            MacWanted::Verified { reply, .. } => reply.is_closed(),
        }
    }

    /// Answers with an error. A caller that went away does not matter.
    pub(crate) fn refuse(self, error: HsmError) {
        match self.wanted {
            MacWanted::Made(reply) => drop(reply.send(Err(error))),
            MacWanted::Verified { reply, .. } => drop(reply.send(Err(error))),
        }
    }
}

/// What one worker takes at a time.
pub(crate) enum Work<B: Batcher> {
    /// Orders that will share a signature; never none.
    Orders(Vec<OrderJob<B>>),
    /// One authentication code. Money waits for it, so these go before orders.
    Mac(MacJob),
}
