//! The ledger on PostgreSQL: one writer task a replica with some connections, whose commits the database puts in one order with those of all
//! others, and as many readers as wanted.
//!
//! All of it runs on a runtime of its own, on one thread ([`runtime`]): a read that blocks its caller never blocks what it waits for.

mod archiving;
mod batch;
mod connecting;
mod encoding;
mod faults;
mod grants;
mod line;
mod migrations;
mod opening;
mod reader;
mod reading;
mod rows;
mod runtime;
mod seat;
mod session;
mod sql;
mod verdicts;
mod verifying;
mod watching;
mod writer;

pub use archiving::archive;
pub use migrations::{Migrated, migrate, migrate_and_grant};
pub(crate) use opening::ledger;
pub(crate) use reader::PostgresReader;
pub(crate) use seat::Seat;
