//! What operators and event consumers see.

use std::collections::HashMap;

use cashgate_withdrawal::event::Settlement;
use cashgate_withdrawal::ids::KeyId;
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::withdrawal::{State, Withdrawal};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::fields::{id, invalid, money_to, positive_money, text, unix_ms};
use crate::proto::events::v1 as events;
use crate::proto::operations::v1 as pb;
use crate::proto::withdrawal::v1::WithdrawalState;
use crate::status::DOMAIN;

/// A state as messages name it.
#[must_use]
pub const fn state_to(state: &State) -> WithdrawalState {
    match state {
        State::HoldRequested => WithdrawalState::HoldRequested,
        State::AwaitingCode { .. } => WithdrawalState::AwaitingCode,
        State::Held { .. } => WithdrawalState::Held,
        State::DispenseCommanded { .. } => WithdrawalState::DispenseCommanded,
        State::OutcomeUnknown { .. } => WithdrawalState::OutcomeUnknown,
        State::Confirming { .. } => WithdrawalState::Confirming,
        State::Reversing { .. } => WithdrawalState::Reversing,
        State::Suspect { .. } => WithdrawalState::Suspect,
        State::Declined { .. } => WithdrawalState::Declined,
        State::Confirmed { .. } => WithdrawalState::Confirmed,
        State::Reversed { .. } => WithdrawalState::Reversed,
    }
}

/// The ledger's name of a state that a message names; `None` for "any".
pub fn state_name(state: i32) -> Result<Option<String>, Refusal> {
    match WithdrawalState::try_from(state) {
        Ok(WithdrawalState::Unspecified) => Ok(None),
        Ok(state) => Ok(state.as_str_name().strip_prefix("WITHDRAWAL_STATE_").map(str::to_lowercase)),
        Err(_) => Err(invalid("state", "is unknown")),
    }
}

/// A withdrawal as operators see it.
#[must_use]
pub fn withdrawal_to(withdrawal: &Withdrawal) -> pb::Withdrawal {
    let terms = &withdrawal.terms;
    pb::Withdrawal {
        withdrawal_id: terms.withdrawal.to_string(),
        institution_id: terms.institution.to_string(),
        account_id: terms.account.to_string(),
        device_id: terms.device.to_string(),
        atm_id: terms.atm.to_string(),
        amount: Some(money_to(terms.amount)),
        state: state_to(&withdrawal.state).into(),
        dispensed: withdrawal.state.dispensed().map(money_to),
        reason: withdrawal.state.reason().unwrap_or_default().to_owned(),
        hold_reference: withdrawal.state.hold().map(ToString::to_string).unwrap_or_default(),
        approved_at_unix_ms: unix_ms(terms.approved_at),
        since_unix_ms: unix_ms(withdrawal.since),
        policy_version: terms.decision.policy_version.clone(),
        limit_figures: terms.decision.limit_figures.clone(),
        key_id: terms.decision.key.to_string(),
        rules: terms.decision.rules.clone(),
        facts: terms.decision.facts.clone(),
    }
}

/// A step of a withdrawal for the event feed.
#[must_use]
pub fn event_to(after: &Withdrawal, number: u32, event: &str) -> events::WithdrawalEvent {
    let terms = &after.terms;
    events::WithdrawalEvent {
        withdrawal_id: terms.withdrawal.to_string(),
        step: number,
        at_unix_ms: unix_ms(after.since),
        event: event.to_owned(),
        state: state_to(&after.state).into(),
        institution_id: terms.institution.to_string(),
        account_id: terms.account.to_string(),
        atm_id: terms.atm.to_string(),
        amount: Some(money_to(terms.amount)),
        dispensed: after.state.dispensed().map(money_to),
        reason: after.state.reason().unwrap_or_default().to_owned(),
        device_id: terms.device.to_string(),
    }
}

/// Reads a decision about a suspect.
pub fn resolution(request: pb::ResolveSuspectRequest) -> Result<(Settlement, String), Refusal> {
    use pb::resolve_suspect_request::Resolution;
    let settlement = match request.resolution {
        None => return Err(invalid("resolution", "is missing")),
        Some(Resolution::Confirm(amount)) => Settlement::Confirm(positive_money("confirm", Some(amount))?),
        Some(Resolution::Reverse(_)) => Settlement::Reverse,
    };
    Ok((settlement, text("reason", request.reason, 1..=512)?))
}

/// Reads a wish for other keys: their label, whether to make them, and why.
pub fn rotation(request: pb::RotateKeyRequest) -> Result<(String, bool, String), Refusal> {
    let label = text("label", request.label, 1..=128)?;
    Ok((label, request.generate, text("reason", request.reason, 1..=512)?))
}

/// Reads a wish to retire a key: which, whether at once, and why.
pub fn retirement(request: pb::RetireKeyRequest) -> Result<(KeyId, bool, String), Refusal> {
    let key_id = id("key_id", &request.key_id)?;
    Ok((key_id, request.at_once, text("reason", request.reason, 1..=512)?))
}

/// Why an operator's wish about keys or publications was not granted, as a gRPC status. Operators are told everything.
#[must_use]
pub fn wish_refused(code: Code, reason: &'static str, message: String, metadata: HashMap<String, String>) -> Status {
    Status::with_error_details(code, message, ErrorDetails::with_error_info(reason, DOMAIN, metadata))
}

/// An ATM as operators see it.
#[must_use]
pub fn atm_to(id: &str, view: &cashgate_withdrawal::lane::LaneView) -> pb::Atm {
    let facts = view.facts.as_ref();
    let dispensable_max: Option<Money> = facts.map(|facts| facts.cassettes.dispensable_max());
    pb::Atm {
        atm_id: id.to_owned(),
        name: facts.map(|facts| facts.name.clone()).unwrap_or_default(),
        place: facts.map(|facts| facts.place.clone()).unwrap_or_default(),
        connected: view.connected,
        open_withdrawals: u32::try_from(view.open_withdrawals).unwrap_or(u32::MAX),
        dispensable_max: dispensable_max.map(money_to),
        replica: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_for_other_keys_names_them_and_says_why() {
        let wish = |label: &str, reason: &str| pb::RotateKeyRequest {
            label: label.to_owned(),
            generate: true,
            reason: reason.to_owned(),
        };
        assert_eq!(rotation(wish("qr-2", "yearly")), Ok(("qr-2".to_owned(), true, "yearly".to_owned())));
        let long = "x".repeat(513);
        for (refused, named) in [
            (wish("", "yearly"), "label"),
            (wish(&long[..129], "yearly"), "label"),
            (wish("qr\n2", "yearly"), "label"),
            (wish("qr-2", ""), "reason"),
            (wish("qr-2", &long), "reason"),
        ] {
            assert!(matches!(rotation(refused), Err(Refusal::FieldInvalid { field, .. }) if field == named), "{named}");
        }
    }

    #[test]
    fn a_wish_to_retire_names_a_key_and_says_why() {
        let wish = |key_id: &str, reason: &str| pb::RetireKeyRequest {
            key_id: key_id.to_owned(),
            at_once: false,
            reason: reason.to_owned(),
        };
        let key_id = KeyId([0x0a, 0x1b, 0x2c, 0x3d]);
        assert_eq!(retirement(wish("0a1b2c3d", "yearly")), Ok((key_id, false, "yearly".to_owned())));
        for (refused, named) in [(wish("0a1b2c", "yearly"), "key_id"), (wish("0a1b2c3d", ""), "reason")] {
            assert!(
                matches!(retirement(refused), Err(Refusal::FieldInvalid { field, .. }) if field == named),
                "{named}"
            );
        }
    }

    #[test]
    fn an_operator_is_told_why_a_key_stays() {
        let until = HashMap::from([("may_be_retired_from_unix_ms".to_owned(), "5".to_owned())]);
        let status = wish_refused(Code::FailedPrecondition, "KEY_CODES_VALID", "come back".to_owned(), until);
        let info = status.get_details_error_info().unwrap();
        assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "come back"));
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("KEY_CODES_VALID", DOMAIN));
        assert_eq!(info.metadata["may_be_retired_from_unix_ms"], "5");
    }
}
