//! One phone, as its institution registered it and as the gateway came to know it.

use std::time::Duration;

use cashgate_ledger::DeviceRow;
use cashgate_qr::approval::DeviceKey;
use cashgate_withdrawal::ids::{DeviceId, InstitutionId};
use cashgate_withdrawal::time::Timestamp;

use super::DevicesFailure;

/// A phone as its institution registered it and as the gateway came to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// What its approvals are verified with.
    pub key: DeviceKey,
    /// When the gateway first saw this key.
    pub key_since: Timestamp,
    /// When the gateway first saw the phone.
    pub registered_at: Timestamp,
    /// When its institution says that it bound it.
    pub bound_at: Timestamp,
    /// How the app was activated, in the institution's own word; empty if it did not say.
    pub channel: String,
    /// What the platform's attestation said, if it was asked.
    pub attestation: Option<bool>,
    /// How often it had failed in a row when that was last made durable.
    pub failed_attempts: u8,
    /// Since when it is locked after too many failures.
    pub locked_at: Option<Timestamp>,
    /// When its right to approve ended.
    pub revoked_at: Option<Timestamp>,
}

impl Device {
    /// From when its age counts: the later of what its institution says and what the gateway saw, so that the stricter tier holds.
    #[must_use]
    pub fn age_since(&self) -> Timestamp {
        self.key_since.max(self.bound_at)
    }

    /// How old it was at a moment; one that was bound later is new.
    #[must_use]
    pub fn age(&self, at: Timestamp) -> Duration {
        at.since(self.age_since())
    }

    /// How old it was at a moment of the past. Under which key it approved before its last change is not known any more, only that it had one.
    #[must_use]
    pub fn age_then(&self, at: Timestamp) -> Duration {
        if self.age_since() <= at { self.age(at) } else { at.since(self.registered_at) }
    }

    pub(super) fn row(&self, institution: InstitutionId, device: DeviceId) -> DeviceRow {
        DeviceRow {
            institution,
            device,
            public_key: self.key.to_spki_der().to_vec(),
            key_since: self.key_since,
            registered_at: self.registered_at,
            bound_at: self.bound_at,
            channel: self.channel.clone(),
            attestation: self.attestation,
            failed_attempts: self.failed_attempts,
            locked_at: self.locked_at,
            revoked_at: self.revoked_at,
        }
    }

    pub(super) fn of_row(row: &DeviceRow) -> Result<Self, DevicesFailure> {
        let key = DeviceKey::from_spki_der(&row.public_key).map_err(|error| {
            DevicesFailure(format!("the ledger's key of device {} is damaged: {error}", row.device))
        })?;
        Ok(Self {
            key,
            key_since: row.key_since,
            registered_at: row.registered_at,
            bound_at: row.bound_at,
            channel: row.channel.clone(),
            attestation: row.attestation,
            failed_attempts: row.failed_attempts,
            locked_at: row.locked_at,
            revoked_at: row.revoked_at,
        })
    }
}
