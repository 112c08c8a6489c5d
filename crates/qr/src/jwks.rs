//! The key set as JSON: a JWK set (RFC 7517 section 5), as it stands at `/.well-known/jwks.json`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::key_set::{KeySet, KeySetError};
use crate::public_key::PublicKey;

impl KeySet {
    /// The set as a JWK set, its keys in the order of their ids: the same keys always give the same text.
    #[must_use]
    pub fn to_jwks(&self) -> String {
        let keys: Vec<String> = self.keys().map(PublicKey::to_jwk).collect();
        format!(r#"{{"keys":[{}]}}"#, keys.join(","))
    }

    /// Reads a JWK set. Keys of another kind (`kty`, `crv`, `alg` or `use`) are passed over, as RFC 7517 section 5 asks, so that a
    /// later algorithm does not break older apps; a key of this kind with anything wrong refuses the whole set.
    ///
    /// # Errors
    /// See [`KeySetError`].
    pub fn from_jwks(text: &str) -> Result<Self, KeySetError> {
        let document: Value = serde_json::from_str(text).map_err(|error| KeySetError::NotAJwkSet(error.to_string()))?;
        let Some(Value::Array(jwks)) = document.get("keys") else {
            return Err(KeySetError::NotAJwkSet("no array `keys`".into()));
        };
        let mut set = Self::default();
        for (index, jwk) in jwks.iter().enumerate() {
            if jwk.get("d").is_some() {
                return Err(KeySetError::PrivateKey { index });
            }
            if !is_for_qr_tokens(jwk) {
                continue;
            }
            let kid = jwk.get("kid").and_then(Value::as_str).ok_or(KeySetError::BadMember { index, member: "kid" })?;
            let coordinates = (coordinate(jwk, index, "x")?, coordinate(jwk, index, "y")?);
            set.insert_published(index, coordinates, |key_id| key_id.to_string() == kid)?;
        }
        Ok(set)
    }
}

/// `alg` and `use` may be absent (RFC 7517 sections 4.2 and 4.4).
fn is_for_qr_tokens(jwk: &Value) -> bool {
    let is = |member, value| jwk.get(member).is_some_and(|found| found == value);
    let may_be = |member, value| jwk.get(member).is_none_or(|found| found == value);
    is("kty", "EC") && is("crv", "P-256") && may_be("alg", "ES256") && may_be("use", "sig")
}

fn coordinate(jwk: &Value, index: usize, member: &'static str) -> Result<[u8; 32], KeySetError> {
    let text = jwk.get(member).and_then(Value::as_str);
    let bytes = text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(KeySetError::BadMember { index, member })
}
