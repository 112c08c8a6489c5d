//! What the gateway must say before an HSM can be opened.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::error::HsmOpenError;

/// The most worker threads, and so HSM sessions, of one gateway. Network HSMs saturate at about 30.
pub const WORKERS_MAX: usize = 64;

/// The longest queue. What waits here waits no longer than the call deadline, so more would only be refused later.
pub const QUEUE_MAX: usize = 65_536;

/// Where the HSM is, which key signs, and how much may wait for it. Its `Debug` form hides the PIN.
#[derive(Clone, Debug)]
pub struct HsmConfig {
    /// The vendor's PKCS#11 module, a shared library such as `/usr/lib/softhsm/libsofthsm2.so`.
    pub module: PathBuf,
    /// The label of the HSM token (`CK_TOKEN_INFO.label`) that holds the keys.
    pub token_label: String,
    /// The user PIN of that HSM token.
    pub pin: SecretString,
    /// The label (`CKA_LABEL`) of the key pair that signs.
    pub signing_key_label: String,
    /// Worker threads, each with an HSM session of its own: 1 to [`WORKERS_MAX`].
    pub workers: usize,
    /// Calls that may wait while all workers are busy: 1 to [`QUEUE_MAX`]. One more is refused at once.
    pub queue: usize,
    /// How long a caller waits for a call, queue included. Above zero.
    pub call_deadline: Duration,
}

impl HsmConfig {
    /// Whether all figures are in their ranges.
    ///
    /// # Errors
    /// [`HsmOpenError::OutOfRange`] names the first that is not.
    pub(crate) fn check(&self) -> Result<(), HsmOpenError> {
        let out_of_range = |name, allowed: String| Err(HsmOpenError::OutOfRange { name, allowed });
        if !(1..=WORKERS_MAX).contains(&self.workers) {
            return out_of_range("workers", format!("1 to {WORKERS_MAX}"));
        }
        if !(1..=QUEUE_MAX).contains(&self.queue) {
            return out_of_range("queue", format!("1 to {QUEUE_MAX}"));
        }
        if self.call_deadline.is_zero() {
            return out_of_range("call_deadline", "longer than zero".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> HsmConfig {
        HsmConfig {
            module: "/usr/lib/softhsm/libsofthsm2.so".into(),
            token_label: "cashgate".to_owned(),
            pin: "83920147".into(),
            signing_key_label: "qr-1".to_owned(),
            workers: 4,
            queue: 64,
            call_deadline: Duration::from_millis(500),
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
            (HsmConfig { workers: 0, ..config() }, "workers"),
            (HsmConfig { workers: WORKERS_MAX + 1, ..config() }, "workers"),
            (HsmConfig { queue: 0, ..config() }, "queue"),
            (HsmConfig { queue: QUEUE_MAX + 1, ..config() }, "queue"),
            (HsmConfig { call_deadline: Duration::ZERO, ..config() }, "call_deadline"),
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
}
