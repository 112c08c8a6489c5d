//! The HSM behind the gateway, through PKCS#11: one login, worker threads with an HSM session each, signatures and nonces.
//!
//! This crate knows PKCS#11 (OASIS PKCS#11 2.40): modules, slots, HSM tokens, labels, attributes and the CKR codes. It is the only
//! one that does; no cryptoki name leaves it. It must never know what it signs (QR tokens, institutions, ATMs, money), where a PIN
//! is stored, or what a private key's value is: it signs 32-byte digests with keys that cannot leave the device.

mod config;
mod device;
mod error;
mod hsm;
mod hsm_token;
mod module;
mod provision;
mod signing_key;
mod workers;

pub use config::{HsmConfig, QUEUE_MAX, WORKERS_MAX};
pub use error::{DeviceError, HsmError, HsmKeyError, HsmModuleError, HsmOpenError, HsmProvisionError, HsmTokenError};
pub use hsm::Hsm;
pub use provision::{create_signing_key, provision};
pub use signing_key::SigningPublicKey;
pub use workers::HsmStats;
