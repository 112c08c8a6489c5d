//! The ledger in one file: one writer thread, as many readers as wanted.

mod append;
mod approvals;
mod carry_over;
mod chain_ends;
mod commit;
mod devices;
mod feed;
mod key_events;
mod lock;
mod marker;
mod notices;
mod open;
mod publications;
mod queries;
mod reader;
mod reading;
mod remarks;
mod reserve;
mod rows;
mod schema;
mod stopped;
mod verify;
mod wal;
mod writer;

pub(crate) use commit::found_no_room;
pub(crate) use open::ledger;
pub(crate) use reader::SqliteReader;
pub(crate) use stopped::looked_at;
pub use wal::TornTail;

/// Brings an empty database to the present schema.
#[cfg(test)]
pub(crate) fn migrated_for_tests(connection: &rusqlite::Connection) -> Result<(), crate::open_error::LedgerOpenError> {
    schema::migrate(connection, std::path::Path::new("test"), schema::MIGRATIONS)
}
