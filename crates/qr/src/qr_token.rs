//! Making a QR token, in two phases so that an HSM signs between them, and its text form.

use aws_lc_rs::digest::{SHA256, digest};
use cashgate_withdrawal::ids::{KeyId, QrTokenDigest};

use crate::claims::{LIFETIME_SECONDS_MAX, LIFETIME_SECONDS_MIN, QrClaims};
use crate::envelope::{Envelope, SIGNATURE_LENGTH};
use crate::verification::QrTokenError;

/// What every text begins with: whose code it is, and the version of its form.
pub const TEXT_PREFIX: &str = "CG1:";

/// The longest text there is, in characters: ids of 64 characters each, and the largest numbers. What is longer is refused unread.
pub const TEXT_LENGTH_MAX: usize = 427;

/// Why claims cannot become a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The lifetime is out of range.
    #[error("a QR token lives {LIFETIME_SECONDS_MIN} to {LIFETIME_SECONDS_MAX} seconds, not {seconds}")]
    LifetimeNotAllowed {
        /// The lifetime that was asked for, in seconds.
        seconds: u16,
    },
    /// An amount of nothing. Leave the amount out if the customer chooses it in the app.
    #[error("the amount in a QR token must be above zero; leave it out if it is chosen in the app")]
    ZeroAmount,
    /// The CBOR writer failed, which it does not do when writing to memory.
    #[error("the claims could not be written as CBOR: {0}")]
    Cbor(String),
}

/// A token that waits for its signature.
#[derive(Clone, Debug)]
pub struct UnsignedQrToken {
    /// The COSE_Sign1 up to its last 64 bytes, which are the signature.
    unsigned_bytes: Vec<u8>,
    digest: [u8; 32],
}

impl UnsignedQrToken {
    /// Encodes claims for the key that will sign them.
    ///
    /// # Errors
    /// The lifetime is out of range, or the amount is zero.
    pub fn new(claims: &QrClaims, key_id: KeyId) -> Result<Self, EncodeError> {
        let envelope = Envelope { key_id, payload: claims.to_payload()?, signature: [0; SIGNATURE_LENGTH] };
        let digest = sha256(&envelope.sig_structure());
        let mut unsigned_bytes = envelope.to_bytes().map_err(|error| EncodeError::Cbor(error.to_string()))?;
        unsigned_bytes.truncate(unsigned_bytes.len().saturating_sub(SIGNATURE_LENGTH));
        Ok(Self { unsigned_bytes, digest })
    }

    /// What the HSM signs with `CKM_ECDSA`: the SHA-256 of the COSE Sig_structure.
    ///
    /// It is not the token's digest, [`QrToken::digest`], which covers the signature too.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The token with its signature: r and s, each 32 bytes big-endian, as `CKM_ECDSA` gives it. A high s is as good as a low one.
    ///
    /// The signature is not checked here; [`crate::verify`] does.
    #[must_use]
    pub fn signed_with(self, signature: [u8; SIGNATURE_LENGTH]) -> QrToken {
        let mut bytes = self.unsigned_bytes;
        bytes.extend_from_slice(&signature);
        QrToken { text: text_of(&bytes), bytes }
    }
}

/// A signed token, ready to be drawn.
#[derive(Clone, PartialEq, Eq)]
pub struct QrToken {
    bytes: Vec<u8>,
    text: String,
}

impl QrToken {
    /// The text in the picture: [`TEXT_PREFIX`] and the base45 (RFC 9285) of the bytes. Every character is one of QR's alphanumeric
    /// mode.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The bytes of the COSE_Sign1.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The token's digest, which the phone signs: see [`crate::VerifiedQrToken::digest`].
    #[must_use]
    pub fn digest(&self) -> QrTokenDigest {
        digest_of(&self.bytes)
    }
}

/// Shows no bytes: a token is good for one withdrawal, and must not reach a log.
impl std::fmt::Debug for QrToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("QrToken(..)")
    }
}

pub(crate) fn digest_of(token_bytes: &[u8]) -> QrTokenDigest {
    QrTokenDigest(sha256(token_bytes))
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut value = [0; 32];
    value.copy_from_slice(digest(&SHA256, bytes).as_ref());
    value
}

/// The bytes behind a text. Only the text that [`text_of`] writes is taken.
pub(crate) fn bytes_of(text: &str) -> Result<Vec<u8>, QrTokenError> {
    if text.len() > TEXT_LENGTH_MAX {
        return Err(QrTokenError::TooLong { length: text.len() });
    }
    let base45 = text.strip_prefix(TEXT_PREFIX).ok_or(QrTokenError::NotAQrToken)?;
    let bytes = base45::decode(base45).map_err(|_| QrTokenError::Malformed { what: "base45" })?;
    // The decoder drops what does not fit into a last single byte.
    if text_of(&bytes) != text {
        return Err(QrTokenError::Malformed { what: "base45: not in its only form" });
    }
    Ok(bytes)
}

fn text_of(token_bytes: &[u8]) -> String {
    format!("{TEXT_PREFIX}{}", base45::encode(token_bytes))
}
