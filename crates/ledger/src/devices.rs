//! The phones that may approve, inside the writer's transaction.

use cashgate_withdrawal::ids::{DeviceId, InstitutionId};
use cashgate_withdrawal::time::Timestamp;
use rusqlite::{Connection, params};

use crate::columns::signed;
use crate::records::DeviceRow;
use crate::writer::WriteFault;

pub(crate) fn put(connection: &Connection, device: &DeviceRow) -> Result<usize, WriteFault> {
    let rows = connection
        .prepare_cached(
            "INSERT INTO devices (institution, device, public_key, registered_at_ms, revoked_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (institution, device) DO UPDATE SET public_key = excluded.public_key,
                 registered_at_ms = excluded.registered_at_ms, revoked_at_ms = excluded.revoked_at_ms",
        )?
        .execute(params![
            device.institution.as_str(),
            device.device.as_str(),
            device.public_key,
            signed(device.registered_at.unix_ms()),
            device.revoked_at.map(|at| signed(at.unix_ms())),
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
    let rows = connection
        .prepare_cached(
            "UPDATE devices SET revoked_at_ms = coalesce(revoked_at_ms, ?3) WHERE institution = ?1 AND device = ?2",
        )?
        .execute(params![institution.as_str(), device.as_str(), signed(at.unix_ms())])?;
    Ok(rows)
}
