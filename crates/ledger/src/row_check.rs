//! The check of one row over itself: whoever reads a row without its steps (limits, phones, lists) still sees whether it was changed.

use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::time::Timestamp;

use crate::columns::{signed, signed_money};
use crate::records::{StoredRemark, WithdrawalRow, WithdrawalSummary};
use crate::seal::{Seal, extend_with_length, sha256};

/// Each stands first in what is hashed, so that a row of one table is never taken for one of another.
const WITHDRAWAL_DOMAIN: &[u8] = b"cashgate ledger withdrawal row 1\0";
const NOTICE_DOMAIN: &[u8] = b"cashgate ledger notice row 1\0";
const DEVICE_DOMAIN: &[u8] = b"cashgate ledger device row 2\0";
const DEVICE_BEFORE_DOMAIN: &[u8] = b"cashgate ledger device row 1\0";
const REMARK_DOMAIN: &[u8] = b"cashgate ledger remark row 1\0";
const LEFT_OUT_DOMAIN: &[u8] = b"cashgate ledger remarks left out row 1\0";

/// The first 16 bytes of SHA-256 over all other columns of a row, in their order: enough against damage, which does not search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowCheck([u8; 16]);

impl RowCheck {
    /// The check of a withdrawal's row, its last seal included.
    #[must_use]
    pub fn of(withdrawal: &WithdrawalSummary) -> Self {
        let WithdrawalSummary { id, row, last_step, changed_at, last_seal } = withdrawal;
        Self::of_withdrawal(&id.to_string(), row, *last_step, *changed_at, last_seal)
    }

    pub(crate) fn of_withdrawal(
        id: &str,
        row: &WithdrawalRow,
        last_step: u32,
        changed_at: Timestamp,
        last_seal: &Seal,
    ) -> Self {
        RowColumns::before_last_seal(id, row, last_step, changed_at).with_last_seal(last_seal)
    }

    /// The check of a remark's row.
    #[must_use]
    pub fn of_remark(withdrawal: WithdrawalId, remark: &StoredRemark) -> Self {
        let StoredRemark { number, at, kind, detail } = remark;
        let mut columns = RowColumns::of_remarks();
        columns.text(&withdrawal.to_string()).integer(i64::from(*number)).integer(signed(at.unix_ms()));
        columns.text(kind).text(detail);
        columns.check()
    }

    pub(crate) fn of_left_out(withdrawal: &str, count: i64) -> Self {
        RowColumns::of_remarks_left_out().text(withdrawal).integer(count).check()
    }

    /// A check that was kept as bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The check as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The columns of one row as they lie in the table: each is a byte that tells its type, then its value (text and blobs after their
/// length). So the same bytes come from the domain's values, before they are written, and from what is found in the file.
#[derive(Clone)]
pub(crate) struct RowColumns(Vec<u8>);

impl RowColumns {
    pub(crate) fn of_withdrawals() -> Self {
        Self::of(WITHDRAWAL_DOMAIN)
    }

    /// All columns of a withdrawal's row but the last seal.
    pub(crate) fn before_last_seal(id: &str, row: &WithdrawalRow, last_step: u32, changed_at: Timestamp) -> Self {
        let mut columns = Self::of_withdrawals();
        columns.text(id).text(&row.state).integer(i64::from(row.open));
        columns.text(row.institution.as_str()).text(row.account.as_str());
        columns.text(row.device.as_str()).text(row.atm.as_str());
        columns.text(&row.qr_session.to_string()).blob(&row.nonce.0);
        columns.text(row.amount.currency().as_str()).integer(signed_money(row.amount));
        columns.integer_or_null(row.dispensed.map(signed_money));
        columns.text_or_null(row.hold.as_ref().map(|hold| hold.as_str()));
        columns.integer(i64::from(row.day.0)).integer(signed(row.approved_at.unix_ms()));
        columns.text(&row.policy_version).text(&row.key_id.to_string());
        columns.integer(i64::from(last_step)).integer(signed(changed_at.unix_ms()));
        columns
    }

    /// The check of a withdrawal's row, of which these are all columns but the last seal.
    pub(crate) fn with_last_seal(mut self, last_seal: &Seal) -> RowCheck {
        self.blob(last_seal.as_bytes()).check()
    }

    /// Columns whose place in the row is not its beginning.
    pub(crate) fn part() -> Self {
        Self(Vec::new())
    }

    /// The bytes so far, for a store that adds the rest itself.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn of_notices() -> Self {
        Self::of(NOTICE_DOMAIN)
    }

    /// Those of schema 2.
    pub(crate) fn of_devices_before() -> Self {
        Self::of(DEVICE_BEFORE_DOMAIN)
    }

    pub(crate) fn of_devices() -> Self {
        Self::of(DEVICE_DOMAIN)
    }

    pub(crate) fn of_remarks() -> Self {
        Self::of(REMARK_DOMAIN)
    }

    pub(crate) fn of_remarks_left_out() -> Self {
        Self::of(LEFT_OUT_DOMAIN)
    }

    fn of(domain: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend_from_slice(domain);
        Self(bytes)
    }

    pub(crate) fn null(&mut self) -> &mut Self {
        self.0.push(0);
        self
    }

    pub(crate) fn integer(&mut self, value: i64) -> &mut Self {
        self.0.push(1);
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        self.text_bytes(value.as_bytes())
    }

    /// Text as the store hands it out, which after damage need not be UTF-8.
    pub(crate) fn text_bytes(&mut self, value: &[u8]) -> &mut Self {
        self.0.push(2);
        extend_with_length(&mut self.0, value);
        self
    }

    pub(crate) fn blob(&mut self, value: &[u8]) -> &mut Self {
        self.0.push(3);
        extend_with_length(&mut self.0, value);
        self
    }

    pub(crate) fn integer_or_null(&mut self, value: Option<i64>) -> &mut Self {
        match value {
            Some(value) => self.integer(value),
            None => self.null(),
        }
    }

    pub(crate) fn text_or_null(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(value),
            None => self.null(),
        }
    }

    pub(crate) fn check(&self) -> RowCheck {
        let hash = sha256(&self.0);
        let mut check = [0; 16];
        check.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        RowCheck(check)
    }
}
