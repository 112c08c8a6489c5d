//! The dispense keys of machines, in the HSM under `dispense-<atm id>`.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cashgate_hsm::HsmError;
use cashgate_withdrawal::ids::AtmId;

use crate::dispense_tokens::{DispenseKeys, MacError, Pending};
use crate::minting::QrHsm;

/// What the key's label begins with; the ATM's id follows.
pub const LABEL_PREFIX: &str = "dispense-";

/// What is authenticated to see whether there is a key. Never a token: those begin with `NONCE=`.
const KEY_CHECK: &[u8] = b"cashgate key check";

/// The label of an ATM's dispense key.
#[must_use]
pub fn label(atm: &AtmId) -> String {
    format!("{LABEL_PREFIX}{atm}")
}

/// Keys in the HSM. Authentication codes are made and compared inside it.
#[derive(Clone)]
pub struct HsmDispenseKeys {
    hsm: QrHsm,
    /// What the HSM said last of an ATM's key.
    known: Arc<Mutex<HashMap<AtmId, bool>>>,
}

impl HsmDispenseKeys {
    /// Over open HSMs.
    #[must_use]
    pub fn new(hsm: QrHsm) -> Self {
        Self { hsm, known: Arc::default() }
    }

    fn remember(&self, atm: &AtmId, has_key: bool) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(atm.clone(), has_key);
    }

    fn judged<T>(&self, atm: &AtmId, answer: Result<T, HsmError>) -> Result<T, MacError> {
        match answer {
            Ok(value) => {
                self.remember(atm, true);
                Ok(value)
            }
            Err(HsmError::MacKey { why }) => {
                tracing::warn!(%atm, why, "the dispense key cannot be used");
                self.remember(atm, false);
                Err(MacError::KeyMissing)
            }
            Err(error) => Err(MacError::Unavailable(error.to_string())),
        }
    }
}

impl fmt::Debug for HsmDispenseKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HsmDispenseKeys").finish_non_exhaustive()
    }
}

impl DispenseKeys for HsmDispenseKeys {
    /// What the HSM said last; yes before it was asked. A key that was not there is asked for again each time, so that one that was put in
    /// meanwhile is found by the next customer.
    fn has_key(&self, atm: &AtmId) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(atm).copied();
        if known != Some(true) {
            let (keys, atm) = (self.clone(), atm.clone());
            tokio::spawn(async move { keys.mac(&atm, KEY_CHECK).await });
        }
        known.unwrap_or(true)
    }

    fn mac<'a>(&'a self, atm: &'a AtmId, message: &'a [u8]) -> Pending<'a, [u8; 32]> {
        Box::pin(async move {
            let answer = self.hsm.mac(&label(atm), message.to_vec()).await;
            self.judged(atm, answer)
        })
    }

    fn verify<'a>(&'a self, atm: &'a AtmId, message: &'a [u8], mac: [u8; 32]) -> Pending<'a, bool> {
        Box::pin(async move {
            let answer = self.hsm.mac_is_right(&label(atm), message.to_vec(), mac).await;
            self.judged(atm, answer)
        })
    }
}
