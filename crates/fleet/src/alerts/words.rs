//! What is said to whom about an event. The customer hears that something happened and what to do; which rule, limit or factor spoke is the fraud
//! desk's alone, because the one who reads the customer's messages may be the thief.

use cashgate_wire::proto::events::v1::{
    ApprovalRefused, DeviceRegistered, Notice, SubscribeResponse, WithdrawalEvent, notice::Notice as Kind,
};
use cashgate_wire::proto::withdrawal::v1::{Money, WithdrawalState};
use serde::Serialize;
use serde_json::Value;

use crate::notices::{as_json, scope_in_words};

/// What every message to a customer ends with.
const NOT_YOU: &str = "If this was not you, call the number on your card now.";

/// Reasons of a refusal about which a customer is not alerted: he reached a limit of daily life, which his app has told him, or the bank itself
/// stopped him. A reason that is not here counts as one of fraud.
const NO_FRAUD: [&str; 25] = [
    "zero_amount",
    "wrong_currency",
    "above_withdrawal_limit",
    "too_fast",
    "account_day",
    "account_24h",
    "account_7d",
    "account_count_day",
    "account_count_24h",
    "account_count_7d",
    "device_day",
    "device_24h",
    "device_7d",
    "device_count_day",
    "device_count_24h",
    "device_count_7d",
    "atm_24h",
    "atm_count_24h",
    "institution_24h",
    "institution_count_24h",
    // Stops, by what they cover. (One of an account or a device may follow a theft, but whoever stopped it speaks with the customer.)
    "everything",
    "institution",
    "atm",
    "account",
    "device",
];

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// The customer, on a contact that is older than the phone concerned: an address or number that the bank knew before. Never the phone itself.
    CustomerOldContact,
    /// The bank's analysts.
    FraudDesk,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alert {
    /// To whom.
    pub alert: Audience,
    /// The same whenever the same event is read: who sends alerts on sends each id once.
    pub alert_id: String,
    /// The event's place in the feed.
    pub sequence: u64,
    /// When it happened, milliseconds since 1970-01-01T00:00:00Z.
    pub at_unix_ms: i64,
    /// What happened, in a stable word.
    pub about: &'static str,
    /// Whose customer; empty if it concerns all.
    pub institution_id: String,
    /// The account, where the event names one. The bank knows whose it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub account_id: String,
    /// The phone, where the event names one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub device_id: String,
    /// What is said.
    pub text: String,
    /// The whole notice, for the fraud desk only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<Value>,
}

/// From what on an institution alerts.
#[derive(Clone, Copy, Debug)]
pub struct AlertRules {
    /// Approvals of less than this many minor units are not told. Cash that left always is.
    pub approvals_from: i64,
}

impl AlertRules {
    /// What to say about an event: nothing, one message, or one to each side.
    #[must_use]
    pub fn alerts(&self, event: &SubscribeResponse) -> Vec<Alert> {
        let mut alerts = Vec::new();
        if let Some(step) = &event.event {
            alerts.extend(self.of_step(step));
        }
        if let Some(notice) = &event.notice {
            alerts.extend(to_customer(notice));
            alerts.extend(to_fraud_desk(notice));
        }
        for alert in &mut alerts {
            let to = match alert.alert {
                Audience::CustomerOldContact => "customer",
                Audience::FraudDesk => "fraud-desk",
            };
            alert.sequence = event.sequence;
            alert.alert_id = format!("{}-{to}", event.sequence);
        }
        alerts
    }

    fn of_step(&self, step: &WithdrawalEvent) -> Option<Alert> {
        let approved = step.amount.as_ref();
        let (about, text) = match (step.event.as_str(), step.state()) {
            ("approved", _) if approved.is_some_and(|money| money.minor_units >= self.approvals_from) => (
                "approved",
                format!("You approved a withdrawal of {} at a cash machine with your app.", words(approved)),
            ),
            // The money has left; that the books say so too may come much later.
            (_, WithdrawalState::Confirming) => {
                ("dispensed", format!("A cash machine paid out {} from your account.", words(step.dispensed.as_ref())))
            }
            _ => return None,
        };
        Some(Alert {
            at_unix_ms: step.at_unix_ms,
            institution_id: step.institution_id.clone(),
            account_id: step.account_id.clone(),
            device_id: step.device_id.clone(),
            ..alert(Audience::CustomerOldContact, about, format!("{text} {NOT_YOU}"))
        })
    }
}

fn to_customer(notice: &Notice) -> Option<Alert> {
    let (about, text, institution_id, device_id) = match notice.notice.as_ref()? {
        Kind::DeviceRegistered(device) => {
            let (about, text) = registered_in_words(device);
            (about, text, &device.institution_id, &device.device_id)
        }
        Kind::DeviceRevoked(device) => {
            let text = "One of your phones can no longer withdraw cash.";
            ("device_revoked", text, &device.institution_id, &device.device_id)
        }
        Kind::DeviceLocked(device) => {
            let text = "One of your phones is locked for cash withdrawals after several failed attempts.";
            ("device_locked", text, &device.institution_id, &device.device_id)
        }
        Kind::DeviceReleased(device) => {
            let text = "Your locked phone can withdraw cash again.";
            ("device_released", text, &device.institution_id, &device.device_id)
        }
        Kind::ApprovalRefused(refused) if is_about_fraud(refused) => {
            ("refused", "A cash withdrawal with your app was refused.", &refused.institution_id, &refused.device_id)
        }
        _ => return None,
    };
    let account_id = match &notice.notice {
        Some(Kind::ApprovalRefused(refused)) => refused.account_id.clone(),
        _ => String::new(),
    };
    Some(Alert {
        at_unix_ms: notice.at_unix_ms,
        institution_id: institution_id.clone(),
        account_id,
        device_id: device_id.clone(),
        ..alert(Audience::CustomerOldContact, about, format!("{text} {NOT_YOU}"))
    })
}

const fn registered_in_words(device: &DeviceRegistered) -> (&'static str, &'static str) {
    if device.key_changed {
        ("device_key_changed", "The app on one of your phones was set up anew and can withdraw cash.")
    } else {
        ("device_registered", "A new phone was set up to withdraw cash from your account.")
    }
}

fn is_about_fraud(refused: &ApprovalRefused) -> bool {
    // What the rules forbid is, and so is what this program does not know to be harmless.
    refused.policy_verdict == "forbid"
        || refused.reasons.is_empty()
        || !refused.reasons.iter().all(|reason| NO_FRAUD.contains(&reason.as_str()))
}

fn to_fraud_desk(notice: &Notice) -> Option<Alert> {
    let (about, text) = match &notice.notice {
        Some(Kind::ApprovalRefused(refused)) => {
            let (amount, reasons) = (words(refused.amount.as_ref()), refused.reasons.join(", "));
            ("refused", format!("{amount} at {} refused: {reasons}", refused.atm_id))
        }
        Some(Kind::Alarm(alarm)) => ("alarm", format!("{}: {}", alarm.pattern, alarm.detail)),
        Some(Kind::Stopped(stop)) => {
            ("stopped", format!("{} stopped by {}: {}", scope_in_words(stop.scope.as_ref()), stop.actor, stop.reason))
        }
        Some(Kind::Released(stop)) => {
            ("released", format!("{} released by {}: {}", scope_in_words(stop.scope.as_ref()), stop.actor, stop.reason))
        }
        Some(Kind::RulesPublished(published)) => (
            "rules_published",
            format!("publication {} of rules and limits: {}", published.number, published.policy_version),
        ),
        Some(Kind::DeviceLocked(device)) => {
            ("device_locked", format!("{} locked after {} failures in a row", device.device_id, device.failed_attempts))
        }
        Some(Kind::DeviceReleased(device)) => {
            ("device_released", format!("{} released by {}: {}", device.device_id, device.actor, device.reason))
        }
        Some(Kind::DeviceRegistered(_) | Kind::DeviceRevoked(_)) => return None,
        None => ("unknown", "a notice of a kind that this program does not know: update it".to_owned()),
    };
    let whole = as_json(notice);
    let field = |key: &str| whole.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(Alert {
        at_unix_ms: notice.at_unix_ms,
        institution_id: field("institution_id"),
        account_id: field("account_id"),
        device_id: field("device_id"),
        notice: Some(whole),
        ..alert(Audience::FraudDesk, about, text)
    })
}

const fn alert(audience: Audience, about: &'static str, text: String) -> Alert {
    Alert {
        alert: audience,
        alert_id: String::new(),
        sequence: 0,
        at_unix_ms: 0,
        about,
        institution_id: String::new(),
        account_id: String::new(),
        device_id: String::new(),
        text,
        notice: None,
    }
}

/// An amount for a person. How many minor units make a whole one is known here for the yen alone.
fn words(money: Option<&Money>) -> String {
    match money {
        Some(Money { minor_units, currency }) if currency == "JPY" => format!("{minor_units} yen"),
        Some(Money { minor_units, currency }) => format!("{minor_units} minor units of {currency}"),
        None => "an unknown amount".to_owned(),
    }
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
