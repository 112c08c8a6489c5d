//! What attendants and recovery do wrong with a planted bug; see [`cashgate_withdrawal::planted`].

use cashgate_limits::{Caps, LimitFigures};
use cashgate_withdrawal::lane::{Action, ToAtm};
use cashgate_withdrawal::planted::{Bug, is};

use super::attendant::Intent;

impl Intent {
    /// Takes out of an intent what leaves before its records are durable: the intent that is left is carried out at once, and what it took
    /// its place of comes later.
    pub(super) fn spoilt(&mut self) -> Vec<Action> {
        let too_early = |action: &Action| {
            is(Bug::SentBeforeJournal)
                || match action {
                    Action::PlaceHold(_) => is(Bug::HoldBeforeJournal),
                    Action::Tell(ToAtm::Dispense(_)) => is(Bug::CommandBeforeJournal),
                    Action::Tell(ToAtm::OutcomeRecorded(_)) => is(Bug::AcknowledgedBeforeJournal),
                    _ => false,
                }
        };
        let (early, rest) = std::mem::take(&mut self.actions).into_iter().partition(too_early);
        self.actions = rest;
        early
    }
}

/// Limits that do not limit.
pub(crate) fn figures(figures: &LimitFigures) -> LimitFigures {
    let mut caps = *figures.established();
    if is(Bug::SingleNotChecked) {
        caps.per_withdrawal = Caps::UNLIMITED.per_withdrawal;
    }
    if is(Bug::SumNotChecked) {
        (caps.per_day, caps.per_24h, caps.per_7d) =
            (Caps::UNLIMITED.per_day, Caps::UNLIMITED.per_24h, Caps::UNLIMITED.per_7d);
    }
    if is(Bug::CountNotChecked) {
        let much = Caps::UNLIMITED;
        (caps.withdrawals_per_day, caps.withdrawals_per_24h, caps.withdrawals_per_7d) =
            (much.withdrawals_per_day, much.withdrawals_per_24h, much.withdrawals_per_7d);
    }
    let (tiers, device) = (figures.tiers().to_vec(), figures.device().copied());
    LimitFigures::new(figures.currency(), caps, tiers, device, *figures.institution(), figures.burst())
        .unwrap_or_else(|_| figures.clone())
}
