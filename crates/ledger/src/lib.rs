//! Durable withdrawals: append-only steps, notices of what happened beside them, group commit, replay, queries; phones; the audit
//! trail of signing keys; and rules that were published.
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
//! There are two stores with the same tables, the same promises and the same checks of what is read: a file ([`Ledger::open`], SQLite: one
//! process), and PostgreSQL ([`Ledger::connect`]: several replicas, each with a writer of its own, whose commits the database puts in one
//! order). No public type shows which it is. What only several replicas need is in [`Replicas`] and [`Append`].

mod approvals;
mod cells;
mod chain;
mod claim;
mod columns;
mod damage;
mod devices;
mod error;
mod feed;
mod key_events;
mod ledger;
mod notices;
mod observer;
mod open_error;
mod options;
mod postgres;
mod publications;
mod reader;
mod reads;
mod records;
mod replicas;
mod room;
mod row_check;
#[cfg(test)]
mod sample;
mod seal;
mod sqlite;
mod state;
mod table;
mod tail;
mod verify;
mod work;

pub use approvals::ApprovedRow;
pub use claim::{Append, Appended, InstitutionCaps, InstitutionSpending, LimitKey, Raise};
pub use damage::{Damage, Fault};
pub use devices::DeviceRow;
pub use error::{AppendError, LedgerFailure, ReadError, ReplicaError, StorageError};
pub use feed::{ENTRIES_LOOKED_AT_MAX, FeedEntry, FeedPage};
pub use key_events::{KeyAction, KeyEvent, StoredKeyEvent};
pub use ledger::{Ledger, LedgerOptions};
pub use notices::{Notice, StoredNotice};
pub use observer::CommitObserver;
pub use open_error::LedgerOpenError;
pub use options::PostgresOptions;
pub use postgres::{Migrated, archive, migrate, migrate_and_grant};
pub use publications::{Publication, StoredPublication};
pub use reader::{LedgerReader, PAGE_SIZE_MAX};
pub use records::{
    Remark, Remarks, Sequence, StateCount, StepRecord, StoredRemark, StoredStep, WithdrawalFilter, WithdrawalPage,
    WithdrawalRow, WithdrawalSummary,
};
pub use replicas::{Epoch, Incarnation, LaneOwner, ReplicaId, ReplicaIdentity, ReplicaRow, Replicas};
pub use room::Room;
pub use row_check::RowCheck;
pub use seal::{Seal, check_chain};
pub use sqlite::TornTail;
pub use state::LedgerStats;
pub use tail::{AttemptsPart, Tail, TailMark};
pub use verify::{Finding, VerifyReport, verify, verify_open};
