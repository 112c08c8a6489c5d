//! The key that a dispenser shares with the gateway's HSM.

use std::path::{Path, PathBuf};

use aws_lc_rs::hmac::{self, HMAC_SHA256};

/// A dispenser's HMAC-SHA256 key, 32 bytes.
#[derive(Clone, Debug)]
pub struct DispenseKey(hmac::Key);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum DispenseKeyError {
    /// The file could not be read.
    #[error("cannot read the dispense key {path}: {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("{path} is not a dispense key: it must hold 64 hexadecimal digits, not all zero, and nothing else")]
    NotAKey {
        /// Which file.
        path: PathBuf,
    },
}

impl DispenseKey {
    /// The key of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(HMAC_SHA256, bytes))
    }

    /// Reads a key from a file of 64 hexadecimal digits; white space around them is ignored.
    ///
    /// # Errors
    /// The file cannot be read or holds something else.
    pub fn read(path: &Path) -> Result<Self, DispenseKeyError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| DispenseKeyError::Unreadable { path: path.to_owned(), source })?;
        let mut bytes = [0; 32];
        let decoded = hex::decode_to_slice(text.trim(), &mut bytes);
        if decoded.is_err() || bytes == [0; 32] {
            return Err(DispenseKeyError::NotAKey { path: path.to_owned() });
        }
        Ok(Self::new(&bytes))
    }

    /// The HMAC of a text, 64 hexadecimal digits in upper case.
    pub(super) fn mac(&self, text: &str) -> String {
        hex::encode_upper(hmac::sign(&self.0, text.as_bytes()))
    }

    /// Whether these are the digits of a text's HMAC. Takes as long for a wrong HMAC as for the right one.
    pub(super) fn made(&self, text: &str, digits: &str) -> bool {
        let upper_case = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F'));
        let mut mac = [0; 32];
        upper_case
            && hex::decode_to_slice(digits, &mut mac).is_ok()
            && hmac::verify(&self.0, text.as_bytes(), &mac).is_ok()
    }
}
