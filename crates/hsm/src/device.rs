//! The two things a worker asks of an HSM.

use cryptoki::mechanism::Mechanism;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session as HsmSession;

use crate::error::DeviceError;

/// What a worker owns and calls, one call at a time.
pub(crate) trait Device: Send + 'static {
    /// An ECDSA P-256 signature over a digest, as `r || s`.
    fn sign(&self, digest: &[u8; 32]) -> Result<[u8; 64], DeviceError>;

    /// Sixteen bytes from the device's random generator.
    fn random(&self) -> Result<[u8; 16], DeviceError>;
}

/// An HSM session with the key it signs with.
pub(crate) struct SigningSession {
    pub(crate) hsm_session: HsmSession,
    pub(crate) private_key: ObjectHandle,
}

impl Device for SigningSession {
    fn sign(&self, digest: &[u8; 32]) -> Result<[u8; 64], DeviceError> {
        // Hashing is done before: not every module has CKM_ECDSA_SHA256, every one has CKM_ECDSA.
        let signature = self.hsm_session.sign(&Mechanism::Ecdsa, self.private_key, digest)?;
        signature.as_slice().try_into().map_err(|_| DeviceError::signature_length(signature.len()))
    }

    fn random(&self) -> Result<[u8; 16], DeviceError> {
        let mut bytes = [0; 16];
        self.hsm_session.generate_random_slice(&mut bytes)?;
        Ok(bytes)
    }
}
