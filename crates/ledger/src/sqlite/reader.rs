//! The reading side: a few read-only connections. In write-ahead mode they see the last commit and never make the writer wait.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::open::{STATEMENTS_KEPT, keep_plans};
use super::schema;
use crate::error::{ReadError, StorageError};
use crate::open_error::LedgerOpenError;

/// Reads wait only for moments in which the log is being recovered or started over.
const READ_LOCK_WAIT: Duration = Duration::from_secs(5);

/// Clones share the connections.
#[derive(Clone)]
pub(crate) struct SqliteReader {
    pool: Arc<Pool>,
}

struct Pool {
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
}

impl SqliteReader {
    /// At most `connections` reads run at once.
    pub(crate) fn open(path: &Path, connections: usize) -> Result<Self, LedgerOpenError> {
        let idle = (0..connections.max(1)).map(|_| reading_connection(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { pool: Arc::new(Pool { idle: Mutex::new(idle), returned: Condvar::new() }) })
    }

    /// Runs `read` inside one read transaction, so that all its queries see the same moment.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, ReadError>) -> Result<T, ReadError> {
        let borrowed = self.pool.borrow();
        let Some(connection) = &borrowed.connection else {
            return Err(ReadError::Storage(StorageError::new(&rusqlite::Error::InvalidQuery)));
        };
        let storage = |error: rusqlite::Error| ReadError::storage(&error);
        // Dropped at the end, which rolls back; nothing was written.
        let _transaction = connection.unchecked_transaction().map_err(storage)?;
        read(connection)
    }
}

impl Pool {
    fn borrow(&self) -> Borrowed<'_> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut idle = self.returned.wait_while(idle, |idle| idle.is_empty()).unwrap_or_else(PoisonError::into_inner);
        Borrowed { pool: self, connection: idle.pop() }
    }
}

/// A connection that goes back to the pool, whatever happens to its borrower.
struct Borrowed<'pool> {
    pool: &'pool Pool,
    connection: Option<Connection>,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(self.connection.take());
        self.pool.returned.notify_one();
    }
}

fn reading_connection(path: &Path) -> Result<Connection, LedgerOpenError> {
    let fault = |doing| move |error: rusqlite::Error| LedgerOpenError::storage(path, doing, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(fault("opening the file for reading"))?;
    connection.busy_timeout(READ_LOCK_WAIT).map_err(fault("setting the wait"))?;
    schema::check_readable(&connection, path)?;
    keep_plans(&connection).map_err(fault("keeping its plans"))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(connection)
}
