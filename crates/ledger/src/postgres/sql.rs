//! The statements of the reading side.

use std::sync::LazyLock;

use crate::claim::LimitKey;
use crate::records::WithdrawalFilter;
use crate::table::Table;

/// `SELECT` with a table's columns in their order, which the views and the added columns need not have.
fn select(table: Table, prefix: &str) -> String {
    let columns: Vec<String> = table
        .columns()
        .iter()
        .filter(|column| **column != "previous_seal")
        .map(|column| format!("{prefix}{column}"))
        .collect();
    format!("SELECT {}", columns.join(", "))
}

macro_rules! statements {
    ($($name:ident: $table:ident $prefix:literal $rest:literal;)*) => { $(
        pub(super) static $name: LazyLock<String> =
            LazyLock::new(|| format!("{} {}", select(Table::$table, $prefix), $rest));
    )* };
}

statements! {
    OPEN: Withdrawals "" "FROM withdrawals WHERE open = 1 ORDER BY id";
    OPEN_OF_ATM: Withdrawals "" "FROM withdrawals WHERE open = 1 AND atm = $1 ORDER BY id";
    STEPS_OF_OPEN: Steps "s." "FROM withdrawals w JOIN steps s ON s.withdrawal = w.id WHERE w.open = 1 ORDER BY s.withdrawal, s.number";
    STEPS_OF_OPEN_OF_ATM: Steps "s." "FROM withdrawals w JOIN steps s ON s.withdrawal = w.id
        WHERE w.open = 1 AND w.atm = $1 ORDER BY s.withdrawal, s.number";
    WITHDRAWAL: Withdrawals "" "FROM every_withdrawal WHERE id = $1";
    OF_NONCE: Withdrawals "" "FROM every_withdrawal WHERE nonce = $1";
    STEPS_OF: Steps "" "FROM every_step WHERE withdrawal = $1 ORDER BY number";
    FIRST_STEP: Steps "" "FROM every_step WHERE withdrawal = $1 AND number = 1";
    REMARKS_OF: Remarks "" "FROM every_remark WHERE withdrawal = $1 ORDER BY number";
    LEFT_OUT_OF: RemarksLeftOut "" "FROM remarks_left_out WHERE withdrawal = $1";
    LEFT_OUT: RemarksLeftOut "" "FROM remarks_left_out";
    NOTICES_OF: Notices "" "FROM notices WHERE kind = ANY ($1) AND at_ms >= $2";
    NOTICES_AFTER: Notices "" "FROM notices WHERE sequence > $1 ORDER BY sequence LIMIT $2";
    NOTICES_OF_SPAN: Notices "" "FROM notices WHERE sequence > $1 AND sequence <= $2
        AND ($3::text IS NULL OR institution IS NULL OR institution = $3) ORDER BY sequence LIMIT $4";
    DEVICES: Devices "" "FROM devices ORDER BY institution, device";
    DEVICES_CHANGED: Devices "" "FROM devices WHERE change > $1 ORDER BY change";
    DEVICES_AFTER: Devices "" "FROM devices WHERE (institution, device) > ($1, $2) ORDER BY institution, device LIMIT $3";
    PUBLICATIONS: Publications "" "FROM publications ORDER BY number";
    KEY_EVENTS: KeyEvents "" "FROM key_events ORDER BY sequence";
    REMARKS_AFTER: Remarks "" "FROM every_remark WHERE (withdrawal, number) > ($1, $2) ORDER BY withdrawal, number LIMIT $3";
    FIRST_STEPS_OF_SPAN: Steps "" "FROM every_step WHERE sequence > $1 AND sequence <= $2 AND number = 1 ORDER BY sequence";
    WITHDRAWALS: Withdrawals "" "FROM every_withdrawal WHERE id = ANY ($1)";
    NOTICES_OF_SPAN_AND_KINDS: Notices "" "FROM notices WHERE sequence > $1 AND sequence <= $2 AND kind = ANY ($3) ORDER BY sequence";
    APPROVED_AFTER: Withdrawals "" "FROM withdrawals WHERE id > $1 AND approved_at_ms >= $2 ORDER BY id LIMIT $3";
}

const PREVIOUS_SEAL: &str = "(SELECT p.seal FROM steps p WHERE p.withdrawal = s.withdrawal AND p.number = s.number - 1
    UNION ALL SELECT p.seal FROM archived_steps p WHERE p.withdrawal = s.withdrawal AND p.number = s.number - 1
    LIMIT 1) AS previous_seal";

/// With the seal of the withdrawal's step before, without which no seal can be checked. It must come before in the order as well: seals do not say.
pub(super) static STEPS_OF_SPAN: LazyLock<String> = LazyLock::new(|| {
    let earlier =
        PREVIOUS_SEAL.replace("p.number = s.number - 1", "p.number = s.number - 1 AND p.sequence < s.sequence");
    format!(
        "{}, {earlier} FROM every_step s WHERE s.sequence > $1 AND s.sequence <= $2
            AND ($3::text IS NULL OR s.institution = $3) ORDER BY s.sequence LIMIT $4",
        select(Table::Steps, "s.")
    )
});

/// The same, with whether their withdrawals have a row.
pub(super) static STEPS_TO_CHECK: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{}, {PREVIOUS_SEAL}, EXISTS (SELECT 1 FROM every_withdrawal w WHERE w.id = s.withdrawal) AS has_row
            FROM every_step s WHERE s.sequence > $1 AND s.sequence <= $2 ORDER BY s.sequence",
        select(Table::Steps, "s.")
    )
});

pub(super) const END_OF_PART: &str = "SELECT max(sequence) FROM (
    (SELECT sequence FROM every_step WHERE sequence > $1 AND sequence <= $2 ORDER BY 1 LIMIT $3)
    UNION ALL (SELECT sequence FROM notices WHERE sequence > $1 AND sequence <= $2 ORDER BY 1 LIMIT $3) ORDER BY 1 LIMIT $3) part";

pub(super) const COUNTS: &str = "SELECT state, open, count(*) FROM every_withdrawal GROUP BY 1, 2 ORDER BY 1, 2";
pub(super) const OPEN_COUNTS: &str =
    "SELECT state, open, count(*) FROM withdrawals WHERE open = 1 GROUP BY 1, 2 ORDER BY 1, 2";

/// What counts for an entry: what was approved since then, and what is open. Archived ones are older than any limit reaches.
pub(super) fn approved_of(key: &LimitKey) -> String {
    let columns = select(Table::Withdrawals, "");
    let found = match key {
        LimitKey::Account(..) => {
            "withdrawals WHERE account = $3 AND institution = $2 AND (approved_at_ms >= $1 OR open = 1)"
        }
        LimitKey::Device(..) => {
            "withdrawals WHERE device = $3 AND institution = $2 AND (approved_at_ms >= $1 OR open = 1)"
        }
        // A machine's history is long: each half of it by the index.
        LimitKey::Atm(_) => {
            "(SELECT * FROM withdrawals WHERE open = 1 AND atm = $2 AND $3::text IS NULL
            UNION ALL SELECT * FROM withdrawals WHERE open = 0 AND atm = $2 AND approved_at_ms >= $1) found"
        }
    };
    format!("{columns} FROM {found} ORDER BY approved_at_ms, id")
}

/// A list's statement; its values are the filter's, in the order in which it names them. Only what is asked for stands in it.
pub(super) fn listing(filter: &WithdrawalFilter, below: bool, limit: u32) -> String {
    let asked = [
        (below, "id < "),
        (filter.institution.is_some(), "institution = "),
        (filter.atm.is_some(), "open IN (0, 1) AND atm = "), // As its index has them.
        (filter.account.is_some(), "account = "),
        (filter.state.is_some(), "state = "),
    ];
    let mut conditions: Vec<String> = vec!["true".to_owned()];
    let given = asked.iter().filter(|(given, _)| *given).map(|(_, condition)| condition);
    conditions.extend(given.zip(1..).map(|(condition, place)| format!("{condition}${place}")));
    let from = if filter.open_only { "withdrawals" } else { "every_withdrawal" };
    if filter.open_only {
        conditions.push("open = 1".to_owned());
    }
    let columns = select(Table::Withdrawals, "");
    format!("{columns} FROM {from} WHERE {} ORDER BY id DESC LIMIT {limit}", conditions.join(" AND "))
}
