//! An independent judge of the rules in section 4 of the design.
//!
//! The checker is told what crossed the gateway's [boundary](crate::boundary) and nothing else: no state of the gateway, no ledger, no type of the crates
//! that it judges. It keeps books of its own, written from the rules' text as an auditor would write them, and says which rule a crossing breaks.
//!
//! What it may assume of the world: crossings come in the order in which they happened, the code's expiry and the crossings' times are of one clock,
//! and that a person's decision ([`What::PersonDecides`]) comes before what follows from it.
//!
//! # What is relaxed, and why
//!
//! [`Setup::core_bank_contradicts`](crate::boundary::Setup::core_bank_contradicts):
//! - Rule 2 then asks only for a grant that arrived, not for a posted hold: the gateway cannot see core banking's books.
//! - Rules 7 and 12 compare the gateway's books with core banking's postings only for withdrawals about which no answer belied the postings when it
//!   arrived. Whoever is told "done" may end a withdrawal, though nothing was booked. Totals of an account with such a withdrawal are left out too.
//! - Nothing else: cash and the gateway's books must still be equal, because what left is decided by machines and persons, not by core banking.
//!
//! [`Setup::lying_atms`](crate::boundary::Setup::lying_atms):
//! - Rule 12 compares cash only where a person decided before core banking had posted an end: a proven lie is believed, and there is no way not to;
//!   what it led to in core banking's books a person cannot undo.
//! - Rule 5 does not insist on a command that was sent before a confirmation: after a crash between record and send, a liar may report a command that it never got.
//! - Rule 7 lets a person decide otherwise than was already asked: contradictory reports may make a suspect late.

mod allowance;
mod closing;
mod codes;
mod dispensing;
mod elsewhere;
mod evidence;
mod memory;
mod ownership;
mod postings;
mod settling;
mod trail;
mod verdict;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::boundary::{AccountNo, AtmNo, Crossing, Setup, What, WithdrawalNo};
use codes::Codes;
use elsewhere::Elsewhere;
use memory::Attempts;
use ownership::Ownership;
use postings::AccountBook;
use settling::Owed;
use trail::{Approval, Command, Trail};
use verdict::{Judgement, broken};
pub use verdict::{Rule, Violation};

/// Judges one world's crossings. It is of no use after its first violation: what follows is judged against books that are already wrong.
#[derive(Debug)]
pub struct Checker {
    setup: Setup,
    now_ms: u64,
    /// The gateway process whose crossing is judged.
    life: u32,
    /// When each process started.
    started_ms: BTreeMap<u32, u64>,
    ownership: Ownership,
    elsewhere: Elsewhere,
    attempts: Attempts,
    codes: Codes,
    trails: BTreeMap<WithdrawalNo, Trail>,
    accounts: BTreeMap<AccountNo, AccountBook>,
    owed: Option<Owed>,
    /// The command nonce of the QR session that each machine last showed a code for.
    nonces: BTreeMap<AtmNo, Option<u128>>,
}

impl Checker {
    /// A checker for a world that has not begun.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self {
            setup,
            now_ms: 0,
            life: 0,
            started_ms: BTreeMap::new(),
            ownership: Ownership::default(),
            elsewhere: Elsewhere::default(),
            attempts: Attempts::default(),
            codes: Codes::default(),
            trails: BTreeMap::new(),
            accounts: BTreeMap::new(),
            owed: None,
            nonces: BTreeMap::new(),
        }
    }

    /// Takes note of a crossing.
    ///
    /// # Errors
    ///
    /// The rule that it breaks. A request to core banking that only a person could justify is judged when that moment is over, so its violation may come with
    /// the next crossing; its time is then still that of the request.
    pub fn observe(&mut self, crossing: &Crossing) -> Result<(), Violation> {
        self.claim_owed(crossing)?;
        self.now_ms = crossing.at_ms;
        self.life = crossing.process;
        self.judge(&crossing.what).map_err(|finding| finding.at(crossing.at_ms))
    }

    fn judge(&mut self, what: &What) -> Judgement {
        match *what {
            What::GatewayStarted | What::GatewayStopped => {
                self.process_changed(what);
                Ok(())
            }
            What::LaneTaken { .. } | What::StopDurable { .. } | What::StopTakenBack { .. } => {
                self.ownership_changed(what);
                Ok(())
            }
            What::Among(among) => self.judge_elsewhere(among).and_then(|()| self.judge_memory(among)),
            What::CodeSigned { nonce, atm, qr_session, expires_at_ms, command_nonce } => {
                self.nonces.insert(atm, command_nonce);
                self.codes.signed(nonce, atm, qr_session, expires_at_ms, self.life)
            }
            What::ScanAccepted { nonce, phone } => self.codes.scan_accepted(nonce, phone, self.now_ms, self.life),
            What::ApprovalAccepted { withdrawal, nonce, phone, account, amount } => {
                self.approval_accepted(withdrawal, Approval { nonce, phone, account, amount })
            }
            What::HoldAsked { withdrawal, account, atm, amount, approved_at_ms } => {
                self.hold_asked(withdrawal, account, atm, amount, approved_at_ms)
            }
            What::HoldPosted { withdrawal, account, amount } => self.hold_posted(withdrawal, account, amount),
            What::HoldRefusedInBooks { withdrawal } => self.hold_refused_in_books(withdrawal),
            What::HoldAnswerArrived { withdrawal, granted } => self.hold_answer_arrived(withdrawal, granted),
            What::ConfirmAsked { withdrawal, amount } => {
                self.judge_actor(withdrawal)?;
                self.confirm_asked(withdrawal, amount)
            }
            What::ReverseAsked { withdrawal } => {
                self.judge_actor(withdrawal)?;
                self.reverse_asked(withdrawal)
            }
            What::ConfirmPosted { withdrawal, amount } => self.confirm_posted(withdrawal, amount),
            What::ReversePosted { withdrawal } => self.reverse_posted(withdrawal),
            What::SettlementAnswerArrived { withdrawal, confirm, done } => {
                self.settlement_answer_arrived(withdrawal, confirm, done)
            }
            What::DispenseSent { atm, withdrawal, amount, start_before_ms, token } => {
                let command = Command { atm, amount, start_before_ms, token, life: self.life };
                self.judge_actor(withdrawal)?;
                self.dispense_sent(withdrawal, command)
            }
            What::NotesMoved { atm, withdrawal, presented } => self.notes_moved(withdrawal, atm, presented),
            What::CashTaken { atm, withdrawal, amount } => self.cash_taken(withdrawal, atm, amount),
            What::OutcomeAsked { withdrawal, nonce, .. } => self.outcome_asked(withdrawal, nonce),
            What::StatusVerified { atm, withdrawal, ref status } => {
                self.status_verified(withdrawal, atm, status);
                Ok(())
            }
            What::ReportArrived { atm, withdrawal, ref report } => self.report_arrived(withdrawal, atm, report),
            What::OutcomeAcknowledged { atm, withdrawal } => self.outcome_acknowledged(withdrawal, atm),
            What::PersonDecides { withdrawal, confirm } => {
                self.person_decides(withdrawal, confirm);
                Ok(())
            }
            What::SuspectResolved { withdrawal, confirm } => self.suspect_resolved(withdrawal, confirm),
            What::Shown { book } => self.shown(book),
        }
    }

    fn process_changed(&mut self, what: &What) {
        if *what == What::GatewayStarted {
            self.started_ms.insert(self.life, self.now_ms);
            self.elsewhere.started(self.life, self.now_ms);
            self.attempts.started(self.life);
        } else {
            self.elsewhere.stopped(self.life, self.now_ms);
            self.attempts.stopped(self.life);
        }
    }

    /// Who has a lane, and what is stopped at its machine.
    fn ownership_changed(&mut self, what: &What) {
        match *what {
            What::LaneTaken { atm } => {
                self.ownership.taken(atm, self.life, self.now_ms);
                self.lane_begins(atm);
            }
            What::StopDurable { atm } => self.ownership.stopped(atm, self.now_ms),
            What::StopTakenBack { atm } => self.ownership.released(atm, self.now_ms),
            _ => {}
        }
    }

    /// Rule 1 for the code; rules 8 and 10 for the amount.
    fn approval_accepted(&mut self, withdrawal: WithdrawalNo, approval: Approval) -> Judgement {
        self.codes.approval_accepted(approval.nonce, approval.phone, withdrawal)?;
        if approval.amount > self.setup.per_withdrawal {
            return broken(Rule::Eight, withdrawal, || {
                format!("{} yen were approved, a withdrawal may have {}", approval.amount, self.setup.per_withdrawal)
            });
        }
        self.trails.entry(withdrawal).or_default().approved(withdrawal, approval)?;
        self.judge_place(withdrawal)
    }

    /// Rules 3, 8 and 10 for a hold that is asked for, and rule 1 for its machine.
    fn hold_asked(
        &mut self,
        withdrawal: WithdrawalNo,
        account: AccountNo,
        atm: AtmNo,
        amount: u64,
        approved_at_ms: u64,
    ) -> Judgement {
        let approved_in_this_life = approved_at_ms > self.started_ms.get(&self.life).copied().unwrap_or(0);
        let command_nonce = self.nonces.get(&atm).copied().flatten();
        let demands_proof = self.setup.demands_proof || command_nonce.is_some();
        let life = self.life;
        let terms = trail::Terms {
            account,
            atm,
            amount,
            approved_at_ms,
            life,
            approved_in_this_life,
            command_nonce,
            demands_proof,
        };
        let first = self.trails.entry(withdrawal).or_default().hold_asked(withdrawal, terms)?;
        if !first {
            return Ok(());
        }
        self.ownership.judge_stop(withdrawal, atm, approved_at_ms)?;
        self.judge_limits(withdrawal, terms)?;
        self.judge_place(withdrawal)
    }

    /// Rule 1: a withdrawal happens at the code's machine, in the QR session that the code was signed for. Judged as soon as both its code and its machine are known.
    fn judge_place(&self, withdrawal: WithdrawalNo) -> Judgement {
        let Some(trail) = self.trails.get(&withdrawal) else { return Ok(()) };
        let (Some(approval), Some(terms)) = (trail.approval, trail.terms) else { return Ok(()) };
        let Some(code) = self.codes.code(approval.nonce) else { return Ok(()) };
        if code.atm != terms.atm {
            return broken(Rule::One, withdrawal, || {
                format!("the code was signed for machine {}, the withdrawal is at machine {}", code.atm, terms.atm)
            });
        }
        // A QR session dies with the process that showed it: somebody else may stand there by now. An approval that was recorded by the old process may still be
        // carried on by the new one; one that the new process accepted may not.
        if code.life != terms.life && terms.approved_in_this_life {
            return broken(Rule::One, withdrawal, || {
                "it was approved with a code of an earlier gateway process, whose QR session is gone".to_owned()
            });
        }
        Ok(())
    }

    fn is_lying(&self, atm: Option<AtmNo>) -> bool {
        atm.is_some_and(|atm| self.setup.lying_atms.contains(&atm))
    }
}
