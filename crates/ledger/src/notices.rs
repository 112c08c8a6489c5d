//! Notices: what happened beside the steps of withdrawals, durable and in one sequence with them.
//!
//! A notice has no chain of its own. Its check covers its sequence, and the sequence over steps and notices has no gap: so none can be
//! changed, moved or lost unseen, but for the very last ones.

use cashgate_withdrawal::ids::InstitutionId;
use cashgate_withdrawal::time::Timestamp;

use crate::cells::Cells;
use crate::columns::{Columns, signed};
use crate::error::ReadError;
use crate::records::Sequence;
use crate::row_check::{RowCheck, RowColumns};
use crate::table::Table;

/// Something that happened and is no step of a withdrawal: a phone registered or revoked, an approval refused, a stop, an alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// When.
    pub at: Timestamp,
    /// What, in a word in `snake_case`, for people who read SQL. Not empty.
    pub kind: &'static str,
    /// Whose matter it is. `None`: it concerns the whole gateway, and every institution sees it.
    pub institution: Option<InstitutionId>,
    /// The notice itself, opaque to the ledger. At most [`Notice::BODY_BYTES_MAX`].
    pub body: Vec<u8>,
}

impl Notice {
    /// The longest body, in bytes.
    pub const BODY_BYTES_MAX: usize = 8 * 1024;

    /// Its columns behind the sequence.
    pub(crate) fn add_to(&self, columns: &mut RowColumns) {
        let Self { at, kind, institution, body } = self;
        columns.integer(signed(at.unix_ms())).text(kind);
        columns.text_or_null(institution.as_ref().map(InstitutionId::as_str)).blob(body);
    }
}

/// A notice as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredNotice {
    /// Its place among all steps and notices.
    pub sequence: Sequence,
    /// When it happened.
    pub at: Timestamp,
    /// What happened, in a word.
    pub kind: String,
    /// Whose matter it is; `None` if everyone's.
    pub institution: Option<InstitutionId>,
    /// The notice itself, as it was recorded.
    pub body: Vec<u8>,
    /// Over all of the above.
    pub row_check: RowCheck,
}

impl RowCheck {
    /// The check of the row that `notice` gets at `sequence`.
    #[must_use]
    pub fn of_notice(sequence: Sequence, notice: &Notice) -> Self {
        let mut columns = RowColumns::of_notices();
        columns.integer(signed(sequence.0));
        notice.add_to(&mut columns);
        columns.check()
    }
}

/// Reads a row of `notices`.
pub(crate) fn notice(row: &impl Cells) -> Result<StoredNotice, ReadError> {
    let columns = Columns::checked(row, Table::Notices, RowColumns::of_notices())?;
    Ok(StoredNotice {
        sequence: Sequence(columns.unsigned("sequence")?),
        at: columns.timestamp("at_ms")?,
        kind: columns.value("kind")?,
        institution: if columns.is_null("institution")? { None } else { Some(columns.parsed("institution")?) },
        body: columns.value("body")?,
        row_check: RowCheck::from_bytes(columns.value("row_check")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by a few lines of another language: a change here breaks every ledger there is.
    #[test]
    fn row_checks_are_made_as_described() {
        let notice = Notice {
            at: Timestamp::from_unix_ms(1_752_885_361_690),
            kind: "device_registered",
            institution: "aozora".parse().ok(),
            body: vec![1, 2, 3],
        };
        assert_eq!(
            RowCheck::of_notice(Sequence(7), &notice).as_bytes(),
            &0xd7f1_8543_ae9e_2c8a_06b3_4436_9eb9_aa13_u128.to_be_bytes()
        );
        let everyones = Notice { institution: None, ..notice };
        assert_eq!(
            RowCheck::of_notice(Sequence(7), &everyones).as_bytes(),
            &0xb9ad_5712_8f82_ba65_f625_6269_af26_3312_u128.to_be_bytes()
        );
    }
}
