//! What a worker asks of an HSM: signatures, random bytes, authentication codes.

use std::collections::HashMap;
use std::sync::Arc;

use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session as HsmSession;

use crate::device_error::DeviceError;
use crate::error::HsmKeyError;
use crate::mac_key;
use crate::signing_key::{SigningKey, SigningPublicKey};
use crate::two_calls::{Functions, Signing};

/// How many keys for authentication codes a worker remembers the handles of. A network has one for each ATM.
const MAC_KEYS_MAX: usize = 20_000;

/// What a worker owns and calls, one call at a time.
pub(crate) trait Device: Send + 'static {
    /// The public half of the key that signs now.
    fn signing_key(&self) -> &SigningPublicKey;

    /// Goes over to another signing key.
    fn use_signing_key(&mut self, label: &str) -> Result<(), HsmKeyError>;

    /// An ECDSA P-256 signature over a digest, as `r || s`.
    fn sign(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], DeviceError>;

    /// Bytes from the device's random generator.
    fn random(&mut self, bytes: &mut [u8]) -> Result<(), DeviceError>;

    /// HMAC-SHA256 over a message.
    fn mac(&mut self, key_label: &str, message: &[u8]) -> Result<[u8; 32], HsmKeyError>;

    /// Whether an HMAC-SHA256 is right, compared inside the device.
    fn mac_is_right(&mut self, key_label: &str, message: &[u8], mac: &[u8; 32]) -> Result<bool, HsmKeyError>;
}

/// An HSM session with the key it signs with.
pub(crate) struct SigningSession {
    hsm_session: HsmSession,
    /// `None` where only cryptoki's own way works, in three calls.
    functions: Option<Arc<Functions>>,
    token_label: String,
    signing_key: SigningKey,
    mac_keys: HashMap<String, ObjectHandle>,
}

impl SigningSession {
    /// Over an HSM session that is logged in. Finds the key and tries it.
    pub(crate) fn new(
        hsm_session: HsmSession,
        functions: Arc<Functions>,
        token_label: &str,
        key_label: &str,
    ) -> Result<Self, HsmKeyError> {
        let signing_key = SigningKey::find(&hsm_session, token_label, key_label)?;
        let functions = functions.know(&hsm_session).then_some(functions);
        Ok(Self { hsm_session, functions, token_label: token_label.to_owned(), signing_key, mac_keys: HashMap::new() })
    }

    fn sign_with(
        &self,
        how: Signing,
        key: ObjectHandle,
        data: &[u8],
        signature: &mut [u8],
    ) -> Result<usize, DeviceError> {
        if let Some(functions) = &self.functions {
            return Ok(functions.sign(&self.hsm_session, how, key, data, signature)?);
        }
        let mechanism = match how {
            Signing::Ecdsa => Mechanism::Ecdsa,
            Signing::HmacSha256 => Mechanism::Sha256Hmac,
        };
        let made = self.hsm_session.sign(&mechanism, key, data)?;
        if let Some(room) = signature.get_mut(..made.len()) {
            room.copy_from_slice(&made);
        }
        Ok(made.len())
    }

    fn mac_key(&mut self, label: &str) -> Result<ObjectHandle, HsmKeyError> {
        if let Some(&known) = self.mac_keys.get(label) {
            return Ok(known);
        }
        let found = mac_key::find(&self.hsm_session, &self.token_label, label)?;
        if self.mac_keys.len() >= MAC_KEYS_MAX {
            self.mac_keys.clear();
        }
        self.mac_keys.insert(label.to_owned(), found);
        Ok(found)
    }
}

impl Device for SigningSession {
    fn signing_key(&self) -> &SigningPublicKey {
        &self.signing_key.public
    }

    fn use_signing_key(&mut self, label: &str) -> Result<(), HsmKeyError> {
        self.signing_key = SigningKey::find(&self.hsm_session, &self.token_label, label)?;
        Ok(())
    }

    fn sign(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], DeviceError> {
        // Hashing is done before: not every module has CKM_ECDSA_SHA256, every one has CKM_ECDSA.
        let mut signature = [0; 64];
        let key = self.signing_key.private;
        match self.sign_with(Signing::Ecdsa, key, digest, &mut signature)? {
            64 => Ok(signature),
            other => Err(DeviceError::signature_length(other)),
        }
    }

    fn random(&mut self, bytes: &mut [u8]) -> Result<(), DeviceError> {
        Ok(self.hsm_session.generate_random_slice(bytes)?)
    }

    fn mac(&mut self, key_label: &str, message: &[u8]) -> Result<[u8; 32], HsmKeyError> {
        let key = self.mac_key(key_label)?;
        let mut mac = [0; 32];
        let device = |source| HsmKeyError::Device { call: "make an authentication code", source };
        match self.sign_with(Signing::HmacSha256, key, message, &mut mac) {
            Ok(32) => Ok(mac),
            Ok(other) => Err(device(DeviceError::signature_length(other))),
            Err(error) => Err(device(error)),
        }
    }

    fn mac_is_right(&mut self, key_label: &str, message: &[u8], mac: &[u8; 32]) -> Result<bool, HsmKeyError> {
        let key = self.mac_key(key_label)?;
        match self.hsm_session.verify(&Mechanism::Sha256Hmac, key, message, mac) {
            Ok(()) => return Ok(true),
            Err(Error::Pkcs11(RvError::SignatureInvalid | RvError::SignatureLenRange, _)) => return Ok(false),
            Err(_) => {}
        }
        // NSS softokn answers CKR_DEVICE_ERROR to a wrong code. If the HSM makes another code from the same message, that is all it meant; a
        // forgery must not look like a broken device.
        let made = self.mac(key_label, message)?;
        // All bytes are looked at, so that the time tells nothing of how many are right.
        Ok(made.iter().zip(mac).fold(0, |difference, (made, given)| difference | (made ^ given)) == 0)
    }
}
