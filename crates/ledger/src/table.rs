//! The tables: their columns in order, and how a record of each is named when it is damaged.

#[derive(Clone, Copy)]
pub(crate) enum Table {
    Withdrawals,
    Steps,
    Notices,
    Devices,
    /// As schema 2 had them, while they are carried over.
    DevicesBefore,
    Remarks,
    RemarksLeftOut,
    KeyEvents,
    /// Without the body, which stands behind these.
    Publications,
}

const WITHDRAWALS: &[&str] = &[
    "id",
    "state",
    "open",
    "institution",
    "account",
    "device",
    "atm",
    "qr_session",
    "nonce",
    "currency",
    "amount",
    "dispensed",
    "hold",
    "day",
    "approved_at_ms",
    "policy_version",
    "key_id",
    "last_step",
    "changed_at_ms",
    "last_seal",
    "row_check",
];

impl Table {
    /// Its columns in their order. Asking SQLite for a name's place costs as much as reading the value.
    pub(crate) const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Withdrawals => WITHDRAWALS,
            // The last is not the table's: the event feed's query adds it.
            Self::Steps => {
                &["sequence", "withdrawal", "number", "at_ms", "kind", "institution", "body", "seal", "previous_seal"]
            }
            Self::Notices => &["sequence", "at_ms", "kind", "institution", "body", "row_check"],
            Self::Devices => &[
                "institution",
                "device",
                "public_key",
                "key_since_ms",
                "registered_at_ms",
                "bound_at_ms",
                "channel",
                "attestation",
                "failed_attempts",
                "locked_at_ms",
                "revoked_at_ms",
                "row_check",
            ],
            Self::DevicesBefore => {
                &["institution", "device", "public_key", "registered_at_ms", "revoked_at_ms", "row_check"]
            }
            Self::Remarks => &["withdrawal", "number", "at_ms", "kind", "detail", "row_check"],
            Self::RemarksLeftOut => &["withdrawal", "count", "row_check"],
            Self::KeyEvents => &[
                "sequence",
                "at_ms",
                "actor",
                "action",
                "key_id",
                "label",
                "token_label",
                "public_key",
                "use_from_ms",
                "reason",
                "seal",
            ],
            Self::Publications => &["number", "sequence", "at_ms", "actor", "note", "version", "digest", "seal"],
        }
    }

    /// The table's name, and how a record of it is named, by what its columns show.
    pub(crate) fn record(self, shown: impl Fn(&'static str) -> String) -> (&'static str, String) {
        match self {
            Self::Withdrawals => ("withdrawals", format!("withdrawal {}", shown("id"))),
            Self::Steps => {
                let (number, withdrawal, sequence) = (shown("number"), shown("withdrawal"), shown("sequence"));
                ("steps", format!("step {number} of withdrawal {withdrawal} (sequence {sequence})"))
            }
            Self::Notices => ("notices", format!("notice at sequence {}", shown("sequence"))),
            Self::Devices | Self::DevicesBefore => {
                ("devices", format!("phone {} of {}", shown("device"), shown("institution")))
            }
            Self::Remarks => {
                ("remarks", format!("remark {} about withdrawal {}", shown("number"), shown("withdrawal")))
            }
            Self::RemarksLeftOut => ("remarks_left_out", format!("the count of withdrawal {}", shown("withdrawal"))),
            Self::KeyEvents => ("key_events", format!("key event {}", shown("sequence"))),
            Self::Publications => ("publications", format!("publication {}", shown("number"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_from_where_the_schema_has_them() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        crate::sqlite::migrated_for_tests(&connection).unwrap();
        for (table, name) in [
            (Table::Withdrawals, "withdrawals"),
            (Table::Steps, "steps"),
            (Table::Notices, "notices"),
            (Table::Devices, "devices"),
            (Table::Remarks, "remarks"),
            (Table::RemarksLeftOut, "remarks_left_out"),
            (Table::KeyEvents, "key_events"),
            (Table::Publications, "publications"),
        ] {
            let statement = connection.prepare(&format!("SELECT * FROM {name}")).unwrap();
            let columns: Vec<&str> =
                table.columns().iter().copied().filter(|column| *column != "previous_seal").collect();
            let mut found: Vec<&str> = statement.column_names().collect();
            found.retain(|column| (name, *column) != ("publications", "body"));
            assert_eq!(found, columns, "{name}");
        }
    }
}
