//! Real PostgreSQL servers for tests and benches: started from the system's package in a folder of their own, killed, started again, followed
//! by a standby, promoted; with somebody else's session in them, or a line before them that loses answers.
//!
//! This crate knows the server's programs and nothing of what is kept in them. No production crate may depend on it. A server ends with the
//! process that started it, also with one that is killed: a keeper beside it reads from a pipe that only this process holds open.

// What is started here is started for tests, which may stop loudly.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test without its server must stop and say why"
)]

mod database;
mod proxy;
mod server;
mod session;

pub use database::Database;
pub use proxy::Proxy;
pub use server::{Server, programs};
pub use session::Session;
