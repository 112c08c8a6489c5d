//! Requests to core banking and its answers.

use cashgate_withdrawal::event::Settlement;
use cashgate_withdrawal::ids::HoldReference;
use cashgate_withdrawal::lane::{HoldAnswer, SettlementAnswer};
use cashgate_withdrawal::withdrawal::Terms;

use crate::customer::PinBlock;
use crate::fields::{money_to, unix_ms};
use crate::proto::corebank::v1 as pb;

/// Asks for a hold. The PIN block passes through as it came.
#[must_use]
pub fn place_hold(terms: &Terms, pin_block: Option<PinBlock>) -> pb::PlaceHoldRequest {
    pb::PlaceHoldRequest {
        withdrawal_id: terms.withdrawal.to_string(),
        institution_id: terms.institution.to_string(),
        account_id: terms.account.to_string(),
        amount: Some(money_to(terms.amount)),
        atm_id: terms.atm.to_string(),
        device_id: terms.device.to_string(),
        pin_block: pin_block.map(PinBlock::into_message),
        approved_at_unix_ms: unix_ms(terms.approved_at),
    }
}

/// The answer to a hold request. One that says nothing, or nothing usable, counts as none: the hold will be reversed.
#[must_use]
pub fn hold_answer(response: pb::PlaceHoldResponse) -> HoldAnswer {
    let answer = match response.decision {
        Some(pb::place_hold_response::Decision::Granted(granted)) => {
            granted.hold_reference.parse().map(HoldAnswer::Granted)
        }
        Some(pb::place_hold_response::Decision::Declined(declined)) => declined.code.parse().map(HoldAnswer::Declined),
        None => return HoldAnswer::Unanswered,
    };
    answer.unwrap_or(HoldAnswer::Unanswered)
}

/// A request to settle.
#[derive(Clone, Debug, PartialEq)]
pub enum SettleRequest {
    /// Money left.
    Confirm(pb::ConfirmHoldRequest),
    /// Nothing left.
    Reverse(pb::ReverseHoldRequest),
}

/// Tells core banking how a hold ends.
#[must_use]
pub fn settle(terms: &Terms, hold: Option<&HoldReference>, settlement: Settlement) -> SettleRequest {
    let withdrawal_id = terms.withdrawal.to_string();
    let institution_id = terms.institution.to_string();
    let hold_reference = hold.map(ToString::to_string).unwrap_or_default();
    match settlement {
        Settlement::Confirm(amount) => SettleRequest::Confirm(pb::ConfirmHoldRequest {
            withdrawal_id,
            institution_id,
            hold_reference,
            amount: Some(money_to(amount)),
        }),
        Settlement::Reverse => {
            SettleRequest::Reverse(pb::ReverseHoldRequest { withdrawal_id, institution_id, hold_reference })
        }
    }
}

/// The answer to a request to settle.
#[must_use]
pub fn settlement_answer(refused: Option<pb::SettlementRefused>) -> SettlementAnswer {
    match refused {
        None => SettlementAnswer::Done,
        // A refusal without a usable code is still a refusal.
        Some(refused) => match refused.code.parse().or_else(|_| "unspecified".parse()) {
            Ok(code) => SettlementAnswer::Refused(code),
            Err(_) => SettlementAnswer::Unanswered,
        },
    }
}
