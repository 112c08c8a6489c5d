//! A world around one lane: an ATM, phones, an HSM, a core bank, an operator and a clock, each doing only what a story tells it to.

pub(crate) mod books;
mod healing;
mod parties;
mod reports;
mod said;

use std::sync::Arc;
use std::time::Duration;

use books::Books;
use cashgate_withdrawal::cassettes::Cassettes;
use cashgate_withdrawal::dispense::NoteCount;
use cashgate_withdrawal::event::Settlement;
use cashgate_withdrawal::evidence::EvidenceGrade;
use cashgate_withdrawal::ids::{AtmId, HoldReference, QrSessionId, WithdrawalId};
use cashgate_withdrawal::lane::{
    Action, Admission, Admitted, Answer, Approval, AtmFacts, ConfirmCode, Input, Lane, LaneSettings, Machine,
    RequestId, Turn, VerifiedCode,
};
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::time::{CalendarDay, Timestamp};
use cashgate_withdrawal::withdrawal::Decision;
pub(crate) use reports::*;

pub(crate) const PHONE: &str = "phone-1";
pub(crate) const OTHER_PHONE: &str = "phone-2";
/// The code that policy asks for where a story needs one.
pub(crate) const CODE: &str = "4711";

/// What the dispenser gives the ATM for a customer.
pub(crate) const NONCE: &str = "254611E63B2531576314E86527338D61";

const A_YEAR: Duration = seconds(365 * 24 * 3600);

pub(crate) struct World {
    pub(crate) lane: Lane,
    pub(crate) now: Timestamp,
    pub(crate) admission: Script,
    pub(crate) books: Books,
    /// What came out since the last thing that a story told.
    pub(crate) turn: Turn,
    pub(crate) link: u64,
    numbers: u64,
    pub(crate) qr_session: QrSessionId,
    /// Every code that the HSM ever signed, the latest last.
    pub(crate) codes: Vec<VerifiedCode>,
    /// Every withdrawal that was ever opened, the latest last.
    pub(crate) withdrawals: Vec<WithdrawalId>,
    /// What core banking was asked last.
    pub(crate) asked: Option<Settlement>,
    /// Whether the machine says that its dispenser has end-to-end security.
    pub(crate) end_to_end: bool,
    /// The nonce that it sends with a new customer, if any.
    pub(crate) command_nonce: Option<&'static str>,
}

/// What policy and limits will say, and what they hold in reserve.
pub(crate) struct Script {
    pub(crate) verdict: Verdict,
    pub(crate) reserved: std::collections::BTreeSet<WithdrawalId>,
    pub(crate) evidence_demanded: EvidenceGrade,
    pub(crate) has_dispense_key: bool,
    /// What keeps the machine from showing codes.
    pub(crate) stopped: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    Permit,
    PermitWithCode,
    Refuse(Refusal),
}

impl Admission for Script {
    fn admit(&mut self, approval: &Approval, _machine: Machine<'_>, _now: Timestamp) -> Result<Admitted, Refusal> {
        let confirm_code = match &self.verdict {
            Verdict::Permit => None,
            Verdict::PermitWithCode => ConfirmCode::from_text(CODE),
            Verdict::Refuse(refusal) => return Err(refusal.clone()),
        };
        assert!(self.reserved.insert(approval.fresh), "one approval is admitted once");
        let decision = Decision {
            policy_version: "test-1".into(),
            rules: vec![],
            facts: String::new(),
            limit_figures: "day 30000 of 500000".into(),
            key: approval.code.key,
            day: CalendarDay(20_000),
            confirm_code: confirm_code.is_some(),
            machine_location: None,
        };
        Ok(Admitted { decision, confirm_code, evidence_demanded: self.evidence_demanded })
    }

    fn may_show_codes(&self, _atm: &AtmId) -> Result<(), Refusal> {
        self.stopped.map_or(Ok(()), |scope| Err(Refusal::Stopped { scope }))
    }

    fn has_dispense_key(&self, _atm: &AtmId) -> bool {
        self.has_dispense_key
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            lane: Lane::new(atm(), settings()),
            now: Timestamp::from_unix_ms(1_700_000_000_000),
            admission: Script {
                verdict: Verdict::Permit,
                reserved: Default::default(),
                evidence_demanded: EvidenceGrade::C,
                has_dispense_key: true,
                stopped: None,
            },
            books: Books::default(),
            turn: Turn::default(),
            link: 0,
            numbers: 0,
            qr_session: QrSessionId::from_bytes([0; 16]),
            codes: Vec::new(),
            withdrawals: Vec::new(),
            asked: None,
            end_to_end: false,
            command_nonce: None,
        }
    }

    /// A machine with end-to-end security that is to pay out 30,000 yen: the money is held, and the HSM is making the dispense token.
    pub(crate) fn token_under_way() -> Self {
        let mut world = Self::new();
        (world.end_to_end, world.command_nonce) = (true, Some(NONCE));
        world.atm_connects().customer_touches().hsm_mints().scans(PHONE).approves(PHONE, 30_000).bank_grants();
        world.in_state("held")
    }

    /// The same machine, told to pay out.
    pub(crate) fn commanded_with_token() -> Self {
        let mut world = Self::token_under_way();
        world.hsm_makes_token();
        world.in_state("dispense_commanded")
    }

    /// An ATM that is there, with nobody in front of it.
    pub(crate) fn idle() -> Self {
        let mut world = Self::new();
        world.atm_connects();
        world
    }

    /// A customer in front of a code.
    pub(crate) fn showing() -> Self {
        let mut world = Self::idle();
        world.customer_touches().hsm_mints();
        world
    }

    /// A customer who has scanned.
    pub(crate) fn claimed() -> Self {
        let mut world = Self::showing();
        world.scans(PHONE);
        world
    }

    /// An approval of 30,000 yen that was accepted; core banking has been asked.
    pub(crate) fn hold_requested() -> Self {
        let mut world = Self::claimed();
        world.approves(PHONE, 30_000);
        world.in_state("hold_requested")
    }

    /// The money is held and a code is to be typed.
    pub(crate) fn awaiting_code() -> Self {
        let mut world = Self::claimed();
        world.policy_asks_for_a_code().approves(PHONE, 30_000).bank_grants();
        world.in_state("awaiting_code")
    }

    /// The line broke while core banking was thinking; the money is held.
    pub(crate) fn held_without_atm() -> Self {
        let mut world = Self::hold_requested();
        world.atm_disconnects().bank_grants();
        world.in_state("held")
    }

    /// The ATM has been told to pay out 30,000 yen.
    pub(crate) fn commanded() -> Self {
        let mut world = Self::hold_requested();
        world.bank_grants();
        world.in_state("dispense_commanded")
    }

    fn in_state(self, state: &str) -> Self {
        assert_eq!(self.state(), state);
        self
    }

    /// The state of the latest withdrawal, as the books have it.
    pub(crate) fn state(&self) -> &'static str {
        self.books.last(self.withdrawal()).state.name()
    }

    /// The reason that goes with that state.
    pub(crate) fn reason(&self) -> Option<String> {
        self.books.last(self.withdrawal()).state.reason().map(str::to_owned)
    }

    /// The latest withdrawal.
    pub(crate) fn withdrawal(&self) -> WithdrawalId {
        *self.withdrawals.last().expect("a withdrawal was opened")
    }

    /// What came out since the last thing that was told: the records' names, and the actions in words, each in order.
    #[track_caller]
    pub(crate) fn expect<const R: usize, const A: usize>(
        &mut self,
        records: [&str; R],
        actions: [&str; A],
    ) -> &mut Self {
        let names: Vec<&str> = self.turn.records.iter().map(|record| record.name()).collect();
        assert_eq!(names, records, "records, with actions {:?}", self.actions());
        assert_eq!(self.actions(), actions, "actions");
        self
    }

    /// What was remarked on since the last thing that was told, as `kind: detail`.
    #[track_caller]
    pub(crate) fn remarks(&mut self, expected: &[&str]) -> &mut Self {
        let remarks: Vec<String> = self.turn.remarks.iter().map(|r| format!("{}: {}", r.kind, r.detail)).collect();
        assert_eq!(remarks, expected, "remarks, with actions {:?}", self.actions());
        self
    }

    pub(crate) fn actions(&self) -> Vec<String> {
        self.turn.actions.iter().map(said::in_words).collect()
    }

    /// The answer that the last caller got.
    pub(crate) fn answer(&self) -> Result<Answer, Refusal> {
        let mut answers = self.turn.actions.iter().filter_map(|action| match action {
            Action::Answer { answer, .. } => Some(answer.clone()),
            _ => None,
        });
        answers.next_back().expect("somebody was answered")
    }

    /// Puts one input to the lane, at the present moment.
    pub(crate) fn put(&mut self, input: Input) -> &mut Self {
        self.turn = Turn::default();
        self.run(input);
        self
    }

    fn run(&mut self, input: Input) {
        let turn = self.lane.apply(input, self.now, &mut self.admission);
        self.observe(turn);
        let deadline = self.lane.next_deadline();
        assert!(deadline.is_none_or(|at| at > self.now), "a deadline that has passed would make the driver spin");
        let just_before = deadline.map_or(self.now.after(A_YEAR), |at| Timestamp::from_unix_ms(at.unix_ms() - 1));
        let missed = self.lane.clone().apply(Input::TimePassed, just_before, &mut self.admission);
        assert_eq!(missed, Turn::default(), "due before the lane wants to be woken, at {deadline:?}");
    }

    fn observe(&mut self, turn: Turn) {
        self.books.enter(&turn, &self.lane, &mut self.admission.reserved);
        self.withdrawals.extend(turn.records.iter().filter(|r| r.number == 1).map(|r| r.after.terms.withdrawal));
        for action in &turn.actions {
            if let Action::Settle { settlement, .. } = action {
                self.asked = Some(*settlement);
            }
        }
        self.turn.records.extend(turn.records);
        self.turn.actions.extend(turn.actions);
        self.turn.remarks.extend(turn.remarks);
    }

    /// Time passes, and the lane is woken at each of its deadlines, as a punctual driver does.
    pub(crate) fn time_passes(&mut self, duration: Duration) -> &mut Self {
        self.turn = Turn::default();
        let end = self.now.after(duration);
        for _ in 0..100_000 {
            match self.lane.next_deadline() {
                Some(at) if at <= end => self.now = self.now.max(at),
                _ => {
                    self.now = end;
                    return self;
                }
            }
            self.run(Input::TimePassed);
        }
        panic!("the lane wants to be woken for ever");
    }

    /// Time passes while the driver is busy or the gateway is down: the lane is not woken.
    pub(crate) fn time_passes_unnoticed(&mut self, duration: Duration) -> &mut Self {
        self.now = self.now.after(duration);
        self
    }

    /// The lane's next deadline comes; says how long that took.
    pub(crate) fn deadline_comes(&mut self) -> Option<Duration> {
        let at = self.lane.next_deadline()?;
        let pause = at.since(self.now);
        self.now = self.now.max(at);
        self.put(Input::TimePassed);
        Some(pause)
    }

    /// The gateway stops at once and starts again, from what the books have. Everything that was under way outside is lost.
    pub(crate) fn gateway_restarts(&mut self) -> &mut Self {
        self.turn = Turn::default();
        let (lane, turn) = Lane::recovered(atm(), settings(), self.books.open(), self.now);
        self.lane = lane;
        self.observe(turn);
        self
    }

    pub(crate) fn request(&mut self) -> RequestId {
        RequestId(self.number())
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn id(&mut self) -> [u8; 16] {
        u128::from(self.number()).to_be_bytes()
    }
}

pub(crate) fn atm() -> AtmId {
    "A1".parse().unwrap()
}

pub(crate) fn settings() -> Arc<LaneSettings> {
    Arc::new(LaneSettings::default())
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn hold() -> HoldReference {
    "H1".parse().unwrap()
}

pub(crate) fn yen(amount: u64) -> Money {
    Money::from_minor_units(amount, Currency::JPY).unwrap()
}

/// Ten notes of 10,000 yen and ten of 1,000.
pub(crate) fn facts(end_to_end: bool) -> AtmFacts {
    let notes = [10_000, 1_000].map(|value| NoteCount { denomination: yen(value), count: 10 });
    let cassettes = Cassettes::new(&notes, Currency::JPY, 40).unwrap();
    let evidence_grade = if end_to_end { EvidenceGrade::A } else { EvidenceGrade::B };
    AtmFacts { name: "Shibuya 1".into(), place: "Tokyo".into(), cassettes, location: None, end_to_end, evidence_grade }
}
