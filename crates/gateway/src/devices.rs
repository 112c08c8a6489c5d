//! The phones that institutions have registered: in memory for every approval, in the ledger for ever.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use cashgate_ledger::{DeviceRow, Ledger};
use cashgate_qr::approval::DeviceKey;
use cashgate_wire::customer::RegisterDevice;
use cashgate_withdrawal::ids::{DeviceId, InstitutionId};
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::time::Timestamp;

/// A phone that may approve.
#[derive(Clone, Debug)]
pub struct Device {
    /// What its approvals are verified with.
    pub key: DeviceKey,
    /// Since when it is bound: the later of what its institution says and when the gateway first saw it.
    pub bound_at: Timestamp,
    /// Whether its right has ended.
    pub revoked: bool,
}

/// How far an institution's clock may be ahead of ours.
const CLOCK_SKEW_MAX: std::time::Duration = std::time::Duration::from_secs(300);

/// The phones that are known at this moment, in memory.
#[derive(Debug, Default)]
pub struct KnownDevices {
    devices: RwLock<HashMap<(InstitutionId, DeviceId), Device>>,
}

/// All phones: known in memory, kept in the ledger.
#[derive(Debug)]
pub struct Devices {
    ledger: Ledger,
    known: Arc<KnownDevices>,
    /// Registrations and revocations one after the other, so that memory and ledger agree on their order.
    changing: tokio::sync::Mutex<()>,
}

/// A failure that is not the caller's.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DevicesFailure(String);

impl KnownDevices {
    /// A phone that may approve now. Why one may not is for the operator.
    pub fn approving(&self, institution: &InstitutionId, device: &DeviceId) -> Result<Device, Refusal> {
        match self.find(institution, device) {
            None => Err(Refusal::NotAllowed { factor: "device_unknown" }),
            Some(known) if known.revoked => Err(Refusal::NotAllowed { factor: "device_revoked" }),
            Some(known) => Ok(known),
        }
    }

    /// Knows a phone from now on, or knows it otherwise.
    pub fn remember(&self, institution: InstitutionId, device: DeviceId, as_known: Device) {
        let mut devices = self.devices.write().unwrap_or_else(PoisonError::into_inner);
        devices.insert((institution, device), as_known);
    }

    fn find(&self, institution: &InstitutionId, device: &DeviceId) -> Option<Device> {
        let devices = self.devices.read().unwrap_or_else(PoisonError::into_inner);
        devices.get(&(institution.clone(), device.clone())).cloned()
    }
}

impl Devices {
    /// The phones in the ledger. Blocking.
    pub fn load(ledger: Ledger) -> Result<Self, DevicesFailure> {
        let rows = ledger.reader().devices().map_err(|error| DevicesFailure(error.to_string()))?;
        let known = KnownDevices::default();
        for row in rows {
            let key = DeviceKey::from_spki_der(&row.public_key).map_err(|error| {
                DevicesFailure(format!("the ledger's key of device {} is damaged: {error}", row.device))
            })?;
            let device = Device { key, bound_at: row.registered_at, revoked: row.revoked_at.is_some() };
            known.remember(row.institution, row.device, device);
        }
        Ok(Self { ledger, known: Arc::new(known), changing: tokio::sync::Mutex::default() })
    }

    /// Those that are known now.
    #[must_use]
    pub const fn known(&self) -> &Arc<KnownDevices> {
        &self.known
    }

    /// Makes a phone known, durably, before it answers. Must be carried to its end once begun, even if the caller goes away: run it
    /// in a task of its own. The same holds for [`Devices::revoke`].
    pub async fn register(
        &self,
        institution: InstitutionId,
        request: RegisterDevice,
        now: Timestamp,
    ) -> Result<Result<(), Refusal>, DevicesFailure> {
        let key = match DeviceKey::from_spki_der(&request.public_key) {
            Ok(key) => key,
            Err(error) => {
                return Ok(Err(Refusal::FieldInvalid { field: "public_key", detail: error.to_string() }));
            }
        };
        if request.bound_at > now.after(CLOCK_SKEW_MAX) {
            let detail = "lies more than five minutes in the future of the gateway's clock".to_owned();
            return Ok(Err(Refusal::FieldInvalid { field: "bound_at_unix_ms", detail }));
        }
        let _one_at_a_time = self.changing.lock().await;
        if let Some(known) = self.known.find(&institution, &request.device) {
            return Ok(match known {
                known if known.revoked => Err(Refusal::DeviceRevoked),
                known if known.key.to_spki_der() == key.to_spki_der() => Ok(()),
                _ => Err(Refusal::DeviceExists),
            });
        }
        let row = DeviceRow {
            institution: institution.clone(),
            device: request.device.clone(),
            public_key: key.to_spki_der().to_vec(),
            registered_at: now,
            revoked_at: None,
        };
        self.ledger.put_device(row).await.map_err(|error| DevicesFailure(error.to_string()))?;
        self.known.remember(institution, request.device, Device { key, bound_at: now, revoked: false });
        Ok(Ok(()))
    }

    /// Ends a phone's right to approve: at once in memory, and durably before it answers.
    pub async fn revoke(
        &self,
        institution: InstitutionId,
        device: DeviceId,
        now: Timestamp,
    ) -> Result<Result<(), Refusal>, DevicesFailure> {
        let _one_at_a_time = self.changing.lock().await;
        let Some(mut known) = self.known.find(&institution, &device) else { return Ok(Err(Refusal::DeviceUnknown)) };
        known.revoked = true;
        self.known.remember(institution.clone(), device.clone(), known);
        let revoked = self.ledger.revoke_device(institution, device, now).await;
        revoked.map_err(|error| DevicesFailure(error.to_string()))?;
        Ok(Ok(()))
    }
}
