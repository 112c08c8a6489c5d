//! Failed attempts of devices. They outlive a key change: nothing here knows a device's key.

use std::num::NonZeroU8;

use cashgate_withdrawal::ids::{DeviceId, InstitutionId};

use crate::device::Device;
use crate::key::DeviceKey;
use crate::{Attempts, Limits};

impl Limits {
    /// Counts a failed attempt, and locks the device with the `lock_after`th in a row. A locked one counts on, and stays locked.
    pub fn attempt_failed(&self, institution: &InstitutionId, device: &DeviceId, lock_after: NonZeroU8) -> Attempts {
        self.devices.change(DeviceKey::new(institution, device), |entry| {
            self.watch_lock(device, entry, |entry| entry.attempt_failed(lock_after))
        })
    }

    /// An attempt went well: failures begin to count anew. A lock stays.
    pub fn attempt_succeeded(&self, institution: &InstitutionId, device: &DeviceId) {
        self.change_device(institution, device, Device::attempt_succeeded);
    }

    /// What is known of a device's attempts.
    #[must_use]
    pub fn attempts(&self, institution: &InstitutionId, device: &DeviceId) -> Attempts {
        self.devices.look(DeviceKey::new(institution, device), Device::attempts)
    }

    /// Unlocks a device and forgets its failures. What it drew stays counted.
    pub fn release_lock(&self, institution: &InstitutionId, device: &DeviceId) {
        self.change_device(institution, device, Device::release_lock);
    }

    /// Counts again what was known before a restart: at least so many failures, and locked if it was.
    pub fn restore_attempts(&self, institution: &InstitutionId, device: &DeviceId, failed: u8, locked: bool) {
        if failed > 0 || locked {
            self.devices.change(DeviceKey::new(institution, device), |entry| {
                self.watch_lock(device, entry, |entry| entry.restore_attempts(failed, locked));
            });
        }
    }

    /// Changes an entry if there is one, and removes it once it says nothing any more.
    fn change_device(&self, institution: &InstitutionId, device: &DeviceId, change: fn(&mut Device)) {
        self.devices.change_or_remove(DeviceKey::new(institution, device), |entry| {
            self.watch_lock(device, entry, change);
            !entry.is_empty()
        });
    }

    /// Changes an entry, whose guard is held, and keeps the count of locked devices.
    fn watch_lock<R>(&self, device: &DeviceId, entry: &mut Device, change: impl FnOnce(&mut Device) -> R) -> R {
        let was_locked = entry.is_locked();
        let changed = change(entry);
        self.locked.change(device, was_locked, entry.is_locked());
        changed
    }
}
