//! A row of PostgreSQL as the ledger reads it.

use std::borrow::Cow;
use std::error::Error;

use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};
use uuid::Uuid;

use super::faults;
use crate::cells::{Cell, Cells};
use crate::error::ReadError;

impl Cells for Row {
    fn count(&self) -> usize {
        self.len()
    }

    fn cell(&self, place: usize) -> Result<Cell<'_>, ReadError> {
        self.try_get::<_, Value<'_>>(place).map(|value| value.0).map_err(|error| faults::reading(&error))
    }
}

struct Value<'row>(Cell<'row>);

impl<'row> FromSql<'row> for Value<'row> {
    fn from_sql(kind: &Type, raw: &'row [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(match *kind {
            Type::INT2 => Cell::Integer(i64::from(i16::from_sql(kind, raw)?)),
            Type::INT4 => Cell::Integer(i64::from(i32::from_sql(kind, raw)?)),
            Type::INT8 => Cell::Integer(i64::from_sql(kind, raw)?),
            Type::TEXT => Cell::Text(Cow::Borrowed(raw)),
            Type::BYTEA => Cell::Blob(raw),
            Type::UUID => Cell::Text(Cow::Owned(Uuid::from_sql(kind, raw)?.hyphenated().to_string().into_bytes())),
            _ => Cell::Other,
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Cell::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
