//! Queries of the ledger, off the threads that serve.

use std::fmt::Display;

use cashgate_ledger::LedgerReader;

/// What a query finds, or in a line why it found nothing.
pub(crate) async fn read<T, E>(
    reader: &LedgerReader,
    query: impl FnOnce(&LedgerReader) -> Result<T, E> + Send + 'static,
) -> Result<T, String>
where
    T: Send + 'static,
    E: Display + Send + 'static,
{
    let reader = reader.clone();
    match tokio::task::spawn_blocking(move || query(&reader)).await {
        Ok(found) => found.map_err(|error| error.to_string()),
        Err(error) => {
            tracing::error!(%error, "a query of the ledger did not end");
            Err(error.to_string())
        }
    }
}
