//! Runs one attendant: feeds it, makes its intents durable, and runs its errands.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cashgate_ledger::{AppendError, StepRecord};
use cashgate_wire::{atm as wire_atm, status};
use cashgate_withdrawal::dispense::OutcomeReport;
use cashgate_withdrawal::event::Event;
use cashgate_withdrawal::evidence::{DispenseToken, PresentFinding};
use cashgate_withdrawal::ids::{CommandNonce, QrSessionId, WithdrawalId};
use cashgate_withdrawal::lane::{Answer, Input, LinkId, OUTCOME_CONTRADICTS_END, Record, RequestId, ToAtm};
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::refusal::Refusal;
use tokio::sync::{mpsc, oneshot, watch};

use super::attendant::{Attendant, Errand, Intent};
use super::records::{log_step, remark, step_record};
use super::{INBOX_LENGTH_MAX, LaneHandle, Order, Outbox, Surroundings};
use crate::clock;

/// ATMs that are sent away come back spread over this time.
const RECONNECT_SPREAD_MS: u64 = 5_000;

pub(super) struct Driver {
    attendant: Attendant,
    surroundings: Arc<Surroundings>,
    inbox: mpsc::Receiver<Order>,
    /// For the outcomes of errands that run beside the lane.
    own_inbox: mpsc::Sender<Order>,
    outbox: Option<(LinkId, Outbox)>,
    waiting: HashMap<RequestId, oneshot::Sender<Result<Answer, Refusal>>>,
    next_request: u64,
    /// The connection whose outbox was dropped during this order; the lane hears of it right after.
    lost: Option<LinkId>,
    /// The latest QR session of this ATM.
    shown: Option<QrSessionId>,
    serving: watch::Sender<usize>,
    was_serving: bool,
    draining: bool,
    /// A connection that is to end once nobody is being served.
    moving_on: Option<LinkId>,
    /// Set by whoever has sent the order to look again.
    looks_again: Arc<AtomicBool>,
}

impl Driver {
    /// Starts a lane; recovery gives it an intent to begin with.
    pub(super) fn start(
        attendant: Attendant,
        first: Option<Intent>,
        surroundings: Arc<Surroundings>,
        serving: watch::Sender<usize>,
    ) -> LaneHandle {
        let (own_inbox, inbox) = mpsc::channel(INBOX_LENGTH_MAX);
        let looks_again = Arc::new(AtomicBool::new(false));
        let handle = LaneHandle { inbox: own_inbox.clone(), looks_again: Arc::clone(&looks_again) };
        let driver = Self {
            attendant,
            surroundings,
            inbox,
            own_inbox,
            outbox: None,
            waiting: HashMap::new(),
            next_request: 1,
            lost: None,
            shown: None,
            serving,
            was_serving: false,
            draining: false,
            moving_on: None,
            looks_again,
        };
        let halted = driver.surroundings.halted.clone();
        let running = tokio::spawn(driver.run(first));
        tokio::spawn(async move {
            // A lane that is gone would leave its withdrawals to nobody: better a process that starts again.
            if let Err(error) = running.await
                && error.is_panic()
            {
                halted.send_replace(Some("a lane panicked".to_owned()));
            }
        });
        handle
    }

    async fn run(mut self, first: Option<Intent>) {
        if let Some(first) = first {
            self.complete(first).await;
        }
        self.count_serving();
        loop {
            let order = match self.attendant.next_deadline().map(clock::deadline) {
                None => self.inbox.recv().await,
                Some(deadline) => tokio::select! {
                    order = self.inbox.recv() => order,
                    () = tokio::time::sleep_until(deadline) => Some(Order::Input(Input::TimePassed)),
                },
            };
            let Some(order) = order else { return };
            let counted = self.obey(order).await;
            let is_old = self.moving_on.is_some_and(|old| self.outbox.as_ref().is_some_and(|(link, _)| *link == old));
            if (self.draining || is_old) && !self.attendant.is_serving() {
                self.send_away();
            }
            if let Some(link) = self.lost.take() {
                self.apply(Input::AtmDisconnected { link }).await;
            }
            self.count_serving();
            if let Some(counted) = counted {
                // Whoever drains has gone on without waiting if nobody listens.
                let _ = counted.send(());
            }
        }
    }

    /// Carries out an order. Gives back who waits for this lane to be counted.
    async fn obey(&mut self, order: Order) -> Option<oneshot::Sender<()>> {
        match order {
            Order::Connected { facts, unresolved, link, outbox } => {
                let replaced = self.outbox.replace((link, outbox));
                match replaced {
                    // Its own end will be heard later, under an old number, and change nothing.
                    Some((_, old)) => drop(old.try_send(Err(status::replaced()))),
                    None => self.surroundings.metrics.connected_atms(1),
                }
                self.apply(Input::AtmConnected { link, facts, unresolved }).await;
            }
            Order::Input(input) => {
                if let Input::AtmDisconnected { link } = &input {
                    self.drop_outbox(*link);
                }
                self.apply(input).await;
            }
            Order::RecallFailed => {
                if let Some(next) = self.attendant.recall_failed() {
                    self.run_errand(next);
                }
            }
            Order::Request { input, pin_block, reply } => {
                let request = RequestId(self.next_request);
                self.next_request += 1;
                self.waiting.insert(request, reply);
                let intent = self.attendant.take(input(request), pin_block, clock::now());
                self.complete(intent).await;
            }
            Order::LookAgain => {
                // Cleared first: what changes from here on sends another order.
                self.looks_again.store(false, Ordering::Release);
                self.apply(Input::TimePassed).await;
            }
            Order::MoveOn(link) => self.moving_on = Some(link),
            Order::View(reply) => drop(reply.send(self.attendant.view())),
            Order::Drain(counted) => {
                self.draining = true;
                return Some(counted);
            }
        }
        None
    }

    async fn apply(&mut self, input: Input) {
        let intent = self.attendant.take(input, None, clock::now());
        self.complete(intent).await;
    }

    /// Records durable, then errands: the intent gives its errands to nobody who has not made them so.
    async fn complete(&mut self, intent: Intent) {
        if !intent.records().is_empty() {
            if let Err(error) = self.append(intent.records()).await {
                // What this lane believes is not what the ledger holds. Nothing may be built on it: the process stops, and the next
                // one begins from what is on disk.
                if error == AppendError::Closed {
                    tracing::info!(atm = %self.attendant.atm(), "the gateway has stopped; the lane goes on after the next start");
                } else {
                    tracing::error!(atm = %self.attendant.atm(), %error, "a step could not be made durable: the gateway stops");
                    self.surroundings.halted.send_replace(Some(error.to_string()));
                }
                std::future::pending::<()>().await;
            }
            for record in intent.records() {
                let before = self.surroundings.watchers.state_name(record.after.terms.withdrawal);
                self.surroundings.metrics.stepped(record, before);
                log_step(record);
                self.count_attempt(record);
                self.surroundings.watchers.changed(record.after.clone());
            }
        }
        for one in intent.remarks() {
            if one.kind == OUTCOME_CONTRADICTS_END {
                tracing::error!(withdrawal = %one.withdrawal, detail = one.detail, "the machine contradicts how it ended: reconcile it");
            } else {
                tracing::debug!(withdrawal = %one.withdrawal, kind = one.kind, detail = one.detail, "changed nothing");
            }
            self.surroundings.metrics.remarked(one.kind);
        }
        if !intent.remarks().is_empty() {
            self.surroundings.ledger.remark(intent.remarks().iter().map(remark).collect());
        }
        for errand in self.attendant.carry_out(intent) {
            self.run_errand(errand);
        }
    }

    /// What a step says of the phone: a wrong code is a failure of its customer, cash that left proves him.
    fn count_attempt(&self, record: &Record) {
        let terms = &record.after.terms;
        let (institution, device) = (terms.institution.clone(), terms.device.clone());
        let surroundings = Arc::clone(&self.surroundings);
        let at = record.at;
        match &record.event {
            Some(Event::CodeMismatched) => {
                let rules = surroundings.desk.rules();
                let Ok(of) = rules.institution(&institution) else { return };
                // Counted before the machine hears of it, and durable right after.
                surroundings.devices.count_failure(&institution, &device, of.failed_attempts_max);
                drop(tokio::spawn(async move {
                    if let Err(error) = surroundings.devices.record_attempts(institution, device, at).await {
                        tracing::error!(%error, "a wrong code was not recorded against its phone");
                    }
                }));
            }
            Some(Event::HoldConfirmed) => drop(tokio::spawn(async move {
                if let Err(error) = surroundings.devices.attempt_succeeded(institution, device).await {
                    tracing::error!(%error, "a phone's failures are still counted");
                }
            })),
            _ => {}
        }
    }

    /// One append takes only so many steps; each part of a turn is a legal history by itself.
    async fn append(&self, records: &[Record]) -> Result<(), AppendError> {
        for part in records.chunks(StepRecord::PER_APPEND_MAX) {
            self.surroundings.ledger.append(part.iter().map(step_record).collect()).await?;
        }
        Ok(())
    }

    fn run_errand(&mut self, errand: Errand) {
        let (surroundings, inbox) = (Arc::clone(&self.surroundings), self.own_inbox.clone());
        match errand {
            Errand::Tell(message) => self.tell(message),
            Errand::LinkReplaced(link) => {
                tracing::info!(atm = %self.attendant.atm(), ?link, "another connection of the ATM took over")
            }
            Errand::Answer { request, answer } => {
                if let Some(reply) = self.waiting.remove(&request) {
                    // A caller that went away does not matter: what was done is done.
                    let _ = reply.send(answer);
                }
            }
            Errand::Mint { qr_session, amount } => self.mint(qr_session, amount),
            Errand::PlaceHold { terms, pin_block } => {
                tokio::spawn(async move {
                    let answer = surroundings.core_banks.place_hold(&terms, pin_block).await;
                    let input = Input::HoldAnswered { withdrawal: terms.withdrawal, answer };
                    let _ = inbox.send(Order::Input(input)).await;
                });
            }
            Errand::Settle { terms, hold, settlement } => {
                tokio::spawn(async move {
                    let answer = surroundings.core_banks.settle(&terms, hold.as_ref(), settlement).await;
                    let input = Input::SettlementAnswered { withdrawal: terms.withdrawal, settlement, answer };
                    let _ = inbox.send(Order::Input(input)).await;
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
                    let _ = inbox.send(Order::Input(input)).await;
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
            let _ = inbox.send(Order::Input(Input::PresentTokenVerified { withdrawal, report })).await;
        });
    }

    fn mint(&mut self, qr_session: QrSessionId, amount: Option<Money>) {
        let (atm, surroundings) = (self.attendant.atm().clone(), Arc::clone(&self.surroundings));
        let before = self.shown.replace(qr_session);
        surroundings.showing.begins(&atm, qr_session, before);
        let inbox = self.own_inbox.clone();
        tokio::spawn(async move {
            let input = match surroundings.mint.mint(&atm, qr_session, amount, clock::now()).await {
                Ok(code) => Input::CodeMinted(code),
                Err(error) => {
                    tracing::warn!(%atm, %error, "no QR token could be made");
                    Input::MintFailed { qr_session }
                }
            };
            let _ = inbox.send(Order::Input(input)).await;
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
            let _ = inbox.blocking_send(order);
        });
    }

    fn tell(&mut self, message: ToAtm) {
        if let ToAtm::Refused { refusal, .. } = &message {
            self.surroundings.metrics.refused("Connect", refusal);
        }
        let Some((link, outbox)) = &self.outbox else { return };
        if outbox.try_send(Ok(wire_atm::message_to(message))).is_err() {
            // It does not read, or it is gone. Its connection is dropped; what matters is repeated when it comes back.
            tracing::warn!(atm = %self.attendant.atm(), ?link, "the ATM does not take its messages");
            let link = *link;
            self.lose(link);
        }
    }

    /// Drops the ATM's connection from this side. The lane is told when the present order is done.
    fn lose(&mut self, link: LinkId) {
        self.drop_outbox(link);
        self.lost = Some(link);
    }

    fn drop_outbox(&mut self, link: LinkId) {
        if self.outbox.as_ref().is_some_and(|(current, _)| *current == link) {
            self.outbox = None;
            self.surroundings.metrics.connected_atms(-1);
        }
    }

    fn send_away(&mut self) {
        if let Some((link, outbox)) = &self.outbox {
            let spread = link.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) % RECONNECT_SPREAD_MS;
            let _ = outbox.try_send(Ok(wire_atm::reconnect(Duration::from_millis(spread))));
            let link = *link;
            self.lose(link);
        }
    }

    fn count_serving(&mut self) {
        let serving = self.attendant.is_serving();
        if serving != self.was_serving {
            self.serving.send_modify(|count| *count = if serving { *count + 1 } else { count.saturating_sub(1) });
            self.was_serving = serving;
        }
    }
}
