//! With several replicas: one at a time acts for a machine, and a stop holds at all of them.

use std::collections::BTreeMap;

use super::Checker;
use super::verdict::{Judgement, Rule, broken};
use crate::boundary::{AtmNo, WithdrawalNo};

/// A process that has lost a lane may not have heard of it yet: as long as its last word from the ledger holds, and what it sends at the end
/// of that.
const UNHEARD_MS_MAX: u64 = 4_000;
/// A stop reaches every replica within a second; one that was on its way to the ledger at that moment may come after it.
const STOP_REACHES_MS_MAX: u64 = 1_500;

/// Whose lanes are, and what is stopped.
#[derive(Debug, Default)]
pub(super) struct Ownership {
    lanes: BTreeMap<AtmNo, Owner>,
    stops: Vec<Stop>,
}

#[derive(Clone, Copy, Debug)]
struct Owner {
    process: u32,
    since_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Stop {
    atm: AtmNo,
    from_ms: u64,
    to_ms: u64,
}

impl Ownership {
    pub(super) fn taken(&mut self, atm: AtmNo, process: u32, at_ms: u64) {
        self.lanes.insert(atm, Owner { process, since_ms: at_ms });
    }

    pub(super) fn stopped(&mut self, atm: AtmNo, at_ms: u64) {
        self.stops.push(Stop { atm, from_ms: at_ms, to_ms: u64::MAX });
    }

    pub(super) fn released(&mut self, atm: AtmNo, at_ms: u64) {
        let open = self.stops.iter_mut().filter(|stop| stop.atm == atm && stop.to_ms == u64::MAX);
        open.for_each(|stop| stop.to_ms = at_ms);
    }

    /// Nothing begins at a machine that has been stopped for longer than a stop takes to reach everybody.
    pub(super) fn judge_stop(&self, withdrawal: WithdrawalNo, atm: AtmNo, approved_at_ms: u64) -> Judgement {
        let holds = |stop: &&Stop| {
            let reached_ms = stop.from_ms.saturating_add(STOP_REACHES_MS_MAX);
            stop.atm == atm && (reached_ms..stop.to_ms).contains(&approved_at_ms)
        };
        match self.stops.iter().find(holds) {
            None => Ok(()),
            Some(stop) => broken(Rule::Stop, withdrawal, || {
                format!(
                    "it was approved at machine {atm}, which had been stopped {} ms before",
                    approved_at_ms - stop.from_ms
                )
            }),
        }
    }
}

impl Checker {
    /// Whoever sends a command or settles must own the machine's lane, or have lost it only just now.
    pub(super) fn judge_actor(&self, withdrawal: WithdrawalNo) -> Judgement {
        let Some(atm) = self.trails.get(&withdrawal).and_then(super::trail::Trail::atm) else { return Ok(()) };
        let Some(owner) = self.ownership.lanes.get(&atm) else { return Ok(()) };
        if owner.process == self.life || self.now_ms <= owner.since_ms + UNHEARD_MS_MAX {
            return Ok(());
        }
        broken(Rule::Owner, withdrawal, || {
            format!(
                "process {} acts for machine {atm}, whose lane has been process {}'s for {} ms",
                self.life,
                owner.process,
                self.now_ms - owner.since_ms
            )
        })
    }
}
