//! Runs one attendant: feeds it, and makes its intents durable before their errands run ([`super::errands`]).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cashgate_ledger::{AppendError, StepRecord};
use cashgate_wire::customer::PinBlock;
use cashgate_wire::{atm as wire_atm, status};
use cashgate_withdrawal::event::Event;
use cashgate_withdrawal::ids::QrSessionId;
use cashgate_withdrawal::lane::{Answer, FromAtm, Input, LinkId, OUTCOME_CONTRADICTS_END, Record, RequestId};
use cashgate_withdrawal::refusal::Refusal;
use tokio::sync::{mpsc, oneshot, watch};

use super::attendant::{Attendant, Intent};
use super::records::{log_step, remark, step_record};
use super::traces::LaneTraces;
use super::{INBOX_LENGTH_MAX, LaneHandle, Order, Outbox, Surroundings};
use crate::clock::{self, Stopwatch};
use crate::telemetry::{Span, Traceparent};

/// ATMs that are sent away come back spread over this time.
const RECONNECT_SPREAD_MS: u64 = 5_000;

pub(super) struct Driver {
    pub(super) attendant: Attendant,
    pub(super) surroundings: Arc<Surroundings>,
    inbox: mpsc::Receiver<Order>,
    /// For the outcomes of errands that run beside the lane.
    pub(super) own_inbox: mpsc::Sender<Order>,
    pub(super) outbox: Option<(LinkId, Outbox)>,
    pub(super) waiting: HashMap<RequestId, Caller>,
    next_request: u64,
    /// The connection whose outbox was dropped during this order; the lane hears of it right after.
    pub(super) lost: Option<LinkId>,
    /// The latest QR session of this ATM.
    pub(super) shown: Option<QrSessionId>,
    pub(super) traces: LaneTraces,
    serving: watch::Sender<usize>,
    was_serving: bool,
    draining: bool,
    /// A connection that is to end once nobody is being served.
    moving_on: Option<LinkId>,
    /// Set by whoever has sent the order to look again.
    looks_again: Arc<AtomicBool>,
}

/// Who waits for an answer, and the span of what was asked.
pub(super) struct Caller {
    pub(super) reply: oneshot::Sender<Result<Answer, Refusal>>,
    pub(super) span: Span,
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
        let traces = LaneTraces::new(surroundings.tracing.clone());
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
            traces,
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
            self.complete(first, &Span::OFF).await;
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
            Order::Said { link, message, from } => self.heard(link, message, from.as_ref()).await,
            Order::RecallFailed => {
                if let Some(next) = self.attendant.recall_failed() {
                    self.run_errand(next);
                }
            }
            Order::Request { input, pin_block, reply, caller } => {
                let request = RequestId(self.next_request);
                self.next_request += 1;
                let input = input(request);
                let span = self.traces.asked(&input, &caller);
                self.waiting.insert(request, Caller { reply, span: span.clone() });
                self.apply_as(&span, input, pin_block).await;
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

    /// The ATM said something; `from` is the context that it gave along.
    async fn heard(&mut self, link: LinkId, message: FromAtm, from: Option<&Traceparent>) {
        let span = match &message {
            FromAtm::StartQrSession { fresh, .. } => {
                self.traces.touched(self.attendant.atm(), *fresh, from);
                Span::OFF
            }
            FromAtm::Outcome { withdrawal, .. } => self.traces.reported(*withdrawal, from),
            _ => Span::OFF,
        };
        self.apply_as(&span, Input::AtmSaid { link, message }, None).await;
        span.end();
    }

    async fn apply(&mut self, input: Input) {
        self.apply_as(&Span::OFF, input, None).await;
    }

    /// Gives the lane an input as part of a span.
    async fn apply_as(&mut self, span: &Span, input: Input, pin_block: Option<PinBlock>) {
        let intent = {
            let _within = span.enter();
            self.attendant.take(input, pin_block, clock::now())
        };
        self.complete(intent, span).await;
    }

    /// Records durable, then errands: the intent gives its errands to nobody who has not made them so.
    async fn complete(&mut self, intent: Intent, cause: &Span) {
        if !intent.records().is_empty() {
            let journal = self.traces.journal(intent.records(), cause);
            let since = Stopwatch::start();
            let appended = self.append(intent.records()).await;
            self.surroundings.metrics.appended(since.elapsed());
            if let Err(error) = appended {
                journal.fail("not durable");
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
            journal.end();
            for record in intent.records() {
                let _within = self.traces.stepped(record).enter();
                let before = self.surroundings.watchers.state_name(record.after.terms.withdrawal);
                self.surroundings.metrics.stepped(record, before);
                log_step(record);
                self.count_attempt(record);
                self.surroundings.watchers.changed(record.after.clone());
            }
        }
        for one in intent.remarks() {
            let _within = self.traces.of(one.withdrawal).enter();
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
