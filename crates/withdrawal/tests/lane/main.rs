//! The lane of one ATM, told as stories: what happens at the machine, in the app, at the bank and to the clock, and what the lane makes
//! durable and does about it. Every turn of every story is also audited by [`world::books`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop loudly"
)]

mod approving;
mod cancelling;
mod connection;
mod end_to_end;
mod outcomes;
mod properties;
mod recovery;
mod remarks;
mod settling;
mod showing;
mod stopping;
mod suspects;
mod world;
