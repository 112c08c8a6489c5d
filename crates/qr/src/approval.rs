//! The customer's approval: what the phone signs, and how its signature is verified.
//!
//! The signed text names the token, the account and the amount, so a signature cannot be used for another machine, payee or sum:
//! dynamic linking, as PSD2's regulatory technical standards demand (Commission Delegated Regulation (EU) 2018/389, article 5).

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use cashgate_withdrawal::ids::{AccountId, DeviceId, InstitutionId, QrTokenDigest};
use cashgate_withdrawal::money::Money;

use crate::p256::{self, KeyError, SEC1_LENGTH};

/// The first line of every signed text: what the signature is for, and the version of its form.
pub const SIGNING_TEXT_HEADING: &str = "cashgate-approval-v1";

/// The longest signature, in bytes: a DER sequence of two 33-byte integers.
pub const SIGNATURE_LENGTH_MAX: usize = 72;

/// What a customer approves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalStatement {
    /// The scanned token, by its digest: see [`crate::VerifiedQrToken::digest`].
    pub qr_token: QrTokenDigest,
    /// The customer's bank.
    pub institution: InstitutionId,
    /// The account that pays.
    pub account: AccountId,
    /// How much.
    pub amount: Money,
    /// The phone that signs.
    pub device: DeviceId,
}

impl ApprovalStatement {
    /// What the phone signs, as UTF-8 (in fact ASCII): seven lines with a line feed between them and none behind the last. They are
    /// [`SIGNING_TEXT_HEADING`], the token's digest in lower-case hexadecimal, institution, account, amount in minor units, currency
    /// and device. No id can contain a line feed, so two statements never give the same text.
    #[must_use]
    pub fn signing_text(&self) -> String {
        let Self { qr_token, institution, account, amount, device } = self;
        let (digest, minor_units, currency) = (hex::encode(qr_token.0), amount.minor_units(), amount.currency());
        format!("{SIGNING_TEXT_HEADING}\n{digest}\n{institution}\n{account}\n{minor_units}\n{currency}\n{device}")
    }
}

/// Why a signature does not approve a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    /// Not a DER sequence of a plausible length. Raw r and s (64 bytes, as WebCrypto gives) must be converted first.
    #[error(
        "the signature is not ASN.1 DER (an ECDSA-Sig-Value of at most {SIGNATURE_LENGTH_MAX} bytes); convert a raw r, s pair"
    )]
    NotDer,
    /// The signature does not belong to this statement and this key.
    #[error("the approval's signature is wrong")]
    BadSignature,
}

/// Verifies the phone's signature: ES256 over [`ApprovalStatement::signing_text`], as an ASN.1 DER `ECDSA-Sig-Value` (RFC 3279
/// section 2.2.3).
///
/// DER is the only form, because both phone platforms give it as it comes (Android's `SHA256withECDSA`, iOS's
/// `ecdsaSignatureMessageX962SHA256`).
///
/// # Errors
/// See [`ApprovalError`].
pub fn verify(
    statement: ApprovalStatement,
    signature: &[u8],
    key: &DeviceKey,
) -> Result<VerifiedApproval, ApprovalError> {
    // A short-form length that covers the rest exactly; the library is strict about what is inside.
    match signature {
        [0x30, length, inside @ ..]
            if usize::from(*length) == inside.len() && signature.len() <= SIGNATURE_LENGTH_MAX => {}
        _ => return Err(ApprovalError::NotDer),
    }
    if !key.verifies(statement.signing_text().as_bytes(), signature) {
        return Err(ApprovalError::BadSignature);
    }
    Ok(VerifiedApproval { statement })
}

/// A statement that the phone's key signed. [`verify`] is the only way to get one, so holding it is the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedApproval {
    statement: ApprovalStatement,
}

impl VerifiedApproval {
    /// What was approved.
    #[must_use]
    pub fn statement(&self) -> &ApprovalStatement {
        &self.statement
    }
}

/// The public half of a phone's P-256 key.
#[derive(Clone)]
pub struct DeviceKey {
    sec1: [u8; SEC1_LENGTH],
    parsed: ParsedPublicKey,
}

impl DeviceKey {
    /// A key as a phone exports it, told apart by its length: SubjectPublicKeyInfo in DER (Android's `PublicKey.getEncoded()`, 91
    /// bytes) or an uncompressed point (iOS's `SecKeyCopyExternalRepresentation`, 65 bytes).
    ///
    /// # Errors
    /// It is neither, or the point does not lie on P-256.
    pub fn from_phone_export(bytes: &[u8]) -> Result<Self, KeyError> {
        match bytes.try_into() {
            Ok(sec1) => Self::from_sec1_uncompressed(sec1),
            Err(_) => Self::from_spki_der(bytes),
        }
    }

    /// A key from SubjectPublicKeyInfo in DER (RFC 5480): P-256 as a named curve, and an uncompressed point.
    ///
    /// # Errors
    /// It has another form, or the point does not lie on P-256.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        Self::from_sec1_uncompressed(p256::sec1_from_spki(der)?)
    }

    /// A key from an uncompressed point (SEC 1 section 2.3.3): 0x04, x, y.
    ///
    /// # Errors
    /// It has another form, or the point does not lie on P-256.
    pub fn from_sec1_uncompressed(sec1: &[u8; SEC1_LENGTH]) -> Result<Self, KeyError> {
        Ok(Self { sec1: *sec1, parsed: p256::parse(sec1, &ECDSA_P256_SHA256_ASN1)? })
    }

    /// The uncompressed point: 0x04, x, y. The form to store a key in.
    #[must_use]
    pub fn sec1_uncompressed(&self) -> &[u8; SEC1_LENGTH] {
        &self.sec1
    }

    /// The key as SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn to_spki_der(&self) -> Vec<u8> {
        p256::spki_from_sec1(&self.sec1)
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }
}

impl PartialEq for DeviceKey {
    fn eq(&self, other: &Self) -> bool {
        self.sec1 == other.sec1
    }
}

impl Eq for DeviceKey {}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey({}..)", hex::encode(self.sec1.get(1..5).unwrap_or_default()))
    }
}
