//! The evidence about one withdrawal: all that is known of it, in the order in which it happened, for whoever decides about a suspect or audits a decision.

use cashgate_wire::proto::operations::v1::{GetWithdrawalResponse, Remark, Step, Withdrawal};
use serde_json::{Value, json};

/// The form of the bundle; a later form gets another number.
pub const FORMAT: &str = "cashgate-evidence/1";

/// The bundle as one JSON value: the withdrawal, what stood behind its admission, and every message about it with its time.
///
/// A line of `timeline` with a `seal` is a step: it changed the withdrawal, and its seal covers it and the step before. One without is a
/// remark: a message that changed nothing. `remarks_left_out` says how many of those at least are not kept.
#[must_use]
pub fn bundle(found: &GetWithdrawalResponse) -> Value {
    let withdrawal = found.withdrawal.clone().unwrap_or_default();
    let mut timeline: Vec<(i64, Value)> = found.steps.iter().map(of_step).collect();
    timeline.extend(found.remarks.iter().map(of_remark));
    // Stable: what happened in one millisecond stays in the order of the steps.
    timeline.sort_by_key(|(at, _)| *at);
    json!({
        "format": FORMAT,
        "withdrawal": of_withdrawal(&withdrawal),
        "decision": {
            "policy_version": withdrawal.policy_version,
            "limit_figures": withdrawal.limit_figures,
            "key_id": withdrawal.key_id,
        },
        "timeline": timeline.into_iter().map(|(_, line)| line).collect::<Vec<Value>>(),
        "remarks_left_out": found.remarks_left_out,
    })
}

fn of_withdrawal(withdrawal: &Withdrawal) -> Value {
    let units = |money: Option<&cashgate_wire::proto::withdrawal::v1::Money>| money.map(|money| money.minor_units);
    json!({
        "withdrawal_id": withdrawal.withdrawal_id,
        "institution_id": withdrawal.institution_id,
        "account_id": withdrawal.account_id,
        "device_id": withdrawal.device_id,
        "atm_id": withdrawal.atm_id,
        "currency": withdrawal.amount.as_ref().map(|money| money.currency.clone()),
        "approved_minor_units": units(withdrawal.amount.as_ref()),
        "dispensed_minor_units": units(withdrawal.dispensed.as_ref()),
        "state": withdrawal.state().as_str_name().trim_start_matches("WITHDRAWAL_STATE_").to_lowercase(),
        "reason": withdrawal.reason,
        "hold_reference": withdrawal.hold_reference,
        "approved_at": time(withdrawal.approved_at_unix_ms),
    })
}

fn of_step(step: &Step) -> (i64, Value) {
    let line = json!({
        "at": time(step.at_unix_ms),
        "from": party(&step.event),
        "event": step.event,
        "said": step.detail,
        "state_after": step.state,
        "step": step.number,
        "seal": step.seal,
    });
    (step.at_unix_ms, line)
}

fn of_remark(remark: &Remark) -> (i64, Value) {
    let line = json!({
        "at": time(remark.at_unix_ms),
        "from": party(&remark.kind),
        "event": remark.kind,
        "said": remark.detail,
    });
    (remark.at_unix_ms, line)
}

/// Whose message an event is.
fn party(event: &str) -> &'static str {
    match event {
        "approved" | "customer_cancelled" => "customer",
        "hold_granted"
        | "hold_declined"
        | "hold_confirmed"
        | "hold_reversed"
        | "settlement_refused"
        | "settlement_answered" => "core_banking",
        "outcome_reported" | "outcome_contradicts_end" | "code_matched" | "code_mismatched" => "atm",
        "suspect_resolved" => "operator",
        _ => "gateway",
    }
}

/// A moment of a message as people read it (RFC 3339).
pub(crate) fn time(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms).map(|at| at.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> GetWithdrawalResponse {
        let step = |number, at, event: &str| Step {
            number,
            at_unix_ms: at,
            event: event.into(),
            seal: "ab".repeat(32),
            ..Step::default()
        };
        let remark = |at, kind: &str| Remark { at_unix_ms: at, kind: kind.into(), detail: "x".into() };
        GetWithdrawalResponse {
            withdrawal: Some(Withdrawal { policy_version: "p1".into(), ..Withdrawal::default() }),
            steps: vec![step(1, 1_000, "approved"), step(2, 1_500, "hold_granted"), step(3, 9_000, "suspect_resolved")],
            remarks: vec![remark(2_000, "outcome_asked"), remark(8_000, "settlement_answered")],
            remarks_left_out: 7,
        }
    }

    #[test]
    fn steps_and_remarks_stand_in_the_order_of_time_with_whose_they_are() {
        let bundle = bundle(&found());
        let lines = bundle["timeline"].as_array().unwrap();
        let read: Vec<(&str, &str)> =
            lines.iter().map(|line| (line["event"].as_str().unwrap(), line["from"].as_str().unwrap())).collect();
        let expected = [
            ("approved", "customer"),
            ("hold_granted", "core_banking"),
            ("outcome_asked", "gateway"),
            ("settlement_answered", "core_banking"),
            ("suspect_resolved", "operator"),
        ];
        assert_eq!(read, expected);
        assert_eq!(lines[0]["at"], "1970-01-01T00:00:01Z");
        assert_eq!(bundle["decision"]["policy_version"], "p1");
        assert_eq!(bundle["remarks_left_out"], 7);
    }

    #[test]
    fn only_a_step_has_a_seal() {
        let bundle = bundle(&found());
        let sealed = bundle["timeline"].as_array().unwrap().iter().filter(|line| !line["seal"].is_null()).count();
        assert_eq!(sealed, 3);
    }
}
