//! Actions in the words that stories use.

use cashgate_withdrawal::event::Settlement;
use cashgate_withdrawal::lane::{Action, Answer, ToAtm};

/// One action in words.
pub(super) fn in_words(action: &Action) -> String {
    match action {
        Action::Mint { amount: None, .. } => "mint".into(),
        Action::Mint { amount: Some(amount), .. } => format!("mint for {amount}"),
        Action::Tell(message) => told(message),
        Action::CloseLink(link) => format!("close link {}", link.0),
        Action::Answer { answer: Ok(Answer::Scanned { amount: None, .. }), .. } => "answer: scanned".into(),
        Action::Answer { answer: Ok(Answer::Scanned { amount: Some(amount), .. }), .. } => {
            format!("answer: scanned, {amount}")
        }
        Action::Answer { answer: Ok(Answer::Approved { confirm_code: None, .. }), .. } => "answer: approved".into(),
        Action::Answer { answer: Ok(Answer::Approved { confirm_code: Some(code), .. }), .. } => {
            format!("answer: approved, type {}", code.as_str())
        }
        Action::Answer { answer: Ok(Answer::Done), .. } => "answer: done".into(),
        Action::Answer { answer: Err(refusal), .. } => format!("answer: {}", refusal.reason()),
        Action::PlaceHold(terms) => format!("hold {}", terms.amount),
        Action::Settle { settlement: Settlement::Confirm(amount), .. } => format!("confirm {amount}"),
        Action::Settle { settlement: Settlement::Reverse, hold: None, .. } => "reverse, no reference".into(),
        Action::Settle { settlement: Settlement::Reverse, hold: Some(hold), .. } => format!("reverse {hold}"),
        Action::EndReservation { dispensed: Some(amount), .. } => format!("count {amount}"),
        Action::EndReservation { dispensed: None, .. } => "release".into(),
        Action::Recall { .. } => "recall".into(),
        Action::AskOutcome { with_status: false, .. } => "query outcome".into(),
        Action::AskOutcome { with_status: true, .. } => "query outcome with status".into(),
        Action::MakeDispenseToken { amount, .. } => format!("make dispense token for {amount}"),
        Action::VerifyPresentToken { .. } => "verify present token".into(),
    }
}

fn told(message: &ToAtm) -> String {
    match message {
        ToAtm::Welcome { .. } => "welcome".into(),
        ToAtm::ShowQr { .. } => "show code".into(),
        ToAtm::QrClaimed(_) => "show claimed".into(),
        ToAtm::AskConfirmCode { tries_left, .. } => format!("ask code, {tries_left} tries"),
        ToAtm::Dispense(command) if command.dispense_token.is_some() => {
            format!("dispense {} with token", command.amount)
        }
        ToAtm::Dispense(command) => format!("dispense {}", command.amount),
        ToAtm::QueryOutcome { .. } => panic!("a lane has no nonce to ask with"),
        ToAtm::OutcomeRecorded(_) => "outcome recorded".into(),
        ToAtm::QrSessionEnded { end, .. } => format!("screen ends: {end:?}"),
        ToAtm::TryLater { refusal, .. } => format!("try later: {}", refusal.reason()),
        ToAtm::Refused { refusal, .. } => format!("refuse: {}", refusal.reason()),
    }
}
