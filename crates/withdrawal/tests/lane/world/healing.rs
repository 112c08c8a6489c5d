//! The world works again: who was silent answers, and what was told is done.

use cashgate_withdrawal::dispense::OutcomeReport;
use cashgate_withdrawal::lane::{Action, Input, SettlementAnswer, ToAtm, Turn};
use cashgate_withdrawal::money::Money;

use super::{World, seconds};

impl World {
    /// The ATM connects, core banking settles whatever it is asked, and the ATM answers every command and question with what `reported`
    /// says of the commanded amount. After an hour of that nothing is open but suspects.
    pub(crate) fn everything_works_again(&mut self, reported: impl Fn(Money) -> OutcomeReport) {
        let end = self.now.after(seconds(3600));
        self.atm_connects();
        loop {
            let rounds = (0..1_000).take_while(|_| self.answers_everything(&reported)).count();
            assert!(rounds < 1_000, "every answer calls for another, for ever: {:?}", self.lane);
            match self.lane.next_deadline() {
                Some(at) if at <= end => _ = self.deadline_comes(),
                Some(at) => panic!("still waiting for {at}, an hour later: {:?}", self.lane),
                None => break,
            }
        }
        let open = self.lane.open_withdrawals().find(|withdrawal| withdrawal.state.name() != "suspect");
        assert!(open.is_none(), "open, and nothing will ever happen to it: {open:?}");
    }

    /// Answers what the last turns asked; says whether anything was asked.
    fn answers_everything(&mut self, reported: &impl Fn(Money) -> OutcomeReport) -> bool {
        let asked = std::mem::take(&mut self.turn);
        let mut answered = Turn::default();
        for action in asked.actions {
            let Some(()) = self.answers(&action, reported) else { continue };
            answered.actions.append(&mut self.turn.actions);
        }
        self.turn = answered;
        !self.turn.actions.is_empty()
    }

    fn answers(&mut self, action: &Action, reported: &impl Fn(Money) -> OutcomeReport) -> Option<()> {
        match action {
            Action::Settle { terms, settlement, .. } => {
                self.bank_answers_settlement(terms.withdrawal, *settlement, SettlementAnswer::Done);
            }
            Action::Tell(ToAtm::Dispense(command)) => {
                self.atm_reports_on(command.withdrawal, reported(command.amount));
            }
            Action::AskOutcome { withdrawal, .. } => {
                let amount = self.books.last(*withdrawal).terms.amount;
                self.atm_reports_on(*withdrawal, reported(amount));
            }
            Action::MakeDispenseToken { withdrawal, .. } => {
                self.hsm_makes_token_for(*withdrawal);
            }
            Action::VerifyPresentToken { withdrawal, report, .. } => {
                let report = report.clone();
                self.put(Input::PresentTokenVerified { withdrawal: *withdrawal, report });
            }
            Action::Recall { withdrawal, report } => {
                let known = self.books.history(*withdrawal).last().map(|record| Box::new(record.after.clone()));
                self.put(Input::Recalled { withdrawal: known, id: *withdrawal, report: report.clone() });
            }
            _ => return None,
        }
        Some(())
    }

    /// The ledger reads back whatever the lane asked for.
    pub(crate) fn ledger_recalls_all(&mut self) -> &mut Self {
        for action in std::mem::take(&mut self.turn).actions {
            if let Action::Recall { withdrawal, report } = action {
                let known = self.books.history(withdrawal).last().map(|record| Box::new(record.after.clone()));
                self.put(Input::Recalled { withdrawal: known, id: withdrawal, report });
            }
        }
        self
    }
}
