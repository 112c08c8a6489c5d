//! The questions, each in one read transaction.

use cashgate_withdrawal::ids::{AtmId, InstitutionId, Nonce, WithdrawalId};
use cashgate_withdrawal::time::Timestamp;

use super::append::last_sequence;
use super::{approvals, feed, key_events, notices, publications, queries, verify};
use crate::approvals::ApprovedRow;
use crate::claim::LimitKey;
use crate::devices::{self, DeviceRow};
use crate::error::ReadError;
use crate::feed::FeedEntry;
use crate::key_events::StoredKeyEvent;
use crate::notices::StoredNotice;
use crate::publications::StoredPublication;
use crate::reads::{Judged, JudgedAt, PlacedRecord, Reads, Whole};
use crate::records::{Remarks, Sequence, StateCount, StoredStep, WithdrawalFilter, WithdrawalSummary};
use crate::sqlite::SqliteReader;
use crate::tail::{AttemptsPart, Tail, TailMark};

impl Reads for SqliteReader {
    fn open_withdrawals(&self, atm: Option<&AtmId>) -> Result<Vec<Whole>, ReadError> {
        self.read(|connection| queries::open_withdrawals(connection, atm))
    }

    fn withdrawal(&self, id: WithdrawalId) -> Result<Option<Whole>, ReadError> {
        self.read(|connection| queries::withdrawal(connection, id))
    }

    fn withdrawal_of_nonce(&self, nonce: Nonce) -> Result<Option<WithdrawalId>, ReadError> {
        self.read(|connection| queries::withdrawal_of_nonce(connection, nonce))
    }

    fn list(
        &self,
        filter: &WithdrawalFilter,
        before: Option<WithdrawalId>,
        limit: u32,
    ) -> Result<Vec<WithdrawalSummary>, ReadError> {
        self.read(|connection| queries::list(connection, filter, before, limit))
    }

    fn last_sequence(&self) -> Result<Sequence, ReadError> {
        self.read(|connection| last_sequence(connection).map_err(|error| ReadError::storage(&error)))
    }

    fn counts_by_state(&self, open_only: bool) -> Result<Vec<StateCount>, ReadError> {
        self.read(|connection| queries::counts_by_state(connection, open_only))
    }

    fn remarks(&self, id: WithdrawalId) -> Result<Remarks, ReadError> {
        self.read(|connection| queries::remarks(connection, id))
    }

    fn notices_of(&self, kinds: &[&str], since: Timestamp) -> Result<Vec<StoredNotice>, ReadError> {
        self.read(|connection| notices::of(connection, kinds, since))
    }

    fn devices(&self) -> Result<Vec<DeviceRow>, ReadError> {
        let sql = "SELECT * FROM devices ORDER BY institution, device";
        self.read(|connection| queries::rows(connection, sql, [], |row| devices::device(row)))
    }

    fn key_events(&self) -> Result<Vec<Judged<StoredKeyEvent>>, ReadError> {
        self.read(key_events::judged)
    }

    fn publications(&self) -> Result<Vec<Judged<StoredPublication>>, ReadError> {
        self.read(publications::judged)
    }

    fn publication_body(&self, number: u64) -> Result<Option<Vec<u8>>, ReadError> {
        self.read(|connection| publications::body(connection, number))
    }

    fn feed(
        &self,
        after: Sequence,
        span: u64,
        institution: Option<&InstitutionId>,
        limit: u32,
    ) -> Result<(Vec<FeedEntry>, Sequence), ReadError> {
        self.read(|connection| {
            let last = last_sequence(connection).map_err(|error| ReadError::storage(&error))?;
            let end = Sequence(after.0.saturating_add(span)).min(last);
            Ok((feed::entries(connection, after, end, institution, limit)?, end))
        })
    }

    fn approved_after(&self, after: &str, since: Timestamp) -> Result<Vec<ApprovedRow>, ReadError> {
        self.read(|connection| approvals::approved_after(connection, after, since))
    }

    fn first_steps_after(
        &self,
        after: &str,
        since: Timestamp,
    ) -> Result<Vec<(WithdrawalSummary, StoredStep)>, ReadError> {
        self.read(|connection| approvals::first_steps_after(connection, after, since))
    }

    fn approved_of(&self, key: &LimitKey, since: Timestamp) -> Result<(Vec<ApprovedRow>, u64), ReadError> {
        self.read(|connection| approvals::approved_of(connection, key, since)).map(|rows| (rows, 0))
    }

    fn tail_mark(&self) -> Result<TailMark, ReadError> {
        self.read(|connection| {
            let sequence = last_sequence(connection).map_err(|error| ReadError::storage(&error))?;
            Ok(TailMark { sequence, key_events: key_events::count(connection)?, device_changes: 0 })
        })
    }

    /// Phones are not told: of one process, its own memory knows them.
    fn tail_after(&self, mark: &TailMark) -> Result<Tail, ReadError> {
        self.read(|connection| {
            let notices = notices::after(connection, mark.sequence, Tail::NOTICES_MAX)?;
            let last = last_sequence(connection).map_err(|error| ReadError::storage(&error))?;
            let mut events = key_events::judged(connection)?;
            let seen = usize::try_from(mark.key_events).unwrap_or(usize::MAX).min(events.len());
            let key_events: Vec<StoredKeyEvent> =
                events.drain(seen..).collect::<Result<_, _>>().map_err(ReadError::Damaged)?;
            Ok(Tail::of(mark, last, notices, key_events, Vec::new(), 0))
        })
    }

    fn attempts_after(&self, after: Sequence, kinds: &[&str]) -> Result<AttemptsPart, ReadError> {
        self.read(|connection| {
            let last = last_sequence(connection).map_err(|error| ReadError::storage(&error))?;
            let through = AttemptsPart::end(after, last);
            let approved = approvals::first_steps_of_span(connection, after, through)?;
            let mut notices = notices::of_span(connection, after, through)?;
            notices.retain(|notice| kinds.contains(&notice.kind.as_str()));
            Ok(AttemptsPart { approved, notices, through, is_whole: through >= last })
        })
    }

    fn end_of_records(&self) -> Result<Sequence, ReadError> {
        self.last_sequence()
    }

    fn structure(&self) -> Result<Vec<String>, ReadError> {
        self.read(verify::structure)
    }

    fn order_part(&self, seen: Sequence, last: Sequence) -> Result<Vec<PlacedRecord>, ReadError> {
        self.read(|connection| verify::order_part(connection, seen, last))
    }

    fn places_after(&self, place: &str) -> Result<Vec<String>, ReadError> {
        self.read(|connection| verify::places_after(connection, place))
    }

    fn whole_at(&self, place: &str) -> Result<Option<Whole>, ReadError> {
        self.read(|connection| verify::whole_at(connection, place))
    }

    fn nonces_claimed_twice(&self) -> Result<Vec<(String, u64)>, ReadError> {
        self.read(verify::nonces_claimed_twice)
    }

    fn devices_after(&self, seen: &(String, String)) -> JudgedAt<(String, String)> {
        self.read(|connection| verify::devices_after(connection, seen))
    }

    fn remarks_after(&self, seen: &(String, i64)) -> JudgedAt<(String, i64)> {
        self.read(|connection| verify::remarks_after(connection, seen))
    }

    fn remarks_left_out(&self) -> Result<Vec<Judged<()>>, ReadError> {
        self.read(verify::remarks_left_out)
    }

    fn without_withdrawal(&self, table: &'static str) -> Result<Vec<String>, ReadError> {
        self.read(|connection| verify::without_withdrawal(connection, table))
    }
}
