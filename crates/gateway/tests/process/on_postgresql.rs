//! The `cashgate` binary as a process, spoken to from outside, with its ledger in PostgreSQL: the tests of `main.rs`, and those that are about
//! the database.

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
const LEDGER: LedgerKind = LedgerKind::Postgresql;

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

/// What is about the database, and has no counterpart in a file.
mod on_database {
    mod away;
    mod lost_answers;
    mod replica_certificates;
    mod replicas;
    mod secured;
    mod several_processes;
}

/// A test that is added to one program is to run in both.
#[test]
fn every_module_of_the_other_program_is_here() {
    let modules = |text: &str| {
        let own = text.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';').map(ToOwned::to_owned));
        own.collect::<std::collections::BTreeSet<String>>()
    };
    assert_eq!(modules(include_str!("main.rs")), modules(include_str!("on_postgresql.rs")));
}
