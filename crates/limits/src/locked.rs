//! Whether a device may be locked, without a look at its entry: few devices are, and most decisions need no more of one.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, Ordering};

use cashgate_withdrawal::ids::DeviceId;
use foldhash::fast::FixedState;

/// For 4,096 shards 65,536 counts, 256 KiB: a few thousand devices that are locked at a time cost the others nothing.
const COUNTS_PER_SHARD: usize = 16;

/// How many locked devices there are among those that share a count. Changed under the guard of the device's entry, with the lock itself.
#[derive(Debug)]
pub(crate) struct LockedDevices(Box<[AtomicU32]>);

impl LockedDevices {
    /// `shards` is a power of two.
    pub(crate) fn new(shards: usize) -> Self {
        Self((0..shards * COUNTS_PER_SHARD).map(|_| AtomicU32::new(0)).collect())
    }

    /// False only if it is certainly not locked.
    pub(crate) fn may_hold(&self, device: &DeviceId) -> bool {
        self.count(device).is_none_or(|count| count.load(Ordering::Acquire) > 0)
    }

    /// Counts what has become of a device's lock.
    pub(crate) fn change(&self, device: &DeviceId, was_locked: bool, is_locked: bool) {
        let Some(count) = self.count(device) else { return };
        match (was_locked, is_locked) {
            (false, true) => _ = count.fetch_add(1, Ordering::Release),
            (true, false) => _ = count.fetch_sub(1, Ordering::Release),
            (true, true) | (false, false) => {}
        }
    }

    /// Devices of one name of several institutions share a count, like any others that happen to.
    #[expect(clippy::cast_possible_truncation, reason = "any part of the hash will do")]
    fn count(&self, device: &DeviceId) -> Option<&AtomicU32> {
        self.0.get(FixedState::default().hash_one(device.as_str()) as usize & self.0.len().wrapping_sub(1))
    }
}
