//! Simulated ATMs, phones and core banking over the real wire.
//!
//! This crate knows the interfaces in `proto/` and how machines, apps and banks behave and misbehave. It stands for independent
//! parties, so it must never know the gateway, and it shares no rule with `withdrawal`: it picks its own notes and keeps its own books,
//! so that a mistake of the gateway shows up as two books that differ. It never ends the process; the binary does.

pub mod alerts;
pub mod atm;
pub mod clock;
pub mod corebank;
pub mod credentials;
mod csv;
pub mod events;
pub mod notices;
pub mod phone;
pub mod place;
pub mod rpc_error;
