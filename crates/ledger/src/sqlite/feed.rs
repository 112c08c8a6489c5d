//! Steps and notices of a span of their order.

use cashgate_withdrawal::ids::InstitutionId;
use rusqlite::{Connection, params};

use super::queries::rows;
use crate::columns::{self, signed};
use crate::error::ReadError;
use crate::feed::FeedEntry;
use crate::notices;
use crate::records::Sequence;

/// With the seal of the withdrawal's step before, without which no seal can be checked. It must come before in the order as well: seals do not say.
const STEPS_AFTER: &str = "SELECT *, (SELECT seal FROM steps AS previous
        WHERE previous.withdrawal = steps.withdrawal AND previous.number = steps.number - 1
            AND previous.sequence < steps.sequence) AS previous_seal
    FROM steps WHERE sequence > ?1 AND sequence <= ?2 AND (?3 IS NULL OR institution = ?3) ORDER BY sequence LIMIT ?4";
const NOTICES_AFTER: &str = "SELECT * FROM notices WHERE sequence > ?1 AND sequence <= ?2
    AND (?3 IS NULL OR institution IS NULL OR institution = ?3) ORDER BY sequence LIMIT ?4";

/// The first `limit` of what lies after `after` and up to `end`.
pub(super) fn entries(
    connection: &Connection,
    after: Sequence,
    end: Sequence,
    institution: Option<&InstitutionId>,
    limit: u32,
) -> Result<Vec<FeedEntry>, ReadError> {
    let values = params![signed(after.0), signed(end.0), institution.map(InstitutionId::as_str), limit];
    let mut entries =
        rows(connection, STEPS_AFTER, values, |row| columns::step_after_previous(row).map(FeedEntry::Step))?;
    entries.extend(rows(connection, NOTICES_AFTER, values, |row| notices::notice(row).map(FeedEntry::Notice))?);
    entries.sort_by_key(FeedEntry::sequence); // Two runs in order: one merge.
    entries.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::queries::tests::check_plan;

    #[test]
    fn the_feed_reads_steps_and_notices_in_the_order_they_lie() {
        let values = params![1, 2, None::<String>, 3];
        check_plan(STEPS_AFTER, values, "SEARCH steps USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)");
        check_plan(NOTICES_AFTER, values, "SEARCH notices USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)");
    }
}
