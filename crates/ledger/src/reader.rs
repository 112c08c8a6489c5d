//! The reading side, over either store.

use std::path::Path;
use std::sync::Arc;

use cashgate_withdrawal::ids::{AtmId, InstitutionId, Nonce, WithdrawalId};
use cashgate_withdrawal::time::Timestamp;

use crate::approvals::ApprovedRow;
use crate::claim::LimitKey;
use crate::devices::DeviceRow;
use crate::error::ReadError;
use crate::feed::{ENTRIES_LOOKED_AT_MAX, FeedPage, check_no_gap};
use crate::key_events::StoredKeyEvent;
use crate::notices::StoredNotice;
use crate::open_error::LedgerOpenError;
use crate::options::PostgresOptions;
use crate::postgres::PostgresReader;
use crate::publications::{self, StoredPublication};
use crate::reads::{PART, Reads, before_ids_of};
use crate::records::{Remarks, Sequence, StateCount, StoredStep, WithdrawalFilter, WithdrawalPage, WithdrawalSummary};
use crate::sqlite::SqliteReader;
use crate::tail::{AttemptsPart, Tail, TailMark};

/// The most withdrawals in a page, and the most entries in a part of the feed.
pub const PAGE_SIZE_MAX: u32 = 1000;

/// Reads a ledger, in the process that writes it or in another. Clones share the connections.
///
/// Every read is blocking and sees one moment of the ledger. Async callers move a clone into `tokio::task::spawn_blocking`.
#[derive(Clone)]
pub struct LedgerReader {
    store: Arc<dyn Reads>,
}

impl LedgerReader {
    /// Opens an existing ledger file for reading alone, also while a gateway writes it. At most `connections` reads run at once.
    ///
    /// # Errors
    ///
    /// [`LedgerOpenError`], when there is no such file or it is not a ledger that this program knows.
    pub fn open(path: impl AsRef<Path>, connections: usize) -> Result<Self, LedgerOpenError> {
        SqliteReader::open(path.as_ref(), connections).map(Self::over)
    }

    /// The same for a ledger on PostgreSQL. Registers no replica and changes nothing. Blocking.
    ///
    /// # Errors
    ///
    /// [`LedgerOpenError`], when it cannot be reached or has a schema that this program does not know.
    pub fn connect(options: &PostgresOptions) -> Result<Self, LedgerOpenError> {
        PostgresReader::connect(options).map(Self::over)
    }

    pub(crate) fn over(store: impl Reads + 'static) -> Self {
        Self { store: Arc::new(store) }
    }

    pub(crate) fn store(&self) -> &dyn Reads {
        self.store.as_ref()
    }

    /// All open withdrawals with all their steps, in the order of their ids: what recovery replays. The cost grows with what is open,
    /// not with history.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every query here.
    pub fn open_withdrawals(&self) -> Result<Vec<(WithdrawalSummary, Vec<StoredStep>)>, ReadError> {
        self.store.open_withdrawals(None)
    }

    /// The same of one ATM: what whoever adopts its lane replays.
    pub fn open_withdrawals_of(&self, atm: &AtmId) -> Result<Vec<(WithdrawalSummary, Vec<StoredStep>)>, ReadError> {
        self.store.open_withdrawals(Some(atm))
    }

    /// One withdrawal with its whole history, or `None` if there is no such.
    pub fn withdrawal(&self, id: WithdrawalId) -> Result<Option<(WithdrawalSummary, Vec<StoredStep>)>, ReadError> {
        self.store.withdrawal(id)
    }

    /// The withdrawal that claimed a nonce, or `None` if nobody has.
    pub fn withdrawal_of_nonce(&self, nonce: Nonce) -> Result<Option<WithdrawalId>, ReadError> {
        self.store.withdrawal_of_nonce(nonce)
    }

    /// Withdrawals that pass `filter`, newest first, starting below `before`; at most `size` of them (1 to [`PAGE_SIZE_MAX`]; what is
    /// outside is brought to the nearer end).
    ///
    /// Without `open_only`, a rare ATM or account is found by walking through history: fine for a person, not for a loop.
    pub fn list(
        &self,
        filter: &WithdrawalFilter,
        before: Option<WithdrawalId>,
        size: u32,
    ) -> Result<WithdrawalPage, ReadError> {
        let size = size.clamp(1, PAGE_SIZE_MAX);
        // One more than asked for is read, only to know whether there is more.
        let mut withdrawals = self.store.list(filter, before, size + 1)?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let more = withdrawals.len() > size;
        withdrawals.truncate(size);
        let next = withdrawals.last().filter(|_| more).map(|last| last.id);
        Ok(WithdrawalPage { withdrawals, next })
    }

    /// The sequence of the last step or notice there is.
    pub fn last_sequence(&self) -> Result<Sequence, ReadError> {
        self.store.last_sequence()
    }

    /// How many withdrawals stand in each state. Walks through all of history, and counts only: no row is checked.
    pub fn counts_by_state(&self) -> Result<Vec<StateCount>, ReadError> {
        self.store.counts_by_state(false)
    }

    /// How many open withdrawals stand in each state. The cost grows with what is open: fit for a metric. Counts only: no row is
    /// checked.
    pub fn open_counts_by_state(&self) -> Result<Vec<StateCount>, ReadError> {
        self.store.counts_by_state(true)
    }

    /// The remarks about one withdrawal: what was said about it without changing it. None for a withdrawal that is not known.
    pub fn remarks(&self, id: WithdrawalId) -> Result<Remarks, ReadError> {
        self.store.remarks(id)
    }

    /// The notices of some kinds that happened at `since` or later, in their sequence: what a start rebuilds stops and counts from. The
    /// cost grows with how many those are, not with history.
    pub fn notices_of(&self, kinds: &[&str], since: Timestamp) -> Result<Vec<StoredNotice>, ReadError> {
        let mut found = self.store.notices_of(kinds, since)?;
        found.sort_unstable_by_key(|notice| notice.sequence);
        Ok(found)
    }

    /// All phones, the revoked ones included, by institution and name.
    pub fn devices(&self) -> Result<Vec<DeviceRow>, ReadError> {
        self.store.devices()
    }

    /// Everything that happened to signing keys, oldest first, checked against its seals. The whole of it: there are a few events a year.
    pub fn key_events(&self) -> Result<Vec<StoredKeyEvent>, ReadError> {
        self.store.key_events()?.into_iter().collect::<Result<_, _>>().map_err(ReadError::Damaged)
    }

    /// Every publication of rules and limits, oldest first, checked against the seals; without the bodies. There are a few a month.
    pub fn publications(&self) -> Result<Vec<StoredPublication>, ReadError> {
        self.store.publications()?.into_iter().collect::<Result<_, _>>().map_err(ReadError::Damaged)
    }

    /// A publication and its body, both checked; `None` if there is no such.
    pub fn publication(&self, number: u64) -> Result<Option<(StoredPublication, Vec<u8>)>, ReadError> {
        let found = self.publications()?.into_iter().find(|one| one.number == number);
        found.map(|found| self.with_body(found)).transpose()
    }

    /// The latest publication; `None` if there is none.
    pub fn latest_publication(&self) -> Result<Option<(StoredPublication, Vec<u8>)>, ReadError> {
        self.publications()?.pop().map(|found| self.with_body(found)).transpose()
    }

    fn with_body(&self, found: StoredPublication) -> Result<(StoredPublication, Vec<u8>), ReadError> {
        // Nothing is ever deleted: one that is gone by now was damage.
        let body = self.store.publication_body(found.number)?.unwrap_or_default();
        publications::check_body(&found, &body).map_err(ReadError::Damaged)?;
        Ok((found, body))
    }

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
        // Sequences have no gaps, so a span of them is a number of entries.
        let (entries, end) = self.store.feed(after, ENTRIES_LOOKED_AT_MAX, institution, limit)?;
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
    }

    /// Every withdrawal that was approved at `since` or later, open or ended, in the order of their ids, which is that of time. Returns how
    /// many there were. The cost grows with what was approved since, not with history. What is read lies in parts, and nothing is held
    /// between them: the caller may take its time, and memory does not grow with the answer.
    ///
    /// What changes meanwhile is seen as it was when its part was read.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every query; `each` has then seen what lies before.
    pub fn for_each_approved_since(
        &self,
        since: Timestamp,
        each: &mut dyn FnMut(ApprovedRow),
    ) -> Result<u64, ReadError> {
        in_parts(since, |after| self.store.approved_after(after, since), |row| row.withdrawal, each)
    }

    /// The same withdrawals with the first step of each, the approval, of which the seal is checked.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every query; `each` has then seen what lies before.
    pub fn for_each_first_step_since(
        &self,
        since: Timestamp,
        each: &mut dyn FnMut(WithdrawalSummary, StoredStep),
    ) -> Result<u64, ReadError> {
        let read = |after: &str| self.store.first_steps_after(after, since);
        in_parts(since, read, |(withdrawal, _)| withdrawal.id, &mut |(withdrawal, step)| each(withdrawal, step))
    }

    /// What counts for one limit entry: the withdrawals of that account, phone or machine that were approved at `since` or later, and those
    /// that are open, whenever they were approved; in the order of approval. Beside them the entry's version in the same moment, 0 if it
    /// was never raised (on a ledger of one process, always).
    pub fn approved_of(&self, key: &LimitKey, since: Timestamp) -> Result<(Vec<ApprovedRow>, u64), ReadError> {
        self.store.approved_of(key, since)
    }

    /// How far the ledger is now. Take it before reading what is kept in memory, and go on from it with [`LedgerReader::tail_after`].
    pub fn tail_mark(&self) -> Result<TailMark, ReadError> {
        self.store.tail_mark()
    }

    /// Notices, key events and phones that were written behind a mark, by any replica.
    pub fn tail_after(&self, mark: &TailMark) -> Result<Tail, ReadError> {
        self.store.tail_after(mark)
    }

    /// What was approved behind a sequence, and the notices of some kinds, by any replica. One call looks at
    /// [`AttemptsPart::LOOKED_AT_MAX`] steps and notices at most; ask again while it is not whole.
    pub fn attempts_after(&self, after: Sequence, kinds: &[&str]) -> Result<AttemptsPart, ReadError> {
        self.store.attempts_after(after, kinds)
    }
}

fn in_parts<T>(
    since: Timestamp,
    read: impl Fn(&str) -> Result<Vec<T>, ReadError>,
    id: impl Fn(&T) -> WithdrawalId,
    each: &mut dyn FnMut(T),
) -> Result<u64, ReadError> {
    let (mut after, mut count) = (before_ids_of(since), 0_u64);
    loop {
        let part = read(&after)?;
        let Some(last) = part.last() else { return Ok(count) };
        after = id(last).to_string();
        let more = u32::try_from(part.len()).is_ok_and(|found| found >= PART);
        for one in part {
            count += 1;
            each(one);
        }
        if !more {
            return Ok(count);
        }
    }
}
