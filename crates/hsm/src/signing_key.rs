//! The key pair that signs: found by label, and refused unless it is a P-256 pair that cannot leave the HSM.

use std::fmt;

use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session as HsmSession;

use crate::device_error::DeviceError;
use crate::error::HsmKeyError;

/// The DER form of the object identifier 1.2.840.10045.3.1.7: P-256, also called secp256r1 and prime256v1 (RFC 5480 section 2.1.1.1).
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

const POINT_LENGTH: usize = 65;

/// The public half of the signing key: an uncompressed P-256 point (SEC 1 section 2.3.3), 65 bytes that begin with 4.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SigningPublicKey([u8; POINT_LENGTH]);

impl SigningPublicKey {
    /// `04 || x || y`, 65 bytes.
    #[must_use]
    pub const fn sec1_uncompressed(&self) -> &[u8; POINT_LENGTH] {
        &self.0
    }

    /// From `CKA_EC_POINT`: a DER OCTET STRING around the point, as PKCS#11 asks, or the bare point, as some modules give it.
    fn from_ec_point(value: &[u8]) -> Option<Self> {
        let point = match value {
            [0x04, 0x41, point @ ..] if point.len() == POINT_LENGTH => point,
            bare => bare,
        };
        let point: [u8; POINT_LENGTH] = point.try_into().ok()?;
        (point.first() == Some(&0x04)).then_some(Self(point))
    }
}

impl fmt::Debug for SigningPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningPublicKey({})", hex(&self.0))
    }
}

/// The key pair as the HSM knows it. The handle serves every HSM session of this process.
pub(crate) struct SigningKey {
    pub(crate) private: ObjectHandle,
    pub(crate) public: SigningPublicKey,
}

impl SigningKey {
    /// Finds the pair by label, checks it against the key profile and signs once to see that it is a pair. Needs a login.
    pub(crate) fn find(hsm_session: &HsmSession, token_label: &str, label: &str) -> Result<Self, HsmKeyError> {
        let private = Half::Private.find(hsm_session, token_label, label)?;
        Half::Private.check(hsm_session, private, label)?;
        let public = Half::Public.find(hsm_session, token_label, label)?;
        Half::Public.check(hsm_session, public, label)?;
        prove_pair(hsm_session, private, public, label)?;
        Ok(Self { private, public: public_point(hsm_session, public, label)? })
    }
}

/// Whether either half of a pair with this label is there.
pub(crate) fn exists(hsm_session: &HsmSession, label: &str) -> cryptoki::error::Result<bool> {
    for half in [Half::Private, Half::Public] {
        if !hsm_session.find_objects(&[Attribute::Class(half.class()), label_attribute(label)])?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes a key pair that satisfies the key profile. Needs a login in a read-write HSM session.
pub(crate) fn generate(hsm_session: &HsmSession, label: &str) -> cryptoki::error::Result<()> {
    // Both halves carry one id, so that tools which pair keys by id find them; random, because labels may be reused.
    let id = Attribute::Id(hsm_session.generate_random_vec(16)?);
    let template = |half: Half| {
        let mut attributes = half.profile();
        attributes.extend([label_attribute(label), id.clone()]);
        attributes
    };
    // The private key takes its curve from the public one: PKCS#11 refuses CKA_EC_PARAMS here.
    let mut private = template(Half::Private);
    private.retain(|attribute| attribute.attribute_type() != AttributeType::EcParams);
    hsm_session.generate_key_pair(&Mechanism::EccKeyPairGen, &template(Half::Public), &private).map(|_| ())
}

#[derive(Clone, Copy)]
enum Half {
    Private,
    Public,
}

impl Half {
    const fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Public => "public",
        }
    }

    const fn class(self) -> ObjectClass {
        match self {
            Self::Private => ObjectClass::PRIVATE_KEY,
            Self::Public => ObjectClass::PUBLIC_KEY,
        }
    }

    /// The key profile: what a new key is created with, and what a key must be to be used. `hsm-config/profiles` documents it.
    fn profile(self) -> Vec<Attribute> {
        let mut attributes =
            vec![Attribute::KeyType(KeyType::EC), Attribute::EcParams(P256.to_vec()), Attribute::Token(true)];
        match self {
            Self::Private => attributes.extend([
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Sign(true),
            ]),
            Self::Public => attributes.push(Attribute::Verify(true)),
        }
        attributes
    }

    fn find(self, hsm_session: &HsmSession, token_label: &str, label: &str) -> Result<ObjectHandle, HsmKeyError> {
        let found = hsm_session
            .find_objects(&[Attribute::Class(self.class()), label_attribute(label)])
            .map_err(|error| HsmKeyError::Device { call: "look for the signing key", source: error.into() })?;
        match found.as_slice() {
            [] => Err(HsmKeyError::Missing {
                half: self.name(),
                label: label.to_owned(),
                token_label: token_label.to_owned(),
            }),
            [only] => Ok(*only),
            many => Err(HsmKeyError::Ambiguous { half: self.name(), label: label.to_owned(), count: many.len() }),
        }
    }

    fn check(self, hsm_session: &HsmSession, key: ObjectHandle, label: &str) -> Result<(), HsmKeyError> {
        let read = |attribute_type| {
            hsm_session.get_attributes(key, &[attribute_type]).map(|found| found.into_iter().next()).map_err(|error| {
                HsmKeyError::Device { call: "read the signing key's attributes", source: error.into() }
            })
        };
        // One by one: a key of another type has no CKA_EC_PARAMS, and the type is what the message should name.
        for required in self.profile() {
            let attribute_type = required.attribute_type();
            let found = read(attribute_type)?;
            if found.as_ref() != Some(&required) {
                return Err(HsmKeyError::Refused {
                    half: self.name(),
                    label: label.to_owned(),
                    attribute: attribute_type.to_string(),
                    found: found.as_ref().map_or_else(|| "absent".to_owned(), written),
                    required: written(&required),
                });
            }
        }
        Ok(())
    }
}

/// Signs a digest and has the HSM verify it: two keys that merely share a label would mint what no app accepts.
fn prove_pair(
    hsm_session: &HsmSession,
    private: ObjectHandle,
    public: ObjectHandle,
    label: &str,
) -> Result<(), HsmKeyError> {
    let digest = [0x5a; 32];
    let device = |call| move |error| HsmKeyError::Device { call, source: DeviceError::from(error) };
    let signature = hsm_session.sign(&Mechanism::Ecdsa, private, &digest).map_err(device("make a trial signature"))?;
    hsm_session.verify(&Mechanism::Ecdsa, public, &digest, &signature).map_err(|error| match error {
        cryptoki::error::Error::Pkcs11(
            cryptoki::error::RvError::SignatureInvalid | cryptoki::error::RvError::SignatureLenRange,
            _,
        ) => HsmKeyError::NotAPair { label: label.to_owned() },
        other => device("verify the trial signature")(other),
    })
}

fn public_point(hsm_session: &HsmSession, public: ObjectHandle, label: &str) -> Result<SigningPublicKey, HsmKeyError> {
    let attributes = hsm_session
        .get_attributes(public, &[AttributeType::EcPoint])
        .map_err(|error| HsmKeyError::Device { call: "read the public key", source: error.into() })?;
    let value = match attributes.first() {
        Some(Attribute::EcPoint(value)) => value.as_slice(),
        _ => &[],
    };
    SigningPublicKey::from_ec_point(value)
        .ok_or_else(|| HsmKeyError::Point { label: label.to_owned(), length: value.len() })
}

pub(crate) fn label_attribute(label: &str) -> Attribute {
    Attribute::Label(label.as_bytes().to_vec())
}

/// An attribute's value as `hsm-config/profiles` and error messages write it.
pub(crate) fn written(attribute: &Attribute) -> String {
    match attribute {
        Attribute::KeyType(key_type) => key_type.to_string(),
        Attribute::EcParams(der) => hex(der),
        Attribute::Token(flag)
        | Attribute::Private(flag)
        | Attribute::Sensitive(flag)
        | Attribute::Extractable(flag)
        | Attribute::Sign(flag)
        | Attribute::Verify(flag) => flag.to_string(),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_point_is_read_wrapped_and_bare() {
        let mut point = [0x07; POINT_LENGTH];
        point[0] = 0x04;
        let wrapped: Vec<u8> = [0x04, 0x41].into_iter().chain(point).collect();
        assert_eq!(SigningPublicKey::from_ec_point(&wrapped), Some(SigningPublicKey(point)));
        assert_eq!(SigningPublicKey::from_ec_point(&point), Some(SigningPublicKey(point)));
    }

    #[test]
    fn a_bare_point_whose_x_begins_like_a_der_length_is_not_cut() {
        let mut point = [0x07; POINT_LENGTH];
        point[..2].copy_from_slice(&[0x04, 0x41]);
        assert_eq!(SigningPublicKey::from_ec_point(&point), Some(SigningPublicKey(point)));
    }

    #[test]
    fn what_is_no_uncompressed_p256_point_is_refused() {
        let compressed = [0x02; 33];
        let mut hybrid = [0x07; POINT_LENGTH];
        hybrid[0] = 0x06;
        let p384 = [0x04; 97];
        for value in [&[][..], &compressed, &hybrid, &p384, &[0x04, 0x41]] {
            assert_eq!(SigningPublicKey::from_ec_point(value), None, "{} bytes", value.len());
        }
    }

    #[test]
    fn the_documented_profile_is_the_one_enforced() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../hsm-config/profiles/softhsm2.toml");
        let profile: toml::Table = std::fs::read_to_string(file).expect(file).parse().expect("the profile is TOML");
        for half in [Half::Private, Half::Public] {
            let documented: BTreeMap<String, String> = profile["signing_key"][half.name()]
                .as_table()
                .expect("a table for each half of the key")
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
                .collect();
            let enforced: BTreeMap<String, String> = half
                .profile()
                .iter()
                .map(|attribute| (attribute.attribute_type().to_string(), written(attribute)))
                .collect();
            assert_eq!(documented, enforced, "{} key", half.name());
        }
        let mechanisms = &profile["mechanisms"];
        assert_eq!(
            mechanisms["generate"].as_str(),
            Some(Mechanism::EccKeyPairGen.mechanism_type().to_string().as_str())
        );
        assert_eq!(mechanisms["sign"].as_str(), Some(Mechanism::Ecdsa.mechanism_type().to_string().as_str()));
    }
}
