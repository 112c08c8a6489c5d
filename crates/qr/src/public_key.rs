//! The public half of a key that signs QR tokens.

use std::fmt;

use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cashgate_withdrawal::ids::KeyId;

use crate::envelope::SIGNATURE_LENGTH;
use crate::p256::{self, KeyError, SEC1_LENGTH};
use crate::qr_token::sha256;

/// The public half of a P-256 key that signs QR tokens.
#[derive(Clone)]
pub struct PublicKey {
    sec1: [u8; SEC1_LENGTH],
    key_id: KeyId,
    parsed: ParsedPublicKey,
}

impl PublicKey {
    /// A key from an uncompressed point (SEC 1 section 2.3.3): 0x04, x, y. It is what `CKA_EC_POINT` holds inside its DER octet string.
    ///
    /// # Errors
    /// The form is another one, or the point does not lie on P-256.
    pub fn from_sec1_uncompressed(sec1: &[u8; SEC1_LENGTH]) -> Result<Self, KeyError> {
        let parsed = p256::parse(sec1, &ECDSA_P256_SHA256_FIXED)?;
        let mut key = Self { sec1: *sec1, key_id: KeyId([0; 4]), parsed };
        let [a, b, c, d, ..] = sha256(key.thumbprint_input().as_bytes());
        key.key_id = KeyId([a, b, c, d]);
        Ok(key)
    }

    /// The first 4 bytes of the key's JWK thumbprint with SHA-256 (RFC 7638).
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The uncompressed point: 0x04, x, y.
    #[must_use]
    pub fn sec1_uncompressed(&self) -> &[u8; SEC1_LENGTH] {
        &self.sec1
    }

    /// The key as a JWK (RFC 7517): `kty`, `crv`, `x`, `y`, `kid`, `alg` and `use`.
    #[must_use]
    pub fn to_jwk(&self) -> String {
        let (x, y) = self.coordinates();
        let (x, y, kid) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y), self.key_id);
        format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}","kid":"{kid}","alg":"ES256","use":"sig"}}"#)
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; SIGNATURE_LENGTH]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }

    pub(crate) fn verifies_digest(&self, sha256: &[u8; 32], signature: &[u8; SIGNATURE_LENGTH]) -> bool {
        let digest = Digest::import_less_safe(sha256, &SHA256);
        digest.is_ok_and(|digest| self.parsed.verify_digest_sig(&digest, signature).is_ok())
    }

    pub(crate) fn coordinates(&self) -> (&[u8], &[u8]) {
        let [_, coordinates @ ..] = &self.sec1;
        coordinates.split_at(SEC1_LENGTH / 2)
    }

    /// The required members in the order of their names, without spaces (RFC 7638 section 3.3).
    fn thumbprint_input(&self) -> String {
        let (x, y) = self.coordinates();
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.sec1 == other.sec1
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.key_id)
    }
}
