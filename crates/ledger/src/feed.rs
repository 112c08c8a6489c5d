//! The event feed: steps and notices in the one order in which they became durable.

use crate::damage::Damage;
use crate::error::ReadError;
use crate::notices::StoredNotice;
use crate::records::{Sequence, StoredStep};

/// How many entries one call of [`crate::LedgerReader::feed_after`] looks at, at most, to find those of one institution.
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

/// Whether `entries` are all that lie after `after` and up to `through`.
pub(crate) fn check_no_gap(after: Sequence, through: Sequence, entries: &[FeedEntry]) -> Result<(), ReadError> {
    let mut seen = after;
    for entry in entries {
        if let Some(damage) = Damage::between(seen, entry.sequence()) {
            return Err(ReadError::Damaged(damage));
        }
        seen = entry.sequence();
    }
    if seen < through { Err(ReadError::Damaged(Damage::of_gap(seen))) } else { Ok(()) }
}
