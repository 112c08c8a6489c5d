//! Points on P-256 (FIPS 186, `secp256r1`), in the two forms that HSMs and phones export.

use aws_lc_rs::signature::{EcdsaVerificationAlgorithm, ParsedPublicKey};

/// The length of an uncompressed point (SEC 1 section 2.3.3): 0x04, x, y.
pub(crate) const SEC1_LENGTH: usize = 65;

/// What stands before the point in a SubjectPublicKeyInfo (RFC 5480) of a P-256 key, which has only this one DER form.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Why bytes are not a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 65 bytes that begin with 0x04.
    #[error("not an uncompressed P-256 point: 65 bytes, the first of them 04 (SEC 1 section 2.3.3)")]
    NotUncompressed,
    /// The right form, but such a point does not lie on the curve.
    #[error("the point does not lie on the curve P-256")]
    NotOnCurve,
    /// Not the 91 bytes of a P-256 SubjectPublicKeyInfo with a named curve and an uncompressed point.
    #[error("not a SubjectPublicKeyInfo in DER of a P-256 key with an uncompressed point (RFC 5480, 91 bytes)")]
    NotSpki,
}

/// Reads an uncompressed point and checks that it lies on the curve.
pub(crate) fn parse(
    sec1: &[u8; SEC1_LENGTH],
    algorithm: &'static EcdsaVerificationAlgorithm,
) -> Result<ParsedPublicKey, KeyError> {
    // The library reads compressed points and SubjectPublicKeyInfo too; one form is enough.
    if sec1.first() != Some(&0x04) {
        return Err(KeyError::NotUncompressed);
    }
    ParsedPublicKey::new(algorithm, sec1).map_err(|_| KeyError::NotOnCurve)
}

/// The point in a SubjectPublicKeyInfo.
pub(crate) fn sec1_from_spki(der: &[u8]) -> Result<&[u8; SEC1_LENGTH], KeyError> {
    let sec1 = der.strip_prefix(SPKI_PREFIX.as_slice()).ok_or(KeyError::NotSpki)?;
    sec1.try_into().map_err(|_| KeyError::NotSpki)
}

/// The SubjectPublicKeyInfo around a point.
pub(crate) fn spki_from_sec1(sec1: &[u8; SEC1_LENGTH]) -> Vec<u8> {
    [SPKI_PREFIX.as_slice(), sec1.as_slice()].concat()
}
