//! What goes well, in pieces and as whole stories.

use super::{AMOUNT, DAWN_MS, Story, W, acknowledged, dispense, outcome_asked, report, resolved, restarted, shown};
use crate::boundary::{Standing, What, Word};

/// Up to the request for a hold.
pub(super) fn hold_asked() -> Story {
    Story::new().then([
        What::CodeSigned { nonce: 100, atm: 0, qr_session: 200, expires_at_ms: DAWN_MS + 30_000, command_nonce: None },
        What::ScanAccepted { nonce: 100, phone: 0 },
        What::ApprovalAccepted { withdrawal: W, nonce: 100, phone: 0, account: 0, amount: AMOUNT },
        What::HoldAsked { withdrawal: W, account: 0, atm: 0, amount: AMOUNT, approved_at_ms: DAWN_MS + 250 },
    ])
}

pub(super) fn held() -> Story {
    hold_asked().then([
        What::HoldPosted { withdrawal: W, account: 0, amount: AMOUNT },
        What::HoldAnswerArrived { withdrawal: W, granted: true },
        shown(Standing::Open),
    ])
}

/// The machine was commanded and let the customer have so much.
pub(super) fn paid(presented: u64, taken: u64) -> Story {
    held().then([
        dispense(),
        What::NotesMoved { atm: 0, withdrawal: W, presented },
        What::CashTaken { atm: 0, withdrawal: W, amount: taken },
    ])
}

pub(super) fn confirmed(amount: u64) -> [What; 3] {
    [
        What::ConfirmAsked { withdrawal: W, amount },
        What::ConfirmPosted { withdrawal: W, amount },
        What::SettlementAnswerArrived { withdrawal: W, confirm: true, done: true },
    ]
}

pub(super) fn reversed() -> [What; 3] {
    [
        What::ReverseAsked { withdrawal: W },
        What::ReversePosted { withdrawal: W },
        What::SettlementAnswerArrived { withdrawal: W, confirm: false, done: true },
    ]
}

pub(super) fn full_dispense() -> Story {
    paid(AMOUNT, AMOUNT)
        .then([report(Word::Dispensed, AMOUNT, None, true), acknowledged()])
        .then(confirmed(AMOUNT))
        .ended(Standing::Confirmed(AMOUNT))
}

pub(super) fn partial_dispense() -> Story {
    paid(20_000, 20_000)
        .then([report(Word::PartiallyDispensed, 20_000, None, true), acknowledged()])
        .then(confirmed(20_000))
        .ended(Standing::Confirmed(20_000))
}

pub(super) fn nothing_dispensed() -> Story {
    held()
        .then([dispense(), report(Word::NotDispensed, 0, None, true), acknowledged()])
        .then(reversed())
        .ended(Standing::Reversed)
}

pub(super) fn retract_counted() -> Story {
    paid(AMOUNT, 10_000)
        .then([report(Word::Retracted, AMOUNT, Some(20_000), true), acknowledged()])
        .then(confirmed(10_000))
        .ended(Standing::Confirmed(10_000))
}

pub(super) fn all_retracted() -> Story {
    paid(AMOUNT, 0)
        .then([report(Word::Retracted, AMOUNT, Some(AMOUNT), true), acknowledged()])
        .then(reversed())
        .ended(Standing::Reversed)
}

/// The machine never knew; a person counted.
pub(super) fn suspect_confirmed() -> Story {
    paid(AMOUNT, 20_000)
        .then([report(Word::Unknown, 0, None, true), acknowledged(), outcome_asked()])
        .then([report(Word::Retracted, AMOUNT, None, true), acknowledged(), shown(Standing::Suspect)])
        .then([resolved(Some(20_000))])
        .then(confirmed(20_000))
        .ended(Standing::Confirmed(20_000))
}

pub(super) fn suspect_reversed() -> Story {
    paid(AMOUNT, 0)
        .then([report(Word::Unknown, 0, None, true), acknowledged(), shown(Standing::Suspect), resolved(None)])
        .then(reversed())
        .ended(Standing::Reversed)
}

pub(super) fn declined() -> Story {
    hold_asked()
        .then([What::HoldRefusedInBooks { withdrawal: W }, What::HoldAnswerArrived { withdrawal: W, granted: false }])
        .ended(Standing::Declined)
}

/// No answer in time; the grant comes while the reversal is under way.
pub(super) fn late_grant() -> Story {
    let [asked, posted, answered] = reversed();
    hold_asked()
        .then([
            What::HoldPosted { withdrawal: W, account: 0, amount: AMOUNT },
            asked,
            What::HoldAnswerArrived { withdrawal: W, granted: true },
            posted,
            answered,
        ])
        .ended(Standing::Reversed)
}

/// The request for the hold is overtaken by its reversal.
pub(super) fn hold_overtaken() -> Story {
    hold_asked()
        .then(reversed())
        .then([What::HoldRefusedInBooks { withdrawal: W }, What::HoldAnswerArrived { withdrawal: W, granted: false }])
        .ended(Standing::Reversed)
}

/// The gateway dies after the command, sends it again, and dies again before it has acknowledged.
pub(super) fn crash_and_resend() -> Story {
    held()
        .then([dispense()])
        .then(restarted())
        .then([dispense(), What::NotesMoved { atm: 0, withdrawal: W, presented: AMOUNT }])
        .then([What::CashTaken { atm: 0, withdrawal: W, amount: AMOUNT }, report(Word::Dispensed, AMOUNT, None, true)])
        .then(restarted())
        .then([outcome_asked(), report(Word::Dispensed, AMOUNT, None, true), acknowledged()])
        .then(confirmed(AMOUNT))
        .ended(Standing::Confirmed(AMOUNT))
}

/// Core banking is away for a long time; the gateway restarts meanwhile.
pub(super) fn confirmation_retried() -> Story {
    let [asked, posted, answered] = confirmed(AMOUNT);
    paid(AMOUNT, AMOUNT)
        .then([report(Word::Dispensed, AMOUNT, None, true), acknowledged(), asked.clone(), asked.clone()])
        .then([posted])
        .then(restarted())
        .then([asked, answered])
        .ended(Standing::Confirmed(AMOUNT))
}
