//! The thread on which the connections live.

use std::io;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Ends when its last clone is dropped.
#[derive(Clone)]
pub(super) struct Runtime {
    handle: Handle,
    _until: Arc<oneshot::Sender<()>>,
}

impl Runtime {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (until, dropped) = oneshot::channel();
        let run = move || {
            // Nothing is ever sent: it ends with the sender.
            let _ = runtime.block_on(dropped);
        };
        std::thread::Builder::new().name("ledger-postgres".to_owned()).spawn(run)?;
        Ok(Self { handle, _until: Arc::new(until) })
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits on the calling thread, whatever that is: the connections go on on their own.
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let _within = self.handle.enter();
        // Unconstrained: on a thread of another runtime its budget would run out in here, and nobody would give a new one.
        futures_executor::block_on(tokio::task::unconstrained(future))
    }
}
