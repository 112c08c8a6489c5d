//! Notices, written inside the writer's transaction and found by their kinds.

use cashgate_withdrawal::ids::InstitutionId;
use cashgate_withdrawal::time::Timestamp;
use rusqlite::{Connection, ToSql, params};

use super::queries::rows;
use super::writer::WriteFault;
use crate::columns::signed;
use crate::error::{AppendError, ReadError};
use crate::notices::{Notice, StoredNotice, notice};
use crate::records::Sequence;
use crate::row_check::RowCheck;
use crate::work::Written;

pub(super) fn of(connection: &Connection, kinds: &[&str], since: Timestamp) -> Result<Vec<StoredNotice>, ReadError> {
    let since = signed(since.unix_ms());
    let mut values: Vec<&dyn ToSql> = vec![&since];
    values.extend(kinds.iter().map(|kind| kind as &dyn ToSql));
    rows(connection, &of_kinds(kinds.len()), values.as_slice(), |row| notice(row))
}

const AFTER: &str = "SELECT * FROM notices WHERE sequence > ?1 ORDER BY sequence LIMIT ?2";

pub(super) fn after(connection: &Connection, after: Sequence, limit: u32) -> Result<Vec<StoredNotice>, ReadError> {
    rows(connection, AFTER, params![signed(after.0), limit], |row| notice(row))
}

pub(super) fn of_span(
    connection: &Connection,
    after: Sequence,
    through: Sequence,
) -> Result<Vec<StoredNotice>, ReadError> {
    let sql = "SELECT * FROM notices WHERE sequence > ?1 AND sequence <= ?2 ORDER BY sequence";
    rows(connection, sql, params![signed(after.0), signed(through.0)], |row| notice(row))
}

fn of_kinds(count: usize) -> String {
    let places: Vec<String> = (2..count.saturating_add(2)).map(|place| format!("?{place}")).collect();
    format!("SELECT * FROM notices WHERE kind IN ({}) AND at_ms >= ?1", places.join(", "))
}

/// Writes the notice behind `last`, inside the writer's transaction.
pub(super) fn add(connection: &Connection, notice: &Notice, last: Sequence) -> Result<Written, WriteFault> {
    let &Notice { at, kind, ref institution, ref body } = notice;
    if body.len() > Notice::BODY_BYTES_MAX {
        return Err(WriteFault::Refused(AppendError::NoticeTooLong { kind, bytes: body.len() }));
    }
    let sequence = Sequence(last.0 + 1);
    connection
        .prepare_cached(
            "INSERT INTO notices (sequence, at_ms, kind, institution, body, row_check) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            signed(sequence.0),
            signed(at.unix_ms()),
            kind,
            institution.as_ref().map(InstitutionId::as_str),
            body,
            RowCheck::of_notice(sequence, notice).as_bytes(),
        ])?;
    Ok(Written::of(sequence, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::queries::tests::check_plan;

    #[test]
    fn a_start_reads_the_notices_of_its_kinds_and_no_others() {
        let expected = "SEARCH notices USING INDEX notices_of_kind (kind=? AND at_ms>?)";
        check_plan(&of_kinds(1), &[&1, &"stopped"], expected);
        check_plan(&of_kinds(2), &[&1, &"stopped", &"released"], expected);
    }
}
