//! A machine on a real record, and what went over its line.

use std::time::Duration;

use cashgate_wire::proto::atm::v1::{
    Dispense, GatewayMessage, OutcomeRecorded, QueryOutcome, Welcome, atm_message::Message as Saying,
    gateway_message::Message as Told,
};
use cashgate_wire::proto::withdrawal::v1::{EvidenceSource, Money, NoteCount, Outcome, OutcomeReport};

use super::super::dispenser::tests::KEY;
use super::*;

pub(super) const NOW: i64 = 1_800_000_000_000;
pub(super) const W1: &str = "01981f2e-7c1a-7000-8000-000000000001";
pub(super) const W2: &str = "01981f2e-7c1a-7000-8000-000000000002";

/// A machine on a real record, and the end of the line.
pub(super) struct Room {
    pub(super) state_dir: tempfile::TempDir,
    pub(super) record: Option<RecordFile>,
    pub(super) machine: Machine,
    pub(super) sent: Vec<Saying>,
    /// How many more facts reach the disk before somebody pulls the plug.
    pub(super) writes_left: Option<usize>,
    pub(super) dark: bool,
    /// The key of its dispenser, if that demands tokens.
    key: Option<DispenseKey>,
}

impl Room {
    pub(super) fn new() -> Self {
        Self::with(None)
    }

    /// A machine whose dispenser demands tokens made with the key of the dispenser's tests.
    pub(super) fn secured() -> Self {
        Self::with(Some(DispenseKey::new(&KEY)))
    }

    fn with(key: Option<DispenseKey>) -> Self {
        let state_dir = tempfile::tempdir().unwrap();
        let (record, facts) = RecordFile::open(state_dir.path()).unwrap();
        let machine = machine(&facts, key.clone());
        let record = Some(record);
        let mut room = Self { state_dir, record, machine, sent: vec![], writes_left: None, dark: false, key };
        room.power_on_and_connect();
        room
    }

    pub(super) fn power_on_and_connect(&mut self) {
        self.feed(Input::PowerOn);
        self.feed(Input::Connected);
        self.told(Told::Welcome(Welcome { gateway_time_unix_ms: NOW, atm_id: "A1".to_owned() }));
    }

    pub(super) fn restart(&mut self) {
        self.record = None;
        let (record, facts) = RecordFile::open(self.state_dir.path()).unwrap();
        self.record = Some(record);
        self.machine = machine(&facts, self.key.clone());
        (self.writes_left, self.dark) = (None, false);
        self.sent.clear();
        self.power_on_and_connect();
    }

    pub(super) fn told(&mut self, message: Told) {
        self.feed(Input::Gateway(GatewayMessage { message: Some(message), ..Default::default() }));
    }

    pub(super) fn feed(&mut self, input: Input) {
        if self.dark {
            return;
        }
        for output in self.machine.handle(input, NOW) {
            match output {
                Output::Record(fact) => {
                    self.record.as_mut().unwrap().append(&fact).unwrap();
                    self.writes_left = self.writes_left.map(|left| left - 1);
                    self.dark = self.writes_left == Some(0);
                }
                Output::Send(message) => self.sent.push(message),
                Output::PresentAfter(_) => {}
                Output::PowerCut => self.dark = true,
                Output::Screen(_) | Output::Dial(_) | Output::HangUp | Output::SwitchOff => {}
            }
            if self.dark {
                return;
            }
        }
    }

    pub(super) fn dispense(&mut self, withdrawal_id: &str, amount: i64) {
        self.told(dispense(withdrawal_id, amount, NOW + 10_000));
        self.feed(Input::Presented);
    }

    pub(super) fn query(&mut self, withdrawal_id: &str) {
        self.told(Told::QueryOutcome(QueryOutcome {
            withdrawal_id: withdrawal_id.to_owned(),
            ..QueryOutcome::default()
        }));
    }

    /// The reports of a command that went out, as outcomes or in Hello.
    pub(super) fn reports(&self, withdrawal_id: &str) -> Vec<OutcomeReport> {
        let each = |message: &Saying| match message {
            Saying::Outcome(report) => vec![report.clone()],
            Saying::Hello(hello) => hello.unresolved.clone(),
            _ => vec![],
        };
        self.sent.iter().flat_map(each).filter(|report| report.withdrawal_id == withdrawal_id).collect()
    }

    pub(super) fn book(&self) -> Book {
        Book::of(&read_facts(self.state_dir.path()).unwrap())
    }

    pub(super) fn moves(&self, withdrawal_id: &str) -> usize {
        let facts = read_facts(self.state_dir.path()).unwrap();
        facts
            .iter()
            .filter(|fact| matches!(fact, Fact::Moving { withdrawal_id: id, .. } if id == withdrawal_id))
            .count()
    }
}

fn machine(facts: &[Fact], key: Option<DispenseKey>) -> Machine {
    match key {
        Some(key) => Machine::secured(plan(), facts, SecureDispenser::recalled(key, "JPY", facts)),
        None => Machine::new(plan(), facts),
    }
}

pub(super) fn plan() -> Plan {
    Plan {
        name: "ATM A1".to_owned(),
        place: "Shibuya, Tokyo".to_owned(),
        filled: vec![Notes { denomination: 10_000, count: 100 }, Notes { denomination: 1_000, count: 100 }],
        currency: "JPY".to_owned(),
        notes_per_dispense_max: 60,
        present_delay: Duration::from_millis(50),
        point: None,
        bare_word: false,
    }
}

pub(super) fn dispense(withdrawal_id: &str, amount: i64, start_before_unix_ms: i64) -> Told {
    let amount = Some(Money { minor_units: amount, currency: "JPY".to_owned() });
    Told::Dispense(Dispense {
        withdrawal_id: withdrawal_id.to_owned(),
        amount,
        start_before_unix_ms,
        ..Dispense::default()
    })
}

pub(super) fn acknowledged(withdrawal_id: &str) -> Told {
    Told::OutcomeRecorded(OutcomeRecorded { withdrawal_id: withdrawal_id.to_owned() })
}

pub(super) fn sum(notes: &[NoteCount]) -> i64 {
    notes.iter().map(|n| n.denomination.as_ref().unwrap().minor_units * i64::from(n.count)).sum()
}

/// What a report proves to have left, as `OutcomeReport` in withdrawal.proto describes it.
pub(super) fn proven(report: &OutcomeReport) -> Option<i64> {
    match report.outcome() {
        Outcome::Dispensed | Outcome::PartiallyDispensed => Some(sum(&report.presented)),
        Outcome::NotDispensed if report.evidence() != EvidenceSource::BareWord => Some(0),
        Outcome::Retracted if report.retracted_counted => Some(sum(&report.presented) - sum(&report.retracted)),
        _ => None,
    }
}
