//! What other replicas wrote that every replica keeps in memory: stops and other notices, key events, phones; and, apart from these, because
//! nothing waits for it, who asked for money.

use crate::devices::DeviceRow;
use crate::key_events::StoredKeyEvent;
use crate::notices::StoredNotice;
use crate::records::{Sequence, StoredStep, WithdrawalSummary};

/// How far a replica has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TailMark {
    /// All notices up to here.
    pub sequence: Sequence,
    /// So many key events.
    pub key_events: u64,
    /// All changes of phones up to this one; a ledger of one process does not count them, and says 0.
    pub device_changes: u64,
}

/// What came behind a mark, this replica's own writes included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Notices, in their sequence.
    pub notices: Vec<StoredNotice>,
    /// Key events, in their sequence.
    pub key_events: Vec<StoredKeyEvent>,
    /// The phones that were changed, each once, as it stands.
    pub devices: Vec<DeviceRow>,
    /// The mark to go on from.
    pub through: TailMark,
    /// Whether this is all that was written when it was read. Otherwise `notices` is as long as it may get ([`Tail::NOTICES_MAX`]): ask again
    /// at once.
    pub is_whole: bool,
}

impl Tail {
    /// The most notices in one answer.
    pub const NOTICES_MAX: u32 = 1_000;

    /// What was read behind `mark` in one moment, when the ledger ended at `last` and had seen so many changes of phones.
    pub(crate) fn of(
        mark: &TailMark,
        last: Sequence,
        notices: Vec<StoredNotice>,
        key_events: Vec<StoredKeyEvent>,
        devices: Vec<DeviceRow>,
        device_changes: u64,
    ) -> Self {
        let full = u32::try_from(notices.len()).is_ok_and(|found| found >= Self::NOTICES_MAX);
        let sequence = notices.last().filter(|_| full).map_or(last, |notice| notice.sequence).max(mark.sequence);
        let seen = key_events.last().map_or(mark.key_events, |event| event.sequence);
        let through = TailMark { sequence, key_events: seen, device_changes };
        Self { notices, key_events, devices, through, is_whole: sequence >= last }
    }
}

/// Who asked for money behind a sequence, by any replica, this one included: what was approved, and notices of some kinds.
///
/// It is read apart from the [`Tail`], in parts of their own: whoever is far behind hears of stops first, however much was approved meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptsPart {
    /// Each withdrawal as it stands now, with its first step, the approval, whose seal was checked; in the order of these.
    pub approved: Vec<(WithdrawalSummary, StoredStep)>,
    /// The notices, in their sequence.
    pub notices: Vec<StoredNotice>,
    /// The sequence to go on from.
    pub through: Sequence,
    /// Whether this is all that was written when it was read.
    pub is_whole: bool,
}

impl AttemptsPart {
    /// How many steps and notices one part looks at, whatever it finds among them.
    pub const LOOKED_AT_MAX: u64 = 2_000;

    /// The end of the part behind `after`, in a ledger that ends at `last`.
    pub(crate) fn end(after: Sequence, last: Sequence) -> Sequence {
        Sequence(after.0.saturating_add(Self::LOOKED_AT_MAX)).min(last).max(after)
    }
}
