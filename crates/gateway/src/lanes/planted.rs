//! What attendants and recovery do wrong with a planted bug; see [`cashgate_withdrawal::planted`].

use cashgate_limits::LimitFigures;
use cashgate_withdrawal::lane::{Action, ToAtm};
use cashgate_withdrawal::money::Money;
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
    let much = Money::from_minor_units(100_000_000, figures.per_day().currency()).unwrap_or(figures.per_day());
    let single = if is(Bug::SingleNotChecked) { much } else { figures.per_withdrawal() };
    let sum = if is(Bug::SumNotChecked) { much } else { figures.per_day() };
    let count = if is(Bug::CountNotChecked) { 1_000 } else { figures.withdrawals_per_day() };
    LimitFigures::new(single, sum, count, figures.burst()).unwrap_or(*figures)
}
