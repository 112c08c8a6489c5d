//! What a store can be asked, and what both do alike with its answers.

use cashgate_withdrawal::ids::{AtmId, InstitutionId, Nonce, WithdrawalId};
use cashgate_withdrawal::time::Timestamp;

use crate::approvals::ApprovedRow;
use crate::claim::LimitKey;
use crate::damage::Damage;
use crate::devices::DeviceRow;
use crate::error::ReadError;
use crate::feed::FeedEntry;
use crate::key_events::StoredKeyEvent;
use crate::notices::StoredNotice;
use crate::publications::StoredPublication;
use crate::records::{Remarks, Sequence, StateCount, StoredStep, WithdrawalFilter, WithdrawalSummary};
use crate::tail::{AttemptsPart, Tail, TailMark};

/// How many withdrawals are read at a time.
pub(crate) const PART: u32 = 1_000;

/// A withdrawal and its steps, which fit together.
pub(crate) type Whole = (WithdrawalSummary, Vec<StoredStep>);

/// What was found of one record, or what is wrong with it; only what cannot be read at all is an error.
pub(crate) type Judged<T> = Result<T, Damage>;

/// The reading side of a store. Blocking; each call sees one moment of the ledger.
pub(crate) trait Reads: Send + Sync {
    /// All that are open, or those of one ATM, in the order of their ids.
    fn open_withdrawals(&self, atm: Option<&AtmId>) -> Result<Vec<Whole>, ReadError>;
    fn withdrawal(&self, id: WithdrawalId) -> Result<Option<Whole>, ReadError>;
    fn withdrawal_of_nonce(&self, nonce: Nonce) -> Result<Option<WithdrawalId>, ReadError>;
    /// Newest first, below `before`.
    fn list(
        &self,
        filter: &WithdrawalFilter,
        before: Option<WithdrawalId>,
        limit: u32,
    ) -> Result<Vec<WithdrawalSummary>, ReadError>;
    fn last_sequence(&self) -> Result<Sequence, ReadError>;
    fn counts_by_state(&self, open_only: bool) -> Result<Vec<StateCount>, ReadError>;
    fn remarks(&self, id: WithdrawalId) -> Result<Remarks, ReadError>;
    fn notices_of(&self, kinds: &[&str], since: Timestamp) -> Result<Vec<StoredNotice>, ReadError>;
    fn devices(&self) -> Result<Vec<DeviceRow>, ReadError>;
    fn key_events(&self) -> Result<Vec<Judged<StoredKeyEvent>>, ReadError>;
    /// All of them, without their bodies.
    fn publications(&self) -> Result<Vec<Judged<StoredPublication>>, ReadError>;
    /// A publication's body, whatever it is; `None` if there is no such publication.
    fn publication_body(&self, number: u64) -> Result<Option<Vec<u8>>, ReadError>;
    /// The first `limit` entries after `after` and up to the end, which is the second value and lies at most `span` behind it.
    fn feed(
        &self,
        after: Sequence,
        span: u64,
        institution: Option<&InstitutionId>,
        limit: u32,
    ) -> Result<(Vec<FeedEntry>, Sequence), ReadError>;
    /// The next [`PART`] withdrawals behind an id, of those approved at `since` or later.
    fn approved_after(&self, after: &str, since: Timestamp) -> Result<Vec<ApprovedRow>, ReadError>;
    fn first_steps_after(
        &self,
        after: &str,
        since: Timestamp,
    ) -> Result<Vec<(WithdrawalSummary, StoredStep)>, ReadError>;
    /// What counts for one limit entry, in the order of approval, and the version that it then has.
    fn approved_of(&self, key: &LimitKey, since: Timestamp) -> Result<(Vec<ApprovedRow>, u64), ReadError>;
    fn tail_mark(&self) -> Result<TailMark, ReadError>;
    fn tail_after(&self, mark: &TailMark) -> Result<Tail, ReadError>;
    fn attempts_after(&self, after: Sequence, kinds: &[&str]) -> Result<AttemptsPart, ReadError>;

    // For the check of the whole ledger. A place is where a row is found, whatever damage did to its columns; the first lies behind "".

    /// The last sequence, or that of the last record if damage put one behind it.
    fn end_of_records(&self) -> Result<Sequence, ReadError>;
    /// What is wrong with the file or database as a whole, as far as the engine can tell.
    fn structure(&self) -> Result<Vec<String>, ReadError>;
    /// The next steps and notices behind `seen` and up to `last`, in their order.
    fn order_part(&self, seen: Sequence, last: Sequence) -> Result<Vec<PlacedRecord>, ReadError>;
    fn places_after(&self, place: &str) -> Result<Vec<String>, ReadError>;
    fn whole_at(&self, place: &str) -> Result<Option<Whole>, ReadError>;
    /// Nonces in hexadecimal, and how many withdrawals claim each.
    fn nonces_claimed_twice(&self) -> Result<Vec<(String, u64)>, ReadError>;
    fn devices_after(&self, seen: &(String, String)) -> JudgedAt<(String, String)>;
    fn remarks_after(&self, seen: &(String, i64)) -> JudgedAt<(String, i64)>;
    fn remarks_left_out(&self) -> Result<Vec<Judged<()>>, ReadError>;
    /// The withdrawals that rows of a table (`remarks`, `remarks_left_out`) are about and that have no row.
    fn without_withdrawal(&self, table: &'static str) -> Result<Vec<String>, ReadError>;
}

/// Rows that were looked at, by their keys.
pub(crate) type JudgedAt<Key> = Result<Vec<(Key, Judged<()>)>, ReadError>;

/// A record where it was found, or what is wrong with it.
pub(crate) struct PlacedRecord {
    pub(crate) sequence: Sequence,
    pub(crate) record: Record,
}

pub(crate) enum Record {
    Step { has_row: bool, step: Judged<StoredStep> },
    Notice(Judged<()>),
}

/// What is damaged is handed on as a finding; only what cannot be read at all ends a check.
pub(crate) fn judged<T>(read: Result<T, ReadError>) -> Result<Judged<T>, ReadError> {
    match read {
        Ok(value) => Ok(Ok(value)),
        Err(ReadError::Damaged(damage)) => Ok(Err(damage)),
        Err(other) => Err(other),
    }
}

/// How far an id's moment and that of its approval may lie apart, in milliseconds: a day.
const ID_MARGIN_MS: u64 = 24 * 3_600 * 1_000;

/// A text below every id that was made for an approval at `since` or later.
pub(crate) fn before_ids_of(since: Timestamp) -> String {
    let from_ms = since.unix_ms().saturating_sub(ID_MARGIN_MS);
    format!("{:08x}-{:04x}-", (from_ms >> 16) & 0xffff_ffff, from_ms & 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_moment_lie_above_the_text_for_it_and_those_of_two_days_before_below() {
        let day = 24 * 3_600 * 1_000;
        let id_at = |ms: u64| WithdrawalId::from_bytes((u128::from(ms) << 80).to_be_bytes()).to_string();
        for moment in [2 * day, 1_752_885_361_690, 0xffff_ffff_ffff] {
            let text = before_ids_of(Timestamp::from_unix_ms(moment));
            assert!(id_at(moment) > text && id_at(moment - day) > text, "{text}");
            assert!(id_at(moment - day - 1) < text, "{text}");
        }
        assert!(id_at(0) > before_ids_of(Timestamp::from_unix_ms(0)));
    }
}
