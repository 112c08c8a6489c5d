//! Tokens as a forger would write them: any header, any payload, any signature, encoded here without the crate's own encoder.

use aws_lc_rs::digest::{SHA256, digest};
use ciborium::Value;

use super::test_keys::{TestKey, usual_claims};

/// A COSE_Sign1 whose parts can be bent one by one before it is signed.
pub(crate) struct CraftedToken {
    pub(crate) protected: Vec<u8>,
    pub(crate) unprotected: Value,
    pub(crate) payload: Vec<u8>,
    pub(crate) context: &'static str,
    pub(crate) external_data: &'static [u8],
}

impl CraftedToken {
    /// A token with these claims that names this key, with nothing wrong yet.
    pub(crate) fn naming(key: &TestKey, payload: Vec<u8>) -> Self {
        let protected = cbor(&map([(1, (-7).into()), (4, key.key_id().0.as_slice().into())]));
        Self { protected, unprotected: Value::Map(vec![]), payload, context: "Signature1", external_data: b"" }
    }

    /// The signature over what the token holds now.
    pub(crate) fn signature(&self, key: &TestKey) -> [u8; 64] {
        let signed = cbor(&Value::Array(vec![
            self.context.into(),
            self.protected.as_slice().into(),
            self.external_data.into(),
            self.payload.as_slice().into(),
        ]));
        key.sign_digest(digest(&SHA256, &signed).as_ref().try_into().unwrap())
    }

    pub(crate) fn value(&self, signature: &[u8]) -> Value {
        Value::Array(vec![
            self.protected.as_slice().into(),
            self.unprotected.clone(),
            self.payload.as_slice().into(),
            signature.into(),
        ])
    }

    pub(crate) fn bytes(&self, signature: &[u8]) -> Vec<u8> {
        cbor(&self.value(signature))
    }

    /// The text, signed by this key.
    pub(crate) fn text(&self, key: &TestKey) -> String {
        text(&self.bytes(&self.signature(key)))
    }
}

/// The claims of [`usual_claims`] as the keys and values of their map.
pub(crate) fn usual_fields() -> Vec<(Value, Value)> {
    let claims = usual_claims();
    let Value::Map(fields) = map([
        (1, 1.into()),
        (2, claims.network.as_str().into()),
        (3, claims.atm.as_str().into()),
        (4, (claims.issued_at.unix_ms() / 1000).into()),
        (5, claims.lifetime_seconds.into()),
        (6, claims.qr_session.as_bytes().as_slice().into()),
        (7, claims.nonce.0.as_slice().into()),
    ]) else {
        unreachable!("`map` makes maps")
    };
    fields
}

pub(crate) fn map<const N: usize>(fields: [(i64, Value); N]) -> Value {
    Value::Map(fields.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

pub(crate) fn cbor(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

pub(crate) fn text(bytes: &[u8]) -> String {
    format!("CG1:{}", base45::encode(bytes))
}
