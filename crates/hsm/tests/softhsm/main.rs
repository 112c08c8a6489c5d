//! The HSM on a real PKCS#11 module, SoftHSM2: each case in a process and an HSM token directory of its own.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop loudly; clippy.toml allows it in test functions, this in what they call"
)]

mod harness;
mod opening;
mod provisioning;
mod script;
mod signing;
