//! What the gateway must say before an HSM can be opened.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::error::HsmOpenError;

/// The most slots of one gateway.
pub const SLOTS_MAX: usize = 16;

/// The most worker threads, and so HSM sessions, of one slot. Network HSMs saturate at about 30.
pub const WORKERS_MAX: usize = 64;

/// The longest queue. What waits here waits no longer than `patience`, so more would only be refused later.
pub const QUEUE_MAX: usize = 65_536;

/// The most orders under one signature, whatever [`crate::Batcher`] could take.
pub const BATCH_MAX: usize = 64;

/// Where the HSMs are, which key signs, and how much may wait for them. Its `Debug` form hides the PINs.
#[derive(Clone, Debug)]
pub struct HsmConfig {
    /// Where keys are: 1 to [`SLOTS_MAX`]. Work goes to whichever slot has a free worker, so several spread the load and replace one another.
    pub slots: Vec<HsmSlot>,
    /// The label (`CKA_LABEL`) of the key pair that signs, in every slot.
    pub signing_key_label: String,
    /// Worker threads a slot, each with an HSM session of its own: 1 to [`WORKERS_MAX`].
    pub workers: usize,
    /// Calls that may wait while all workers are busy: 1 to [`QUEUE_MAX`]. One more is refused at once.
    pub queue: usize,
    /// The most orders under one signature: 1 (no batches) to [`BATCH_MAX`].
    pub batch_max: usize,
    /// How long one PKCS#11 call may take before its worker is given up and replaced: 10 ms or more.
    pub call_deadline: Duration,
    /// How long a caller waits for an answer, queue and recovery included. Not less than `call_deadline`.
    pub patience: Duration,
    /// The pause before the second attempt to open a lost HSM; the first comes at once. Each further pause is twice as long.
    pub retry_first: Duration,
    /// The longest such pause.
    pub retry_max: Duration,
}

/// One slot: a PKCS#11 module, and the HSM token in it.
#[derive(Clone, Debug)]
pub struct HsmSlot {
    /// The vendor's PKCS#11 module, a shared library such as `/usr/lib/softhsm/libsofthsm2.so`. Slots with the same module share it.
    pub module: PathBuf,
    /// The label of the HSM token (`CK_TOKEN_INFO.label`) that holds the keys. Slots are found by it, because their numbers change.
    pub token_label: String,
    /// The user PIN of that HSM token.
    pub pin: Pin,
}

/// Where a PIN is read from, each time it is needed: so that a corrected PIN works without a restart.
#[derive(Clone)]
pub struct Pin(Arc<dyn Fn() -> Result<SecretString, String> + Send + Sync>);

impl Pin {
    /// A PIN that `read` gives, or a line that says why it cannot.
    pub fn read_by(read: impl Fn() -> Result<SecretString, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub(crate) fn read(&self) -> Result<SecretString, String> {
        (self.0)()
    }
}

impl From<&str> for Pin {
    /// A PIN that never changes.
    fn from(pin: &str) -> Self {
        let pin = SecretString::from(pin);
        Self::read_by(move || Ok(pin.clone()))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(..)")
    }
}

impl HsmConfig {
    /// Whether all figures are in their ranges.
    ///
    /// # Errors
    /// [`HsmOpenError::OutOfRange`] names the first that is not.
    pub(crate) fn check(&self) -> Result<(), HsmOpenError> {
        let counts = [
            ("slots", self.slots.len(), SLOTS_MAX),
            ("workers", self.workers, WORKERS_MAX),
            ("queue", self.queue, QUEUE_MAX),
            ("batch_max", self.batch_max, BATCH_MAX),
        ];
        if let Some((name, _, max)) = counts.into_iter().find(|(_, found, max)| !(1..=*max).contains(found)) {
            return Err(HsmOpenError::OutOfRange { name, allowed: format!("1 to {max}") });
        }
        let shortest = [
            ("call_deadline", self.call_deadline, Duration::from_millis(10)),
            ("patience", self.patience, self.call_deadline),
            ("retry_first", self.retry_first, Duration::from_millis(1)),
            ("retry_max", self.retry_max, self.retry_first),
        ];
        if let Some((name, _, min)) = shortest.into_iter().find(|(_, found, min)| found < min) {
            return Err(HsmOpenError::OutOfRange { name, allowed: format!("{min:?} or more") });
        }
        for (index, slot) in self.slots.iter().enumerate() {
            let is_again = |earlier: &HsmSlot| earlier.token_label == slot.token_label && earlier.module == slot.module;
            if self.slots.iter().take(index).any(is_again) {
                return Err(HsmOpenError::SlotTwice { label: slot.token_label.clone() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot() -> HsmSlot {
        HsmSlot {
            module: "/usr/lib/softhsm/libsofthsm2.so".into(),
            token_label: "cashgate".to_owned(),
            pin: "83920147".into(),
        }
    }

    fn config() -> HsmConfig {
        HsmConfig {
            slots: vec![slot()],
            signing_key_label: "qr-1".to_owned(),
            workers: 4,
            queue: 64,
            batch_max: 64,
            call_deadline: Duration::from_millis(500),
            patience: Duration::from_secs(1),
            retry_first: Duration::from_millis(100),
            retry_max: Duration::from_secs(30),
        }
    }

    #[test]
    fn debug_output_hides_the_pin() {
        let shown = format!("{:?}", config());
        assert!(shown.contains("qr-1"), "{shown}");
        assert!(!shown.contains("83920147"), "{shown}");
    }

    #[test]
    fn figures_out_of_range_are_named() {
        let cases = [
            (HsmConfig { slots: vec![], ..config() }, "slots"),
            (HsmConfig { workers: 0, ..config() }, "workers"),
            (HsmConfig { workers: WORKERS_MAX + 1, ..config() }, "workers"),
            (HsmConfig { queue: 0, ..config() }, "queue"),
            (HsmConfig { queue: QUEUE_MAX + 1, ..config() }, "queue"),
            (HsmConfig { batch_max: BATCH_MAX + 1, ..config() }, "batch_max"),
            (HsmConfig { call_deadline: Duration::from_millis(9), ..config() }, "call_deadline"),
            (HsmConfig { patience: Duration::from_millis(499), ..config() }, "patience"),
            (HsmConfig { retry_first: Duration::ZERO, ..config() }, "retry_first"),
            (HsmConfig { retry_max: Duration::from_millis(99), ..config() }, "retry_max"),
        ];
        for (config, expected) in cases {
            let refused = config.check();
            assert!(
                matches!(refused, Err(HsmOpenError::OutOfRange { name, .. }) if name == expected),
                "{expected}: {refused:?}"
            );
        }
        assert!(config().check().is_ok());
    }

    #[test]
    fn the_same_slot_twice_is_refused() {
        let refused = HsmConfig { slots: vec![slot(), slot()], ..config() }.check();
        assert!(matches!(refused, Err(HsmOpenError::SlotTwice { .. })), "{refused:?}");
    }
}
