//! What the other two sides may say of a withdrawal, and what is a difference. Plain functions of what is written down.

use std::time::Duration;

use super::Plan;
use super::book::{BookState, Entry};
use super::finding::Kind;
use super::posting::{Posting, Standing};

/// How sure the gateway's side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It had ended by the moment of comparison: the others must say the same.
    Settled,
    /// It ended after that moment: the others' files may be from before or after.
    EndedSince,
    /// It is open: the others may be anywhere on the way that it takes.
    Open,
}

impl Stage {
    pub(super) fn of(entry: &Entry, plan: &Plan) -> Self {
        match entry.state.is_ended() {
            true if entry.changed_at < plan.as_of() => Self::Settled,
            true => Self::EndedSince,
            false => Self::Open,
        }
    }
}

/// What is wrong with core banking's row of a withdrawal, or with its absence. At most one thing: the first that would be looked into.
pub(super) fn at_core_banking(entry: &Entry, stage: Stage) -> Option<Kind> {
    let Some(posting) = &entry.posting else {
        // Of a hold that was never granted nothing need be written down.
        let expected = stage == Stage::Settled && entry.granted;
        return expected.then_some(Kind::MissingAtCoreBanking);
    };
    if posting.account.is_some_and(|account| account != entry.account) {
        return Some(Kind::AccountDiffers);
    }
    match stage {
        Stage::Settled if !standing_is_the_end(entry, posting) => Some(Kind::StandingDiffers),
        Stage::Settled if !amounts_are_the_end(entry, posting) => Some(Kind::AmountDiffers),
        Stage::Open if !standing_is_on_the_way(entry, posting) => Some(Kind::StandingDiffers),
        Stage::Settled => None,
        Stage::Open | Stage::EndedSince => {
            let approved = entry.approved.minor_units();
            let booked_max = if entry.dispensed > 0 { entry.dispensed } else { approved };
            let possible = [0, approved].contains(&posting.held) && posting.confirmed <= booked_max;
            (!possible).then_some(Kind::AmountDiffers)
        }
    }
}

fn standing_is_the_end(entry: &Entry, posting: &Posting) -> bool {
    match entry.state {
        BookState::Confirmed => posting.standing == Standing::Confirmed,
        BookState::Declined => match posting.standing {
            Standing::Declined => true,
            // Refused once, and reversed for good measure; but never granted.
            Standing::Reversed => posting.held == 0,
            Standing::Held | Standing::Confirmed => false,
        },
        _ => match posting.standing {
            Standing::Reversed => true,
            // The answer to the hold was lost, so the gateway reversed what had been refused.
            Standing::Declined => !entry.granted,
            Standing::Held | Standing::Confirmed => false,
        },
    }
}

fn amounts_are_the_end(entry: &Entry, posting: &Posting) -> bool {
    let approved = entry.approved.minor_units();
    let held_fits = match entry.state {
        BookState::Declined => posting.held == 0,
        _ if entry.granted => posting.held == approved,
        // The answer to the hold never came: granted or not, it was reversed.
        _ => posting.held == 0 || posting.held == approved,
    };
    held_fits && posting.confirmed == entry.dispensed
}

fn standing_is_on_the_way(entry: &Entry, posting: &Posting) -> bool {
    match entry.state {
        BookState::HoldRequested | BookState::Reversing => posting.standing != Standing::Confirmed,
        BookState::AwaitingCode | BookState::Held | BookState::DispenseCommanded | BookState::OutcomeUnknown => {
            posting.standing == Standing::Held
        }
        BookState::Confirming => matches!(posting.standing, Standing::Held | Standing::Confirmed),
        // What core banking had been asked before the doubt arose it may have done.
        BookState::Suspect => true,
        BookState::Declined | BookState::Confirmed | BookState::Reversed => true,
    }
}

/// What is wrong with the ATM's row of a withdrawal, or with its absence.
pub(super) fn at_atm(entry: &Entry, stage: Stage) -> Option<Kind> {
    let Some(counter) = &entry.counter else {
        let expected = stage == Stage::Settled && entry.dispensed > 0;
        return expected.then_some(Kind::MissingAtAtm);
    };
    match (stage, counter.stayed_out()) {
        (Stage::Settled, None) => Some(Kind::UncountedAtAtm),
        (Stage::Settled, Some(out)) => (out != entry.dispensed).then_some(Kind::CashDiffers),
        (_, out) => (out? > cash_out_max(entry)).then_some(Kind::CashDiffers),
    }
}

/// The most that can be outside while the withdrawal stands as it does.
fn cash_out_max(entry: &Entry) -> u64 {
    match entry.state {
        BookState::DispenseCommanded | BookState::OutcomeUnknown | BookState::Suspect => entry.approved.minor_units(),
        // Confirming and confirmed: what was counted. The others: nothing was commanded, or it is known that nothing left.
        _ => entry.dispensed,
    }
}

/// Whether an open withdrawal has been open for too long.
pub(super) fn overdue(entry: &Entry, stage: Stage, plan: &Plan) -> Option<Kind> {
    let age: Duration = plan.as_of().since(entry.approved_at);
    match entry.state {
        _ if stage != Stage::Open => None,
        BookState::Suspect => (age > plan.suspects_older_than).then_some(Kind::AgedSuspect),
        _ => (age > plan.open_longer_than).then_some(Kind::HeldTooLong),
    }
}
