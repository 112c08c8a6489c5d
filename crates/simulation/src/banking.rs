//! What core banking hears, books and answers.

use cashgate_withdrawal::event::Settlement;
use cashgate_withdrawal::lane::{HoldAnswer, Input, SettlementAnswer};

use crate::books::number;
use crate::boundary::{AtmNo, What};
use crate::core_bank::Answer;
use crate::event::{Asked, BankAnswer, Event, reference};
use crate::faults::FaultKind;
use crate::names;
use crate::world::World;

impl World {
    pub(crate) fn bank_hears(&mut self, life: u32, call: u64, asked: Asked) {
        if self.now < self.bank.down_until_ms {
            return;
        }
        let (atm, answer) = match asked {
            Asked::Hold(terms) => {
                let (withdrawal, id) = (terms.withdrawal, number(terms.withdrawal));
                let (account, amount) = (names::account_number(&terms.account), terms.amount.minor_units());
                let declines = self.strikes(FaultKind::BankDeclines, 0).is_some();
                let answer = match self.bank.place(id, account, amount, declines) {
                    Answer::Yes { posted } => {
                        if posted {
                            self.crosses(What::HoldPosted { withdrawal: id, account, amount });
                        }
                        HoldAnswer::Granted(reference(withdrawal, self.contradicts()))
                    }
                    Answer::No { code, posted } => {
                        if posted {
                            self.crosses(What::HoldRefusedInBooks { withdrawal: id });
                        }
                        HoldAnswer::Declined(reason(code))
                    }
                };
                (names::atm_number(&terms.atm), BankAnswer::Hold { withdrawal, answer })
            }
            Asked::Settle(terms, settlement) => {
                let (withdrawal, id) = (terms.withdrawal, number(terms.withdrawal));
                let booked = match settlement {
                    Settlement::Confirm(amount) => self.bank.confirm(id, amount.minor_units()),
                    Settlement::Reverse => self.bank.reverse(id),
                };
                if let Answer::Yes { posted: true } = booked {
                    self.crosses(match settlement {
                        Settlement::Confirm(amount) => {
                            What::ConfirmPosted { withdrawal: id, amount: amount.minor_units() }
                        }
                        Settlement::Reverse => What::ReversePosted { withdrawal: id },
                    });
                }
                let answer = match booked {
                    Answer::Yes { .. } if self.contradicts() => SettlementAnswer::Refused(reason("settled_otherwise")),
                    Answer::Yes { .. } => SettlementAnswer::Done,
                    Answer::No { code, .. } => SettlementAnswer::Refused(reason(code)),
                };
                (names::atm_number(&terms.atm), BankAnswer::Settled { withdrawal, settlement, answer })
            }
        };
        self.bank_sends(life, call, atm, answer);
    }

    fn contradicts(&mut self) -> bool {
        self.strikes(FaultKind::BankContradicts, 0).is_some()
    }

    fn bank_sends(&mut self, life: u32, call: u64, atm: AtmNo, answer: BankAnswer) {
        if self.now < self.lines.bank_cut_until_ms || self.strikes(FaultKind::BankAnswerLost, 0).is_some() {
            return;
        }
        let mut after = self.network.between(2, 40);
        let mut late = false;
        if let Some(mut chance) = self.strikes(FaultKind::BankAnswerLate, 0) {
            after += chance.between(1_000, 120_000);
            late = true;
        }
        if let Some(mut chance) = self.strikes(FaultKind::BankAnswerDuplicated, 0) {
            let again = after + chance.between(1, 60_000);
            self.after(again, Event::BankAnswers { life, call, atm, answer: answer.clone(), late: true });
        }
        self.after(after, Event::BankAnswers { life, call, atm, answer, late });
    }

    /// An answer arrives. One whose call was given up is heard all the same if it is late: whoever sits between may deliver it.
    pub(crate) fn bank_answers(&mut self, life: u32, call: u64, atm: AtmNo, answer: BankAnswer, late: bool) {
        if !self.gateway.up || life != self.gateway.life {
            return;
        }
        if self.gateway.calls.remove(&call).is_some() || late {
            self.hears_from_bank(atm, answer);
        }
    }

    pub(crate) fn hears_from_bank(&mut self, atm: AtmNo, answer: BankAnswer) {
        match answer {
            BankAnswer::Hold { withdrawal, answer } => {
                if answer != HoldAnswer::Unanswered {
                    let granted = matches!(answer, HoldAnswer::Granted(_));
                    self.crosses(What::HoldAnswerArrived { withdrawal: number(withdrawal), granted });
                }
                self.put(atm, Input::HoldAnswered { withdrawal, answer }, None);
            }
            BankAnswer::Settled { withdrawal, settlement, answer } => {
                if answer != SettlementAnswer::Unanswered {
                    self.crosses(What::SettlementAnswerArrived {
                        withdrawal: number(withdrawal),
                        confirm: matches!(settlement, Settlement::Confirm(_)),
                        done: answer == SettlementAnswer::Done,
                    });
                }
                self.put(atm, Input::SettlementAnswered { withdrawal, settlement, answer }, None);
            }
        }
    }
}

#[allow(clippy::expect_used, reason = "constant codes")]
fn reason(code: &str) -> cashgate_withdrawal::ids::ReasonCode {
    code.parse().expect("a code")
}
