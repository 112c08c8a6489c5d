//! Tables whose rows are numbered without a gap and chained by seals over the whole table: key events and publications.

use crate::cells::{Cell, Cells, FromCell};
use crate::damage::{Damage, Fault};
use crate::error::ReadError;
use crate::records::Sequence;
use crate::seal::Seal;

/// A row of such a table.
pub(crate) trait Link {
    /// The seal that it has.
    fn seal(&self) -> Seal;

    /// The seal that it must have under a number, behind a row with the seal `previous`.
    fn sealed_behind(&self, previous: Option<&Seal>, number: u64) -> Seal;

    /// Damage of the row with a number.
    fn damage(number: u64, fault: Fault) -> Damage;
}

/// Its number, its seal if it has one, and the row or what is wrong with it.
pub(crate) type Placed<T> = (u64, Option<Seal>, Result<T, Damage>);

/// Reads a row whose first column is its number and whose last is its seal.
pub(crate) fn placed<R: Cells, T>(
    row: &R,
    read: impl FnOnce(&R) -> Result<T, ReadError>,
) -> Result<Placed<T>, ReadError> {
    let number = row.cell(0)?;
    let seal = row.cell(row.count().saturating_sub(1))?;
    let seal = <[u8; 32]>::from_cell(&seal).map(Seal::from_bytes);
    let found = match read(row) {
        Ok(found) => Ok(found),
        Err(ReadError::Damaged(damage)) => Err(damage),
        Err(other) => return Err(other),
    };
    let number = if let Cell::Integer(number) = number { u64::try_from(number).unwrap_or(0) } else { 0 };
    Ok((number, seal, found))
}

/// Each row, or what is wrong with it, out of the rows in their order. A missing one is told before the next.
pub(crate) fn judged<T: Link>(rows: Vec<Placed<T>>) -> Vec<Result<T, Damage>> {
    let mut judged = Vec::new();
    let (mut last, mut previous) = (0_u64, None);
    for (number, seal, found) in rows {
        let expected = last.saturating_add(1);
        if number != expected {
            judged.push(Err(T::damage(expected, Fault::SequenceGap { expected: Sequence(expected) })));
        }
        judged.push(found.and_then(|link| {
            let fits = link.seal() == link.sealed_behind(previous.as_ref(), number);
            if fits { Ok(link) } else { Err(T::damage(number, Fault::Seal)) }
        }));
        (last, previous) = (number, seal);
    }
    judged
}
