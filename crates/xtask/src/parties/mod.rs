//! The simulated parties around a gateway: ATMs, core banks and phones as processes, and how to read what they say.

pub(crate) mod atm;
pub(crate) mod core_bank;
pub(crate) mod institution;
pub(crate) mod phone;

use std::time::Duration;

use serde_json::Value;

/// How long a party may take for anything that it does at once.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Whether an event has this name.
pub(crate) fn is(event: &Value, name: &str) -> bool {
    event.get("event").and_then(Value::as_str) == Some(name)
}

/// Whether an event has this name and is about this withdrawal.
pub(crate) fn is_about(event: &Value, name: &str, withdrawal: &str) -> bool {
    is(event, name) && text(event, "withdrawal_id") == withdrawal
}

/// Whether an event says that a QR session is over.
pub(crate) fn ends(event: &Value, qr_session: &str) -> bool {
    is(event, "qr_session_ended") && text(event, "qr_session_id") == qr_session
}

/// A text field, or nothing.
pub(crate) fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The withdrawal's id in the answer to an approval.
pub(crate) fn approved_id(approved: &Value) -> Result<String, String> {
    Some(text(approved, "withdrawal_id")).filter(|id| !id.is_empty()).ok_or(format!("no withdrawal id in {approved}"))
}

/// An amount as the fleet and the gateway write it: a number, a number as text, or a whole Money; nothing counts as zero.
pub(crate) fn minor_units(value: Option<&Value>) -> i64 {
    let number = |value: &Value| value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    value.and_then(|value| value.get("minor_units").map_or_else(|| number(value), number)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_amount_is_read_in_each_of_its_forms() {
        assert_eq!(minor_units(Some(&json!(20_000))), 20_000);
        assert_eq!(minor_units(Some(&json!({"minor_units": 20_000, "currency": "JPY"}))), 20_000);
        assert_eq!(minor_units(Some(&json!({"minor_units": "20000"}))), 20_000);
        assert_eq!(minor_units(Some(&Value::Null)), 0);
        assert_eq!(minor_units(None), 0);
    }
}
