//! The dispense keys of machines, in the HSM under `dispense-<atm id>`.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cashgate_hsm::HsmError;
use cashgate_withdrawal::ids::AtmId;

use crate::dispense_tokens::{DispenseKeys, MacError, Pending};
use crate::minting::QrHsm;

/// What the key's label begins with; the ATM's id follows.
pub const LABEL_PREFIX: &str = "dispense-";

/// What is authenticated to see whether there is a key. Never a token: those begin with `NONCE=`.
const KEY_CHECK: &[u8] = b"cashgate key check";

/// How soon after an answer the HSM is asked again for a key that it did not have.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The label of an ATM's dispense key.
#[must_use]
pub fn label(atm: &AtmId) -> String {
    format!("{LABEL_PREFIX}{atm}")
}

/// Keys in the HSM. Authentication codes are made and compared inside it.
#[derive(Clone)]
pub struct HsmDispenseKeys {
    hsm: QrHsm,
    known: Arc<Mutex<HashMap<AtmId, Known>>>,
}

/// What is known of an ATM's key.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// What the HSM said last.
    has_key: Option<bool>,
    /// It is being asked.
    asking: bool,
}

impl HsmDispenseKeys {
    /// Over open HSMs.
    #[must_use]
    pub fn new(hsm: QrHsm) -> Self {
        Self { hsm, known: Arc::default() }
    }

    fn remember(&self, atm: &AtmId, has_key: bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(atm.clone()).or_default().has_key = Some(has_key);
    }

    /// Asks the HSM whether there is a key; not twice at a time, whatever the ATM does.
    fn ask(&self, atm: &AtmId) {
        let (keys, atm) = (self.clone(), atm.clone());
        tokio::spawn(async move {
            if let Err(error) = keys.mac(&atm, KEY_CHECK).await {
                tracing::warn!(%atm, %error, "the ATM declares end-to-end security, but its dispense key was not found");
            }
            // One answer a second: nobody fills the HSM's queue by touching a screen.
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
            keys.known.lock().unwrap_or_else(PoisonError::into_inner).entry(atm).or_default().asking = false;
        });
    }

    fn judged<T>(&self, atm: &AtmId, answer: Result<T, HsmError>) -> Result<T, MacError> {
        match answer {
            Ok(value) => {
                self.remember(atm, true);
                Ok(value)
            }
            Err(HsmError::MacKey { why }) => {
                tracing::debug!(%atm, why, "the dispense key cannot be used");
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
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(atm.clone()).or_default();
        if known.has_key != Some(true) && !std::mem::replace(&mut known.asking, true) {
            self.ask(atm);
        }
        known.has_key.unwrap_or(true)
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
