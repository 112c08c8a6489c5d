//! The key set as CBOR: a COSE_KeySet (RFC 9052 section 7), for apps that read CBOR anyway.

use ciborium::Value;
use coset::iana::{Algorithm, Ec2KeyParameter, EllipticCurve, EnumI64, KeyOperation, KeyType};
use coset::{AsCborValue, CborSerializable, CoseKey, CoseKeyBuilder, CoseKeySet, Label, RegisteredLabel};

use crate::key_set::{KeySet, KeySetError};
use crate::public_key::PublicKey;

impl KeySet {
    /// The set as a COSE_KeySet in deterministic CBOR, its keys in the order of their ids: the same keys always give the same bytes.
    ///
    /// # Errors
    /// [`KeySetError::NotACoseKeySet`] if the CBOR writer fails, which it does not do when writing to memory.
    pub fn to_cose_key_set(&self) -> Result<Vec<u8>, KeySetError> {
        CoseKeySet(self.keys().map(cose_key).collect()).to_vec().map_err(not_a_set)
    }

    /// Reads a COSE_KeySet. Keys of another kind (key type, curve, algorithm or operations) or that cannot be read are passed over,
    /// as RFC 9052 section 7 asks; a key of this kind with anything wrong refuses the whole set.
    ///
    /// # Errors
    /// See [`KeySetError`].
    pub fn from_cose_key_set(bytes: &[u8]) -> Result<Self, KeySetError> {
        let mut rest = bytes;
        let document: Value = ciborium::from_reader(&mut rest).map_err(not_a_set)?;
        let Value::Array(values) = document else {
            return Err(not_a_set("not an array"));
        };
        if !rest.is_empty() {
            return Err(not_a_set("bytes behind the array"));
        }
        let mut set = Self::default();
        for (index, value) in values.into_iter().enumerate() {
            let Ok(key) = CoseKey::from_cbor_value(value) else { continue };
            if parameter(&key, Ec2KeyParameter::D).is_some() {
                return Err(KeySetError::PrivateKey { index });
            }
            if !is_for_qr_tokens(&key) {
                continue;
            }
            let coordinates = (
                coordinate(&key, index, Ec2KeyParameter::X, "x (-2)")?,
                coordinate(&key, index, Ec2KeyParameter::Y, "y (-3)")?,
            );
            set.insert_published(index, coordinates, |key_id| key.key_id == key_id.0)?;
        }
        Ok(set)
    }
}

fn cose_key(key: &PublicKey) -> CoseKey {
    let (x, y) = key.coordinates();
    CoseKeyBuilder::new_ec2_pub_key(EllipticCurve::P_256, x.to_vec(), y.to_vec())
        .key_id(key.key_id().0.to_vec())
        .algorithm(Algorithm::ES256)
        .add_key_op(KeyOperation::Verify)
        .build()
}

/// `alg` and `key_ops` may be absent (RFC 9052 section 7.1).
fn is_for_qr_tokens(key: &CoseKey) -> bool {
    let verify = RegisteredLabel::Assigned(KeyOperation::Verify);
    key.kty == RegisteredLabel::Assigned(KeyType::EC2)
        && parameter(key, Ec2KeyParameter::Crv) == Some(&Value::from(EllipticCurve::P_256.to_i64()))
        && key.alg.as_ref().is_none_or(|alg| *alg == coset::Algorithm::Assigned(Algorithm::ES256))
        && (key.key_ops.is_empty() || key.key_ops.contains(&verify))
}

fn parameter(key: &CoseKey, parameter: Ec2KeyParameter) -> Option<&Value> {
    let label = Label::Int(parameter.to_i64());
    key.params.iter().find(|(found, _)| *found == label).map(|(_, value)| value)
}

fn coordinate(
    key: &CoseKey,
    index: usize,
    which: Ec2KeyParameter,
    member: &'static str,
) -> Result<[u8; 32], KeySetError> {
    let bytes = parameter(key, which).and_then(Value::as_bytes);
    bytes.and_then(|bytes| bytes.as_slice().try_into().ok()).ok_or(KeySetError::BadMember { index, member })
}

fn not_a_set(why: impl std::fmt::Display) -> KeySetError {
    KeySetError::NotACoseKeySet(why.to_string())
}
