//! Durable withdrawals: append-only steps, notices of what happened beside them, group commit, replay, queries; phones; and the audit
//! trail of signing keys.
//!
//! This crate knows how to make steps and notices durable, in one order for all, and how to give them back, unchanged or not at all: to
//! recovery, to the event feed, to people. It knows a withdrawal only as a [`WithdrawalRow`] (what anyone may ask in plain SQL), a step
//! only as a number, a kind and bytes, a notice only as a kind and bytes. It must never know which step may follow which (`withdrawal` does), what the bytes mean (`wire` does),
//! sockets, clocks or randomness.
//!
//! Its promises:
//! - what [`Ledger::append`] acknowledged is on disk, and what was read at start is too (design rule 10);
//! - the steps of one append are all there or none is;
//! - steps and notices have one sequence without a gap, and a phone changes together with the notice about it or not at all;
//! - a nonce belongs to one withdrawal, the steps of a withdrawal are gapless, and an ended withdrawal does not change (rules 1, 9);
//! - what was changed or lost behind its back is found before anyone reads it as true: steps are sealed in chains, rows are checked
//!   ([`Seal`], [`RowCheck`]), and a log that would lose acknowledged commits is not opened ([`LedgerOpenError::LogDamaged`]);
//! - a full disk costs new withdrawals, not the ends of those that are open, and not what bars somebody: a reserve of space is given up
//!   for them ([`Room`]), and the write that found no room is tried once more;
//! - any other failure to write, and any failed sync, is never tried again: the ledger stops for good and says so ([`Ledger::fatal`]).
//!
//! The store is SQLite: one writer thread, as many readers as wanted. No public type shows it, because PostgreSQL is to come beside it.

mod append;
mod approvals;
mod carry_over;
mod chain_ends;
mod columns;
mod commit;
mod damage;
mod devices;
mod error;
mod feed;
mod key_events;
mod ledger;
mod lock;
mod marker;
mod notices;
mod observer;
mod open;
mod queries;
mod reader;
mod records;
mod remarks;
mod reserve;
mod row_check;
mod schema;
mod seal;
mod table;
mod verify;
mod wal;
mod writer;

pub use approvals::ApprovedRow;
pub use damage::{Damage, Fault};
pub use devices::DeviceRow;
pub use error::{AppendError, LedgerFailure, LedgerOpenError, ReadError, StorageError};
pub use feed::{ENTRIES_LOOKED_AT_MAX, FeedEntry, FeedPage};
pub use key_events::{KeyAction, KeyEvent, StoredKeyEvent};
pub use ledger::{Ledger, LedgerOptions, LedgerStats};
pub use notices::{Notice, StoredNotice};
pub use observer::CommitObserver;
pub use queries::PAGE_SIZE_MAX;
pub use reader::LedgerReader;
pub use records::{
    Remark, Remarks, Sequence, StateCount, StepRecord, StoredRemark, StoredStep, WithdrawalFilter, WithdrawalPage,
    WithdrawalRow, WithdrawalSummary,
};
pub use reserve::Room;
pub use row_check::RowCheck;
pub use seal::{Seal, check_chain};
pub use verify::{Finding, VerifyReport, verify};
pub use wal::TornTail;
