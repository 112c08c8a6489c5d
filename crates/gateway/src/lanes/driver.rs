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
use cashgate_withdrawal::time::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use super::adopting::Ownership;
use super::attendant::{Attendant, Intent};
use super::records::{log_step, remark, step_record};
use super::sharing::is_of_others;
use super::traces::LaneTraces;
use super::{INBOX_LENGTH_MAX, LaneHandle, Order, Outbox, Surroundings};
use crate::clock::{self, Stopwatch};
use crate::telemetry::{Span, Traceparent};

/// How often an approval is computed again because another replica was first. Then the customer is asked to try again.
const RETRIES_MAX: u32 = 5;
/// ATMs that are sent away come back spread over this time.
const RECONNECT_SPREAD_MS: u64 = 5_000;
/// The same for those at whose screen a customer waits for a code. They are few.
const RECONNECT_SPREAD_WITH_CUSTOMER_MS: u64 = 250;

pub(super) struct Driver {
    pub(super) attendant: Attendant,
    pub(super) surroundings: Arc<Surroundings>,
    inbox: mpsc::Receiver<Box<Order>>,
    /// For the outcomes of errands that run beside the lane.
    pub(super) own_inbox: mpsc::Sender<Box<Order>>,
    pub(super) outbox: Option<(LinkId, Outbox)>,
    pub(super) waiting: HashMap<RequestId, Caller>,
    next_request: u64,
    /// The connection whose outbox was dropped during this order; the lane hears of it right after.
    pub(super) lost: Option<LinkId>,
    /// The latest QR session of this ATM.
    pub(super) shown: Option<QrSessionId>,
    pub(super) traces: LaneTraces,
    pub(super) serving: watch::Sender<usize>,
    pub(super) was_serving: bool,
    /// Set when the gateway stops: until when the codes that are shown may still be scanned.
    scan_before: Option<Timestamp>,
    /// A connection that is to end once nobody is at the machine.
    moving_on: Option<LinkId>,
    /// Set by whoever has sent the order to look again.
    looks_again: Arc<AtomicBool>,
    /// With several replicas: in which epoch the lane is this one's.
    pub(super) ownership: Option<Ownership>,
    /// Set when the lane is another replica's.
    pub(super) is_gone: bool,
    /// Who waits for that.
    pub(super) ended: Option<oneshot::Sender<()>>,
}

/// What became of an intent.
pub(super) enum Completed {
    /// It is durable and carried out, or the lane is another's.
    Done,
    /// The ledger did not take it, and it is as if its input had not come.
    TakenBack(Box<(Input, Option<PinBlock>)>),
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
        ownership: Option<Ownership>,
    ) -> LaneHandle {
        let (own_inbox, inbox) = mpsc::channel(INBOX_LENGTH_MAX);
        let looks_again = Arc::new(AtomicBool::new(false));
        let handle = LaneHandle {
            inbox: own_inbox.clone(),
            looks_again: Arc::clone(&looks_again),
            ownership: ownership.clone(),
        };
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
            scan_before: None,
            moving_on: None,
            looks_again,
            ownership,
            is_gone: false,
            ended: None,
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
            // What recovery begins with opens nothing, so it is never taken back.
            let _completed = self.complete(first, &Span::OFF).await;
        }
        self.count_serving();
        while !self.is_gone {
            let order = match self.next_deadline().map(clock::deadline) {
                None => self.inbox.recv().await,
                Some(deadline) => tokio::select! {
                    order = self.inbox.recv() => order,
                    () = tokio::time::sleep_until(deadline) => Some(Box::new(Order::Input(Input::TimePassed))),
                },
            };
            let Some(order) = order else { return };
            if !self.may_act(newcomer(&order)).await {
                // Whoever sent this order finds the lane gone, and asks again.
                break;
            }
            let counted = self.obey(*order).await;
            if self.is_to_go() {
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
        self.end();
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let scan_before = self.scan_before.filter(|_| self.attendant.shows_codes());
        self.attendant.next_deadline().into_iter().chain(scan_before).min()
    }

    /// Whether the ATM is to connect elsewhere now. Whoever has scanned is served to the end; who stands before a code gets time to scan it.
    fn is_to_go(&self) -> bool {
        if self.attendant.is_serving() {
            return false;
        }
        let is_old = self.moving_on.is_some_and(|old| self.outbox.as_ref().is_some_and(|(link, _)| *link == old));
        let shows_codes = self.attendant.shows_codes();
        let stops = self.scan_before.is_some_and(|before| !shows_codes || before <= clock::now());
        stops || (is_old && !shows_codes)
    }

    /// Carries out an order. Gives back who waits for this lane to be counted.
    async fn obey(&mut self, order: Order) -> Option<oneshot::Sender<()>> {
        match order {
            Order::Connected { facts, unresolved, link, outbox } => {
                let replaced = self.outbox.replace((link, outbox));
                match replaced {
                    // Its own end will be heard later, under an old number, and change nothing.
                    Some((_, old)) => drop(old.try_send(Box::new(Err(status::replaced())))),
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
            // The flag that came with it says it already; this only wakes the lane.
            Order::LetGo(ended) => {
                self.is_gone = true;
                self.ended = Some(ended);
            }
            Order::MoveOn(link) => self.moving_on = Some(link),
            Order::View(reply) => drop(reply.send(self.attendant.view())),
            Order::Drain { scan_before, counted } => {
                self.scan_before = Some(scan_before);
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

    /// Gives the lane an input as part of a span. Where other replicas write too, an approval may have to be computed again.
    async fn apply_as(&mut self, span: &Span, mut input: Input, mut pin_block: Option<PinBlock>) {
        for _ in 0..=RETRIES_MAX {
            if !self.has_read(&input).await {
                break;
            }
            let intent = {
                let _within = span.enter();
                self.attendant.take(input, pin_block, clock::now())
            };
            match self.complete(intent, span).await {
                Completed::Done => return,
                Completed::TakenBack(again) => (input, pin_block) = *again,
            }
        }
        self.give_up(&input);
    }

    /// Records durable, then errands: the intent gives its errands to nobody who has not made them so.
    async fn complete(&mut self, intent: Intent, cause: &Span) -> Completed {
        if !intent.records().is_empty() {
            let journal = self.traces.journal(intent.records(), cause);
            let since = Stopwatch::start();
            let appended = self.append_or_send_elsewhere(&intent).await;
            self.surroundings.metrics.appended(since.elapsed());
            if let Err(error) = appended {
                journal.fail("not durable");
                if is_of_others(&error) {
                    return self.refused_by_others(&error, intent);
                }
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
            if !self.may_act(None).await {
                // It is durable, and who follows it was told: whoever has the lane now carries it out.
                self.is_gone = true;
                return Completed::Done;
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
        Completed::Done
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
    pub(super) async fn append(&self, intent: &Intent) -> Result<(), AppendError> {
        for part in intent.records().chunks(StepRecord::PER_APPEND_MAX) {
            match &self.ownership {
                None => drop(self.surroundings.ledger.append(part.iter().map(step_record).collect()).await?),
                Some(ownership) => self.append_owned(ownership, part, intent).await?,
            }
        }
        Ok(())
    }

    pub(super) fn send_away(&mut self) {
        if let Some((link, outbox)) = &self.outbox {
            let customer_waits = self.attendant.shows_codes();
            let link = *link;
            ask_to_reconnect(link, outbox, customer_waits);
            self.lose(link);
        }
    }

    pub(super) fn count_serving(&mut self) {
        // A shown code counts too: whoever drains waits until it is scanned or the ATM was sent away.
        let serving = self.attendant.is_serving() || self.attendant.shows_codes();
        if serving != self.was_serving {
            self.serving.send_modify(|count| *count = if serving { *count + 1 } else { count.saturating_sub(1) });
            self.was_serving = serving;
        }
    }
}

/// Has an ATM connect anew, at a moment of its own.
pub(super) fn ask_to_reconnect(link: LinkId, outbox: &Outbox, customer_waits: bool) {
    let within = if customer_waits { RECONNECT_SPREAD_WITH_CUSTOMER_MS } else { RECONNECT_SPREAD_MS };
    let spread = link.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) % within;
    let _ = outbox.try_send(Box::new(Ok(wire_atm::reconnect(Duration::from_millis(spread)))));
}

/// The connection that an order brings.
fn newcomer(order: &Order) -> Option<(LinkId, Outbox)> {
    match order {
        Order::Connected { link, outbox, .. } => Some((*link, outbox.clone())),
        _ => None,
    }
}
