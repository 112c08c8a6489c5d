//! Looks what other replicas wrote: when the server hints at it, and every now and then.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_postgres::Client;

use super::connecting::Connector;
use super::faults;
use crate::records::Sequence;
use crate::state::Shared;
use crate::tail::TailMark;

/// How long is waited before another connection is made.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

pub(super) const MARK: &str = "SELECT last_sequence, key_events, device_changes FROM ledger_head WHERE one";

pub(super) async fn mark(client: &Client) -> Result<TailMark, tokio_postgres::Error> {
    of(&client.query_one(MARK, &[]).await?)
}

/// Reads a row of [`MARK`].
pub(super) fn of(row: &tokio_postgres::Row) -> Result<TailMark, tokio_postgres::Error> {
    let at = |place: usize| row.try_get::<_, i64>(place).map(|value| u64::try_from(value).unwrap_or(0));
    Ok(TailMark { sequence: Sequence(at(0)?), key_events: at(1)?, device_changes: at(2)? })
}

/// Goes on until the ledger's last handle is gone.
pub(super) async fn watch(connector: Connector, ledger: Weak<Shared>, every: Duration) {
    let notified = Arc::new(Notify::new());
    loop {
        let connected = connector.connect_notified(Arc::clone(&notified)).await;
        if ledger.strong_count() == 0 {
            return;
        }
        match connected {
            Err(fault) => {
                tracing::warn!(error = %fault.storage(), "the database cannot be reached");
                if let Some(shared) = ledger.upgrade() {
                    tell(&shared, false);
                }
            }
            Ok(client) => {
                if followed(&client, &connector, &ledger, &notified, every).await {
                    return;
                }
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// Looks until the connection fails; `true` if the ledger is gone.
async fn followed(
    client: &Client,
    connector: &Connector,
    ledger: &Weak<Shared>,
    notified: &Notify,
    every: Duration,
) -> bool {
    let mut found = client.batch_execute("LISTEN cashgate_ledger").await;
    loop {
        let seen = match found {
            Ok(()) => tokio::time::timeout(connector.patience(), mark(client)).await,
            Err(error) => Ok(Err(error)),
        };
        let Some(shared) = ledger.upgrade() else { return true };
        match seen {
            Ok(Ok(mark)) => {
                tell(&shared, true);
                advance(&shared, mark.sequence);
                shared.tail.send_replace(mark);
            }
            Ok(Err(error)) => {
                tracing::warn!(error = %faults::storage(&error), "what other replicas wrote could not be read");
                tell(&shared, false);
                return false;
            }
            Err(_) => {
                tracing::warn!("the database does not say what other replicas wrote");
                tell(&shared, false);
                return false;
            }
        }
        drop(shared);
        tokio::select! {
            () = notified.notified() => {}
            () = tokio::time::sleep(every) => {}
        }
        found = Ok(());
    }
}

/// Has the feed know of a sequence.
pub(super) fn advance(shared: &Shared, to: Sequence) {
    shared.last_sequence.send_if_modified(|known| {
        let later = to > *known;
        if later {
            *known = to;
        }
        later
    });
}

pub(super) fn tell(shared: &Shared, reachable: bool) {
    shared.reachable.send_if_modified(|known| std::mem::replace(known, reachable) != reachable);
}
