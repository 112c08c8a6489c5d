//! Generated messages and services, and their conversion to and from domain types.
//!
//! This crate is the only one that knows prost. It must never decide anything: a conversion refuses what has no meaning and names the
//! field; whether something may happen is `withdrawal`'s business.

/// What `proto/` generates, in the same nesting: `proto::atm::v1::Dispense`.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/cashgate.rs"));
}

pub mod atm;
pub mod causes;
pub mod corebank;
pub mod customer;
pub mod dispense_token;
mod fields;
pub mod journal;
pub mod notices;
pub mod operations;
pub mod outcome;
pub mod publications;
pub mod replica;
pub mod status;
pub mod stops;

pub use fields::{id, money_from, money_to, optional_money, unix_ms};
pub use generated::cashgate as proto;

/// The descriptors of every interface, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
