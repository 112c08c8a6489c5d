//! The whole system in one seeded, deterministic world, with faults and a checker.
//!
//! A world has the gateway's own lanes, attendants, desk, limits, journal bytes and recovery, the same code as in production, in one thread, with
//! a scheduler, a clock, lines, a disk, machines, core banking, an HSM, customers and an operator that are simulated. Its faults are drawn from its
//! seed; after a while it heals, and then everything must come to its end. A [checker] that sees only what crossed the gateway's boundary
//! judges the rules of the design.
//!
//! What is not in a world: sockets, TLS, cryptography and SQLite. Those are tested with real processes.
//!
//! This crate must never be something that production depends on, and its checker must never share code with what it judges.

mod adopting;
mod atm;
mod banking;
mod books;
pub mod boundary;
pub mod chance;
pub mod checker;
mod committing;
mod core_bank;
pub mod coverage;
pub mod crash_plan;
pub mod crash_table;
mod customers;
mod database;
mod dispenser;
mod elsewhere;
mod end_to_end;
mod errands;
mod event;
pub mod faults;
mod gateway;
mod hearing;
mod journal;
mod machines;
mod names;
mod network;
mod operator;
#[cfg(feature = "planted")]
pub use cashgate_withdrawal::planted;
pub mod plan;
mod replicas;
pub mod run;
pub mod scenarios;
mod shared_commit;
pub mod shrink;
pub mod summary;
pub mod timeline;
pub mod world;
