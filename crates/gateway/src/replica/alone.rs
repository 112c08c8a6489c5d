//! A gateway alone on a database. It shares nothing, and yet the database may be away, and another process may be started on the same ledger: by
//! mistake, or because this one was thought dead.

use std::sync::Arc;
use std::time::Duration;

use cashgate_ledger::{Ledger, ReplicaError, Replicas};

use crate::admission::Desk;

/// So long this process goes on at most beside another one that was started after it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Says again and again that this process lives. Ends with the reason why it must stop: another one was started on this database. Its writes are
/// refused from that moment anyway; what leaves without a write, a settlement that is repeated, ends with the process.
pub async fn put_out(registry: Replicas) -> String {
    loop {
        match registry.heartbeat(false).await {
            Err(error @ ReplicaError::PutOut { .. }) => return error.to_string(),
            // Whoever writes or reads says so better.
            Err(error) => tracing::debug!(%error, "whether another process was started on this ledger cannot be asked"),
            Ok(()) => {}
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Has new withdrawals refused while the database does not answer: their customers would wait for as long as that takes.
pub async fn admit_while_reachable(ledger: Ledger, desk: Arc<Desk>) {
    let mut reachable = ledger.subscribe_reachable();
    loop {
        desk.ledger_is_followed(*reachable.borrow_and_update());
        if reachable.changed().await.is_err() {
            return;
        }
    }
}
