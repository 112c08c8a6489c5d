//! Phones: one row each, replaced as a whole.

use rusqlite::{Connection, params};

use super::writer::WriteFault;
use crate::columns::signed;
use crate::devices::DeviceRow;
use crate::row_check::RowCheck;
use cashgate_withdrawal::time::Timestamp;

/// Writes the phone's row, inside the writer's transaction, in place of what stood under its name.
pub(super) fn put(connection: &Connection, device: &DeviceRow) -> Result<(), WriteFault> {
    let at = |moment: Timestamp| signed(moment.unix_ms());
    connection
        .prepare_cached(
            "REPLACE INTO devices (institution, device, public_key, key_since_ms, registered_at_ms, bound_at_ms, channel,
                 attestation, failed_attempts, locked_at_ms, revoked_at_ms, row_check)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            device.institution.as_str(),
            device.device.as_str(),
            device.public_key,
            at(device.key_since),
            at(device.registered_at),
            at(device.bound_at),
            device.channel,
            device.attestation,
            device.failed_attempts,
            device.locked_at.map(at),
            device.revoked_at.map(at),
            RowCheck::of_device(device).as_bytes(),
        ])?;
    Ok(())
}
