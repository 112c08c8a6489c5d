//! A machine without input and output: what it is told goes in, what it does comes out as values, in order.
//!
//! Whoever drives it keeps one promise: outputs are carried out one after the other, and a [`Output::Record`] is on the disk before the
//! next one begins. That is what makes "recorded before a note moves" true.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use cashgate_wire::proto::atm::v1::{
    self as wire, GatewayMessage, atm_message::Message as Saying, gateway_message::Message as Told,
};

use super::book::{Book, Fact};
use super::command::{Command, Fault};
use super::dispenser::SecureDispenser;
use super::dispensing::Presenting;
use super::notes::{Cassettes, Notes, money};
use super::report::Report;
use super::screen::ScreenEvent;
use super::waiting::Waiting;
use crate::place::Place;

/// The most reports that one `Hello` carries.
const HELLO_REPORTS_MAX: usize = 64;
/// What an operator hears who wants a trick with tokens from a machine without them.
const NO_DISPENSE_KEY: &str = "this machine has no end-to-end security: start it with --dispense-key";

/// How a machine is built and filled.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name for customers.
    pub name: String,
    /// Where it stands.
    pub place: String,
    /// How its cassettes were filled when its record began; what the record says has moved is taken off.
    pub filled: Vec<Notes>,
    /// The currency of every note.
    pub currency: String,
    /// The most notes at once.
    pub notes_per_dispense_max: u32,
    /// How long notes take from the cassettes to the customer.
    pub present_delay: Duration,
    /// The point at which it stands, if it tells.
    pub point: Option<Place>,
    /// Whether it has nothing but its word for what became of a command.
    pub bare_word: bool,
}

/// What happens to a machine.
#[derive(Clone, Debug)]
pub enum Input {
    /// The power comes on. Always the first.
    PowerOn,
    /// A stream to the gateway is open.
    Connected,
    /// It is gone, or could not be opened.
    Disconnected {
        /// Why, for a human reader.
        why: String,
    },
    /// The gateway says something.
    Gateway(GatewayMessage),
    /// The operator says something.
    Operator(Command),
    /// The notes of [`Output::PresentAfter`] have arrived at the shutter.
    Presented,
    /// Time to repeat what has not been acknowledged.
    Repeat,
}

/// What a machine does.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Make this durable before doing anything else.
    Record(Fact),
    /// Send this on the open stream.
    Send(Saying),
    /// Show this.
    Screen(ScreenEvent),
    /// Feed [`Input::Presented`] after this time.
    PresentAfter(Duration),
    /// Open a stream, after this time if one is named, else when the driver's own back-off says.
    Dial(Option<Duration>),
    /// Close the stream; no [`Input::Disconnected`] follows.
    HangUp,
    /// The power fails: nothing that follows may happen.
    PowerCut,
    /// Switched off in order.
    SwitchOff,
}

/// A simulated machine.
#[derive(Clone, Debug)]
pub struct Machine {
    pub(super) plan: Plan,
    pub(super) book: Book,
    pub(super) cassettes: Cassettes,
    pub(super) presenting: Option<Presenting>,
    pub(super) next_fault: Option<Fault>,
    /// `None` in a machine that pays without dispense tokens.
    pub(super) dispenser: Option<SecureDispenser>,
    /// Whether it hides that its dispenser demands tokens.
    pub(super) stripped: bool,
    /// The gateway's clock less the own one.
    pub(super) clock_offset_ms: i64,
    connected: bool,
    stays_away: bool,
    switching_off: bool,
    qr_session_id: Option<String>,
    pub(super) waiting: Option<Waiting>,
    code_wanted_for: Option<String>,
    /// Reports that did not fit into `Hello`.
    backlog: VecDeque<String>,
    /// Reports that the gateway refused on this stream; repeating them here would only be refused again.
    refused: BTreeSet<String>,
}

impl Machine {
    /// A machine with its record's facts.
    #[must_use]
    pub fn new(plan: Plan, facts: &[Fact]) -> Self {
        let book = Book::of(facts);
        let mut cassettes = Cassettes::filled(&plan.filled, &plan.currency, plan.notes_per_dispense_max);
        cassettes.take(book.moved());
        Self {
            plan,
            book,
            cassettes,
            presenting: None,
            next_fault: None,
            dispenser: None,
            stripped: false,
            clock_offset_ms: 0,
            connected: false,
            stays_away: false,
            switching_off: false,
            qr_session_id: None,
            waiting: None,
            code_wanted_for: None,
            backlog: VecDeque::new(),
            refused: BTreeSet::new(),
        }
    }

    /// The same with a dispenser that demands dispense tokens, recalled from the same facts.
    #[must_use]
    pub fn secured(plan: Plan, facts: &[Fact], dispenser: SecureDispenser) -> Self {
        Self { dispenser: Some(dispenser), ..Self::new(plan, facts) }
    }

    /// Its books.
    #[must_use]
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// What it does about an input. `now` is its own clock, milliseconds since 1970-01-01T00:00:00Z.
    pub fn handle(&mut self, input: Input, now: i64) -> Vec<Output> {
        let mut outputs = Vec::new();
        match input {
            Input::PowerOn => self.power_on(now, &mut outputs),
            Input::Connected => self.greet(&mut outputs),
            Input::Disconnected { why } => self.lose_connection(why, &mut outputs),
            Input::Gateway(GatewayMessage { message: Some(told), .. }) => self.obey(told, now, &mut outputs),
            // A kind that this machine does not know.
            Input::Gateway(GatewayMessage { message: None, .. }) => {}
            Input::Operator(command) => self.operate(command, &mut outputs),
            Input::Presented => self.finish_presenting(now, &mut outputs),
            Input::Repeat => self.repeat_reports(&mut outputs),
        }
        if self.switching_off && self.presenting.is_none() {
            outputs.push(Output::SwitchOff);
        }
        outputs
    }

    fn power_on(&mut self, now: i64, outputs: &mut Vec<Output>) {
        self.settle_unfinished(now, outputs);
        outputs.push(Output::Dial(Some(Duration::ZERO)));
    }

    fn greet(&mut self, outputs: &mut Vec<Output>) {
        self.connected = true;
        self.refused.clear();
        let mut open = self.book.unacknowledged();
        let unresolved = open.by_ref().take(HELLO_REPORTS_MAX).map(|(id, report)| self.in_words(id, report)).collect();
        self.backlog = open.map(|(id, _)| id.to_owned()).collect();
        outputs.push(Output::Send(Saying::Hello(wire::Hello {
            name: self.plan.name.clone(),
            place: self.plan.place.clone(),
            cassettes: self.cassettes.to_message(),
            notes_per_dispense_max: self.plan.notes_per_dispense_max,
            unresolved,
            software: concat!("cashgate-fleet ", env!("CARGO_PKG_VERSION")).to_owned(),
            end_to_end: self.declared(),
            location: self.plan.point.map(Place::to_message),
            best_evidence: self.best_evidence().into(),
        })));
    }

    fn lose_connection(&mut self, why: String, outputs: &mut Vec<Output>) {
        self.forget_stream();
        self.waiting = None;
        outputs.push(Output::Screen(ScreenEvent::Disconnected { why }));
        if !self.stays_away {
            outputs.push(Output::Dial(None));
        }
    }

    fn forget_stream(&mut self) {
        self.connected = false;
        self.qr_session_id = None;
        self.code_wanted_for = None;
        self.backlog.clear();
    }

    fn obey(&mut self, told: Told, now: i64, outputs: &mut Vec<Output>) {
        match told {
            Told::Welcome(welcome) => {
                self.clock_offset_ms = welcome.gateway_time_unix_ms.saturating_sub(now);
                outputs.push(Output::Screen(ScreenEvent::Connected { atm_id: welcome.atm_id }));
                self.show_code_again(welcome.gateway_time_unix_ms, outputs);
            }
            Told::Dispense(command) => self.dispense(command, now, outputs),
            Told::QueryOutcome(query) => self.answer_query(query, now, outputs),
            Told::OutcomeRecorded(recorded) => self.acknowledge(recorded.withdrawal_id, outputs),
            Told::Reconnect(wire::Reconnect { after_ms }) => {
                self.forget_stream();
                self.waiting.iter_mut().for_each(Waiting::sent_on);
                outputs.push(Output::HangUp);
                outputs.push(Output::Screen(ScreenEvent::Reconnect { after_ms }));
                outputs.push(Output::Dial(Some(Duration::from_millis(after_ms.into()))));
            }
            Told::Refused(refused) => {
                self.waiting = None;
                if self.book.get(&refused.withdrawal_id).is_some() {
                    self.refused.insert(refused.withdrawal_id.clone());
                }
                let wire::Refused { reason, detail, withdrawal_id } = refused;
                outputs.push(Output::Screen(ScreenEvent::Refused { reason, detail, withdrawal_id }));
            }
            Told::ShowQr(_)
            | Told::QrClaimed(_)
            | Told::AskConfirmCode(_)
            | Told::QrSessionEnded(_)
            | Told::TryLater(_) => outputs.push(Output::Screen(self.shown(told))),
        }
    }

    /// What the customer sees of a message that is for the customer.
    fn shown(&mut self, told: Told) -> ScreenEvent {
        match told {
            Told::ShowQr(wire::ShowQr {
                qr_session_id,
                qr_text,
                expires_at_unix_ms,
                qr_session_expires_at_unix_ms: until,
            }) => {
                self.qr_session_id = Some(qr_session_id.clone());
                if let Some(waiting) = &mut self.waiting {
                    waiting.shown(until);
                }
                ScreenEvent::ShowQr { qr_session_id, qr_text, expires_at_unix_ms }
            }
            Told::QrClaimed(wire::QrClaimed { qr_session_id }) => {
                self.waiting = None;
                ScreenEvent::QrClaimed { qr_session_id }
            }
            Told::AskConfirmCode(wire::AskConfirmCode { withdrawal_id, tries_left, .. }) => {
                self.code_wanted_for = Some(withdrawal_id.clone());
                ScreenEvent::AskConfirmCode { withdrawal_id, tries_left }
            }
            Told::QrSessionEnded(ended) => {
                self.qr_session_id = None;
                self.waiting = None;
                self.code_wanted_for = None;
                let end = ended.end().as_str_name().trim_start_matches("QR_SESSION_END_").to_ascii_lowercase();
                ScreenEvent::QrSessionEnded { qr_session_id: ended.qr_session_id, end }
            }
            Told::TryLater(wire::TryLater { after_ms, reason }) => {
                self.waiting = None;
                ScreenEvent::TryLater { after_ms, reason }
            }
            _ => ScreenEvent::BadCommand { detail: "the message is not for the screen".to_owned() },
        }
    }

    fn operate(&mut self, command: Command, outputs: &mut Vec<Output>) {
        match command {
            Command::Fault(fault) if fault.is_about_tokens() && self.dispenser.is_none() => {
                outputs.push(bad(NO_DISPENSE_KEY));
            }
            Command::Fault(fault) => self.next_fault = Some(fault),
            Command::Strip if self.dispenser.is_none() => outputs.push(bad(NO_DISPENSE_KEY)),
            Command::Strip => {
                self.stripped = true;
                self.stays_away = false;
                self.forget_stream();
                outputs.push(Output::HangUp);
                outputs.push(Output::Dial(Some(Duration::ZERO)));
            }
            Command::Quit => self.switching_off = true,
            Command::Disconnect => {
                self.stays_away = true;
                self.forget_stream();
                self.waiting = None;
                outputs.push(Output::HangUp);
                let why = "the operator pulled the line".to_owned();
                outputs.push(Output::Screen(ScreenEvent::Disconnected { why }));
            }
            Command::Connect if self.connected => outputs.push(bad("already connected")),
            Command::Connect => {
                self.stays_away = false;
                outputs.push(Output::Dial(Some(Duration::ZERO)));
            }
            Command::Start(_) | Command::End | Command::Code(_) if !self.connected => {
                outputs.push(bad("not connected"));
            }
            Command::Start(amount) => {
                let amount = amount.and_then(|amount| money(amount, &self.plan.currency));
                self.touched(amount, outputs);
            }
            Command::End => outputs.push(match self.qr_session_id.clone() {
                Some(qr_session_id) => Output::Send(Saying::EndQrSession(wire::EndQrSession { qr_session_id })),
                None => bad("no code is being shown"),
            }),
            Command::Code(code) => outputs.push(match self.code_wanted_for.clone() {
                Some(withdrawal_id) => {
                    Output::Send(Saying::EnterConfirmCode(wire::EnterConfirmCode { withdrawal_id, code }))
                }
                None => bad("no code is being asked for"),
            }),
        }
    }

    fn acknowledge(&mut self, withdrawal_id: String, outputs: &mut Vec<Output>) {
        let open = self.book.get(&withdrawal_id).is_some_and(|entry| entry.report.is_some() && !entry.acknowledged);
        if open {
            self.record(Fact::Acknowledged { withdrawal_id: withdrawal_id.clone() }, outputs);
            outputs.push(Output::Screen(ScreenEvent::OutcomeRecorded { withdrawal_id }));
        }
        // Room for one more of those that did not fit into Hello.
        if let Some(next) = self.backlog.pop_front() {
            self.send_report(&next, outputs);
        }
    }

    fn repeat_reports(&self, outputs: &mut Vec<Output>) {
        let due = self.book.unacknowledged().filter(|(id, _)| !self.refused.contains(*id));
        for (id, report) in due.take(HELLO_REPORTS_MAX).filter(|_| self.connected) {
            outputs.push(Output::Send(Saying::Outcome(self.in_words(id, report))));
        }
    }

    /// Sends what the record says of a command, if there is a stream; `Hello` brings it later otherwise.
    pub(super) fn send_report(&self, withdrawal_id: &str, outputs: &mut Vec<Output>) {
        let report = self.book.get(withdrawal_id).and_then(|entry| entry.report.as_ref());
        if let Some(report) = report {
            self.send_words(withdrawal_id, report, outputs);
        }
    }

    /// Sends a report, if there is a stream.
    pub(super) fn send_words(&self, withdrawal_id: &str, report: &Report, outputs: &mut Vec<Output>) {
        if self.connected {
            outputs.push(Output::Send(Saying::Outcome(self.in_words(withdrawal_id, report))));
        }
    }

    pub(super) fn send_cassettes(&self, outputs: &mut Vec<Output>) {
        if self.connected {
            let cassettes = self.cassettes.to_message();
            outputs.push(Output::Send(Saying::UpdateCassettes(wire::UpdateCassettes { cassettes })));
        }
    }

    pub(super) fn record(&mut self, fact: Fact, outputs: &mut Vec<Output>) {
        self.book.add(&fact);
        if let Some(dispenser) = &mut self.dispenser {
            dispenser.remember(&fact);
        }
        outputs.push(Output::Record(fact));
    }
}

pub(super) fn bad(detail: &str) -> Output {
    Output::Screen(ScreenEvent::BadCommand { detail: detail.to_owned() })
}
