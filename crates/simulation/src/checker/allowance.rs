//! Rule 8: the limits of an account, counted anew at each admission.

use super::Checker;
use super::trail::Terms;
use super::verdict::{Judgement, Rule, broken};
use crate::boundary::WithdrawalNo;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

impl Checker {
    /// Judges a withdrawal when its hold is first asked for. It counts itself too.
    ///
    /// What the rules do not say is read in the gateway's favour: a withdrawal that left no money (declined or reversed, and answered so) takes no place among the day's
    /// withdrawals, and one of another day that is still open takes none either, though its money does.
    pub(super) fn judge_limits(&self, withdrawal: WithdrawalNo, terms: Terms) -> Judgement {
        if terms.amount > self.setup.per_withdrawal {
            return broken(Rule::Eight, withdrawal, || {
                format!(
                    "a hold of {} yen was asked for, a withdrawal may have {}",
                    terms.amount, self.setup.per_withdrawal
                )
            });
        }
        let today = self.day(terms.approved_at_ms);
        let (mut sum, mut count) = (0_u64, 0_u32);
        for trail in self.trails.values() {
            let Some(other) = trail.terms.filter(|other| other.account == terms.account) else { continue };
            let is_of_today = self.day(other.approved_at_ms) == today;
            match trail.spent {
                // One that was approved after midnight was judged by its own day, although its request may have left before this one's.
                None if is_of_today || other.approved_at_ms <= terms.approved_at_ms => sum += other.amount,
                Some(spent) if is_of_today => sum += spent,
                _ => {}
            }
            if is_of_today && trail.spent != Some(0) {
                count += 1;
            }
        }
        if sum > self.setup.per_day {
            return broken(Rule::Eight, withdrawal, || {
                format!(
                    "with it account {} has {sum} yen spent or outstanding on day {today}, a day may have {}",
                    terms.account, self.setup.per_day
                )
            });
        }
        if count > self.setup.withdrawals_per_day {
            return broken(Rule::Eight, withdrawal, || {
                format!(
                    "it is number {count} of account {} on day {today}, a day may have {}",
                    terms.account, self.setup.withdrawals_per_day
                )
            });
        }
        Ok(())
    }

    /// The institution's calendar day, counted from 1970-01-01.
    fn day(&self, at_ms: u64) -> u64 {
        at_ms.saturating_add(self.setup.zone_offset_ms) / DAY_MS
    }
}
