//! Core banking: its books, and what it answers.

use std::collections::BTreeMap;

use crate::boundary::{AccountNo, WithdrawalNo};

/// A bank.
#[derive(Debug, Default)]
pub(crate) struct CoreBank {
    pub(crate) balances: BTreeMap<AccountNo, u64>,
    pub(crate) holds: BTreeMap<WithdrawalNo, Hold>,
    pub(crate) down_until_ms: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    account: AccountNo,
    amount: u64,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Held,
    Declined,
    Confirmed(u64),
    Reversed,
}

/// What the bank answers, and whether its books changed with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes { posted: bool },
    No { code: &'static str, posted: bool },
}

impl CoreBank {
    pub(crate) fn place(&mut self, id: WithdrawalNo, account: AccountNo, amount: u64, declines: bool) -> Answer {
        if let Some(known) = self.holds.get(&id) {
            return match known.standing {
                Standing::Held | Standing::Confirmed(_) => Answer::Yes { posted: false },
                Standing::Declined => Answer::No { code: "declined", posted: false },
                Standing::Reversed => Answer::No { code: "already_reversed", posted: false },
            };
        }
        let balance = self.balances.entry(account).or_default();
        if declines || *balance < amount {
            self.holds.insert(id, Hold { account, amount, standing: Standing::Declined });
            return Answer::No { code: "insufficient_funds", posted: true };
        }
        *balance -= amount;
        self.holds.insert(id, Hold { account, amount, standing: Standing::Held });
        Answer::Yes { posted: true }
    }

    pub(crate) fn confirm(&mut self, id: WithdrawalNo, amount: u64) -> Answer {
        let Some(hold) = self.holds.get_mut(&id) else { return Answer::No { code: "no_such_hold", posted: false } };
        match hold.standing {
            Standing::Held if amount <= hold.amount => {
                hold.standing = Standing::Confirmed(amount);
                *self.balances.entry(hold.account).or_default() += hold.amount - amount;
                Answer::Yes { posted: true }
            }
            Standing::Confirmed(before) if before == amount => Answer::Yes { posted: false },
            Standing::Held | Standing::Confirmed(_) => Answer::No { code: "amount_differs", posted: false },
            Standing::Reversed => Answer::No { code: "already_reversed", posted: false },
            Standing::Declined => Answer::No { code: "no_such_hold", posted: false },
        }
    }

    /// A hold that is not known is noted as one that may never be placed.
    pub(crate) fn reverse(&mut self, id: WithdrawalNo) -> Answer {
        let unknown = Hold { account: 0, amount: 0, standing: Standing::Declined };
        let hold = self.holds.entry(id).or_insert(unknown);
        match hold.standing {
            Standing::Held => {
                *self.balances.entry(hold.account).or_default() += hold.amount;
                hold.standing = Standing::Reversed;
                Answer::Yes { posted: true }
            }
            Standing::Declined => {
                hold.standing = Standing::Reversed;
                Answer::Yes { posted: true }
            }
            Standing::Reversed => Answer::Yes { posted: false },
            Standing::Confirmed(_) => Answer::No { code: "already_confirmed", posted: false },
        }
    }

    pub(crate) fn standing(&self, id: WithdrawalNo) -> Option<Standing> {
        self.holds.get(&id).map(|hold| hold.standing)
    }
}
