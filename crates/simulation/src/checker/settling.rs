//! Rules 3, 5, 6, 7, 9 and 10: what the gateway asks core banking to do with a hold, what people decide, and what is shown as the end.

use super::Checker;
use super::trail::{Settlement, Trail};
use super::verdict::{Finding, Judgement, Rule, Violation, broken};
use crate::boundary::{Book, Crossing, Standing, What, WithdrawalNo};

/// A request that only a person can justify. What is said to the person and what is asked of core banking leave in the same moment, in either order.
#[derive(Debug)]
pub(super) struct Owed {
    at_ms: u64,
    withdrawal: WithdrawalNo,
    asked: Settlement,
    finding: Finding,
}

impl Owed {
    pub(super) fn violation(&self) -> Violation {
        self.finding.clone().at(self.at_ms)
    }
}

impl Checker {
    pub(super) fn confirm_asked(&mut self, withdrawal: WithdrawalNo, amount: u64) -> Judgement {
        let trail = self.trails.entry(withdrawal).or_default();
        let approved = trail.terms.map_or(0, |terms| terms.amount);
        if amount == 0 || amount > approved {
            return broken(Rule::Five, withdrawal, || {
                format!("core banking was asked to confirm {amount} yen of {approved} that were approved")
            });
        }
        if !trail.confirms_asked.contains(&amount) {
            trail.confirms_asked.push(amount);
        }
        self.settlement_asked(withdrawal, Settlement::Confirm(amount))
    }

    pub(super) fn reverse_asked(&mut self, withdrawal: WithdrawalNo) -> Judgement {
        self.trails.entry(withdrawal).or_default().reverse_asked = true;
        self.settlement_asked(withdrawal, Settlement::Reverse)
    }

    fn settlement_asked(&mut self, withdrawal: WithdrawalNo, asked: Settlement) -> Judgement {
        let (life, now_ms) = (self.life, self.now_ms);
        let is_lying = self.is_lying(self.trails.get(&withdrawal).and_then(Trail::atm));
        let trail = self.trails.entry(withdrawal).or_default();
        let judgement = judge_request(trail, withdrawal, asked, life, is_lying);
        trail.asked = Some(asked);
        match (judgement, &self.owed) {
            (Ok(()), _) => Ok(()),
            (Err(finding), None) => {
                self.owed = Some(Owed { at_ms: now_ms, withdrawal, asked, finding });
                Ok(())
            }
            (Err(finding), Some(_)) => Err(finding),
        }
    }

    /// Says what is owed once its moment is over without a person having decided so.
    pub(super) fn claim_owed(&mut self, crossing: &Crossing) -> Result<(), Violation> {
        let Some(owed) = &self.owed else { return Ok(()) };
        if crossing.at_ms != owed.at_ms || crossing.what == What::GatewayStopped {
            return Err(owed.violation());
        }
        if let What::SuspectResolved { withdrawal, confirm } = crossing.what
            && (withdrawal, Settlement::of(confirm)) == (owed.withdrawal, owed.asked)
        {
            self.owed = None;
        }
        Ok(())
    }

    pub(super) fn owed(&self) -> Option<&Owed> {
        self.owed.as_ref()
    }

    /// What a person wants justifies what core banking is asked from then on, whether or not the person hears that it is done.
    pub(super) fn person_decides(&mut self, withdrawal: WithdrawalNo, confirm: Option<u64>) {
        let trail = self.trails.entry(withdrawal).or_default();
        trail.wanted.push(Settlement::of(confirm));
        trail.posted_before_decision |= trail.posted_end.is_some();
    }

    pub(super) fn suspect_resolved(&mut self, withdrawal: WithdrawalNo, confirm: Option<u64>) -> Judgement {
        let is_lying = self.is_lying(self.trails.get(&withdrawal).and_then(Trail::atm));
        let trail = self.trails.entry(withdrawal).or_default();
        let decision = Settlement::of(confirm);
        if let Some(book) = trail.shown_end {
            return broken(Rule::Nine, withdrawal, || {
                format!("a person decided {decision} after it had ended as {:?}", book.standing)
            });
        }
        if let Some(amount) = confirm.filter(|amount| trail.terms.is_none_or(|terms| *amount > terms.amount)) {
            return broken(Rule::Five, withdrawal, || {
                format!("a person was allowed to confirm {amount} yen, more than approved")
            });
        }
        // Only a suspect can be resolved, and what is being settled is one only if core banking refused, or its machine contradicted itself.
        let may_differ = trail.refused || is_lying;
        if let Some(earlier) = trail.decision.filter(|earlier| *earlier != decision && !may_differ) {
            return broken(Rule::Ten, withdrawal, || {
                format!("a person was told {earlier} is done, and later {decision}")
            });
        }
        if let Some(asked) = trail.asked.filter(|asked| *asked != decision && !may_differ) {
            return broken(Rule::Seven, withdrawal, || {
                format!("a person decided {decision} while core banking was being asked {asked}")
            });
        }
        trail.decision = Some(decision);
        trail.refused = false;
        Ok(())
    }

    /// Rule 9, and that an end is one that core banking has answered for.
    pub(super) fn shown(&mut self, book: Book) -> Judgement {
        let trail = self.trails.entry(book.withdrawal).or_default();
        judge_book(trail, &book)?;
        if !matches!(book.standing, Standing::Open | Standing::Suspect) {
            trail.shown_end = Some(book);
        }
        Ok(())
    }
}

fn judge_request(trail: &Trail, withdrawal: WithdrawalNo, asked: Settlement, life: u32, is_lying: bool) -> Judgement {
    if trail.wanted.contains(&asked) {
        return Ok(());
    }
    if let Some(decision) = trail.decision {
        if asked == decision {
            return Ok(());
        }
        return broken(Rule::Ten, withdrawal, || {
            format!("a person decided {decision}, core banking was asked {asked}")
        });
    }
    match trail.asked {
        Some(earlier) if earlier == asked => return Ok(()),
        Some(earlier) => {
            return broken(Rule::Seven, withdrawal, || format!("core banking was asked {earlier} and then {asked}"));
        }
        None => {}
    }
    if let Some(amount) = trail.evidence.settled
        && Settlement::for_amount_left(amount) != asked
    {
        return broken(Rule::Ten, withdrawal, || {
            format!("the proof that {amount} yen left was acknowledged, core banking was asked {asked}")
        });
    }
    judge_evidence(trail, withdrawal, asked, life, is_lying)
}

/// Rule 5, and which of its neighbours tells better what went wrong.
fn judge_evidence(trail: &Trail, withdrawal: WithdrawalNo, asked: Settlement, life: u32, is_lying: bool) -> Judgement {
    let is_proved = trail.evidence.proved.iter().any(|amount| Settlement::for_amount_left(*amount) == asked);
    let Some(command) = trail.command else {
        // Before the command anything may reverse; nothing may confirm.
        if asked == Settlement::Reverse || (is_lying && is_proved) {
            return Ok(());
        }
        return broken(Rule::Five, withdrawal, || {
            format!("core banking was asked {asked}, though no command was sent")
        });
    };
    if is_proved {
        return Ok(());
    }
    if let Some(amount) = trail.evidence.proved.first() {
        return broken(Rule::Five, withdrawal, || {
            format!("core banking was asked {asked}, but what was reported proves that {amount} yen left")
        });
    }
    if trail.evidence.reported {
        return broken(Rule::Six, withdrawal, || {
            format!("core banking was asked {asked} after the command, on reports that prove nothing")
        });
    }
    let rule = if command.life == life { Rule::Five } else { Rule::Three };
    broken(rule, withdrawal, || {
        format!("core banking was asked {asked} after the command, without any report or person")
    })
}

/// What can be said of a withdrawal whenever the gateway shows it, also in the end.
pub(super) fn judge_book(trail: &Trail, book: &Book) -> Judgement {
    let withdrawal = book.withdrawal;
    if let Some(end) = trail.shown_end.filter(|end| end != book) {
        return broken(Rule::Nine, withdrawal, || format!("it had ended as {end:?} and is now {book:?}"));
    }
    if let Some((account, amount)) = trail.account_and_amount()
        && (account, amount) != (book.account, book.amount)
    {
        return broken(Rule::Ten, withdrawal, || {
            format!(
                "it is for {amount} yen from account {account}, the gateway shows {} from {}",
                book.amount, book.account
            )
        });
    }
    let declined = trail.declined_in_life.is_some();
    let is_answered_for = match book.standing {
        Standing::Open | Standing::Suspect => true,
        Standing::Confirmed(amount) => trail.confirm_done && trail.confirms_asked.contains(&amount),
        // A refusal that comes while the reversal is under way says as well that there is no hold.
        Standing::Reversed => trail.reverse_done || declined,
        Standing::Declined => declined && trail.command.is_none(),
    };
    if is_answered_for {
        return Ok(());
    }
    broken(Rule::Seven, withdrawal, || {
        format!("it is shown as {:?}, which no answer of core banking accounts for", book.standing)
    })
}
