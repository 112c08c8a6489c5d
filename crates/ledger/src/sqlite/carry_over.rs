//! What a migration cannot say in SQL: rows that get new columns get new checks.

use rusqlite::Connection;

use super::devices;
use crate::columns::Columns;
use crate::devices::DeviceRow;
use crate::error::ReadError;
use crate::row_check::RowColumns;
use crate::sqlite::writer::WriteFault;
use crate::table::Table;

/// Phones of schema 2 knew one time, since when their key was bound. A damaged one is not carried over as if it were whole.
pub(crate) fn devices(connection: &Connection) -> Result<(), WriteFault> {
    {
        let mut before = connection.prepare("SELECT * FROM devices_before")?;
        let mut rows = before.query([])?;
        while let Some(row) = rows.next()? {
            devices::put(connection, &of_schema_2(row)?)?;
        }
    }
    connection.execute_batch("DROP TABLE devices_before")?;
    Ok(())
}

fn of_schema_2(row: &rusqlite::Row<'_>) -> Result<DeviceRow, ReadError> {
    let columns = Columns::checked(row, Table::DevicesBefore, RowColumns::of_devices_before())?;
    let registered_at = columns.timestamp("registered_at_ms")?;
    Ok(DeviceRow {
        institution: columns.parsed("institution")?,
        device: columns.parsed("device")?,
        public_key: columns.value("public_key")?,
        key_since: registered_at,
        registered_at,
        bound_at: registered_at,
        channel: String::new(),
        attestation: None,
        failed_attempts: 0,
        locked_at: None,
        revoked_at: columns.timestamp_or_null("revoked_at_ms")?,
    })
}
