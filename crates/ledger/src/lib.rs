//! Durable withdrawals: append-only steps, group commit, replay, queries.
//!
//! This crate knows how to make the steps of withdrawals durable, in one order for all, and how to give them back: to recovery, to
//! the event feed, to people. It knows a withdrawal only as a [`WithdrawalRow`] (what anyone may ask in plain SQL) and a step only as
//! a number, a kind and bytes. It must never know which step may follow which (`withdrawal` does), what the bytes mean (`wire` does),
//! sockets, clocks or randomness.
//!
//! Its promises:
//! - what [`Ledger::append`] acknowledged is on disk, and what was read at start is too (design rule 10);
//! - the steps of one append are all there or none is;
//! - a nonce belongs to one withdrawal, the steps of a withdrawal are gapless, and an ended withdrawal does not change (rules 1, 9);
//! - a failure to write is never tried again: the ledger stops for good and says so ([`Ledger::fatal`]).
//!
//! The store is SQLite: one writer thread, as many readers as wanted. No public type shows it, because PostgreSQL is to come beside it.

mod append;
mod columns;
mod devices;
mod error;
mod ledger;
mod lock;
mod open;
mod queries;
mod reader;
mod records;
mod schema;
mod writer;

pub use error::{AppendError, LedgerFailure, LedgerOpenError, ReadError, StorageError};
pub use ledger::{Ledger, LedgerOptions, LedgerStats};
pub use queries::{PAGE_SIZE_MAX, STEPS_LOOKED_AT_MAX};
pub use reader::LedgerReader;
pub use records::{
    DeviceRow, Sequence, Spent, StateCount, StepPage, StepRecord, StoredStep, WithdrawalFilter, WithdrawalPage,
    WithdrawalRow, WithdrawalSummary,
};
