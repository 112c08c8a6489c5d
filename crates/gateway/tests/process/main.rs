//! The `cashgate` binary as a process, spoken to from outside: what it refuses, what it carries out, and what survives its death. Here with its
//! ledger in a file, in `on_postgresql.rs` with the same tests in a database.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests stop loudly; clippy.toml allows it in test functions, this in what they call"
)]

use harness::LedgerKind;

/// Where the ledger of every site is.
const LEDGER: LedgerKind = LedgerKind::File;

mod auditing;
mod bad_input;
mod configuration;
mod crashes;
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
mod rules;
mod secrecy;
mod starting;
mod stopping;
mod suspects;
mod tracing;
mod withdrawing;

/// What is about the file, and has no counterpart in a database.
mod on_file {
    // A full disk and a sync that fails: PostgreSQL's own disk is not the gateway's to watch.
    mod disk;
    // The lock that keeps a second process out, a file that is none, and `--ledger FILE`.
    mod ledger_file;
}
