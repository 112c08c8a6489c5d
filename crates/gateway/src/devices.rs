//! The phones that institutions have registered: in memory for every approval, in the ledger for ever.

mod device;

pub use device::Device;

use std::collections::HashMap;
use std::future::Future;
use std::num::NonZeroU8;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use cashgate_ledger::{AppendError, Ledger, Room, Tail};
use cashgate_limits::Limits;
use cashgate_qr::approval::DeviceKey;
use cashgate_wire::customer::RegisterDevice;
use cashgate_withdrawal::ids::{DeviceId, InstitutionId};
use cashgate_withdrawal::notice::{Happening, Notice};
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::time::Timestamp;

use crate::notice_board::in_ledger;

/// How far an institution's clock may be ahead of ours.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(300);

/// The phones that are known at this moment, in memory.
#[derive(Debug, Default)]
pub struct KnownDevices {
    devices: RwLock<HashMap<(InstitutionId, DeviceId), Arc<Device>>>,
}

/// All phones: known in memory, kept in the ledger.
#[derive(Debug)]
pub struct Devices {
    ledger: Ledger,
    known: Arc<KnownDevices>,
    limits: Arc<Limits>,
    /// Changes one after the other, so that memory and ledger agree on their order.
    changing: tokio::sync::Mutex<()>,
}

/// A failure that is not the caller's.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DevicesFailure(String);

/// What came of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// It was not known before.
    New,
    /// It was known just so.
    Again,
    /// It has another key now: what was begun with the old one is to end.
    WithOtherKey,
}

impl KnownDevices {
    /// A phone that may approve now. Why one may not is for the operator.
    ///
    /// # Errors
    /// It is not known, or was revoked.
    pub fn approving(&self, institution: &InstitutionId, device: &DeviceId) -> Result<Arc<Device>, Refusal> {
        match self.find(institution, device) {
            None => Err(Refusal::NotAllowed { factor: "device_unknown" }),
            Some(known) if known.revoked_at.is_some() => Err(Refusal::NotAllowed { factor: "device_revoked" }),
            Some(known) => Ok(known),
        }
    }

    /// Knows a phone from now on, or knows it otherwise.
    pub fn remember(&self, institution: InstitutionId, device: DeviceId, as_known: Device) {
        let mut devices = self.devices.write().unwrap_or_else(PoisonError::into_inner);
        devices.insert((institution, device), Arc::new(as_known));
    }

    /// A phone, whatever its state.
    #[must_use]
    pub fn find(&self, institution: &InstitutionId, device: &DeviceId) -> Option<Arc<Device>> {
        let devices = self.devices.read().unwrap_or_else(PoisonError::into_inner);
        devices.get(&(institution.clone(), device.clone())).cloned()
    }

    /// Has limits know again which phones failed, and which are locked.
    pub fn restore_attempts(&self, limits: &Limits) {
        let devices = self.devices.read().unwrap_or_else(PoisonError::into_inner);
        for ((institution, device), known) in devices.iter() {
            if known.failed_attempts > 0 || known.locked_at.is_some() {
                limits.restore_attempts(institution, device, known.failed_attempts, known.locked_at.is_some());
            }
        }
    }
}

impl Devices {
    /// The phones in the ledger. Blocking.
    ///
    /// # Errors
    /// The ledger cannot be read, or a key in it is damaged.
    pub fn load(ledger: Ledger, limits: Arc<Limits>) -> Result<Self, DevicesFailure> {
        let rows = ledger.reader().devices().map_err(|error| DevicesFailure(error.to_string()))?;
        let known = KnownDevices::default();
        for row in rows {
            let device = Device::of_row(&row)?;
            known.remember(row.institution, row.device, device);
        }
        Ok(Self { ledger, known: Arc::new(known), limits, changing: tokio::sync::Mutex::default() })
    }

    /// Those that are known now.
    #[must_use]
    pub const fn known(&self) -> &Arc<KnownDevices> {
        &self.known
    }

    /// Makes a phone known, or changes its key, durably, before it answers. Must be carried to its end once begun, even if the caller goes
    /// away: run it in a task of its own. The same holds for every change here.
    ///
    /// # Errors
    /// [`Refusal`] if the request has no meaning or the phone was revoked; [`DevicesFailure`] if the ledger failed.
    pub async fn register(
        &self,
        institution: InstitutionId,
        request: RegisterDevice,
        now: Timestamp,
    ) -> Result<Result<Registered, Refusal>, DevicesFailure> {
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
        if self.ledger.room() != Room::Ample {
            return Ok(Err(Refusal::LedgerFull));
        }
        let _one_at_a_time = self.changing.lock().await;
        let known = self.known.find(&institution, &request.device);
        let (registered_at, registered) = match &known {
            Some(known) if known.revoked_at.is_some() => return Ok(Err(Refusal::DeviceRevoked)),
            Some(known) if known.key.to_spki_der() == key.to_spki_der() => {
                return self.stricter(institution, request, known).await;
            }
            Some(known) => (known.registered_at, Registered::WithOtherKey),
            None => (now, Registered::New),
        };
        let device = Device {
            key,
            key_since: now,
            registered_at,
            bound_at: request.bound_at,
            channel: request.channel.clone(),
            attestation: request.attestation,
            // Another key is no way around a lock.
            failed_attempts: known.as_ref().map_or(0, |known| known.failed_attempts),
            locked_at: known.and_then(|known| known.locked_at),
            revoked_at: None,
        };
        let happening = Happening::DeviceRegistered {
            institution: institution.clone(),
            device: request.device.clone(),
            channel: request.channel,
            key_changed: registered == Registered::WithOtherKey,
        };
        let put = self.put(institution, request.device, device, Some(Notice { at: now, what: happening })).await?;
        Ok(put.map(|()| registered))
    }

    /// A phone that is known with just this key is registered again: of what is told of it, the stricter holds from now on.
    async fn stricter(
        &self,
        institution: InstitutionId,
        request: RegisterDevice,
        known: &Device,
    ) -> Result<Result<Registered, Refusal>, DevicesFailure> {
        let attestation = match (known.attestation, request.attestation) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (known, told) => told.or(known),
        };
        let bound_at = known.bound_at.max(request.bound_at);
        let channel = if request.channel.is_empty() { known.channel.clone() } else { request.channel };
        if (attestation, bound_at, &channel) == (known.attestation, known.bound_at, &known.channel) {
            return Ok(Ok(Registered::Again));
        }
        let changed = Device { attestation, bound_at, channel, ..known.clone() };
        Ok(self.put(institution, request.device, changed, None).await?.map(|()| Registered::Again))
    }

    /// Ends a phone's right to approve: at once in memory, and durably before it answers.
    ///
    /// # Errors
    /// [`Refusal::DeviceUnknown`]; [`DevicesFailure`] if the ledger failed: it is revoked until the next start.
    pub async fn revoke(
        &self,
        institution: InstitutionId,
        device: DeviceId,
        now: Timestamp,
    ) -> Result<Result<(), Refusal>, DevicesFailure> {
        let _one_at_a_time = self.changing.lock().await;
        let Some(known) = self.known.find(&institution, &device) else { return Ok(Err(Refusal::DeviceUnknown)) };
        if known.revoked_at.is_some() {
            return Ok(Ok(()));
        }
        let revoked = Device { revoked_at: Some(now), ..known.as_ref().clone() };
        self.known.remember(institution.clone(), device.clone(), revoked.clone());
        let happening = Happening::DeviceRevoked { institution: institution.clone(), device: device.clone() };
        self.put(institution, device, revoked, Some(Notice { at: now, what: happening })).await
    }

    /// A phone failed to prove that it is the customer's: an approval that it did not sign, or a code that was typed wrongly. Counted at
    /// once, in memory; [`Devices::record_attempts`] makes it durable. Says whether it is locked now.
    pub fn count_failure(&self, institution: &InstitutionId, device: &DeviceId, lock_after: NonZeroU8) -> bool {
        self.limits.attempt_failed(institution, device, lock_after).locked
    }

    /// Makes what is counted of a phone's attempts durable, and tells of a lock.
    ///
    /// # Errors
    /// [`DevicesFailure`] if the ledger failed.
    pub async fn record_attempts(
        &self,
        institution: InstitutionId,
        device: DeviceId,
        now: Timestamp,
    ) -> Result<(), DevicesFailure> {
        let _one_at_a_time = self.changing.lock().await;
        let Some(known) = self.known.find(&institution, &device) else { return Ok(()) };
        let attempts = self.limits.attempts(&institution, &device);
        let failed_attempts = attempts.failed;
        let locked_at = known.locked_at.or(attempts.locked.then_some(now));
        if (failed_attempts, locked_at) == (known.failed_attempts, known.locked_at) {
            return Ok(());
        }
        let notice = locked_at.filter(|_| known.locked_at.is_none()).map(|at| Notice {
            at,
            what: Happening::DeviceLocked { institution: institution.clone(), device: device.clone(), failed_attempts },
        });
        let changed = Device { failed_attempts, locked_at, ..known.as_ref().clone() };
        if self.put(institution, device, changed, notice).await?.is_err() {
            // It counts until the next start, and a lock finds room.
            tracing::warn!("the disk is full: a failed attempt is counted in memory only");
        }
        Ok(())
    }

    /// A withdrawal of the phone's came to a good end: its failures do not count any more. A lock stays.
    ///
    /// # Errors
    /// [`DevicesFailure`] if the ledger failed.
    pub async fn attempt_succeeded(&self, institution: InstitutionId, device: DeviceId) -> Result<(), DevicesFailure> {
        // Nearly always there is nothing to forget, and nothing to write.
        if self.limits.attempts(&institution, &device).failed == 0 {
            return Ok(());
        }
        let _one_at_a_time = self.changing.lock().await;
        self.limits.attempt_succeeded(&institution, &device);
        let Some(known) = self.known.find(&institution, &device) else { return Ok(()) };
        let failed_attempts = self.limits.attempts(&institution, &device).failed;
        let changed = Device { failed_attempts, ..known.as_ref().clone() };
        // On a full disk it is forgotten in memory only, and counts again after the next start: that is the strict side.
        self.put(institution, device, changed, None).await.map(drop)
    }

    /// Lets a locked phone approve again, and forgets its failures.
    ///
    /// # Errors
    /// [`Refusal::DeviceUnknown`]; [`DevicesFailure`] if the ledger failed: it stays locked.
    pub async fn release(
        &self,
        institution: InstitutionId,
        device: DeviceId,
        actor: String,
        reason: String,
        now: Timestamp,
    ) -> Result<Result<(), Refusal>, DevicesFailure> {
        if self.ledger.room() != Room::Ample {
            return Ok(Err(Refusal::LedgerFull));
        }
        let _one_at_a_time = self.changing.lock().await;
        let Some(known) = self.known.find(&institution, &device) else { return Ok(Err(Refusal::DeviceUnknown)) };
        let released = Device { failed_attempts: 0, locked_at: None, ..known.as_ref().clone() };
        let happening =
            Happening::DeviceReleased { institution: institution.clone(), device: device.clone(), actor, reason };
        let notice = Notice { at: now, what: happening };
        let put = self.put(institution.clone(), device.clone(), released, Some(notice)).await?;
        if put.is_ok() {
            self.limits.release_lock(&institution, &device);
        }
        Ok(put)
    }

    /// Takes what other replicas wrote of phones: `read` reads what changed, while no own change is under way, so that it is never older than what is
    /// known here. Says whether anything changed.
    pub async fn follow<F>(&self, read: impl FnOnce() -> F) -> bool
    where
        F: Future<Output = Result<Tail, String>>,
    {
        let _one_at_a_time = self.changing.lock().await;
        let rows = match read().await {
            Ok(tail) => tail.devices,
            Err(error) => {
                tracing::warn!(%error, "what other replicas wrote of phones cannot be read");
                return false;
            }
        };
        let mut changed = false;
        for row in rows {
            match Device::of_row(&row) {
                Ok(device) => changed |= self.learn(row.institution, row.device, device),
                Err(error) => tracing::error!(%error, "a phone cannot be read"),
            }
        }
        changed
    }

    fn learn(&self, institution: InstitutionId, device: DeviceId, told: Device) -> bool {
        let known = self.known.find(&institution, &device);
        if known.as_deref() == Some(&told) {
            return false;
        }
        let counted = self.limits.attempts(&institution, &device);
        if told.locked_at.is_none() && counted.locked {
            self.limits.release_lock(&institution, &device);
        } else if told.failed_attempts == 0 {
            self.limits.attempt_succeeded(&institution, &device);
        }
        self.limits.restore_attempts(&institution, &device, told.failed_attempts, told.locked_at.is_some());
        self.known.remember(institution, device, told);
        true
    }

    /// Durable first, then known. On a full disk only what bars a phone is written.
    async fn put(
        &self,
        institution: InstitutionId,
        device: DeviceId,
        as_known: Device,
        notice: Option<Notice>,
    ) -> Result<Result<(), Refusal>, DevicesFailure> {
        let row = as_known.row(institution.clone(), device.clone());
        match self.ledger.put_device(row, notice.as_ref().map(in_ledger)).await {
            Ok(_) => {}
            Err(AppendError::NoRoom) => return Ok(Err(Refusal::LedgerFull)),
            Err(error) => return Err(DevicesFailure(error.to_string())),
        }
        self.known.remember(institution, device, as_known);
        Ok(Ok(()))
    }
}
