//! Opening: one connection that shows whether this is a ledger, then the writer, the readers and whoever looks what others wrote.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_postgres::Client;

use super::connecting::Connector;
use super::reader::PostgresReader;
use super::runtime::Runtime;
use super::seat::Seat;
use super::watching;
use super::writer::Writer;
use super::{faults, migrations};
use crate::error::StorageError;
use crate::ledger::Ledger;
use crate::open_error::LedgerOpenError;
use crate::options::PostgresOptions;
use crate::reader::LedgerReader;
use crate::replicas::{Incarnation, Replicas};
use crate::room::Room;
use crate::state::Shared;
use crate::tail::TailMark;

pub(crate) fn ledger(options: &PostgresOptions) -> Result<Ledger, LedgerOpenError> {
    let fault =
        |source| LedgerOpenError::System { path: options.dsn_file.clone(), doing: "starting its thread", source };
    let runtime = Runtime::start().map_err(fault)?;
    let connector = Connector::new(options)?;
    let (incarnation, mark) = runtime.wait(registered(&connector, options))?;
    let reader = PostgresReader::over(runtime.clone(), connector.clone(), options.readers);
    let seat = Seat::new(runtime.clone(), connector.clone(), options.replica.id, incarnation);
    let (queue, requests) = mpsc::channel(options.queue_length_max.max(1));
    let shared = Arc::new(Shared::new(mark.sequence, Room::Ample, None, mark));
    let from = (&queue.downgrade(), requests);
    let writer = Writer::new(connector.clone(), &seat, from, Arc::clone(&shared), options);
    runtime.handle().spawn(writer.run(runtime.clone()));
    runtime.handle().spawn(watching::watch(connector, Arc::downgrade(&shared), options.look_every));
    let (id, incarnation) = (options.replica.id, incarnation.0);
    tracing::info!(replica = %id, incarnation, last_sequence = mark.sequence.0, "ledger on PostgreSQL opened");
    Ok(Ledger::new(queue, LedgerReader::over(reader), shared, Some(Replicas { seat })))
}

/// Registers this start, on a database that is fit for it; says how far the ledger is.
async fn registered(
    connector: &Connector,
    options: &PostgresOptions,
) -> Result<(Incarnation, TailMark), LedgerOpenError> {
    let client = checked(connector).await?;
    let fault = |doing| {
        move |error: tokio_postgres::Error| LedgerOpenError::Database {
            dsn_file: connector.dsn_file().to_path_buf(),
            doing,
            source: faults::storage(&error),
        }
    };
    durable(&client, connector).await?;
    let identity = &options.replica;
    let id = i16::try_from(identity.id.0).map_err(|_| LedgerOpenError::DatabaseFile {
        path: options.dsn_file.clone(),
        why: format!("replica {} has too high a number", identity.id),
    })?;
    let row = client
        .query_one("SELECT cashgate_register($1, $2, $3)", &[&id, &identity.name, &identity.address])
        .await
        .map_err(fault("registering this replica"))?;
    let incarnation: i64 = row.try_get(0).map_err(fault("registering this replica"))?;
    let mark = watching::mark(&client).await.map_err(fault("reading how far it is"))?;
    Ok((Incarnation(u64::try_from(incarnation).unwrap_or(0)), mark))
}

/// A connection to a database whose schema is this program's.
pub(super) async fn checked(connector: &Connector) -> Result<Client, LedgerOpenError> {
    let client = connector.connect().await.map_err(|fault| fault.opening(connector.dsn_file(), "connecting"))?;
    migrations::check(&client, connector).await?;
    Ok(client)
}

/// Refuses a server that would acknowledge what it may lose.
async fn durable(client: &Client, connector: &Connector) -> Result<(), LedgerOpenError> {
    let doing = "looking whether its commits are durable";
    let fault = |source| LedgerOpenError::Database { dsn_file: connector.dsn_file().to_path_buf(), doing, source };
    let sql =
        "SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('full_page_writes')";
    let row = client.query_one(sql, &[]).await.map_err(|error| fault(faults::storage(&error)))?;
    for (place, name) in ["fsync", "synchronous_commit", "full_page_writes"].into_iter().enumerate() {
        let value: String = row.try_get(place).map_err(|error| fault(faults::storage(&error)))?;
        if value == "off" {
            return Err(fault(StorageError::said(format!(
                "{name} is off: what it acknowledges may be lost; turn it on"
            ))));
        }
    }
    Ok(())
}
