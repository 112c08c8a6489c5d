//! Histories written by hand: the healthy ones pass, and each broken one is found under the rule that it breaks.

mod among;
mod broken_ends;
mod broken_ways;
mod contradictions;
mod end_to_end;
mod healthy;
mod limits;
mod replicas;
mod stories;

use super::{Checker, Rule, Violation};
use crate::boundary::{Book, Closing, Crossing, Report, Setup, Standing, What, WithdrawalNo, Word};

/// The morning of the world.
const DAWN_MS: u64 = 1_800_000_000_000;
const HOUR_MS: u64 = 60 * 60 * 1_000;
const AMOUNT: u64 = 30_000;
/// The withdrawal of most stories.
const W: WithdrawalNo = 1;

/// A crossing of the process that started last.
fn crossing(at_ms: u64, what: &What, process: &mut u32) -> Crossing {
    *process += u32::from(*what == What::GatewayStarted);
    Crossing { at_ms, process: *process, what: what.clone() }
}

/// One world's history. Crossings come a tenth of a second after each other.
#[derive(Clone, Debug)]
struct Story {
    setup: Setup,
    crossings: Vec<What>,
    closing: Closing,
}

impl Story {
    fn new() -> Self {
        let setup = Setup {
            per_withdrawal: 50_000,
            per_day: 100_000,
            withdrawals_per_day: 3,
            zone_offset_ms: 9 * HOUR_MS,
            lying_atms: Vec::new(),
            core_bank_contradicts: false,
            end_to_end_atms: Vec::new(),
            demands_proof: false,
            new_phones: Vec::new(),
            machines_reach_who_is_ready: false,
        };
        let closing = Closing { reserved: vec![(0, 0)], ..Closing::default() };
        Self { setup, crossings: vec![What::GatewayStarted], closing }
    }

    fn then(mut self, crossings: impl IntoIterator<Item = What>) -> Self {
        self.crossings.extend(crossings);
        self
    }

    /// The withdrawal of most stories ends so, and is shown so.
    fn ended(self, standing: Standing) -> Self {
        self.ended_as(Book { withdrawal: W, account: 0, amount: AMOUNT, standing })
    }

    fn ended_as(mut self, book: Book) -> Self {
        self.closing.books.push(book);
        self.then([What::Shown { book }])
    }

    fn lying(mut self) -> Self {
        self.setup.lying_atms.push(0);
        self
    }

    fn contradicting(mut self) -> Self {
        self.setup.core_bank_contradicts = true;
        self
    }

    fn without(&mut self, which: fn(&What) -> bool) {
        let before = self.crossings.len();
        self.crossings.retain(|what| !which(what));
        assert_ne!(before, self.crossings.len(), "the edit must find its place");
    }

    fn before(&mut self, which: fn(&What) -> bool, crossings: impl IntoIterator<Item = What>) {
        let place = self.place(which);
        self.crossings.splice(place..place, crossings);
    }

    fn after(&mut self, which: fn(&What) -> bool, crossings: impl IntoIterator<Item = What>) {
        let place = self.place(which) + 1;
        self.crossings.splice(place..place, crossings);
    }

    fn replace(&mut self, which: fn(&What) -> bool, crossings: impl IntoIterator<Item = What>) {
        let place = self.place(which);
        self.crossings.splice(place..=place, crossings);
    }

    fn place(&self, which: fn(&What) -> bool) -> usize {
        self.crossings.iter().position(which).expect("the edit must find its place")
    }

    /// The first violation that was observed, or all that were found in the end.
    fn judged(&self) -> Result<(), Vec<Violation>> {
        let mut checker = Checker::new(self.setup.clone());
        let mut process = 0;
        for (what, at_ms) in self.crossings.iter().zip((DAWN_MS..).step_by(100)) {
            checker.observe(&crossing(at_ms, what, &mut process)).map_err(|violation| vec![violation])?;
        }
        checker.conclude(&self.closing)
    }

    fn passes(&self) {
        if let Err(violations) = self.judged() {
            panic!("{violations:#?}\n{:#?}", self.crossings);
        }
    }

    /// Nothing that was observed breaks a rule, whatever the end would.
    fn passes_until_the_end(&self) {
        let mut checker = Checker::new(self.setup.clone());
        let mut process = 0;
        for (what, at_ms) in self.crossings.iter().zip((DAWN_MS..).step_by(100)) {
            checker.observe(&crossing(at_ms, what, &mut process)).expect("no rule is broken");
        }
    }

    fn breaks(&self, name: &str, rule: Rule) {
        let Err(violations) = self.judged() else { panic!("{name}: nothing was found") };
        let first = violations.first().expect("an error says something");
        assert_eq!(first.rule, rule, "{name}: {violations:#?}");
    }
}

/// A healthy story, what is done to it, and the rule that is then broken.
type Broken = (&'static str, fn() -> Story, fn(&mut Story), Rule);

fn each_is_found(table: &[Broken]) {
    for (name, healthy, edit, rule) in table {
        let mut story = healthy();
        story.passes();
        edit(&mut story);
        story.breaks(name, *rule);
    }
}

fn report(word: Word, presented: u64, retracted: Option<u64>, proven: bool) -> What {
    What::ReportArrived { atm: 0, withdrawal: W, report: Report { word, presented, retracted, proven } }
}

fn acknowledged() -> What {
    What::OutcomeAcknowledged { atm: 0, withdrawal: W }
}

fn outcome_asked() -> What {
    What::OutcomeAsked { atm: 0, withdrawal: W, nonce: None }
}

fn dispense() -> What {
    What::DispenseSent { atm: 0, withdrawal: W, amount: AMOUNT, start_before_ms: DAWN_MS + 60_000, token: None }
}

fn resolved(confirm: Option<u64>) -> What {
    What::SuspectResolved { withdrawal: W, confirm }
}

fn shown(standing: Standing) -> What {
    What::Shown { book: Book { withdrawal: W, account: 0, amount: AMOUNT, standing } }
}

fn restarted() -> [What; 2] {
    [What::GatewayStopped, What::GatewayStarted]
}

/// A violation reads as a sentence with its rule, its time and its withdrawal.
#[test]
fn a_violation_reads_as_a_sentence() {
    let violation =
        Violation { rule: Rule::Five, at_ms: 7, withdrawal: Some(0x1f), what: "it was reversed".to_owned() };
    assert_eq!(violation.to_string(), "rule 5 broken at 7 ms, withdrawal 1f: it was reversed");
    let violation = Violation { rule: Rule::Liveness, withdrawal: None, ..violation };
    assert_eq!(violation.to_string(), "liveness broken at 7 ms: it was reversed");
}
