//! The HSMs behind the gateway, through PKCS#11: signatures in batches, authentication codes, nonces, and the supervision that keeps them coming.
//!
//! This crate knows PKCS#11 (OASIS PKCS#11 2.40): modules, slots, HSM tokens, labels, attributes and the CKR codes. It is the only
//! one that does; no cryptoki name leaves it. It must never know what it signs (QR tokens, institutions, ATMs, money), where a PIN
//! is stored, or what a key's value is: it signs 32-byte digests with keys that cannot leave the device. What becomes a digest is a
//! [`Batcher`]'s business.
//!
//! One queue stands before all workers of all slots. A worker that is free takes its share of what waits: one order, one signature while the
//! HSM keeps up; up to 64 orders under one signature when it does not. A failed worker's orders go back to the queue, so another slot
//! takes them. Each PKCS#11 module has a keeper that replaces workers, leaves and enters slots, and opens the module anew.

mod backend;
mod batcher;
mod card;
mod config;
mod device;
mod device_error;
mod error;
mod hsm;
mod hsm_token;
mod job;
mod keeper;
mod kept_slot;
mod mac_key;
mod module;
mod pause;
mod provision;
mod queue;
mod signing_key;
mod state;
mod two_calls;
mod worker;
mod workshop;

pub use batcher::Batcher;
pub use config::{BATCH_MAX, HsmConfig, HsmSlot, Pin, QUEUE_MAX, SLOTS_MAX, WORKERS_MAX};
pub use device_error::DeviceError;
pub use error::{HsmError, HsmKeyError, HsmModuleError, HsmOpenError, HsmProvisionError, HsmSlotError, HsmTokenError};
pub use hsm::{Hsm, SlotKey};
pub use provision::{create_signing_key, import_mac_key, provision};
pub use signing_key::SigningPublicKey;
pub use state::{HsmState, SlotStatus};
pub use workshop::HsmStats;
