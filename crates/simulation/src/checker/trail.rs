//! All that was seen of one withdrawal.

use super::evidence::Evidence;
use super::verdict::{Finding, Judgement, Rule, broken};
use crate::boundary::{AccountNo, AtmNo, Book, PhoneNo, TokenSeen, WithdrawalNo};

/// What a phone was told that it had approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Approval {
    pub(super) nonce: u128,
    pub(super) phone: PhoneNo,
    pub(super) account: AccountNo,
    pub(super) amount: u64,
}

/// What core banking was first asked to hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) account: AccountNo,
    pub(super) atm: AtmNo,
    pub(super) amount: u64,
    pub(super) approved_at_ms: u64,
    /// The gateway process that asked.
    pub(super) life: u32,
    pub(super) approved_in_this_life: bool,
    /// The dispenser's nonce that came with the customer.
    pub(super) command_nonce: Option<u128>,
    /// Whether only a dispenser's proof makes it believable that less than everything left.
    pub(super) demands_proof: bool,
}

/// The command to pay out, as it first left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Command {
    pub(super) atm: AtmNo,
    pub(super) amount: u64,
    pub(super) start_before_ms: u64,
    /// The dispense token that goes with it.
    pub(super) token: Option<TokenSeen>,
    /// The gateway process that sent it.
    pub(super) life: u32,
}

/// How a hold ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settlement {
    Confirm(u64),
    Reverse,
}

impl Settlement {
    pub(super) fn of(confirm: Option<u64>) -> Self {
        confirm.map_or(Self::Reverse, Self::Confirm)
    }

    /// The end that follows from so much having left.
    pub(super) fn for_amount_left(amount: u64) -> Self {
        if amount == 0 { Self::Reverse } else { Self::Confirm(amount) }
    }
}

impl std::fmt::Display for Settlement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Confirm(amount) => write!(f, "to confirm {amount} yen"),
            Self::Reverse => f.write_str("to reverse"),
        }
    }
}

/// All that was seen of one withdrawal.
#[derive(Debug, Default)]
pub(super) struct Trail {
    pub(super) approval: Option<Approval>,
    pub(super) terms: Option<Terms>,

    // Core banking's books.
    pub(super) held: Option<u64>,
    pub(super) posted_end: Option<Settlement>,
    /// An answer arrived that the postings belied; see the relaxations in the module's page.
    pub(super) deceived: bool,

    // What the gateway heard from core banking.
    pub(super) granted: bool,
    pub(super) declined_in_life: Option<u32>,
    pub(super) confirm_done: bool,
    pub(super) reverse_done: bool,
    pub(super) refused: bool,
    /// What counts against the day's limits for good, once core banking has answered; until then all of it does.
    pub(super) spent: Option<u64>,

    // What the gateway asked of core banking.
    pub(super) asked: Option<Settlement>,
    pub(super) confirms_asked: Vec<u64>,
    pub(super) reverse_asked: bool,

    // The machine.
    pub(super) command: Option<Command>,
    pub(super) presented: Option<u64>,
    pub(super) cash: Option<u64>,
    pub(super) evidence: Evidence,
    pub(super) outcome_acknowledged: bool,

    // People.
    /// What persons wanted, whether or not they heard that it is done.
    pub(super) wanted: Vec<Settlement>,
    pub(super) posted_before_decision: bool,
    pub(super) decision: Option<Settlement>,
    pub(super) shown_end: Option<Book>,
}

impl Trail {
    /// The machine at which it happens.
    pub(super) fn atm(&self) -> Option<AtmNo> {
        self.terms.map(|terms| terms.atm)
    }

    /// The account and the amount, from whichever is known.
    pub(super) fn account_and_amount(&self) -> Option<(AccountNo, u64)> {
        let from_terms = self.terms.map(|terms| (terms.account, terms.amount));
        from_terms.or(self.approval.map(|approval| (approval.account, approval.amount)))
    }

    /// What the customer walked away with. Notes of which nothing more was heard lie in front of the customer.
    pub(super) fn cash_left(&self) -> u64 {
        self.cash.or(self.presented).unwrap_or(0)
    }

    pub(super) fn approved(&mut self, withdrawal: WithdrawalNo, approval: Approval) -> Judgement {
        if let Some(earlier) = self.approval.filter(|earlier| *earlier != approval) {
            let rule = if earlier.nonce == approval.nonce { Rule::Ten } else { Rule::One };
            return broken(rule, withdrawal, || {
                format!("it was acknowledged as {earlier:?} and later as {approval:?}")
            });
        }
        self.approval = Some(approval);
        self.judge_hold_against_approval(withdrawal)
    }

    /// Rule 3: the withdrawal's id is the idempotency key, so the same id must always ask for the same hold. Says whether it was the first time.
    pub(super) fn hold_asked(&mut self, withdrawal: WithdrawalNo, terms: Terms) -> Result<bool, Finding> {
        if let Some(earlier) = self.terms {
            let key = |terms: &Terms| (terms.account, terms.atm, terms.amount, terms.approved_at_ms);
            if key(&earlier) != key(&terms) {
                broken(Rule::Three, withdrawal, || {
                    format!("the hold was asked for as {earlier:?} and later, under the same id, as {terms:?}")
                })?;
            }
            return Ok(false);
        }
        self.terms = Some(terms);
        self.judge_hold_against_approval(withdrawal)?;
        Ok(true)
    }

    fn judge_hold_against_approval(&self, withdrawal: WithdrawalNo) -> Judgement {
        let (Some(approval), Some(terms)) = (self.approval, self.terms) else { return Ok(()) };
        if (approval.account, approval.amount) == (terms.account, terms.amount) {
            return Ok(());
        }
        broken(Rule::Ten, withdrawal, || {
            format!(
                "{} yen from account {} were acknowledged, a hold of {} yen on account {} was asked for",
                approval.amount, approval.account, terms.amount, terms.account
            )
        })
    }
}
