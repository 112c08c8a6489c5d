//! Keys for authentication codes (HMAC-SHA256): found by label, refused unless they stay in the HSM.

use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session as HsmSession;

use crate::device_error::DeviceError;
use crate::error::HsmKeyError;
use crate::signing_key::{label_attribute, written};

/// What such a key must be. Its type is `CKK_GENERIC_SECRET` or, as some vendors make it, `CKK_SHA256_HMAC`.
fn profile() -> [Attribute; 6] {
    [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Verify(true),
    ]
}

const HALF: &str = "secret";

/// The fewest bytes of such a key.
const VALUE_LENGTH: u64 = 32;

/// The key with this label. Needs a login.
pub(crate) fn find(hsm_session: &HsmSession, token_label: &str, label: &str) -> Result<ObjectHandle, HsmKeyError> {
    let device = |call| move |error| HsmKeyError::Device { call, source: DeviceError::from(error) };
    let found = hsm_session
        .find_objects(&[Attribute::Class(ObjectClass::SECRET_KEY), label_attribute(label)])
        .map_err(device("look for an authentication key"))?;
    let key = match found.as_slice() {
        [] => {
            return Err(HsmKeyError::Missing {
                half: HALF,
                label: label.to_owned(),
                token_label: token_label.to_owned(),
            });
        }
        [only] => *only,
        many => return Err(HsmKeyError::Ambiguous { half: HALF, label: label.to_owned(), count: many.len() }),
    };
    let mut wanted: Vec<AttributeType> = profile().iter().map(Attribute::attribute_type).collect();
    wanted.extend([AttributeType::KeyType, AttributeType::ValueLen]);
    let attributes =
        hsm_session.get_attributes(key, &wanted).map_err(device("read an authentication key's attributes"))?;
    let refused = |attribute: AttributeType, found: Option<&Attribute>, required: String| HsmKeyError::Refused {
        half: HALF,
        label: label.to_owned(),
        attribute: attribute.to_string(),
        found: found.map_or_else(|| "absent".to_owned(), written),
        required,
    };
    let found = |attribute: AttributeType| attributes.iter().find(|found| found.attribute_type() == attribute);
    for required in profile() {
        let attribute = required.attribute_type();
        if found(attribute) != Some(&required) {
            return Err(refused(attribute, found(attribute), written(&required)));
        }
    }
    match found(AttributeType::KeyType) {
        Some(Attribute::KeyType(KeyType::GENERIC_SECRET | KeyType::SHA256_HMAC)) => {}
        other => {
            let required = "CKK_GENERIC_SECRET or CKK_SHA256_HMAC".to_owned();
            return Err(refused(AttributeType::KeyType, other, required));
        }
    }
    match found(AttributeType::ValueLen) {
        // FIPS 198-1: a key shorter than the hash is weaker than the hash.
        Some(Attribute::ValueLen(length)) if u64::from(*length) < VALUE_LENGTH => {
            Err(refused(AttributeType::ValueLen, found(AttributeType::ValueLen), format!("{VALUE_LENGTH} or more")))
        }
        _ => Ok(key),
    }
}

/// Puts a key into the HSM. For trials, and where the vendor has no better way in. Needs a login in a read-write HSM session.
pub(crate) fn import(hsm_session: &HsmSession, label: &str, value: &[u8]) -> cryptoki::error::Result<()> {
    let mut attributes = profile().to_vec();
    attributes.extend([
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::GENERIC_SECRET),
        Attribute::Value(value.to_vec()),
        label_attribute(label),
    ]);
    hsm_session.create_object(&attributes).map(|_| ())
}
