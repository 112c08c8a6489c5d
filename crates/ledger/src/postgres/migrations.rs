//! The schema and its versions: forward only, one process at a time, each version in a transaction of its own.
//!
//! **Expand, then contract.** A gateway of the version before runs while a migration goes on and after it. So a migration adds (a table, a
//! column with a default, a function under a new name or with the same arguments and a wider meaning) and never takes away what the version
//! before uses; what nobody uses any more goes one release later. `ledger_schema` says, for each version, from which program's version on it
//! can be used: [`Migration::oldest_program`]; and which text made it, so that a database of a build whose migrations differ is refused at the start.

use std::time::Duration;

use tokio_postgres::Client;

use super::connecting::Connector;
use super::faults;
use super::grants;
use super::runtime::Runtime;
use crate::open_error::LedgerOpenError;
use crate::options::PostgresOptions;
use crate::seal::sha256;

struct Migration {
    sql: &'static str,
    /// The schema version of the oldest program that still works on it.
    oldest_program: i32,
}

impl Migration {
    /// Which text made a version, as `ledger_schema` keeps it.
    fn sha256(&self) -> String {
        sha256(self.sql.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Migration n brings a ledger from version n - 1 to n. Once released, a file never changes.
const MIGRATIONS: &[Migration] = &[
    Migration { sql: include_str!("../../migrations/postgres/0001_ledger.sql"), oldest_program: 1 },
    Migration { sql: include_str!("../../migrations/postgres/0002_functions.sql"), oldest_program: 2 },
    // A table and a function that programs of version 2 know nothing of.
    Migration { sql: include_str!("../../migrations/postgres/0003_publications.sql"), oldest_program: 2 },
];

/// Of the advisory lock that keeps other migrations out: "CASH".
const LOCK: i64 = 0x4341_5348;

/// A migration may wait this long for the locks of its tables. Whoever waits behind it waits as long: better to fail and be tried again.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// What [`migrate`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The version that it found; 0 for a database without a ledger.
    pub from: i64,
    /// The version that the database has now.
    pub to: i64,
}

/// Brings the database to this program's schema; one process at a time, the others wait. The user of the connection string must own the
/// schema `cashgate`, or be allowed to create it. Blocking.
///
/// # Errors
///
/// [`LedgerOpenError`]; the database is at the last version that was reached.
pub fn migrate(options: &PostgresOptions) -> Result<Migrated, LedgerOpenError> {
    migrated_for(options, None)
}

/// The same, and grants a role what a gateway needs, and no more, whatever the migration added. It must be another one than the connection string's.
/// Blocking.
///
/// # Errors
///
/// [`LedgerOpenError`], also if there is no such role; the database is at the last version that was reached.
pub fn migrate_and_grant(options: &PostgresOptions, role: &str) -> Result<Migrated, LedgerOpenError> {
    migrated_for(options, Some(role))
}

fn migrated_for(options: &PostgresOptions, role: Option<&str>) -> Result<Migrated, LedgerOpenError> {
    let fault =
        |source| LedgerOpenError::System { path: options.dsn_file.clone(), doing: "starting its thread", source };
    let runtime = Runtime::start().map_err(fault)?;
    let connector = Connector::new(options)?;
    runtime.wait(async {
        let client = connector.connect().await.map_err(|fault| fault.opening(connector.dsn_file(), "connecting"))?;
        let done = migrated(&client, &connector).await?;
        if let Some(role) = role {
            granted(&client, &connector, role).await?;
        }
        Ok(done)
    })
}

/// Still under the lock of the migration, which goes with the connection.
async fn granted(client: &Client, connector: &Connector, role: &str) -> Result<(), LedgerOpenError> {
    let fault = |error: tokio_postgres::Error| LedgerOpenError::Database {
        dsn_file: connector.dsn_file().to_path_buf(),
        doing: "granting the gateways' role what it needs",
        source: faults::storage(&error),
    };
    if grants::is_connected(client, role).await.map_err(fault)? {
        return Err(LedgerOpenError::DatabaseFile {
            path: connector.dsn_file().to_path_buf(),
            why: format!(
                "it connects as {role}, which owns the schema and needs no grant: connect as the owner, and name the gateways' own role"
            ),
        });
    }
    grants::grant(client, role).await.map_err(fault)?;
    tracing::info!(role, "the gateways' role was granted what it needs");
    Ok(())
}

async fn migrated(client: &Client, connector: &Connector) -> Result<Migrated, LedgerOpenError> {
    let fault = |doing| {
        move |error: tokio_postgres::Error| LedgerOpenError::Database {
            dsn_file: connector.dsn_file().to_path_buf(),
            doing,
            source: faults::storage(&error),
        }
    };
    let settings = format!("SET statement_timeout = 0; SET lock_timeout = {}", LOCK_WAIT.as_millis());
    client.batch_execute(&settings).await.map_err(fault("applying its settings"))?;
    // Of the session: it goes with the connection, whatever happens.
    let locked = format!("SET lock_timeout = 0; SELECT pg_advisory_lock({LOCK}); {settings}");
    client.batch_execute(&locked).await.map_err(fault("waiting for another migration"))?;
    let encoding = client
        .query_one("SELECT current_setting('server_encoding')", &[])
        .await
        .and_then(|row| row.try_get::<_, String>(0))
        .map_err(fault("asking for its encoding"))?;
    if encoding != "UTF8" {
        return Err(LedgerOpenError::DatabaseFile {
            path: connector.dsn_file().to_path_buf(),
            why: format!("the database has the encoding {encoding}: create it with ENCODING 'UTF8'"),
        });
    }
    let begun = "CREATE SCHEMA IF NOT EXISTS cashgate;
        CREATE TABLE IF NOT EXISTS cashgate.ledger_schema (version integer PRIMARY KEY, oldest_program integer NOT NULL,
            sha256 text NOT NULL, since timestamptz NOT NULL DEFAULT now())";
    let versions = versions(client).await.map_err(fault("reading its schema version"))?;
    are_of_this_program(&versions, connector)?;
    let found = versions.last().map_or(0, |last| last.version);
    if versions.last().is_some_and(|last| last.oldest_program > known()) {
        return Err(LedgerOpenError::DatabaseSchema { found, known: known() });
    }
    if found == 0 {
        client.batch_execute(begun).await.map_err(fault("creating the schema cashgate"))?;
    }
    for (migration, version) in MIGRATIONS.iter().zip(1_i64..).filter(|(_, version)| *version > found) {
        let whole = format!(
            "BEGIN; {}; INSERT INTO cashgate.ledger_schema (version, oldest_program, sha256) VALUES ({version}, {}, '{}'); COMMIT",
            migration.sql,
            migration.oldest_program,
            migration.sha256()
        );
        client.batch_execute(&whole).await.map_err(fault("running a migration"))?;
        tracing::info!(version, "ledger schema migrated");
    }
    Ok(Migrated { from: found, to: found.max(known()) })
}

/// The version of this program.
pub(super) fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

struct Found {
    version: i64,
    oldest_program: i64,
    /// `None`: of a program before this was kept.
    sha256: Option<String>,
}

/// The versions that the database went through, the latest last; none: there is no ledger.
async fn versions(client: &Client) -> Result<Vec<Found>, tokio_postgres::Error> {
    let there = client.query_one("SELECT to_regclass('cashgate.ledger_schema') IS NOT NULL", &[]).await?;
    if !there.try_get::<_, bool>(0)? {
        return Ok(Vec::new());
    }
    // By name, because the column may not be there.
    let sql = "SELECT version, oldest_program, to_jsonb(s) ->> 'sha256' FROM cashgate.ledger_schema s ORDER BY version";
    let rows = client.query(sql, &[]).await?;
    let found = rows.iter().map(|row| {
        let (version, oldest_program): (i32, i32) = (row.try_get(0)?, row.try_get(1)?);
        Ok(Found { version: version.into(), oldest_program: oldest_program.into(), sha256: row.try_get(2)? })
    });
    found.collect()
}

/// Refuses a version that was made by another text than this program's: what is called by the same name may do something else.
fn are_of_this_program(found: &[Found], connector: &Connector) -> Result<(), LedgerOpenError> {
    let known = |version: i64| MIGRATIONS.get(usize::try_from(version).ok()?.checked_sub(1)?);
    let other = found
        .iter()
        .find(|found| known(found.version).is_some_and(|known| found.sha256.as_ref() != Some(&known.sha256())));
    match other {
        None => Ok(()),
        Some(found) => Err(LedgerOpenError::DatabaseSchemaOfOther {
            dsn_file: connector.dsn_file().to_path_buf(),
            version: found.version,
        }),
    }
}

/// Refuses a database whose schema this program cannot use.
pub(super) async fn check(client: &Client, connector: &Connector) -> Result<(), LedgerOpenError> {
    let versions = versions(client).await.map_err(|error| LedgerOpenError::Database {
        dsn_file: connector.dsn_file().to_path_buf(),
        doing: "reading its schema version",
        source: faults::storage(&error),
    })?;
    let known = known();
    match versions.last() {
        Some(last) if last.version >= known && last.oldest_program <= known => {
            are_of_this_program(&versions, connector)
        }
        other => Err(LedgerOpenError::DatabaseSchema { found: other.map_or(0, |found| found.version), known }),
    }
}
