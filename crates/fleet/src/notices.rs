//! Notices of the gateway's event feed as a program reads them: one JSON object each, with the field names of `events.proto`.

use cashgate_wire::proto::events::v1::{ApprovalRefused, Notice, notice::Notice as Kind};
use cashgate_wire::proto::withdrawal::v1::{OwnedId, StopScope, stop_scope::Scope};
use serde_json::{Value, json};

/// A notice with its kind under `notice`, such as `device_registered`; `unknown` if it is of a kind that came later than this program. Moments are
/// milliseconds since 1970-01-01T00:00:00Z, amounts minor units.
#[must_use]
pub fn as_json(notice: &Notice) -> Value {
    let mut object = notice.notice.as_ref().map_or_else(|| json!({"notice": "unknown"}), kind_as_json);
    if let Value::Object(fields) = &mut object {
        fields.insert("at_unix_ms".to_owned(), notice.at_unix_ms.into());
    }
    object
}

fn kind_as_json(kind: &Kind) -> Value {
    match kind {
        Kind::DeviceRegistered(device) => json!({
            "notice": "device_registered",
            "institution_id": device.institution_id,
            "device_id": device.device_id,
            "activation_channel": device.activation_channel,
            "key_changed": device.key_changed,
        }),
        Kind::DeviceRevoked(device) => json!({
            "notice": "device_revoked", "institution_id": device.institution_id, "device_id": device.device_id,
        }),
        Kind::DeviceLocked(device) => json!({
            "notice": "device_locked",
            "institution_id": device.institution_id,
            "device_id": device.device_id,
            "failed_attempts": device.failed_attempts,
        }),
        Kind::DeviceReleased(device) => json!({
            "notice": "device_released",
            "institution_id": device.institution_id,
            "device_id": device.device_id,
            "actor": device.actor,
            "reason": device.reason,
        }),
        Kind::ApprovalRefused(refused) => refused_as_json(refused),
        Kind::Stopped(stop) => json!({
            "notice": "stopped", "scope": scope_in_words(stop.scope.as_ref()), "actor": stop.actor, "reason": stop.reason,
        }),
        Kind::Released(stop) => json!({
            "notice": "released", "scope": scope_in_words(stop.scope.as_ref()), "actor": stop.actor, "reason": stop.reason,
        }),
        Kind::Alarm(alarm) => json!({
            "notice": "alarm",
            "institution_id": alarm.institution_id,
            "atm_id": alarm.atm_id,
            "device_id": alarm.device_id,
            "pattern": alarm.pattern,
            "detail": alarm.detail,
        }),
        Kind::RulesPublished(published) => json!({
            "notice": "rules_published",
            "number": published.number,
            "policy_version": published.policy_version,
            "actor": published.actor,
            "note": published.note,
        }),
    }
}

fn refused_as_json(refused: &ApprovalRefused) -> Value {
    // Facts are a line of JSON; one that was cut off is still worth reading.
    let facts = serde_json::from_str(&refused.facts).unwrap_or_else(|_| Value::from(refused.facts.as_str()));
    json!({
        "notice": "approval_refused",
        "institution_id": refused.institution_id,
        "account_id": refused.account_id,
        "device_id": refused.device_id,
        "atm_id": refused.atm_id,
        "amount": refused.amount.as_ref().map(|money| money.minor_units),
        "currency": refused.amount.as_ref().map(|money| money.currency.as_str()),
        "reasons": refused.reasons,
        "policy_version": refused.policy_version,
        "policy_verdict": refused.policy_verdict,
        "facts": facts,
    })
}

/// What a stop covers, such as `atm A1` or `device sakura/phone-1`.
#[must_use]
pub fn scope_in_words(scope: Option<&StopScope>) -> String {
    let owned = |kind: &str, OwnedId { institution_id, id }: &OwnedId| format!("{kind} {institution_id}/{id}");
    match scope.and_then(|scope| scope.scope.as_ref()) {
        Some(Scope::Everything(_)) => "everything".to_owned(),
        Some(Scope::InstitutionId(id)) => format!("institution {id}"),
        Some(Scope::AtmId(id)) => format!("atm {id}"),
        Some(Scope::Account(id)) => owned("account", id),
        Some(Scope::Device(id)) => owned("device", id),
        None => "something that this program does not know".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cashgate_wire::proto::events::v1::{DeviceRegistered, Stopped};
    use cashgate_wire::proto::withdrawal::v1::{Everything, Money};

    fn read(kind: Option<Kind>) -> Value {
        as_json(&Notice { at_unix_ms: 7, notice: kind })
    }

    #[test]
    fn a_notice_has_its_kind_and_the_names_of_the_interface() {
        let registered = read(Some(Kind::DeviceRegistered(DeviceRegistered {
            institution_id: "sakura".into(),
            device_id: "phone-1".into(),
            activation_channel: "online".into(),
            key_changed: true,
        })));
        let expected = json!({
            "notice": "device_registered", "at_unix_ms": 7, "institution_id": "sakura", "device_id": "phone-1",
            "activation_channel": "online", "key_changed": true,
        });
        assert_eq!(registered, expected);
        assert_eq!(read(None), json!({"notice": "unknown", "at_unix_ms": 7}));
    }

    #[test]
    fn facts_are_objects_unless_they_were_cut_off() {
        for (facts, read_as) in
            [(r#"{"age_s":60}"#, json!({"age_s": 60})), (r#"{"age_"#, json!(r#"{"age_"#)), ("", json!(""))]
        {
            let refused = read(Some(Kind::ApprovalRefused(ApprovalRefused {
                amount: Some(Money { minor_units: 40_000, currency: "JPY".into() }),
                reasons: vec!["new_device_above_habit".into()],
                facts: facts.into(),
                ..ApprovalRefused::default()
            })));
            assert_eq!((&refused["facts"], &refused["amount"]), (&read_as, &json!(40_000)), "{facts}");
        }
    }

    #[test]
    fn a_scope_is_named() {
        let owned = || OwnedId { institution_id: "sakura".into(), id: "x-1".into() };
        for (scope, words) in [
            (Scope::Everything(Everything {}), "everything"),
            (Scope::InstitutionId("sakura".into()), "institution sakura"),
            (Scope::AtmId("A1".into()), "atm A1"),
            (Scope::Account(owned()), "account sakura/x-1"),
            (Scope::Device(owned()), "device sakura/x-1"),
        ] {
            let scope = Some(StopScope { scope: Some(scope) });
            let stopped = Stopped { scope, actor: "operator/dev".into(), reason: "a drill".into() };
            assert_eq!(read(Some(Kind::Stopped(stopped)))["scope"], words);
        }
    }
}
