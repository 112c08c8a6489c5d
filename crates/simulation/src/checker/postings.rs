//! Rules 7 and 12 in core banking's books, and what it told the gateway of them.

use super::Checker;
use super::trail::Settlement;
use super::verdict::{Judgement, Rule, broken, broken_by_none};
use crate::boundary::{AccountNo, WithdrawalNo};

/// The sums of one account, in yen, from core banking's postings alone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AccountBook {
    pub(super) posted: u64,
    pub(super) confirmed: u64,
    pub(super) released: u64,
    pub(super) still_held: u64,
}

impl AccountBook {
    fn hold(&mut self, amount: u64) {
        self.posted += amount;
        self.still_held += amount;
    }

    /// Ends a hold, of which so much is booked. False if there was not that much to end.
    pub(super) fn end(&mut self, held: u64, confirmed: u64) -> bool {
        let (Some(released), Some(still_held)) = (held.checked_sub(confirmed), self.still_held.checked_sub(held))
        else {
            return false;
        };
        self.confirmed += confirmed;
        self.released += released;
        self.still_held = still_held;
        true
    }

    pub(super) fn judge(&self, account: AccountNo) -> Judgement {
        if self.posted == self.confirmed + self.released + self.still_held {
            return Ok(());
        }
        broken_by_none(Rule::Twelve, || {
            format!(
                "account {account}: {} yen of holds, but {} confirmed, {} released and {} still held",
                self.posted, self.confirmed, self.released, self.still_held
            )
        })
    }
}

impl Checker {
    pub(super) fn hold_posted(&mut self, withdrawal: WithdrawalNo, account: AccountNo, amount: u64) -> Judgement {
        let trail = self.trails.entry(withdrawal).or_default();
        if trail.posted_end.is_some() {
            return broken(Rule::Seven, withdrawal, || "a hold was posted after its own end".to_owned());
        }
        if trail.held.is_some() {
            return broken(Rule::Twelve, withdrawal, || "its hold was posted twice".to_owned());
        }
        match trail.terms {
            Some(terms) if (terms.account, terms.amount) == (account, amount) => {}
            _ => {
                return broken(Rule::Twelve, withdrawal, || {
                    format!("a hold of {amount} yen on account {account} was posted, which was not asked for")
                });
            }
        }
        trail.held = Some(amount);
        let book = self.accounts.entry(account).or_default();
        book.hold(amount);
        book.judge(account)
    }

    pub(super) fn hold_refused_in_books(&mut self, withdrawal: WithdrawalNo) -> Judgement {
        let trail = self.trails.entry(withdrawal).or_default();
        // Once it has ended, asking for the hold again may well be refused.
        if trail.held.is_some() && trail.posted_end.is_none() {
            return broken(Rule::Twelve, withdrawal, || "its hold was posted and then refused".to_owned());
        }
        Ok(())
    }

    pub(super) fn confirm_posted(&mut self, withdrawal: WithdrawalNo, amount: u64) -> Judgement {
        let asked = self.trails.get(&withdrawal).is_some_and(|trail| trail.confirms_asked.contains(&amount));
        if !asked {
            return broken(Rule::Seven, withdrawal, || {
                format!("{amount} yen were confirmed, which were not asked for")
            });
        }
        self.end_posted(withdrawal, Settlement::Confirm(amount))
    }

    pub(super) fn reverse_posted(&mut self, withdrawal: WithdrawalNo) -> Judgement {
        if !self.trails.get(&withdrawal).is_some_and(|trail| trail.reverse_asked) {
            return broken(Rule::Seven, withdrawal, || "a reversal was posted that was not asked for".to_owned());
        }
        self.end_posted(withdrawal, Settlement::Reverse)
    }

    /// Rule 7: a hold ends once. Rule 12: with no more than it held. A reversal without a hold only keeps a late hold away.
    fn end_posted(&mut self, withdrawal: WithdrawalNo, end: Settlement) -> Judgement {
        let trail = self.trails.entry(withdrawal).or_default();
        if let Some(earlier) = trail.posted_end.replace(end) {
            return broken(Rule::Seven, withdrawal, || {
                format!("core banking booked {end} although it had already booked {earlier}")
            });
        }
        let (Some(held), Some(terms)) = (trail.held, trail.terms) else {
            return match end {
                Settlement::Reverse => Ok(()),
                Settlement::Confirm(amount) => {
                    broken(Rule::Seven, withdrawal, || format!("{amount} yen were confirmed without a hold"))
                }
            };
        };
        let confirmed = match end {
            Settlement::Confirm(amount) => amount,
            Settlement::Reverse => 0,
        };
        let book = self.accounts.entry(terms.account).or_default();
        if !book.end(held, confirmed) {
            return broken(Rule::Twelve, withdrawal, || {
                format!("{confirmed} yen were confirmed out of a hold of {held}")
            });
        }
        book.judge(terms.account)
    }

    /// Notes what the gateway may now believe.
    pub(super) fn hold_answer_arrived(&mut self, withdrawal: WithdrawalNo, granted: bool) -> Judgement {
        let life = self.life;
        let trail = self.trails.entry(withdrawal).or_default();
        if granted {
            // Whoever was refused has ended; a grant that comes later is no hold to pay out from. A process that died may have forgotten the refusal.
            trail.granted |= trail.declined_in_life != Some(life);
        } else {
            trail.declined_in_life = Some(life);
            if !trail.granted && trail.spent.is_none() {
                trail.spent = Some(0);
            }
        }
        let is_held = trail.held.is_some() && trail.posted_end != Some(Settlement::Reverse);
        let belied = if granted { trail.held.is_none() } else { is_held };
        trail.deceived |= self.setup.core_bank_contradicts && belied;
        Ok(())
    }

    /// Notes what the gateway may now believe.
    pub(super) fn settlement_answer_arrived(
        &mut self,
        withdrawal: WithdrawalNo,
        confirm: bool,
        done: bool,
    ) -> Judgement {
        let trail = self.trails.entry(withdrawal).or_default();
        let confirmed_amount = trail.confirms_asked.last().copied();
        match (confirm, done) {
            (true, true) => {
                trail.confirm_done = true;
                trail.spent = confirmed_amount;
            }
            (false, true) => {
                trail.reverse_done = true;
                trail.spent = Some(0);
            }
            (_, false) => trail.refused = true,
        }
        let claimed = if confirm { confirmed_amount.map(Settlement::Confirm) } else { Some(Settlement::Reverse) };
        let is_booked = claimed.is_some() && trail.posted_end == claimed;
        trail.deceived |= self.setup.core_bank_contradicts && done != is_booked;
        Ok(())
    }
}
