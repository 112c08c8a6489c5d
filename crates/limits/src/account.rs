//! All that is counted against one account. The rules are here; the guard around them is the map's.
//!
//! Of settled withdrawals only those of the latest day that has any are kept. A reservation's day is never earlier than that day,
//! so the sum of every day stays complete for as long as anything can be added to it.

use std::num::NonZeroU32;

use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::time::{CalendarDay, Timestamp};

use crate::burst::Pace;
use crate::{Burst, LimitFigures, LimitRefusal};

/// One account's entry.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Withdrawals that have not ended; they count on every day. Seldom more than one.
    outstanding: Vec<Outstanding>,
    spent: Option<SpentDay>,
    pace: Pace,
}

#[derive(Debug)]
struct Outstanding {
    withdrawal: WithdrawalId,
    amount: Money,
}

/// What left machines for withdrawals that count for one day.
#[derive(Debug)]
struct SpentDay {
    day: CalendarDay,
    withdrawals: NonZeroU32,
    minor_units: u64,
    currency: Currency,
}

/// What counts on a day.
#[derive(Debug, Default)]
struct Counted {
    withdrawals: u32,
    minor_units: u64,
}

/// What is asked of an account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) withdrawal: WithdrawalId,
    pub(crate) amount: Money,
    pub(crate) day: CalendarDay,
    pub(crate) now: Timestamp,
}

impl Account {
    /// Checks a request against everything that counts, and adds it; returns the day it counts for. A refusal changes nothing.
    pub(crate) fn reserve(&mut self, request: Request, figures: &LimitFigures) -> Result<CalendarDay, LimitRefusal> {
        self.check(request, figures)?;
        self.add(request.withdrawal, request.amount);
        self.pace = self.pace.after(request.now, figures.burst());
        Ok(self.counting_day(request.day))
    }

    /// Adds, without a check, a reservation that was admitted before a restart.
    pub(crate) fn restore(&mut self, withdrawal: WithdrawalId, amount: Money, approved_at: Timestamp, burst: Burst) {
        self.add(withdrawal, amount);
        self.count_attempt(approved_at, burst);
    }

    /// Counts an attempt that was admitted before a restart.
    pub(crate) fn count_attempt(&mut self, approved_at: Timestamp, burst: Burst) {
        self.pace = self.pace.after(approved_at, burst);
    }

    /// Takes a reservation away.
    pub(crate) fn end(&mut self, withdrawal: WithdrawalId) {
        self.outstanding.retain(|open| open.withdrawal != withdrawal);
        if self.outstanding.is_empty() {
            // Most entries wait for the end of the day with nothing open: they need not keep room for it.
            self.outstanding = Vec::new();
        }
    }

    /// Counts what left a machine; nothing is no withdrawal. What belongs to an earlier day than the latest counts no more.
    pub(crate) fn spend(&mut self, amount: Money, day: CalendarDay) {
        if amount.is_zero() {
            return;
        }
        match &mut self.spent {
            Some(spent) if spent.day > day => {}
            Some(spent) if spent.day == day => {
                spent.withdrawals = spent.withdrawals.saturating_add(1);
                // Two currencies have no sum. They cannot meet here through `reserve`; if recovery brings them, the day is full.
                let added = if spent.currency == amount.currency() { amount.minor_units() } else { u64::MAX };
                spent.minor_units = spent.minor_units.saturating_add(added);
            }
            earlier => {
                *earlier = Some(SpentDay {
                    day,
                    withdrawals: NonZeroU32::MIN,
                    minor_units: amount.minor_units(),
                    currency: amount.currency(),
                });
            }
        }
    }

    /// How many withdrawals and how many minor units could be reserved now. The first by number and pace alone.
    pub(crate) fn room(&self, figures: &LimitFigures, day: CalendarDay, now: Timestamp) -> (u32, u64) {
        let Ok(counted) = self.counted(day, figures.currency()) else { return (0, 0) };
        let left_today = figures.withdrawals_per_day().saturating_sub(counted.withdrawals);
        let withdrawals = left_today.min(self.pace.at_once(figures.burst(), now));
        let minor_units = figures.per_day().minor_units().saturating_sub(counted.minor_units);
        (withdrawals, minor_units.min(figures.per_withdrawal().minor_units()))
    }

    /// What is reserved for a withdrawal.
    pub(crate) fn reserved_for(&self, withdrawal: WithdrawalId) -> Option<Money> {
        self.outstanding.iter().find(|open| open.withdrawal == withdrawal).map(|open| open.amount)
    }

    /// Every reservation.
    pub(crate) fn reserved(&self) -> impl Iterator<Item = (WithdrawalId, Money)> {
        self.outstanding.iter().map(|open| (open.withdrawal, open.amount))
    }

    /// Whether no decision for `oldest_day` or later, at `now` or later, would miss this entry.
    pub(crate) fn is_idle(&self, oldest_day: CalendarDay, now: Timestamp) -> bool {
        self.outstanding.is_empty()
            && self.spent.as_ref().is_none_or(|spent| spent.day < oldest_day)
            && self.pace.is_rested(now)
    }

    fn check(&self, request: Request, figures: &LimitFigures) -> Result<(), LimitRefusal> {
        let Request { withdrawal, amount, day, now } = request;
        if amount.is_zero() {
            return Err(LimitRefusal::ZeroAmount);
        }
        if amount.currency() != figures.currency() {
            return Err(LimitRefusal::WrongCurrency { amount, expected: figures.currency() });
        }
        let counted = self
            .counted(day, amount.currency())
            .map_err(|expected| LimitRefusal::WrongCurrency { amount, expected })?;
        if let Some(reserved) = self.reserved_for(withdrawal) {
            return Err(LimitRefusal::DuplicateReservation { withdrawal, reserved });
        }
        if amount.minor_units() > figures.per_withdrawal().minor_units() {
            return Err(LimitRefusal::AboveWithdrawalLimit { amount, limit: figures.per_withdrawal() });
        }
        if counted.withdrawals >= figures.withdrawals_per_day() {
            return Err(LimitRefusal::TooManyToday {
                counted: counted.withdrawals,
                limit: figures.withdrawals_per_day(),
            });
        }
        if counted.minor_units.saturating_add(amount.minor_units()) > figures.per_day().minor_units() {
            let counted_minor_units = counted.minor_units;
            return Err(LimitRefusal::AboveDayLimit { amount, counted_minor_units, limit: figures.per_day() });
        }
        let retry_at = self.pace.ready_at(figures.burst());
        if retry_at > now { Err(LimitRefusal::TooFast { retry_at }) } else { Ok(()) }
    }

    /// What counts on a day: everything outstanding, and what was spent on it or, if that is already a later one, on the latest
    /// day. Or the currency of something counted that is not the one asked for.
    fn counted(&self, day: CalendarDay, currency: Currency) -> Result<Counted, Currency> {
        let mut counted = Counted::default();
        for Outstanding { amount, .. } in &self.outstanding {
            counted.add(1, amount.minor_units(), amount.currency(), currency)?;
        }
        if let Some(spent) = self.spent.as_ref().filter(|spent| spent.day >= day) {
            counted.add(spent.withdrawals.get(), spent.minor_units, spent.currency, currency)?;
        }
        Ok(counted)
    }

    /// The day asked for, or the latest with spending: a day that goes backwards would find an empty one.
    fn counting_day(&self, day: CalendarDay) -> CalendarDay {
        self.spent.as_ref().map_or(day, |spent| spent.day.max(day))
    }

    fn add(&mut self, withdrawal: WithdrawalId, amount: Money) {
        // One at a time: the usual growth would make room for four.
        self.outstanding.reserve_exact(1);
        self.outstanding.push(Outstanding { withdrawal, amount });
    }
}

impl Counted {
    fn add(&mut self, withdrawals: u32, minor_units: u64, of: Currency, wanted: Currency) -> Result<(), Currency> {
        if of != wanted {
            return Err(of);
        }
        self.withdrawals = self.withdrawals.saturating_add(withdrawals);
        self.minor_units = self.minor_units.saturating_add(minor_units);
        Ok(())
    }
}
