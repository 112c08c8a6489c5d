use cashgate_wire::proto::events::v1::{Alarm, DeviceLocked, DeviceReleased, DeviceRevoked, RulesPublished, Stopped};
use cashgate_wire::proto::withdrawal::v1::{Everything, StopScope, stop_scope::Scope};
use serde_json::json;

use super::*;

const RULES: AlertRules = AlertRules { approvals_from: 10_000 };

fn told(notice: Option<Kind>) -> Vec<Alert> {
    let notice = Some(Notice { at_unix_ms: 7, notice });
    RULES.alerts(&SubscribeResponse { sequence: 12, event: None, notice })
}

fn refused(reasons: &[&str]) -> Option<Kind> {
    Some(Kind::ApprovalRefused(ApprovalRefused {
        institution_id: "sakura".into(),
        account_id: "acct-1".into(),
        device_id: "phone-1".into(),
        atm_id: "A1".into(),
        amount: Some(yen(40_000)),
        reasons: reasons.iter().map(ToString::to_string).collect(),
        policy_version: "3f2a".into(),
        facts: r#"{"age_s":60}"#.into(),
        policy_verdict: "permit".into(),
        ..ApprovalRefused::default()
    }))
}

fn device(id: &str) -> (String, String) {
    ("sakura".into(), id.into())
}

fn yen(minor_units: i64) -> Money {
    Money { minor_units, currency: "JPY".into() }
}

fn step(event: &str, state: WithdrawalState, amount: i64, dispensed: Option<i64>) -> Vec<Alert> {
    let event = Some(WithdrawalEvent {
        event: event.into(),
        state: state.into(),
        amount: Some(yen(amount)),
        dispensed: dispensed.map(yen),
        account_id: "acct-1".into(),
        ..WithdrawalEvent::default()
    });
    RULES.alerts(&SubscribeResponse { sequence: 12, event, notice: None })
}

/// To whom, and about what.
type Outline = (Audience, &'static str);

fn outline(alerts: &[Alert]) -> Vec<Outline> {
    alerts.iter().map(|alert| (alert.alert, alert.about)).collect()
}

use Audience::{CustomerOldContact as Customer, FraudDesk as Desk};

#[test]
fn every_notice_reaches_those_whom_it_concerns() {
    let registered = |key_changed| {
        let (institution_id, device_id) = device("phone-1");
        Kind::DeviceRegistered(DeviceRegistered { institution_id, device_id, key_changed, ..Default::default() })
    };
    let (institution_id, device_id) = device("phone-1");
    let revoked = DeviceRevoked { institution_id: institution_id.clone(), device_id: device_id.clone() };
    let locked =
        DeviceLocked { institution_id: institution_id.clone(), device_id: device_id.clone(), failed_attempts: 5 };
    let released =
        DeviceReleased { institution_id, device_id, actor: "operator/dev".into(), reason: "it was me".into() };
    let everything = Some(StopScope { scope: Some(Scope::Everything(Everything {})) });
    let stopped = Stopped { scope: everything, actor: "operator/dev".into(), reason: "a wave".into() };
    let published = RulesPublished { number: 3, policy_version: "published-3-01".into(), ..Default::default() };
    let rows: [(Option<Kind>, &[Outline]); 10] = [
        (Some(registered(false)), &[(Customer, "device_registered")]),
        (Some(registered(true)), &[(Customer, "device_key_changed")]),
        (Some(Kind::DeviceRevoked(revoked)), &[(Customer, "device_revoked")]),
        (Some(Kind::DeviceLocked(locked)), &[(Customer, "device_locked"), (Desk, "device_locked")]),
        (Some(Kind::DeviceReleased(released)), &[(Customer, "device_released"), (Desk, "device_released")]),
        (refused(&["new_device_above_habit"]), &[(Customer, "refused"), (Desk, "refused")]),
        (Some(Kind::Stopped(stopped)), &[(Desk, "stopped")]),
        (Some(Kind::Alarm(Alarm { pattern: "new_device_burst".into(), ..Default::default() })), &[(Desk, "alarm")]),
        (Some(Kind::RulesPublished(published)), &[(Desk, "rules_published")]),
        (None, &[(Desk, "unknown")]),
    ];
    for (notice, expected) in rows {
        assert_eq!(outline(&told(notice.clone())), expected, "{notice:?}");
    }
}

#[test]
fn a_refused_customer_does_not_learn_why_and_the_fraud_desk_learns_all() {
    let mut texts = std::collections::BTreeSet::new();
    for reason in ["new_device_above_habit", "signature", "new_device_wait", "a_rule_of_tomorrow"] {
        let alerts = told(refused(&[reason]));
        let [customer, desk] = alerts.as_slice() else { panic!("{alerts:?}") };
        let whole = serde_json::to_string(customer).unwrap();
        for secret in [reason, "3f2a", "age_s", "notice"] {
            assert!(!whole.contains(secret), "{secret} is in {whole}");
        }
        texts.insert(customer.text.clone());
        let notice = desk.notice.as_ref().unwrap();
        assert_eq!((&notice["reasons"], &notice["facts"]), (&json!([reason]), &json!({"age_s": 60})));
        assert!(desk.text.contains(reason) && desk.text.contains("40000 yen"), "{}", desk.text);
    }
    assert_eq!(texts.len(), 1, "the words alone would tell the reasons apart: {texts:?}");
}

#[test]
fn limits_of_daily_life_and_the_banks_own_stops_alarm_no_customer() {
    for (reasons, alerted) in [
        (&["account_day"][..], false),
        (&["above_withdrawal_limit"], false),
        (&["everything"], false),
        (&["atm"], false),
        (&["account_day", "new_device_at_night"], true),
        (&["atm_new_device_24h"], true),
        (&["device_locked"], true),
        (&[], true),
    ] {
        let alerts = told(refused(reasons));
        assert_eq!(alerts.iter().any(|alert| alert.alert == Customer), alerted, "{reasons:?}");
        assert!(alerts.iter().any(|alert| alert.alert == Desk), "{reasons:?}");
    }
    // A rule of the bank's own may have a limit's name.
    let Some(Kind::ApprovalRefused(refused)) = refused(&["account_day"]) else { panic!("a refusal") };
    let forbidden = ApprovalRefused { policy_verdict: "forbid".into(), ..refused };
    assert_eq!(outline(&told(Some(Kind::ApprovalRefused(forbidden)))), [(Customer, "refused"), (Desk, "refused")]);
}

#[test]
fn approvals_are_told_from_an_amount_on_and_cash_always() {
    use WithdrawalState::{Confirmed, Confirming, Held, HoldRequested, Reversing};
    for (event, state, amount, dispensed, about) in [
        ("approved", HoldRequested, 10_000, None, Some("approved")),
        ("approved", HoldRequested, 9_999, None, None),
        ("hold_granted", Held, 30_000, None, None),
        ("outcome_reported", Confirming, 1_000, Some(1_000), Some("dispensed")),
        ("suspect_resolved", Confirming, 30_000, Some(20_000), Some("dispensed")),
        ("hold_confirmed", Confirmed, 30_000, Some(30_000), None),
        ("outcome_reported", Reversing, 30_000, None, None),
    ] {
        let alerts = step(event, state, amount, dispensed);
        assert_eq!(alerts.first().map(|alert| alert.about), about, "{event} {amount}");
        let sum = dispensed.unwrap_or(amount);
        assert!(alerts.iter().all(|alert| alert.text.contains(&format!("{sum} yen"))), "{alerts:?}");
    }
}

#[test]
fn the_same_event_read_again_gives_the_same_ids() {
    let ids: Vec<String> = told(refused(&["signature"])).into_iter().map(|alert| alert.alert_id).collect();
    assert_eq!(ids, ["12-customer", "12-fraud-desk"]);
}
