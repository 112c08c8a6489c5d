//! What a lane's driver does on its behalf once its records are durable.

use std::sync::Arc;

use cashgate_wire::atm as wire_atm;
use cashgate_withdrawal::dispense::OutcomeReport;
use cashgate_withdrawal::evidence::{DispenseToken, PresentFinding};
use cashgate_withdrawal::ids::{CommandNonce, QrSessionId, WithdrawalId};
use cashgate_withdrawal::lane::{Input, LinkId, ToAtm};
use cashgate_withdrawal::money::Money;

use super::Order;
use super::attendant::Errand;
use super::driver::{Caller, Driver};
use super::traces::LaneTraces;
use crate::clock;

impl Driver {
    pub(super) fn run_errand(&mut self, errand: Errand) {
        let (surroundings, inbox) = (Arc::clone(&self.surroundings), self.own_inbox.clone());
        match errand {
            Errand::Tell(message) => self.tell(message),
            Errand::LinkReplaced(link) => {
                tracing::info!(atm = %self.attendant.atm(), ?link, "another connection of the ATM took over")
            }
            Errand::Answer { request, answer } => {
                if let Some(Caller { reply, span }) = self.waiting.remove(&request) {
                    LaneTraces::answered(&span, answer.as_ref().err());
                    // A caller that went away does not matter: what was done is done.
                    let _ = reply.send(answer);
                }
            }
            Errand::Mint { qr_session, amount } => self.mint(qr_session, amount),
            Errand::PlaceHold { terms, pin_block } => {
                let span = self.traces.of_open(&terms);
                tokio::spawn(async move {
                    let asking = surroundings.core_banks.place_hold(&terms, pin_block);
                    let answer = span.within(asking).await;
                    let input = Input::HoldAnswered { withdrawal: terms.withdrawal, answer };
                    let _ = inbox.send(Box::new(Order::Input(input))).await;
                });
            }
            Errand::Settle { terms, hold, settlement } => {
                let span = self.traces.of_open(&terms);
                tokio::spawn(async move {
                    let telling = surroundings.core_banks.settle(&terms, hold.as_ref(), settlement);
                    let answer = span.within(telling).await;
                    let input = Input::SettlementAnswered { withdrawal: terms.withdrawal, settlement, answer };
                    let _ = inbox.send(Box::new(Order::Input(input))).await;
                });
            }
            Errand::Recall { withdrawal, report } => self.recall(withdrawal, report),
            Errand::AskOutcome { withdrawal, with_status } => self.ask_outcome(withdrawal, with_status),
            Errand::MakeDispenseToken { withdrawal, nonce, amount } => {
                let atm = self.attendant.atm().clone();
                tokio::spawn(async move {
                    let input = match surroundings.desk.dispense_tokens().make(&atm, &nonce, amount).await {
                        Ok(token) => Input::DispenseTokenMade { withdrawal, token },
                        Err(error) => {
                            tracing::warn!(%atm, %withdrawal, %error, "no dispense token could be made");
                            Input::DispenseTokenFailed { withdrawal }
                        }
                    };
                    let _ = inbox.send(Box::new(Order::Input(input))).await;
                });
            }
            Errand::VerifyPresentToken { withdrawal, report, dispense_token, asked_with } => {
                self.verify(withdrawal, report, dispense_token, asked_with);
            }
        }
    }

    /// Asks for an outcome, and for the dispenser's status under a nonce that nobody has seen before.
    fn ask_outcome(&mut self, withdrawal: WithdrawalId, with_status: bool) {
        let present_nonce = if with_status { clock::fresh_nonce() } else { None };
        if let Some(nonce) = &present_nonce {
            self.attendant.asked_with(withdrawal, nonce.clone());
        }
        self.tell(ToAtm::QueryOutcome { withdrawal, present_nonce });
    }

    /// The lane goes on meanwhile; the report is not acknowledged before it comes back to the lane, whatever the HSM says.
    fn verify(
        &self,
        withdrawal: WithdrawalId,
        mut report: OutcomeReport,
        dispense_token: DispenseToken,
        asked_with: Vec<CommandNonce>,
    ) {
        let (atm, surroundings) = (self.attendant.atm().clone(), Arc::clone(&self.surroundings));
        let inbox = self.own_inbox.clone();
        tokio::spawn(async move {
            if let Some(present) = &mut report.present {
                let tokens = surroundings.desk.dispense_tokens();
                present.finding = tokens.find(&atm, &present.token, &dispense_token, &asked_with).await;
                if let PresentFinding::Wrong(why) = &present.finding {
                    tracing::warn!(%atm, %withdrawal, why = why.name(), "a present token proves nothing");
                }
            }
            let _ = inbox.send(Box::new(Order::Input(Input::PresentTokenVerified { withdrawal, report }))).await;
        });
    }

    fn mint(&mut self, qr_session: QrSessionId, amount: Option<Money>) {
        let (atm, surroundings) = (self.attendant.atm().clone(), Arc::clone(&self.surroundings));
        let before = self.shown.replace(qr_session);
        surroundings.showing.begins(&atm, qr_session, before);
        let inbox = self.own_inbox.clone();
        let span = self.traces.shows(qr_session).child("mint");
        tokio::spawn(async move {
            let minted = span.within(surroundings.mint.mint(&atm, qr_session, amount, clock::now())).await;
            let input = match minted {
                Ok(code) => Input::CodeMinted(code),
                Err(error) => {
                    let _within = span.enter();
                    tracing::warn!(%atm, %error, "no QR token could be made");
                    span.fail("no QR token could be made");
                    Input::MintFailed { qr_session }
                }
            };
            span.end();
            let _ = inbox.send(Box::new(Order::Input(input))).await;
        });
    }

    /// Reads back a withdrawal that is not open. One of another ATM is none of this ATM's business.
    fn recall(&self, id: WithdrawalId, report: OutcomeReport) {
        let (reader, inbox) = (self.surroundings.ledger.reader().clone(), self.own_inbox.clone());
        let atm = self.attendant.atm().clone();
        tokio::task::spawn_blocking(move || {
            let order = match super::recovery::read_back(&reader, id) {
                Ok(found) => {
                    let theirs = found.map(|(withdrawal, _)| withdrawal).filter(|found| found.terms.atm == atm);
                    Order::Input(Input::Recalled { withdrawal: theirs.map(Box::new), id, report })
                }
                Err(error) => {
                    tracing::error!(%atm, withdrawal = %id, %error, "a withdrawal could not be read back");
                    Order::RecallFailed
                }
            };
            let _ = inbox.blocking_send(Box::new(order));
        });
    }

    fn tell(&mut self, message: ToAtm) {
        match &message {
            ToAtm::Refused { refusal, .. } => self.surroundings.metrics.refused("Connect", refusal),
            ToAtm::QrClaimed(_) => self.surroundings.metrics.claimed(),
            _ => {}
        }
        let context = self.traces.told(&message);
        let Some((link, outbox)) = &self.outbox else { return };
        let mut message = wire_atm::message_to(message);
        if let Some(context) = context {
            message.traceparent = context.to_text();
        }
        if outbox.try_send(Box::new(Ok(message))).is_err() {
            // It does not read, or it is gone. Its connection is dropped; what matters is repeated when it comes back.
            tracing::warn!(atm = %self.attendant.atm(), ?link, "the ATM does not take its messages");
            let link = *link;
            self.lose(link);
        }
    }

    /// Drops the ATM's connection from this side. The lane is told when the present order is done.
    pub(super) fn lose(&mut self, link: LinkId) {
        self.drop_outbox(link);
        self.lost = Some(link);
    }

    pub(super) fn drop_outbox(&mut self, link: LinkId) {
        if self.outbox.as_ref().is_some_and(|(current, _)| *current == link) {
            self.outbox = None;
            self.traces.disconnected();
            self.surroundings.metrics.connected_atms(-1);
        }
    }
}
