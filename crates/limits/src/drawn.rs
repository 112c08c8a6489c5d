//! What was drawn from one account, or by one device: every withdrawal of the last seven days, in no order.

use cashgate_withdrawal::money::{Currency, Money};
use smallvec::SmallVec;

use crate::Caps;
use crate::window::{Counted, Since, Tally};

/// As many ended withdrawals as are told apart. No figure may count further, so that a list never needs more; what recovery
/// brings beyond that is merged.
pub(crate) const WITHDRAWALS_MAX: usize = Caps::WITHDRAWALS_MAX as usize;

/// "Still open" instead of a moment: it counts in every window.
const OPEN: u32 = u32::MAX;

/// One withdrawal.
#[derive(Clone, Copy, Debug)]
struct Drawn {
    /// When it was approved, in seconds since 1970; [`OPEN`] while it is open.
    at_s: u32,
    /// What is reserved, or what left the machine.
    minor_units: u32,
}

/// Withdrawals in one currency. Three fit without memory of their own: most accounts have no more in a week, and with
/// them an entry and its key are 64 bytes.
#[derive(Debug, Default)]
pub(crate) struct DrawnList {
    drawn: SmallVec<[Drawn; 3]>,
    currency: Option<Currency>,
}

impl DrawnList {
    /// What counts in each window: everything open, and what ended if it was approved since; what lies ahead of `now` as well.
    pub(crate) fn counted(&self, since: &Since) -> Counted {
        let mut counted = Counted::default();
        for Drawn { at_s, minor_units } in &self.drawn {
            let minor_units = u64::from(*minor_units);
            if *at_s >= since.day_s {
                counted.day.add(minor_units);
            }
            if *at_s >= since.last_24h_s {
                counted.last_24h.add(minor_units);
            }
            if *at_s >= since.last_7d_s {
                counted.last_7d.add(minor_units);
            }
        }
        counted
    }

    /// The currency of what counts, if it is not this one.
    pub(crate) fn counts_in_other_than(&self, currency: Currency, since: &Since) -> Option<Currency> {
        let other = self.currency.filter(|counting| *counting != currency)?;
        self.drawn.iter().any(|drawn| drawn.at_s >= since.earliest_s()).then_some(other)
    }

    /// Counts a withdrawal that is admitted, from its approval on. Lets go of what is over.
    pub(crate) fn admit(&mut self, amount: Money, since: &Since) {
        self.forget_before(since.kept_s());
        if self.drawn.len() >= WITHDRAWALS_MAX {
            self.forget_before(since.earliest_s());
        }
        self.open(amount);
    }

    /// Counts an open withdrawal.
    pub(crate) fn open(&mut self, amount: Money) {
        let minor_units = self.countable(amount);
        self.drawn.push(Drawn { at_s: OPEN, minor_units });
    }

    /// Ends an open withdrawal, and counts what left the machine for the moment of its approval. One as good as the other: those of
    /// one amount are not told apart.
    pub(crate) fn end(&mut self, reserved: Money, dispensed: Money, approved_s: u32) {
        let reserved = saturated(reserved);
        let of = |minor_units| self.drawn.iter().position(|open| open.at_s == OPEN && open.minor_units == minor_units);
        // Where currencies met it was counted as the most there is.
        if let Some(place) = of(reserved).or_else(|| of(u32::MAX)) {
            self.drawn.swap_remove(place);
        }
        self.spend(dispensed, approved_s);
    }

    /// Counts what left a machine; nothing is no withdrawal.
    pub(crate) fn spend(&mut self, dispensed: Money, approved_s: u32) {
        if dispensed.is_zero() {
            return;
        }
        let minor_units = self.countable(dispensed);
        if self.drawn.len() >= WITHDRAWALS_MAX
            && let Some(latest) =
                self.drawn.iter_mut().filter(|drawn| drawn.at_s != OPEN).max_by_key(|drawn| drawn.at_s)
        {
            latest.at_s = latest.at_s.max(approved_s);
            latest.minor_units = latest.minor_units.saturating_add(minor_units);
            return;
        }
        self.drawn.push(Drawn { at_s: approved_s, minor_units });
    }

    /// Lets go of what was approved before `kept_s`.
    pub(crate) fn forget_before(&mut self, kept_s: u32) {
        self.drawn.retain(|drawn| drawn.at_s >= kept_s);
        if self.drawn.spilled() && self.drawn.len() <= self.drawn.inline_size() {
            self.drawn.shrink_to_fit();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.drawn.is_empty()
    }

    /// What is open.
    pub(crate) fn outstanding(&self) -> Tally {
        let mut open = Tally::default();
        self.drawn.iter().filter(|drawn| drawn.at_s == OPEN).for_each(|drawn| open.add(drawn.minor_units.into()));
        open
    }

    /// The amount as it is counted. Two currencies have no sum: they cannot meet through a decision, and if recovery brings them,
    /// the later one counts as the most there is, so that nothing is admitted until it is forgotten.
    fn countable(&mut self, amount: Money) -> u32 {
        if self.is_empty() {
            self.currency = Some(amount.currency());
        }
        if self.currency == Some(amount.currency()) { saturated(amount) } else { u32::MAX }
    }
}

/// More than 32 bits count as the most they hold: no figure is above it, so that nothing more is admitted.
fn saturated(amount: Money) -> u32 {
    u32::try_from(amount.minor_units()).unwrap_or(u32::MAX)
}
