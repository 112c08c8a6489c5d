//! The signed QR token, the sets of keys that verify it, and the approval that a phone signs over it.
//!
//! This crate knows bytes and signatures: how claims become the text in the picture, how that text is verified under a published
//! key, and which text a customer's phone signs. An app team can depend on it alone, or implement `README.md` in another language
//! and try it on `vectors/`. It must never know a clock, randomness, sockets, files, PKCS#11 or a private key: an HSM signs a digest
//! that this crate hands out, and whether a token has expired or was claimed before is asked with the time, and the memory, of the
//! caller.
//!
//! ```
//! # use cashgate_qr::{KeySet, QrTokenError, verify};
//! # fn scanned(text: &str, jwks: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let keys = KeySet::from_jwks(jwks)?;
//! let qr_token = verify(text, &keys)?;
//! println!("a genuine machine: {}", qr_token.claims().atm);
//! # Ok(())
//! # }
//! ```

pub mod approval;
mod batch;
mod cbor;
mod claims;
mod cose_key_set;
mod envelope;
mod jwks;
mod key_set;
mod merkle;
mod p256;
mod public_key;
mod qr_token;
mod verification;

// The words of this crate's interface, so that an app team needs no other crate.
pub use batch::{EncodeError, SignedClaims, UnsignedBatch};
pub use cashgate_withdrawal::{ids, money, time};
pub use claims::{CLAIMS_VERSION, EncodedClaims, LIFETIME_SECONDS_MAX, LIFETIME_SECONDS_MIN, QrClaims, REPLICA_MAX};
pub use key_set::{KEYS_MAX, KeySet, KeySetError};
pub use merkle::BATCH_MAX;
pub use p256::KeyError;
pub use public_key::PublicKey;
pub use qr_token::{QrToken, TEXT_LENGTH_MAX, TEXT_PREFIX};
pub use verification::{QrTokenError, VerifiedQrToken, verify};
