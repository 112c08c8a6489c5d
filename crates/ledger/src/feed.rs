//! The event feed: steps and notices in the one order in which they became durable.

use cashgate_withdrawal::ids::InstitutionId;
use rusqlite::{Connection, params};

use crate::append::last_sequence;
use crate::columns::{self, signed};
use crate::damage::Damage;
use crate::error::ReadError;
use crate::notices::{self, StoredNotice};
use crate::queries::{PAGE_SIZE_MAX, rows};
use crate::reader::LedgerReader;
use crate::records::{Sequence, StoredStep};

/// How many entries one call of [`LedgerReader::feed_after`] looks at, at most, to find those of one institution.
pub const ENTRIES_LOOKED_AT_MAX: u64 = 10_000;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedEntry {
    /// A step of a withdrawal.
    Step(StoredStep),
    /// Something beside them.
    Notice(StoredNotice),
}

impl FeedEntry {
    /// Its place among all steps and notices.
    #[must_use]
    pub const fn sequence(&self) -> Sequence {
        match self {
            Self::Step(step) => step.sequence,
            Self::Notice(notice) => notice.sequence,
        }
    }
}

/// A part of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPage {
    /// Strictly ascending in sequence. May be empty although more follow, when a long run belongs to other institutions.
    pub entries: Vec<FeedEntry>,
    /// All up to here has been looked at: the place to go on from. Nothing will ever appear at or before it.
    pub through: Sequence,
}

/// With the seal of the withdrawal's step before, without which no seal can be checked.
const STEPS_AFTER: &str = "SELECT *, (SELECT seal FROM steps AS previous
        WHERE previous.withdrawal = steps.withdrawal AND previous.number = steps.number - 1) AS previous_seal
    FROM steps WHERE sequence > ?1 AND sequence <= ?2 AND (?3 IS NULL OR institution = ?3) ORDER BY sequence LIMIT ?4";
const NOTICES_AFTER: &str = "SELECT * FROM notices WHERE sequence > ?1 AND sequence <= ?2
    AND (?3 IS NULL OR institution IS NULL OR institution = ?3) ORDER BY sequence LIMIT ?4";

impl LedgerReader {
    /// The steps and notices after `after`, ascending, at most `limit` (1 to [`PAGE_SIZE_MAX`]). For an institution: its own, and the
    /// notices that concern the whole gateway.
    ///
    /// There is one writer, so nothing ever appears below what was already seen: go on from [`FeedPage::through`], and nothing is missed
    /// or seen twice. To find what is one institution's, a call looks at [`ENTRIES_LOOKED_AT_MAX`] entries at most; call again while
    /// `through` lies below the ledger's last sequence.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every query.
    pub fn feed_after(
        &self,
        after: Sequence,
        institution: Option<&InstitutionId>,
        limit: u32,
    ) -> Result<FeedPage, ReadError> {
        let limit = limit.clamp(1, PAGE_SIZE_MAX);
        self.read(|connection| {
            let last = last_sequence(connection).map_err(|error| ReadError::storage(&error))?;
            // Sequences have no gaps, so a span of them is a number of entries.
            let end = Sequence(after.0.saturating_add(ENTRIES_LOOKED_AT_MAX)).min(last);
            let entries = entries(connection, after, end, institution, limit)?;
            let full = u32::try_from(entries.len()).is_ok_and(|found| found >= limit);
            let through = match entries.last() {
                Some(entry) if full => entry.sequence(),
                // A caller ahead of the ledger stays where it is.
                _ => end.max(after),
            };
            if institution.is_none() {
                check_no_gap(after, through, &entries)?;
            }
            Ok(FeedPage { entries, through })
        })
    }
}

/// The first `limit` of what lies after `after` and up to `end`.
fn entries(
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

/// Whether `entries` are all that lie after `after` and up to `through`.
fn check_no_gap(after: Sequence, through: Sequence, entries: &[FeedEntry]) -> Result<(), ReadError> {
    let mut seen = after;
    for entry in entries {
        if let Some(damage) = Damage::between(seen, entry.sequence()) {
            return Err(ReadError::Damaged(damage));
        }
        seen = entry.sequence();
    }
    if seen < through { Err(ReadError::Damaged(Damage::of_gap(seen))) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queries::tests::check_plan;

    #[test]
    fn the_feed_reads_steps_and_notices_in_the_order_they_lie() {
        let values = params![1, 2, None::<String>, 3];
        check_plan(STEPS_AFTER, values, "SEARCH steps USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)");
        check_plan(NOTICES_AFTER, values, "SEARCH notices USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)");
    }
}
