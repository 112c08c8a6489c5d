//! From a scanned text to a token that is known to be genuine.

use std::time::Duration;

use cashgate_withdrawal::ids::{KeyId, QrTokenDigest};
use cashgate_withdrawal::time::Timestamp;

use crate::claims::QrClaims;
use crate::envelope::Envelope;
use crate::key_set::KeySet;
use crate::qr_token::{TEXT_LENGTH_MAX, TEXT_PREFIX, bytes_of, digest_of};

/// Why a text is not a genuine token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QrTokenError {
    /// Longer than any token, so it was not read.
    #[error("the text has {length} bytes, a QR token at most {TEXT_LENGTH_MAX}")]
    TooLong {
        /// How long it was, in bytes.
        length: usize,
    },
    /// Some other QR code.
    #[error("not a QR token of this kind: it does not begin with {TEXT_PREFIX}")]
    NotAQrToken,
    /// Not the one form that a token has.
    #[error("malformed QR token: {what}")]
    Malformed {
        /// The part that is wrong.
        what: &'static str,
    },
    /// Made with a key that is not in the set: a forgery, or the set is older than the key. Fetch the set again, then refuse.
    #[error("the QR token is signed with key {key_id}, which is not published; fetch the key set again")]
    UnknownKey {
        /// The key that it names.
        key_id: KeyId,
    },
    /// The signature does not belong to these claims and this key.
    #[error("the QR token's signature is wrong")]
    BadSignature,
}

/// Verifies a scanned text against the published keys.
///
/// Nothing that is not signed is interpreted: the claims are read after the signature was verified. Whether the token has expired,
/// was claimed before or belongs to the ATM in question is for the caller to ask, who has a clock and a memory.
///
/// # Errors
/// See [`QrTokenError`]; what comes first there is found first.
pub fn verify(text: &str, keys: &KeySet) -> Result<VerifiedQrToken, QrTokenError> {
    let bytes = bytes_of(text)?;
    let envelope = Envelope::from_bytes(&bytes).map_err(|what| QrTokenError::Malformed { what })?;
    let key_id = envelope.key_id;
    let key = keys.key(key_id).ok_or(QrTokenError::UnknownKey { key_id })?;
    if !key.verifies(&envelope.sig_structure(), &envelope.signature) {
        return Err(QrTokenError::BadSignature);
    }
    let claims = QrClaims::from_payload(&envelope.payload)?;
    Ok(VerifiedQrToken { claims, digest: digest_of(&bytes), key_id })
}

/// A token whose signature was verified under a published key. [`verify`] is the only way to get one, so holding it is the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedQrToken {
    claims: QrClaims,
    digest: QrTokenDigest,
    key_id: KeyId,
}

impl VerifiedQrToken {
    /// What the token says.
    #[must_use]
    pub fn claims(&self) -> &QrClaims {
        &self.claims
    }

    /// The SHA-256 of the token's bytes, signature included: of what base45 gives for the text behind its prefix.
    ///
    /// Good for finding a token that was minted, and what the phone signs. It is not by itself good for "claimed before": of an ECDSA
    /// signature (r, s) anybody makes the equally valid (r, n - s), so one token has two texts and two digests that verify. Whoever
    /// keeps a list of *used* tokens keys it by the signed [`QrClaims::qr_session`] and [`QrClaims::nonce`]; whoever keeps a list of
    /// *minted* digests and takes no others is safe as well.
    #[must_use]
    pub fn digest(&self) -> QrTokenDigest {
        self.digest
    }

    /// The key that signed it.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The first moment at which it may not be claimed any more.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.claims.issued_at.after(Duration::from_secs(self.claims.lifetime_seconds.into()))
    }

    /// Whether it may not be claimed any more. At [`Self::expires_at`] it may not.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.expires_at()
    }
}
