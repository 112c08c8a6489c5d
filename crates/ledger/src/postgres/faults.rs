//! What the server's errors mean for a write or a read.

use tokio_postgres::error::SqlState;

use crate::damage::Damage;
use crate::error::{ReadError, StorageError};

/// What can be done about an error of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The connection is gone, or is to go: whether the statement was committed has to be asked on another one.
    Reconnect,
    /// The server undid the statement, and the same may go through later.
    Later,
    /// The server has no room on its disk; it undid the statement.
    Room,
    /// A constraint of the schema: of one write's, the others are innocent.
    Constraint,
    /// Another process has registered as this replica.
    PutOut,
    /// Nothing may be built on this database.
    None,
}

pub(super) fn remedy(error: &tokio_postgres::Error) -> Remedy {
    let Some(code) = error.code() else { return Remedy::Reconnect };
    match *code {
        SqlState::DISK_FULL => Remedy::Room,
        SqlState::QUERY_CANCELED
        | SqlState::LOCK_NOT_AVAILABLE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::OUT_OF_MEMORY
        | SqlState::TOO_MANY_CONNECTIONS => Remedy::Later,
        // A primary that became a standby.
        SqlState::READ_ONLY_SQL_TRANSACTION => Remedy::Reconnect,
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => Remedy::None,
        _ => match code.code().get(..2) {
            // Connection exceptions, the operator's interventions, system errors, a configuration that is being changed.
            Some("08" | "57" | "58" | "F0" | "53" | "25" | "28" | "3D") => Remedy::Reconnect,
            Some("23" | "22") => Remedy::Constraint,
            // As `cashgate_check_in` raises it.
            Some("CG") => Remedy::PutOut,
            _ => Remedy::None,
        },
    }
}

/// What the server said, with its code, without what a statement's values were.
pub(super) fn storage(error: &tokio_postgres::Error) -> StorageError {
    match error.as_db_error() {
        Some(said) => StorageError::said(format!("{} (SQLSTATE {})", said.message(), said.code().code())),
        None => {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(error);
            while let Some(deeper) = cause {
                text.push_str(&format!(": {deeper}"));
                cause = deeper.source();
            }
            StorageError::lost(text)
        }
    }
}

/// The same for a question to the registry: one that the server broke off with its connection may be asked again on another.
pub(super) fn asking(error: &tokio_postgres::Error) -> StorageError {
    match remedy(error) {
        Remedy::Reconnect => StorageError::lost(storage(error).to_string()),
        _ => storage(error),
    }
}

/// The same for a read.
pub(super) fn reading(error: &tokio_postgres::Error) -> ReadError {
    match remedy(error) {
        Remedy::None if error.code().is_some_and(|code| code.code().starts_with("XX")) => {
            ReadError::Damaged(Damage::of_file(storage(error).to_string()))
        }
        _ => ReadError::Storage(asking(error)),
    }
}
