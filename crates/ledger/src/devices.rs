//! The phones that may approve, inside the writer's transaction.

use cashgate_withdrawal::ids::{DeviceId, InstitutionId};
use cashgate_withdrawal::time::Timestamp;
use rusqlite::{Connection, params};

use crate::columns::{self, signed};
use crate::records::DeviceRow;
use crate::row_check::RowCheck;
use crate::writer::WriteFault;

pub(crate) fn put(connection: &Connection, device: &DeviceRow) -> Result<usize, WriteFault> {
    let rows = connection
        .prepare_cached(
            "INSERT INTO devices (institution, device, public_key, registered_at_ms, revoked_at_ms, row_check)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (institution, device) DO UPDATE SET public_key = excluded.public_key,
                 registered_at_ms = excluded.registered_at_ms, revoked_at_ms = excluded.revoked_at_ms,
                 row_check = excluded.row_check",
        )?
        .execute(params![
            device.institution.as_str(),
            device.device.as_str(),
            device.public_key,
            signed(device.registered_at.unix_ms()),
            device.revoked_at.map(|at| signed(at.unix_ms())),
            RowCheck::of_device(device).as_bytes(),
        ])?;
    Ok(rows)
}

/// How many phones have that name: 0 or 1.
pub(crate) fn revoke(
    connection: &Connection,
    institution: &InstitutionId,
    device: &DeviceId,
    at: Timestamp,
) -> Result<usize, WriteFault> {
    match registered(connection, institution, device)? {
        None => Ok(0),
        Some(DeviceRow { revoked_at: Some(_), .. }) => Ok(1), // The first time stays.
        Some(in_force) => put(connection, &DeviceRow { revoked_at: Some(at), ..in_force }),
    }
}

fn registered(
    connection: &Connection,
    institution: &InstitutionId,
    device: &DeviceId,
) -> Result<Option<DeviceRow>, WriteFault> {
    let mut statement = connection.prepare_cached("SELECT * FROM devices WHERE institution = ?1 AND device = ?2")?;
    let mut rows = statement.query([institution.as_str(), device.as_str()])?;
    match rows.next()? {
        Some(row) => columns::device(row).map(Some).map_err(WriteFault::from),
        None => Ok(None),
    }
}
