//! Rules 2 and 4: the command, and the notes that it moves.

use super::Checker;
use super::trail::{Command, Settlement, Trail};
use super::verdict::{Judgement, Rule, broken};
use crate::boundary::{AtmNo, WithdrawalNo};

impl Checker {
    pub(super) fn dispense_sent(&mut self, withdrawal: WithdrawalNo, command: Command) -> Judgement {
        let contradicts = self.setup.core_bank_contradicts;
        let trail = self.trails.entry(withdrawal).or_default();
        judge_moment(trail, withdrawal, contradicts)?;
        judge_terms(trail, withdrawal, command)?;
        judge_token(trail, withdrawal, command)?;
        match trail.command {
            None => {
                trail.command = Some(command);
                trail.evidence.begin_with_command();
                Ok(())
            }
            Some(first) if first.token != command.token => {
                broken(Rule::Two, withdrawal, || "the command was sent again with another dispense token".to_owned())
            }
            Some(first) if first.start_before_ms == command.start_before_ms => Ok(()),
            Some(first) => broken(Rule::Two, withdrawal, || {
                format!(
                    "the command was sent to start before {} ms and again to start before {} ms",
                    first.start_before_ms, command.start_before_ms
                )
            }),
        }
    }

    /// Notes move once, for a command, and no more of them than it says.
    pub(super) fn notes_moved(&mut self, withdrawal: WithdrawalNo, atm: AtmNo, presented: u64) -> Judgement {
        let is_secured = self.setup.end_to_end_atms.contains(&atm);
        let trail = self.trails.entry(withdrawal).or_default();
        if is_secured && trail.command.is_some_and(|command| command.token.is_none()) {
            return broken(Rule::Two, withdrawal, || format!("machine {atm} moved notes without a dispense token"));
        }
        if trail.presented.is_some() {
            return broken(Rule::Two, withdrawal, || format!("machine {atm} moved notes a second time"));
        }
        trail.presented = Some(presented);
        judge_notes(trail, withdrawal, atm, presented)
    }

    pub(super) fn cash_taken(&mut self, withdrawal: WithdrawalNo, atm: AtmNo, amount: u64) -> Judgement {
        let trail = self.trails.entry(withdrawal).or_default();
        trail.cash = Some(amount);
        if amount > trail.presented.unwrap_or(0) {
            return broken(Rule::Twelve, withdrawal, || {
                format!("the customer has {amount} yen of {} that were presented", trail.presented.unwrap_or(0))
            });
        }
        if amount == 0 { Ok(()) } else { judge_notes(trail, withdrawal, atm, amount) }
    }
}

/// Whether this is the time for a command, first or repeated.
fn judge_moment(trail: &Trail, withdrawal: WithdrawalNo, contradicts: bool) -> Judgement {
    if let Some(book) = trail.shown_end {
        return broken(Rule::Nine, withdrawal, || {
            format!("a command was sent after it had ended as {:?}", book.standing)
        });
    }
    if trail.reverse_asked {
        return broken(Rule::Four, withdrawal, || {
            "a command was sent after core banking had been asked to reverse".to_owned()
        });
    }
    if let Some(Settlement::Confirm(amount)) = trail.asked {
        return broken(Rule::Two, withdrawal, || {
            format!("a command was sent after core banking had been asked to confirm {amount} yen")
        });
    }
    if let Some(amount) = trail.evidence.settled {
        return broken(Rule::Two, withdrawal, || {
            format!("a command was sent after the proof that {amount} yen left had been acknowledged")
        });
    }
    // Where core banking contradicts itself, its word is all that the gateway has.
    if trail.held.is_none() && !contradicts {
        return broken(Rule::Two, withdrawal, || {
            "a command was sent without a hold in core banking's books".to_owned()
        });
    }
    if !trail.granted {
        return broken(Rule::Four, withdrawal, || "a command was sent although no grant had arrived".to_owned());
    }
    Ok(())
}

/// Whether the command is the one that was approved and held.
fn judge_terms(trail: &Trail, withdrawal: WithdrawalNo, command: Command) -> Judgement {
    let Some(terms) = trail.terms else {
        return broken(Rule::Two, withdrawal, || "a command was sent and no hold had been asked for".to_owned());
    };
    if command.atm != terms.atm {
        return broken(Rule::Two, withdrawal, || {
            format!("the command went to machine {}, the withdrawal is at machine {}", command.atm, terms.atm)
        });
    }
    if command.amount != terms.amount || trail.held.is_some_and(|held| held != command.amount) {
        return broken(Rule::Two, withdrawal, || {
            format!(
                "the command says {} yen, the hold is for {} yen",
                command.amount,
                trail.held.unwrap_or(terms.amount)
            )
        });
    }
    Ok(())
}

/// A dispenser that gave a nonce is commanded with a token for this nonce and this amount, any other without one.
fn judge_token(trail: &Trail, withdrawal: WithdrawalNo, command: Command) -> Judgement {
    let nonce = trail.terms.and_then(|terms| terms.command_nonce);
    match (nonce, command.token) {
        (None, None) => Ok(()),
        (Some(nonce), Some(token)) if token.nonce == nonce && token.amount == command.amount => Ok(()),
        (nonce, token) => broken(Rule::Two, withdrawal, || {
            format!("the dispenser's nonce is {nonce:x?}, the command for {} yen has {token:x?}", command.amount)
        }),
    }
}

fn judge_notes(trail: &Trail, withdrawal: WithdrawalNo, atm: AtmNo, amount: u64) -> Judgement {
    match trail.command {
        None => broken(Rule::Two, withdrawal, || format!("machine {atm} paid {amount} yen without a command")),
        Some(command) if command.atm != atm => broken(Rule::Two, withdrawal, || {
            format!("machine {atm} paid {amount} yen, the command was for machine {}", command.atm)
        }),
        Some(command) if amount > command.amount => broken(Rule::Two, withdrawal, || {
            format!("machine {atm} paid {amount} yen, the command was for {}", command.amount)
        }),
        Some(_) => Ok(()),
    }
}
