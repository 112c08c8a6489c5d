//! Sockets, clock, configuration and telemetry around the lanes.
//!
//! This crate knows the outside: it accepts connections, reads identities from certificates, calls core banking, asks the HSM and
//! writes the ledger. It must never decide what a withdrawal may do next (`withdrawal` does) nor count money (`limits` does). One rule
//! governs every lane's task: append the records, wait until they are durable, only then carry out the actions.

pub mod admission;
pub mod audit;
pub mod certificates;
pub mod clock;
pub mod config;
pub mod core_banking;
pub mod devices;
pub mod dispense_keys;
pub mod dispense_tokens;
pub mod evidence;
mod fingerprint;
pub mod guard;
mod http;
pub mod identity;
pub mod init;
pub mod inspect;
pub mod keys;
pub mod lanes;
mod ledger_reads;
pub mod listener;
pub mod metrics;
pub mod minting;
pub mod notice_board;
pub mod publishing;
pub mod reconcile;
pub mod rehearsing;
pub mod reloading;
pub mod replica;
pub mod serve;
mod server;
pub mod services;
mod sparing;
pub mod stops;
pub mod telemetry;
pub mod tls;
pub mod watchers;
