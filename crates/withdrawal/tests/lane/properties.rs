//! Anything may happen in any order: the books stay right, and once the world works again everything comes to an end.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

use cashgate_withdrawal::dispense::OutcomeReport;
use cashgate_withdrawal::event::{Event, Settlement};
use cashgate_withdrawal::evidence::{PresentFinding, PresentStatus, WrongToken};
use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::lane::{CancelSubject, FromAtm, HoldAnswer, Input, LinkId, SettlementAnswer};
use cashgate_withdrawal::money::Money;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

use crate::world::{
    CODE, NONCE, OTHER_PHONE, PHONE, World, dispensed, hold, nothing_dispensed, nothing_dispensed_unproven,
    outcome_unknown, partially_dispensed, retracted, seconds, with_token, yen,
};

/// Something that happens around the lane, however little sense it makes.
#[derive(Clone, Debug)]
enum Happening {
    Served { steps: Range<usize> },
    Connects { unresolved: Option<(Index, OutcomeReport)> },
    Disconnects,
    Touches { amount: Option<u64> },
    WalksAway,
    Mints,
    MintFails,
    Scans { phone: &'static str, code: Index },
    Admission(u8),
    Approves { phone: &'static str, code: Index, amount: u64 },
    Cancels { phone: &'static str, which: Index },
    CancelsQrSession { phone: &'static str },
    HoldAnswered { which: Index, answer: HoldAnswer },
    Settled { which: Index, settlement: Settlement, answer: SettlementAnswer },
    Types { digits: &'static str },
    Reports { which: Index, report: OutcomeReport, stale: bool, finding: PresentFinding },
    Secured(bool),
    TokenMade { which: Index },
    TokenFails,
    Decides { which: Index, settlement: Settlement },
    Passes { seconds: u64 },
    PassesUnnoticed { seconds: u64 },
    Restarts,
}

fn any_report() -> impl Strategy<Value = OutcomeReport> {
    let mut foreign = dispensed(30_000);
    foreign.presented = Money::from_minor_units(30_000, "EUR".parse().unwrap()).unwrap();
    proptest::sample::select(vec![
        dispensed(30_000),
        dispensed(30_000),
        dispensed(10_000),
        partially_dispensed(20_000),
        nothing_dispensed(),
        nothing_dispensed_unproven(),
        retracted(30_000, None),
        retracted(30_000, Some(30_000)),
        retracted(30_000, Some(10_000)),
        outcome_unknown(),
        foreign,
    ])
    .prop_flat_map(|report| prop_oneof![2 => Just(report.clone()), 1 => Just(with_token(report))])
}

fn any_finding() -> impl Strategy<Value = PresentFinding> {
    let amount = || proptest::sample::select(vec![None, Some(yen(0)), Some(yen(20_000)), Some(yen(30_000))]);
    let genuine = (amount(), amount(), any::<bool>()).prop_map(|(presented, retracted, fresh)| {
        PresentFinding::Genuine(PresentStatus { presented, retracted, fresh })
    });
    prop_oneof![4 => genuine, 1 => Just(PresentFinding::Wrong(WrongToken::Forged)), 1 => Just(PresentFinding::Unverified)]
}

fn any_settlement() -> impl Strategy<Value = Settlement> {
    proptest::sample::select(vec![
        Settlement::Confirm(yen(30_000)),
        Settlement::Confirm(yen(20_000)),
        Settlement::Confirm(yen(0)),
        Settlement::Reverse,
        Settlement::Reverse,
    ])
}

fn any_happening() -> impl Strategy<Value = Happening> {
    use Happening::*;
    let phone = || prop_oneof![3 => Just(PHONE), 1 => Just(OTHER_PHONE)];
    let amount = || proptest::sample::select(vec![30_000_u64, 30_000, 10_000, 500]);
    let granted = |reference: &str| HoldAnswer::Granted(reference.parse().unwrap());
    let declined = || HoldAnswer::Declined("insufficient_funds".parse().unwrap());
    let hold_answers = vec![
        HoldAnswer::Granted(hold()),
        HoldAnswer::Granted(hold()),
        granted("H2"),
        declined(),
        declined(),
        HoldAnswer::Unanswered,
    ];
    let settlement_answers = vec![
        SettlementAnswer::Done,
        SettlementAnswer::Unanswered,
        SettlementAnswer::Refused("already_ended".parse().unwrap()),
    ];
    let arriving = prop_oneof![
        4 => (0..6_usize, 1..8_usize).prop_map(|(from, steps)| Served { steps: from..(from + steps).min(8) }),
        2 => (1..8_usize).prop_map(|steps| Served { steps: 0..steps }),
        2 => proptest::option::of((any::<Index>(), any_report())).prop_map(|unresolved| Connects { unresolved }),
        2 => Just(Disconnects),
        1 => proptest::option::of(amount()).prop_map(|amount| Touches { amount }),
        1 => Just(WalksAway),
        1 => Just(Mints),
        1 => Just(MintFails),
        1 => any::<bool>().prop_map(Secured),
        1 => (phone(), any::<Index>()).prop_map(|(phone, code)| Scans { phone, code }),
        2 => (0..4_u8).prop_map(Admission),
        1 => (phone(), any::<Index>(), amount()).prop_map(|(phone, code, amount)| Approves { phone, code, amount }),
        1 => phone().prop_map(|phone| CancelsQrSession { phone }),
    ];
    let carrying_on = prop_oneof![
        2 => (phone(), any::<Index>()).prop_map(|(phone, which)| Cancels { phone, which }),
        4 => (any::<Index>(), proptest::sample::select(hold_answers)).prop_map(|(which, answer)| HoldAnswered { which, answer }),
        2 => (any::<Index>(), any_settlement(), proptest::sample::select(settlement_answers))
            .prop_map(|(which, settlement, answer)| Settled { which, settlement, answer }),
        3 => proptest::sample::select(vec![CODE, "0000"]).prop_map(|digits| Types { digits }),
        3 => (any::<Index>(), any_report(), proptest::bool::weighted(0.2), any_finding())
            .prop_map(|(which, report, stale, finding)| Reports { which, report, stale, finding }),
        2 => any::<Index>().prop_map(|which| TokenMade { which }),
        1 => Just(TokenFails),
        1 => (any::<Index>(), any_settlement()).prop_map(|(which, settlement)| Decides { which, settlement }),
        2 => (0..1_200_u64).prop_map(|seconds| Passes { seconds }),
        1 => (0..1_200_u64).prop_map(|seconds| PassesUnnoticed { seconds }),
        1 => Just(Restarts),
    ];
    prop_oneof![1 => arriving, 1 => carrying_on]
}

impl World {
    /// One of the three latest withdrawals, most often the very latest.
    fn pick(&self, which: &Index) -> Option<WithdrawalId> {
        let back = [0, 0, 0, 1, 2][which.index(5)];
        self.withdrawals.iter().rev().nth(back).copied()
    }

    /// Some steps of an ordinary withdrawal.
    fn is_served(&mut self, steps: Range<usize>) -> &mut Self {
        for step in steps {
            let opened = !self.withdrawals.is_empty();
            match step {
                0 => self.atm_connects(),
                1 => self.customer_touches(),
                2 => self.hsm_mints(),
                3 if !self.codes.is_empty() => self.scans(PHONE),
                4 if !self.codes.is_empty() => self.approves(PHONE, 30_000),
                5 if opened && self.end_to_end => self.bank_grants().hsm_makes_token(),
                5 if opened => self.bank_grants(),
                6 if opened => self.atm_reports(dispensed(30_000)),
                7 if self.asked.is_some() => self.bank_settles(),
                _ => self,
            };
        }
        self
    }

    fn lives_through(&mut self, happening: &Happening) -> &mut Self {
        match happening {
            Happening::Served { steps } => self.is_served(steps.clone()),
            Happening::Connects { unresolved } => {
                let kept = unresolved.as_ref().and_then(|(which, report)| Some((self.pick(which)?, report.clone())));
                self.atm_connects_with(kept.into_iter().collect())
            }
            Happening::Disconnects => self.atm_disconnects(),
            Happening::Touches { amount: None } => self.customer_touches(),
            Happening::Touches { amount: Some(amount) } => self.customer_chooses_at_atm(yen(*amount)),
            Happening::WalksAway => self.customer_walks_away(),
            Happening::Mints => self.hsm_mints(),
            Happening::MintFails => self.hsm_fails(),
            Happening::Secured(secured) => {
                (self.end_to_end, self.command_nonce) = (*secured, secured.then_some(NONCE));
                self
            }
            Happening::TokenFails if !self.withdrawals.is_empty() => self.hsm_makes_no_token(),
            Happening::TokenFails => self,
            Happening::CancelsQrSession { phone } => self.cancels_qr_session(phone),
            Happening::Types { digits } if !self.withdrawals.is_empty() => self.types_code(digits),
            Happening::Admission(0) => self.policy_permits(),
            Happening::Admission(1 | 2) => self.policy_asks_for_a_code(),
            Happening::Admission(_) => self.limits_refuse(),
            Happening::Scans { phone, code } if !self.codes.is_empty() => {
                let code = code.get(&self.codes).clone();
                self.scans_code(phone, code)
            }
            Happening::Approves { phone, code, amount } if !self.codes.is_empty() => {
                let code = code.get(&self.codes).clone();
                self.approves_code(phone, code, yen(*amount))
            }
            Happening::Scans { .. } | Happening::Approves { .. } | Happening::Types { .. } => self,
            Happening::Passes { seconds: n } => self.time_passes(seconds(*n)),
            Happening::PassesUnnoticed { seconds: n } => self.time_passes_unnoticed(seconds(*n)),
            Happening::Restarts => self.gateway_restarts(),
            about_one => self.happens_to_a_withdrawal(about_one),
        }
    }

    fn happens_to_a_withdrawal(&mut self, happening: &Happening) -> &mut Self {
        let (Happening::Cancels { which, .. }
        | Happening::HoldAnswered { which, .. }
        | Happening::Settled { which, .. }
        | Happening::Reports { which, .. }
        | Happening::TokenMade { which }
        | Happening::Decides { which, .. }) = happening
        else {
            return self;
        };
        let Some(id) = self.pick(which) else { return self };
        match happening.clone() {
            Happening::Cancels { phone, .. } => self.cancels_subject(phone, CancelSubject::Withdrawal(id)),
            Happening::HoldAnswered { answer, .. } => self.bank_answers_hold(id, answer),
            Happening::Settled { settlement, answer, .. } => self.bank_answers_settlement(id, settlement, answer),
            Happening::Decides { settlement, .. } => self.operator_decides_on(id, settlement),
            Happening::Reports { report, stale, finding, .. } => {
                let link = LinkId(self.link - u64::from(stale));
                self.put(Input::AtmSaid { link, message: FromAtm::Outcome { withdrawal: id, report } });
                self.hsm_finds_in_all(&finding).ledger_recalls_all()
            }
            Happening::TokenMade { .. } => self.hsm_makes_token_for(id),
            _ => self,
        }
    }

    /// Core banking, the ATM and the line work again, and a person decides what is left; then nothing is open.
    fn comes_to_rest(&mut self) {
        self.everything_works_again(|amount| dispensed(amount.minor_units()));
        let suspects: Vec<WithdrawalId> = self.lane.open_withdrawals().map(|w| w.terms.withdrawal).collect();
        for id in suspects {
            assert_eq!(self.books.last(id).state.name(), "suspect", "{:?}", self.books.history(id));
            self.operator_decides_on(id, Settlement::Reverse);
            self.bank_answers_settlement(id, Settlement::Reverse, SettlementAnswer::Done);
        }
        assert_eq!(self.lane.view().open_withdrawals, 0);
        assert!(self.admission.reserved.is_empty());
        self.customer_touches().expect([], ["mint"]);
    }
}

#[test]
fn whatever_happens_the_books_are_right_and_everything_ends() {
    let reached = RefCell::new(BTreeSet::new());
    let config = Config { source_file: Some(file!()), ..Config::default() };
    let config = Config { cases: config.cases.max(1_000), ..config };
    let happenings = proptest::collection::vec(any_happening(), 1..60);
    let run = TestRunner::new(config).run(&happenings, |happenings| {
        let mut world = World::new();
        for happening in &happenings {
            world.lives_through(happening);
            // A state counts if the world stayed in it, not if a turn only passed through.
            reached.borrow_mut().extend(world.withdrawals.iter().map(|id| world.books.last(*id).state.name()));
        }
        world.comes_to_rest();
        let events: Vec<&Event> = world.books.records.values().flatten().filter_map(|one| one.event.as_ref()).collect();
        reached.borrow_mut().extend(events.iter().map(|event| event.name()));
        let has_token =
            |event: &&Event| matches!(event, Event::DispenseCommanded { command } if command.dispense_token.is_some());
        let proved = |event: &&Event| matches!(event, Event::OutcomeReported { report } if report.present.is_some());
        reached.borrow_mut().extend(events.iter().any(has_token).then_some("a dispense token"));
        reached.borrow_mut().extend(events.iter().any(proved).then_some("a present token"));
        Ok(())
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
    let missing: Vec<&&str> = EVERY_STATE_AND_EVENT.iter().filter(|name| !reached.borrow().contains(**name)).collect();
    assert!(missing.is_empty(), "these worlds never came to {missing:?}");
}

/// A property that never meets a state says nothing about it.
const EVERY_STATE_AND_EVENT: [&str; 27] = [
    "a dispense token",
    "a present token",
    "hold_granted",
    "hold_declined",
    "hold_unanswered",
    "code_matched",
    "code_mismatched",
    "customer_cancelled",
    "abandoned",
    "dispense_commanded",
    "outcome_reported",
    "outcome_deadline_passed",
    "hold_confirmed",
    "hold_reversed",
    "settlement_refused",
    "suspect_resolved",
    "hold_requested",
    "awaiting_code",
    "held",
    "dispense_commanded",
    "outcome_unknown",
    "confirming",
    "reversing",
    "suspect",
    "declined",
    "confirmed",
    "reversed",
];
