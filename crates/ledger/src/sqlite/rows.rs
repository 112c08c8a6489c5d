//! A row of SQLite as the ledger reads it.

use std::borrow::Cow;

use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::cells::{Cell, Cells};
use crate::error::ReadError;

impl Cells for Row<'_> {
    fn count(&self) -> usize {
        self.as_ref().column_count()
    }

    fn cell(&self, place: usize) -> Result<Cell<'_>, ReadError> {
        Ok(match self.get_ref(place).map_err(|error| ReadError::storage(&error))? {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(value) => Cell::Integer(value),
            ValueRef::Text(value) => Cell::Text(Cow::Borrowed(value)),
            ValueRef::Blob(value) => Cell::Blob(value),
            ValueRef::Real(_) => Cell::Other,
        })
    }
}
