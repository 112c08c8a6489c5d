//! What crosses the border between messages and domain types: nothing without meaning comes in, nothing is lost on the way through, and
//! what was once written into the ledger stays readable.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop loudly; clippy.toml allows it in test functions, this in what they call"
)]

mod atm_messages;
mod core_banking;
mod damage;
mod given;
mod golden;
mod histories;
mod journal;
mod noise;
mod pin_block;
mod promises;
mod refusals;
mod reports;
mod requests;
mod to_atm;
