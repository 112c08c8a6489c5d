//! The simulated parties over real mTLS on loopback ports.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Tests may stop loudly.

mod alerts;
mod atm;
mod authority;
mod core_bank;
