//! The `cashgate` binary as a process, spoken to from outside: what it refuses, what it carries out, and what survives its death.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests stop loudly; clippy.toml allows it in test functions, this in what they call"
)]

mod auditing;
mod bad_input;
mod configuration;
mod crashes;
mod disk;
mod guarding;
mod harness;
mod hsm_loss;
mod identity;
mod keys;
mod kill_switch;
mod metrics;
mod phones;
mod publishing;
mod reconciling;
mod replicas;
mod rules;
mod secrecy;
mod starting;
mod stopping;
mod suspects;
mod tracing;
mod withdrawing;
