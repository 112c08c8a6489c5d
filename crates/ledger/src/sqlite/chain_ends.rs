//! Where the chains of open withdrawals end, as the writer itself wrote them.
//!
//! A step is chained to the one before it, and the row is what tells its seal. Reading and checking the whole row for every step would
//! cost as much as writing the step; the writer is the only one who writes, so what it wrote last is what the row says. A change behind
//! its back is still found: by whoever reads, and at once if it touches what was approved.

use std::collections::HashMap;

use cashgate_withdrawal::ids::WithdrawalId;

use crate::columns::Standing;

/// How many open withdrawals are known at a time. Beyond it, all are forgotten and read again.
const KNOWN_MAX: usize = 100_000;

#[derive(Default)]
pub(crate) struct ChainEnds {
    of: HashMap<WithdrawalId, Standing>,
}

impl ChainEnds {
    pub(crate) fn of(&self, withdrawal: WithdrawalId) -> Option<Standing> {
        self.of.get(&withdrawal).copied()
    }

    /// The withdrawal took a step. It counts only if the commit does: whoever takes a write back forgets.
    pub(crate) fn note(&mut self, withdrawal: WithdrawalId, standing: Standing) {
        if !standing.open {
            self.of.remove(&withdrawal);
            return;
        }
        if self.of.len() >= KNOWN_MAX {
            self.forget();
        }
        self.of.insert(withdrawal, standing);
    }

    pub(crate) fn forget(&mut self) {
        self.of.clear();
    }
}
