//! The reading side: a few connections to the server that takes writes, so that what was acknowledged is seen.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime as PoolRuntime, Timeouts, Transaction};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, IsolationLevel, Row};

use super::connecting::Connector;
use super::faults;
use super::opening::checked;
use super::runtime::Runtime;
use crate::error::{ReadError, StorageError};
use crate::open_error::LedgerOpenError;
use crate::options::PostgresOptions;

/// A read that lost its connection is asked again for so long.
const TRIES: u32 = 40;
const AGAIN_AFTER: Duration = Duration::from_millis(250);

pub(crate) struct PostgresReader {
    pub(super) runtime: Runtime,
    pool: Pool,
    patience: Duration,
}

impl PostgresReader {
    /// For reading alone.
    pub(crate) fn connect(options: &PostgresOptions) -> Result<Self, LedgerOpenError> {
        let fault =
            |source| LedgerOpenError::System { path: options.dsn_file.clone(), doing: "starting its thread", source };
        let runtime = Runtime::start().map_err(fault)?;
        let connector = Connector::new(options)?;
        runtime.wait(async { checked(&connector).await.map(drop) })?;
        Ok(Self::over(runtime, connector, options.readers))
    }

    pub(super) fn over(runtime: Runtime, connector: Connector, readers: usize) -> Self {
        let patience = connector.patience();
        Self { runtime, pool: pool(connector, readers), patience }
    }

    /// Runs `read` inside one read-only transaction, so that all its queries see the same moment. Waits on the calling thread. A read whose
    /// connection is lost is begun anew: it changes nothing.
    pub(super) fn read<T>(&self, read: impl AsyncFn(&Transaction<'_>) -> Result<T, ReadError>) -> Result<T, ReadError> {
        self.runtime.wait(async {
            let mut tries = 0;
            loop {
                match self.attempt(&read).await {
                    Err(ReadError::Storage(error)) if error.is_lost() && tries < TRIES => tries += 1,
                    other => return other,
                }
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        })
    }

    async fn attempt<T>(&self, read: &impl AsyncFn(&Transaction<'_>) -> Result<T, ReadError>) -> Result<T, ReadError> {
        let lost = |said: String| ReadError::Storage(StorageError::lost(said));
        let mut client = self.pool.get().await.map_err(|error| lost(error.to_string()))?;
        let found = tokio::time::timeout(self.patience, async {
            let begin = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
            let transaction = begin.start().await.map_err(|error| faults::reading(&error))?;
            // Dropped at the end, which rolls back; nothing was written.
            read(&transaction).await
        });
        match found.await {
            Ok(found) => found,
            Err(_) => {
                // It may still be busy with the question: it does not go back.
                drop(deadpool_postgres::Object::take(client));
                Err(lost("the database does not answer".to_owned()))
            }
        }
    }
}

/// The rows of a query, each read by `read`.
pub(super) async fn rows<T>(
    transaction: &Transaction<'_>,
    sql: &str,
    values: &[&(dyn ToSql + Sync)],
    read: impl Fn(&Row) -> Result<T, ReadError>,
) -> Result<Vec<T>, ReadError> {
    let statement = transaction.prepare_cached(sql).await.map_err(|error| faults::reading(&error))?;
    let found = transaction.query(&statement, values).await.map_err(|error| faults::reading(&error))?;
    found.iter().map(read).collect()
}

/// A column of a row that holds no record.
pub(super) fn value<'row, T: tokio_postgres::types::FromSql<'row>>(
    row: &'row Row,
    place: usize,
) -> Result<T, ReadError> {
    row.try_get(place).map_err(|error| faults::reading(&error))
}

/// Connections that are made when they are needed, and made anew when they are lost.
pub(super) fn pool(connector: Connector, connections: usize) -> Pool {
    let patience = Some(connector.patience());
    let as_of_now = connector.config().unwrap_or_else(|_| Config::new());
    let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_connect(as_of_now, connector, settings);
    let timeouts = Timeouts { wait: patience, create: patience, recycle: patience };
    let builder = Pool::builder(manager).max_size(connections.max(1)).runtime(PoolRuntime::Tokio1).timeouts(timeouts);
    // Fails only without a runtime for the timeouts.
    builder.build().unwrap_or_else(|error| {
        tracing::error!(%error, "a pool of connections could not be made");
        std::process::abort()
    })
}
