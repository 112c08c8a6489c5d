//! A row as either store hands it out: values by their place, of the four types that the ledger's tables have.

use std::borrow::Cow;

use crate::error::ReadError;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell<'row> {
    Null,
    Integer(i64),
    /// Which after damage need not be UTF-8.
    Text(Cow<'row, [u8]>),
    Blob(&'row [u8]),
    /// Of a type that no column has.
    Other,
}

/// A row of values.
pub(crate) trait Cells {
    /// How many there are.
    fn count(&self) -> usize;

    /// The value at a place; an error beyond the last.
    fn cell(&self, place: usize) -> Result<Cell<'_>, ReadError>;
}

/// What a value can be read as; `None` if it is not such.
pub(crate) trait FromCell: Sized {
    fn from_cell(cell: &Cell<'_>) -> Option<Self>;
}

impl FromCell for i64 {
    fn from_cell(cell: &Cell<'_>) -> Option<Self> {
        if let Cell::Integer(value) = cell { Some(*value) } else { None }
    }
}

macro_rules! small_integers {
    ($($type:ty),*) => { $(
        impl FromCell for $type {
            fn from_cell(cell: &Cell<'_>) -> Option<Self> {
                i64::from_cell(cell).and_then(|value| value.try_into().ok())
            }
        }
    )* };
}
small_integers!(u8, i32, u32, u64);

impl FromCell for bool {
    fn from_cell(cell: &Cell<'_>) -> Option<Self> {
        match i64::from_cell(cell)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl FromCell for String {
    fn from_cell(cell: &Cell<'_>) -> Option<Self> {
        if let Cell::Text(value) = cell { Self::from_utf8(value.to_vec()).ok() } else { None }
    }
}

impl FromCell for Vec<u8> {
    fn from_cell(cell: &Cell<'_>) -> Option<Self> {
        if let Cell::Blob(value) = cell { Some(value.to_vec()) } else { None }
    }
}

impl<const N: usize> FromCell for [u8; N] {
    fn from_cell(cell: &Cell<'_>) -> Option<Self> {
        if let Cell::Blob(value) = cell { (*value).try_into().ok() } else { None }
    }
}

impl<T: FromCell> FromCell for Option<T> {
    fn from_cell(cell: &Cell<'_>) -> Option<Self> {
        if *cell == Cell::Null { Some(None) } else { T::from_cell(cell).map(Some) }
    }
}
