//! The schema and its versions: forward only, each step in a transaction of its own.

use std::path::Path;

use rusqlite::Connection;

use crate::error::{ReadError, StorageError};
use crate::open_error::LedgerOpenError;
use crate::sqlite::carry_over;
use crate::sqlite::writer::WriteFault;

/// `PRAGMA application_id` of every ledger: "CASH". Tells a ledger from any other SQLite file.
pub(crate) const APPLICATION_ID: i64 = 0x4341_5348;

/// What brings a ledger from one version to the next.
pub(crate) struct Migration {
    sql: &'static str,
    /// What cannot be said in SQL; runs after it, in the same transaction.
    then: Option<CarryOver>,
}

type CarryOver = fn(&Connection) -> Result<(), WriteFault>;

const fn sql(sql: &'static str) -> Migration {
    Migration { sql, then: None }
}

/// Migration n brings a ledger from version n - 1 to n. Once released, a file never changes.
pub(crate) const MIGRATIONS: &[Migration] = &[
    sql(include_str!("../../migrations/sqlite/0001_withdrawals.sql")),
    sql(include_str!("../../migrations/sqlite/0002_key_events.sql")),
    Migration {
        sql: include_str!("../../migrations/sqlite/0003_notices_and_devices.sql"),
        then: Some(carry_over::devices),
    },
    sql(include_str!("../../migrations/sqlite/0004_publications.sql")),
];

/// Refuses, without writing anything, a file that is not a ledger or comes from a later Cashgate. An empty file may become one.
pub(crate) fn check_identity(connection: &Connection, path: &Path) -> Result<(), LedgerOpenError> {
    let not_a_ledger = |found: String| LedgerOpenError::NotALedger { path: path.to_path_buf(), found };
    let read = |sql: &str| {
        connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => {
                not_a_ledger("no SQLite database, or one whose first page is damaged".to_owned())
            }
            _ => LedgerOpenError::storage(path, "reading its header", &error),
        })
    };
    let application = read("PRAGMA application_id")?;
    if application != APPLICATION_ID {
        let ours =
            read("SELECT count(*) FROM sqlite_schema WHERE name IN ('withdrawals', 'steps', 'devices', 'steps_stay')")?;
        if ours == 4 {
            let found = format!("its tables are a ledger's, its application id is {application:#x}");
            return Err(LedgerOpenError::Damaged { path: path.to_path_buf(), doing: "reading its header", found });
        }
        let objects = read("SELECT count(*) FROM sqlite_schema")?;
        return if application == 0 && objects == 0 && read("PRAGMA user_version")? == 0 {
            Ok(())
        } else {
            Err(not_a_ledger("an SQLite database of another program".to_owned()))
        };
    }
    let found = read("PRAGMA user_version")?;
    let known = version_of(MIGRATIONS);
    if found > known {
        return Err(LedgerOpenError::NewerSchema { path: path.to_path_buf(), found, known });
    }
    // The first version 1 was made before there were seals.
    let columns = "SELECT count(*) FROM pragma_table_info('withdrawals')";
    if found == 1 && read(columns)? > 0 && read(&format!("{columns} WHERE name = 'last_seal'"))? == 0 {
        return Err(LedgerOpenError::WithoutSeals { path: path.to_path_buf() });
    }
    Ok(())
}

/// Refuses a file that this program cannot read as it is.
pub(crate) fn check_readable(connection: &Connection, path: &Path) -> Result<(), LedgerOpenError> {
    check_identity(connection, path)?;
    let known = version_of(MIGRATIONS);
    match connection.query_row("PRAGMA user_version", [], |row| row.get(0)) {
        Ok(found) if found == known => Ok(()),
        Ok(found) => Err(LedgerOpenError::OlderSchema { path: path.to_path_buf(), found, known }),
        Err(error) => Err(LedgerOpenError::storage(path, "reading its schema version", &error)),
    }
}

/// Runs those of `migrations` that the ledger has not seen.
pub(crate) fn migrate(connection: &Connection, path: &Path, migrations: &[Migration]) -> Result<(), LedgerOpenError> {
    let version: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| LedgerOpenError::storage(path, "reading its schema version", &error))?;
    for (migration, reached) in migrations.iter().zip(1_i64..).filter(|(_, reached)| *reached > version) {
        run(connection, migration, reached).map_err(|fault| failed(path, reached, fault))?;
        tracing::info!(path = %path.display(), version = reached, "ledger schema migrated");
    }
    Ok(())
}

fn run(connection: &Connection, migration: &Migration, reached: i64) -> Result<(), WriteFault> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(migration.sql)?;
    if let Some(then) = migration.then {
        then(&transaction)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", reached)?;
    transaction.commit()?;
    Ok(())
}

fn failed(path: &Path, version: i64, fault: WriteFault) -> LedgerOpenError {
    let path = path.to_path_buf();
    match fault {
        WriteFault::Storage(error) => LedgerOpenError::Migration { path, version, source: StorageError::new(&error) },
        WriteFault::Unreadable(ReadError::Storage(source)) => LedgerOpenError::Migration { path, version, source },
        WriteFault::Unreadable(ReadError::Damaged(damage)) => {
            LedgerOpenError::Damaged { path, doing: CARRYING_OVER, found: damage.to_string() }
        }
        // Never comes: no migration appends.
        WriteFault::Refused(refusal) => {
            LedgerOpenError::Damaged { path, doing: CARRYING_OVER, found: refusal.to_string() }
        }
    }
}

const CARRYING_OVER: &str = "carrying its rows over to a new schema";

fn version_of(migrations: &[Migration]) -> i64 {
    i64::try_from(migrations.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(connection: &Connection) -> i64 {
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn each_migration_runs_once_and_in_order() {
        let connection = Connection::open_in_memory().unwrap();
        let path = Path::new("test");
        migrate(&connection, path, &[sql("CREATE TABLE a (x)")]).unwrap();
        assert_eq!(version(&connection), 1);
        // Would fail on its own table if the first ran again.
        let two = [sql("CREATE TABLE a (x)"), sql("ALTER TABLE a ADD COLUMN y")];
        migrate(&connection, path, &two).unwrap();
        migrate(&connection, path, &two).unwrap();
        assert_eq!(version(&connection), 2);
        connection.execute("INSERT INTO a (x, y) VALUES (1, 2)", []).unwrap();
    }

    #[test]
    fn a_failed_migration_leaves_the_version_before_it() {
        let connection = Connection::open_in_memory().unwrap();
        let broken = [sql("CREATE TABLE a (x)"), sql("CREATE TABLE b (x); CREATE TABLE a (x)")];
        let error = migrate(&connection, Path::new("test"), &broken).unwrap_err();
        assert!(matches!(error, LedgerOpenError::Migration { version: 2, .. }), "{error}");
        assert_eq!(version(&connection), 1);
        assert!(connection.prepare("SELECT * FROM b").is_err(), "half a migration stayed");
    }
}
