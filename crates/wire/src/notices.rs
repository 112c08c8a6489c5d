//! Notices: how the ledger keeps them and the feed carries them, which is the same.

use cashgate_withdrawal::notice::{Happening, Notice, RefusedApproval};
use cashgate_withdrawal::refusal::Refusal;
use prost::Message;

use crate::fields::{id, invalid, moment, money_from, money_to, optional_id, unix_ms};
use crate::proto::events::v1::{self as pb, notice::Notice as Body};
use crate::proto::withdrawal::v1::{self as withdrawal, stop_scope::Scope};
use crate::stops::{scope_from, scope_to};

/// The longest text inside a notice, in bytes; the rest is cut off.
const TEXT_BYTES_MAX: usize = 2_048;

/// A notice as the ledger keeps it.
#[must_use]
pub fn encode(notice: &Notice) -> Vec<u8> {
    notice_to(notice).encode_to_vec()
}

/// A notice out of the ledger, as the feed carries it.
///
/// # Errors
/// The bytes are no notice: damage.
pub fn message(body: &[u8]) -> Result<pb::Notice, Refusal> {
    pb::Notice::decode(body).map_err(|error| invalid("notice", error))
}

/// A notice for an institution: who stopped a machine or everything or published rules, and why, is not for every bank to read.
#[must_use]
pub fn for_institution(mut notice: pb::Notice) -> pb::Notice {
    let is_general = |scope: &Option<withdrawal::StopScope>| {
        let scope = scope.as_ref().and_then(|scope| scope.scope.as_ref());
        matches!(scope, Some(Scope::Everything(_) | Scope::AtmId(_)))
    };
    match &mut notice.notice {
        Some(Body::Stopped(stop)) if is_general(&stop.scope) => (stop.actor, stop.reason) = Default::default(),
        Some(Body::Released(stop)) if is_general(&stop.scope) => (stop.actor, stop.reason) = Default::default(),
        Some(Body::RulesPublished(published)) => (published.actor, published.note) = Default::default(),
        _ => {}
    }
    notice
}

/// A notice out of the ledger.
///
/// # Errors
/// The bytes are no notice, or one of a newer version.
pub fn decode(body: &[u8]) -> Result<Notice, Refusal> {
    notice_from(message(body)?)
}

fn notice_to(notice: &Notice) -> pb::Notice {
    let body = match notice.what.clone() {
        Happening::DeviceRegistered { institution, device, channel, key_changed } => {
            Body::DeviceRegistered(pb::DeviceRegistered {
                institution_id: institution.to_string(),
                device_id: device.to_string(),
                activation_channel: channel,
                key_changed,
            })
        }
        Happening::DeviceRevoked { institution, device } => Body::DeviceRevoked(pb::DeviceRevoked {
            institution_id: institution.to_string(),
            device_id: device.to_string(),
        }),
        Happening::DeviceLocked { institution, device, failed_attempts } => Body::DeviceLocked(pb::DeviceLocked {
            institution_id: institution.to_string(),
            device_id: device.to_string(),
            failed_attempts: failed_attempts.into(),
        }),
        Happening::DeviceReleased { institution, device, actor, reason } => Body::DeviceReleased(pb::DeviceReleased {
            institution_id: institution.to_string(),
            device_id: device.to_string(),
            actor,
            reason,
        }),
        Happening::ApprovalRefused(refused) => Body::ApprovalRefused(refused_to(*refused)),
        Happening::Stopped { scope, actor, reason } => {
            Body::Stopped(pb::Stopped { scope: Some(scope_to(&scope)), actor, reason })
        }
        Happening::Released { scope, actor, reason } => {
            Body::Released(pb::Released { scope: Some(scope_to(&scope)), actor, reason })
        }
        Happening::Alarm { institution, atm, device, pattern, detail } => Body::Alarm(pb::Alarm {
            institution_id: institution.map(|id| id.to_string()).unwrap_or_default(),
            atm_id: atm.map(|id| id.to_string()).unwrap_or_default(),
            device_id: device.map(|id| id.to_string()).unwrap_or_default(),
            pattern,
            detail: cut(detail),
        }),
        Happening::RulesPublished { number, version, actor, note } => {
            Body::RulesPublished(pb::RulesPublished { number, policy_version: version, actor, note })
        }
    };
    pb::Notice { at_unix_ms: unix_ms(notice.at), notice: Some(body) }
}

fn refused_to(refused: RefusedApproval) -> pb::ApprovalRefused {
    pb::ApprovalRefused {
        institution_id: refused.institution.to_string(),
        account_id: refused.account.to_string(),
        device_id: refused.device.to_string(),
        atm_id: refused.atm.to_string(),
        amount: Some(money_to(refused.amount)),
        reasons: refused.reasons,
        policy_version: refused.policy_version,
        facts: cut(refused.facts),
        policy_verdict: refused.policy_verdict,
        attempt_id: refused.attempt.map(|attempt| attempt.to_string()).unwrap_or_default(),
    }
}

fn notice_from(notice: pb::Notice) -> Result<Notice, Refusal> {
    let what = match notice.notice.ok_or_else(|| invalid("notice", "is of a kind that this version does not know"))? {
        Body::DeviceRegistered(n) => Happening::DeviceRegistered {
            institution: id("institution_id", &n.institution_id)?,
            device: id("device_id", &n.device_id)?,
            channel: n.activation_channel,
            key_changed: n.key_changed,
        },
        Body::DeviceRevoked(n) => Happening::DeviceRevoked {
            institution: id("institution_id", &n.institution_id)?,
            device: id("device_id", &n.device_id)?,
        },
        Body::DeviceLocked(n) => Happening::DeviceLocked {
            institution: id("institution_id", &n.institution_id)?,
            device: id("device_id", &n.device_id)?,
            failed_attempts: u8::try_from(n.failed_attempts).unwrap_or(u8::MAX),
        },
        Body::DeviceReleased(n) => Happening::DeviceReleased {
            institution: id("institution_id", &n.institution_id)?,
            device: id("device_id", &n.device_id)?,
            actor: n.actor,
            reason: n.reason,
        },
        Body::ApprovalRefused(n) => Happening::ApprovalRefused(Box::new(RefusedApproval {
            attempt: optional_id("attempt_id", &n.attempt_id)?,
            institution: id("institution_id", &n.institution_id)?,
            account: id("account_id", &n.account_id)?,
            device: id("device_id", &n.device_id)?,
            atm: id("atm_id", &n.atm_id)?,
            amount: money_from("amount", n.amount)?,
            reasons: n.reasons,
            policy_version: n.policy_version,
            facts: n.facts,
            policy_verdict: n.policy_verdict,
        })),
        Body::Stopped(n) => Happening::Stopped { scope: scope_from(n.scope)?, actor: n.actor, reason: n.reason },
        Body::Released(n) => Happening::Released { scope: scope_from(n.scope)?, actor: n.actor, reason: n.reason },
        Body::Alarm(n) => Happening::Alarm {
            institution: optional_id("institution_id", &n.institution_id)?,
            atm: optional_id("atm_id", &n.atm_id)?,
            device: optional_id("device_id", &n.device_id)?,
            pattern: n.pattern,
            detail: n.detail,
        },
        Body::RulesPublished(n) => {
            Happening::RulesPublished { number: n.number, version: n.policy_version, actor: n.actor, note: n.note }
        }
    };
    Ok(Notice { at: moment("at_unix_ms", notice.at_unix_ms)?, what })
}

/// The beginning of a text, so that no notice is too long for the ledger.
fn cut(mut text: String) -> String {
    let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use cashgate_withdrawal::money::{Currency, Money};
    use cashgate_withdrawal::stop::StopScope;
    use cashgate_withdrawal::time::Timestamp;

    use super::*;

    fn refused(facts: &str) -> Happening {
        Happening::ApprovalRefused(Box::new(RefusedApproval {
            attempt: "01980f2a-0000-7000-8000-000000000001".parse().ok(),
            institution: "sakura".parse().unwrap(),
            account: "acct-1".parse().unwrap(),
            device: "phone-1".parse().unwrap(),
            atm: "A1".parse().unwrap(),
            amount: Money::from_minor_units(30_000, Currency::JPY).unwrap(),
            reasons: vec!["new_device_burst".into()],
            policy_version: "builtin-1".into(),
            policy_verdict: "forbid".into(),
            facts: facts.into(),
        }))
    }

    fn every_kind() -> Vec<Happening> {
        let (institution, device) = ("sakura".parse().unwrap(), "phone-1".parse().unwrap());
        let of = |of: &Happening| of.clone();
        let registered = Happening::DeviceRegistered { institution, device, channel: "post".into(), key_changed: true };
        let (institution, device) = ("sakura".parse().unwrap(), "phone-1".parse().unwrap());
        let locked = Happening::DeviceLocked { institution, device, failed_attempts: 5 };
        let scope = StopScope::Atm("A1".parse().unwrap());
        vec![
            of(&registered),
            Happening::DeviceRevoked { institution: "sakura".parse().unwrap(), device: "phone-1".parse().unwrap() },
            locked,
            Happening::DeviceReleased {
                institution: "sakura".parse().unwrap(),
                device: "phone-1".parse().unwrap(),
                actor: "operator/mori".into(),
                reason: "she came to the branch".into(),
            },
            refused("{}"),
            Happening::Stopped { scope: scope.clone(), actor: "operator/mori".into(), reason: "runners".into() },
            Happening::Released { scope, actor: "operator/mori".into(), reason: "over".into() },
            Happening::Alarm {
                institution: None,
                atm: None,
                device: None,
                pattern: "burst".into(),
                detail: "7 in 1 h".into(),
            },
            Happening::RulesPublished {
                number: 3,
                version: "published-3-0123456789abcdef".into(),
                actor: "operator/mori".into(),
                note: "a wave".into(),
            },
        ]
    }

    #[test]
    fn every_notice_comes_back_from_the_ledger_as_it_went() {
        for what in every_kind() {
            let notice = Notice { at: Timestamp::from_unix_ms(1_593_561_600_000), what };
            assert_eq!(decode(&encode(&notice)).as_ref(), Ok(&notice));
        }
    }

    #[test]
    fn a_notice_is_never_too_long_for_the_ledger() {
        let long = "é".repeat(10_000);
        let notice = Notice { at: Timestamp::from_unix_ms(0), what: refused(&long) };
        assert!(encode(&notice).len() < 4_096);
        assert!(decode(&encode(&notice)).is_ok());
    }

    #[test]
    fn damage_is_an_error() {
        for body in [&b"\xff"[..], b"", b"\x08\x01"] {
            assert!(decode(body).is_err(), "{body:?}");
        }
    }
}
