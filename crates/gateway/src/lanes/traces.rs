//! The spans of one lane, kept beside it: the lane knows nothing of them, and nothing of them is on disk.
//!
//! The trace of a customer begins with the touch and lasts until core banking has settled: `QrSession` from the touch to the end of the QR session,
//! with `mint`, `scan` and `approve`; in it `withdrawal` from the approval to its end, with `journal`, the calls to core banking, `dispense` and
//! `outcome`. Withdrawals that a restart brought back begin a trace of their own.

use cashgate_withdrawal::event::Event;
use cashgate_withdrawal::ids::{AtmId, QrSessionId, WithdrawalId};
use cashgate_withdrawal::lane::{Input, Record, ToAtm};
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::withdrawal::Terms;
use opentelemetry::trace::SpanKind;

use crate::telemetry::{REFUSED, Span, Traceparent, Tracing};

const ATM: &str = "cashgate.atm.id";
const QR_SESSION: &str = "cashgate.qr_session.id";
const WITHDRAWAL: &str = "cashgate.withdrawal.id";
const INSTITUTION: &str = "cashgate.institution.id";
const STATE: &str = "cashgate.withdrawal.state";
const REASON: &str = "cashgate.reason";
const FACTOR: &str = "cashgate.factor";

/// All of one lane. Empty while nothing is traced.
#[derive(Debug, Default)]
pub(super) struct LaneTraces {
    tracing: Tracing,
    /// A touch for which no code is being made yet.
    touched: Span,
    qr_session: Option<(QrSessionId, Span)>,
    open: Vec<Open>,
}

/// One open withdrawal.
#[derive(Debug)]
struct Open {
    id: WithdrawalId,
    whole: Span,
    /// From the command to the report.
    dispense: Span,
}

impl LaneTraces {
    pub(super) fn new(tracing: Tracing) -> Self {
        Self { tracing, ..Self::default() }
    }

    /// A customer touched the screen.
    pub(super) fn touched(&mut self, atm: &AtmId, fresh: QrSessionId, from: Option<&Traceparent>) {
        if !self.tracing.is_on() {
            return;
        }
        self.touched = self.tracing.root("QrSession", from);
        self.touched.set(ATM, || atm.to_string());
        self.touched.set(QR_SESSION, || fresh.to_string());
    }

    /// A code is being made for a QR session: the first one is what the touch led to.
    pub(super) fn shows(&mut self, qr_session: QrSessionId) -> Span {
        match &self.qr_session {
            Some((showing, span)) if *showing == qr_session => span.clone(),
            _ => {
                let span = std::mem::take(&mut self.touched);
                self.qr_session = span.is_on().then(|| (qr_session, span.clone()));
                span
            }
        }
    }

    fn of_qr_session(&self, id: QrSessionId) -> Span {
        self.qr_session.as_ref().filter(|(showing, _)| *showing == id).map(|(_, span)| span.clone()).unwrap_or_default()
    }

    /// The connection is gone, and with it whoever stood there.
    pub(super) fn disconnected(&mut self) {
        if let Some((_, span)) = self.qr_session.take() {
            span.note("atm_disconnected");
        }
    }

    /// A caller asks something of this lane: a part of the ATM's trace, linked with the caller's own. The caller's trace is the caller's, and a phone
    /// must not be able to choose where the ATM's goes on; so neither is the other's parent.
    pub(super) fn asked(&self, input: &Input, caller: &Span) -> Span {
        let (name, parent) = match input {
            Input::Scanned(scan) => ("scan", self.of_qr_session(scan.code.qr_session)),
            Input::Approved(approval) => ("approve", self.of_qr_session(approval.code.qr_session)),
            Input::ApprovalFailed(failed) => ("approval_failed", self.of_qr_session(failed.code.qr_session)),
            Input::Resolved(resolution) => ("resolve", self.of(resolution.withdrawal)),
            _ => return Span::OFF,
        };
        let span = parent.child(name);
        span.link_both_ways(caller);
        span
    }

    /// What a caller was told.
    pub(super) fn answered(span: &Span, refusal: Option<&Refusal>) {
        if let Some(refusal) = refusal {
            refused(span, refusal);
        }
        span.end();
    }

    /// The ATM reports what became of a command.
    pub(super) fn reported(&self, id: WithdrawalId, from: Option<&Traceparent>) -> Span {
        let open = self.open.iter().find(|open| open.id == id);
        open.map_or(Span::OFF, |open| {
            open.dispense.end();
            let parent = if open.dispense.is_on() { &open.dispense } else { &open.whole };
            parent.continued("outcome", from)
        })
    }

    /// A withdrawal, if it is open here.
    pub(super) fn of(&self, id: WithdrawalId) -> Span {
        self.open.iter().find(|open| open.id == id).map(|open| open.whole.clone()).unwrap_or_default()
    }

    /// A withdrawal that is open for certain. One that a restart brought back begins its trace here.
    pub(super) fn of_open(&mut self, terms: &Terms) -> Span {
        let known = self.of(terms.withdrawal);
        if known.is_on() || !self.tracing.is_on() {
            return known;
        }
        self.opened(terms, self.tracing.root("withdrawal", None))
    }

    fn opened(&mut self, terms: &Terms, whole: Span) -> Span {
        whole.set(WITHDRAWAL, || terms.withdrawal.to_string());
        whole.set(INSTITUTION, || terms.institution.to_string());
        whole.set(ATM, || terms.atm.to_string());
        self.open.push(Open { id: terms.withdrawal, whole: whole.clone(), dispense: Span::OFF });
        whole
    }

    /// What waits for the disk, as part of what caused it.
    pub(super) fn journal(&mut self, records: &[Record], cause: &Span) -> Span {
        let Some(first) = records.first().filter(|_| self.tracing.is_on()) else { return Span::OFF };
        let whole = self.of(first.after.terms.withdrawal);
        let span = if cause.is_on() { cause.child("journal") } else { whole.child("journal") };
        span.set("cashgate.step", || first.name());
        span.set("cashgate.steps", || i64::try_from(records.len()).unwrap_or(i64::MAX));
        span
    }

    /// A step is on disk.
    pub(super) fn stepped(&mut self, record: &Record) -> Span {
        if !self.tracing.is_on() {
            return Span::OFF;
        }
        let terms = &record.after.terms;
        let whole = match &record.event {
            None => {
                let parent = self.of_qr_session(terms.qr_session);
                self.opened(terms, parent.child("withdrawal"))
            }
            Some(_) => self.of_open(terms),
        };
        whole.note(record.name());
        if let Some(Event::OutcomeDeadlinePassed) = record.event {
            self.end_dispense(terms.withdrawal);
        }
        let state = &record.after.state;
        if state.name() == "suspect" {
            // A person may take days: what is known is told now, and what comes later hangs below it.
            whole.set(STATE, || state.name());
            whole.keep("suspect");
            whole.end();
        }
        if state.is_ended() {
            whole.set(STATE, || state.name());
            if let Some(reason) = state.reason() {
                whole.set(REASON, || reason.to_owned());
            }
            if state.name() != "confirmed" {
                whole.keep(state.name());
            }
            whole.end();
            self.end_dispense(terms.withdrawal);
            self.open.retain(|open| open.id != terms.withdrawal);
        }
        whole
    }

    fn end_dispense(&mut self, id: WithdrawalId) {
        if let Some(open) = self.open.iter().find(|open| open.id == id) {
            open.dispense.end();
        }
    }

    /// The context that goes with a message to the ATM. A repeated command takes the same one along as long as the process lives.
    pub(super) fn told(&mut self, message: &ToAtm) -> Option<Traceparent> {
        if !self.tracing.is_on() {
            return None;
        }
        match message {
            ToAtm::ShowQr { code, .. } => self.of_qr_session(code.qr_session).traceparent(),
            ToAtm::QrClaimed(id) => self.of_qr_session(*id).traceparent(),
            ToAtm::AskConfirmCode { withdrawal, .. } | ToAtm::QueryOutcome { withdrawal, .. } => {
                self.of(*withdrawal).traceparent()
            }
            ToAtm::Dispense(command) => {
                let open = self.open.iter_mut().find(|open| open.id == command.withdrawal)?;
                if !open.dispense.is_on() {
                    open.dispense = open.whole.message("dispense", SpanKind::Producer);
                }
                open.dispense.traceparent()
            }
            ToAtm::OutcomeRecorded(id) => self.of(*id).traceparent(),
            ToAtm::QrSessionEnded { qr_session, .. } => {
                let span = self.of_qr_session(*qr_session);
                self.qr_session.take_if(|(showing, _)| showing == qr_session);
                span.end();
                span.traceparent()
            }
            ToAtm::TryLater { refusal, .. } => {
                // In answer to a touch, or because the code after it could not be made.
                let span = match self.qr_session.take() {
                    Some((_, span)) => span,
                    None => std::mem::take(&mut self.touched),
                };
                refused(&span, refusal);
                span.traceparent()
            }
            ToAtm::Refused { refusal, withdrawal: None } => {
                let span = std::mem::take(&mut self.touched);
                refused(&span, refusal);
                span.traceparent()
            }
            ToAtm::Refused { withdrawal: Some(id), .. } => self.of(*id).traceparent(),
            ToAtm::Welcome { .. } => None,
        }
    }
}

fn refused(span: &Span, refusal: &Refusal) {
    span.keep(REFUSED);
    span.set(REASON, || refusal.reason());
    if !refusal.factor().is_empty() {
        span.set(FACTOR, || refusal.factor());
    }
}
