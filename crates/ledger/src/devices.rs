//! The phones that may approve: one row each, replaced as a whole, with a notice about what changed.

use cashgate_withdrawal::ids::{DeviceId, InstitutionId};
use cashgate_withdrawal::time::Timestamp;

use crate::cells::Cells;
use crate::columns::{Columns, signed};
use crate::error::ReadError;
use crate::row_check::{RowCheck, RowColumns};
use crate::table::Table;

/// A phone, as its institution registered it and as the gateway came to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRow {
    /// The institution it belongs to.
    pub institution: InstitutionId,
    /// The phone, unique within the institution.
    pub device: DeviceId,
    /// The key that its approvals are verified with, in the gateway's own encoding; opaque to the ledger.
    pub public_key: Vec<u8>,
    /// When the gateway first saw this key. Starts anew when the key changes.
    pub key_since: Timestamp,
    /// When the gateway first saw the phone.
    pub registered_at: Timestamp,
    /// When the institution says that it bound the phone to its customer.
    pub bound_at: Timestamp,
    /// The institution's word for how the app was activated; empty if it gave none.
    pub channel: String,
    /// Whether the attestation of the phone's key passed; `None` if none was given.
    pub attestation: Option<bool>,
    /// How many attempts failed since the last that did not.
    pub failed_attempts: u8,
    /// Since when it is locked after too many of them; `None` while it is not.
    pub locked_at: Option<Timestamp>,
    /// When it was revoked; `None` while in force.
    pub revoked_at: Option<Timestamp>,
}

impl DeviceRow {
    /// Whether the phone may do nothing: it was revoked or is locked. Such a row is written even on a full disk.
    #[must_use]
    pub const fn is_barred(&self) -> bool {
        self.revoked_at.is_some() || self.locked_at.is_some()
    }
}

impl RowCheck {
    /// The check of a phone's row.
    #[must_use]
    pub fn of_device(device: &DeviceRow) -> Self {
        let at = |moment: Timestamp| signed(moment.unix_ms());
        let mut columns = RowColumns::of_devices();
        columns.text(device.institution.as_str()).text(device.device.as_str()).blob(&device.public_key);
        columns.integer(at(device.key_since)).integer(at(device.registered_at)).integer(at(device.bound_at));
        columns.text(&device.channel).integer_or_null(device.attestation.map(i64::from));
        columns.integer(i64::from(device.failed_attempts));
        columns.integer_or_null(device.locked_at.map(at)).integer_or_null(device.revoked_at.map(at));
        columns.check()
    }
}

/// Reads a row of `devices`.
pub(crate) fn device(row: &impl Cells) -> Result<DeviceRow, ReadError> {
    let columns = Columns::checked(row, Table::Devices, RowColumns::of_devices())?;
    Ok(DeviceRow {
        institution: columns.parsed("institution")?,
        device: columns.parsed("device")?,
        public_key: columns.value("public_key")?,
        key_since: columns.timestamp("key_since_ms")?,
        registered_at: columns.timestamp("registered_at_ms")?,
        bound_at: columns.timestamp("bound_at_ms")?,
        channel: columns.value("channel")?,
        attestation: columns.value("attestation")?,
        failed_attempts: columns.value("failed_attempts")?,
        locked_at: columns.timestamp_or_null("locked_at_ms")?,
        revoked_at: columns.timestamp_or_null("revoked_at_ms")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by a few lines of another language: a change here breaks every ledger there is.
    #[test]
    fn row_checks_are_made_as_described() {
        let at = |seconds: i64| Timestamp::from_unix_ms(1_752_885_361_690_u64.saturating_add_signed(seconds * 1_000));
        let plain = DeviceRow {
            institution: "aozora".parse().unwrap(),
            device: "phone-1".parse().unwrap(),
            public_key: vec![4; 65],
            key_since: at(0),
            registered_at: at(0),
            bound_at: at(0),
            channel: String::new(),
            attestation: None,
            failed_attempts: 0,
            locked_at: None,
            revoked_at: None,
        };
        let expected = 0x6d61_0b9d_3d63_9861_1652_cc31_3971_d8b2_u128;
        assert_eq!(RowCheck::of_device(&plain).as_bytes(), &expected.to_be_bytes());
        let with_all = DeviceRow {
            key_since: at(1),
            bound_at: at(-1),
            channel: "branch".to_owned(),
            attestation: Some(true),
            failed_attempts: 3,
            locked_at: Some(at(2)),
            revoked_at: Some(at(3)),
            ..plain
        };
        let expected = 0xde64_fdbe_7155_1e2f_1c06_2e88_7b16_9911_u128;
        assert_eq!(RowCheck::of_device(&with_all).as_bytes(), &expected.to_be_bytes());
    }
}
