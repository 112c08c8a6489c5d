//! Records that older versions wrote. They are in ledgers that auditors read: they stay readable for ever.
//!
//! The bytes in `golden/journal-v1/` may never change, whatever the code does: where a test of this module fails, the code is wrong. A new
//! kind of event gets a new file, written by the version that introduces it.

use std::collections::BTreeSet;

use cashgate_wire::journal::replay;
use cashgate_wire::proto::journal::v1 as pb;
use cashgate_withdrawal::dispense::{
    Contradiction, DispenseCommand, EvidenceSource, NoteCount, Outcome, OutcomeReport,
};
use cashgate_withdrawal::event::{ReversalCause, SuspectCause};
use cashgate_withdrawal::evidence::EvidenceGrade;
use cashgate_withdrawal::ids::{HoldReference, KeyId, Nonce, QrSessionId, WithdrawalId};
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::{CalendarDay, Timestamp};
use cashgate_withdrawal::withdrawal::{Decision, State, Terms, Withdrawal};
use prost::Message;

use crate::given::{ms, yen};
use crate::journal::every_kind;

/// One step as it lies in a ledger.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) number: u32,
    pub(crate) at: Timestamp,
    pub(crate) kind: String,
    pub(crate) body: Vec<u8>,
}

/// A whole withdrawal as it lies in a ledger, and what it is.
#[derive(Clone, Debug)]
pub(crate) struct Golden {
    pub(crate) name: &'static str,
    pub(crate) steps: Vec<Step>,
    pub(crate) expected: Withdrawal,
}

impl Golden {
    pub(crate) fn id(&self) -> WithdrawalId {
        self.expected.terms.withdrawal
    }
}

/// Steps as [`replay`] takes them.
pub(crate) fn as_stored(steps: &[Step]) -> impl Iterator<Item = (u32, Timestamp, &[u8])> {
    steps.iter().map(|step| (step.number, step.at, step.body.as_slice()))
}

pub(crate) fn every_golden() -> Vec<Golden> {
    let golden = |name, text: &str, expected| Golden { name, steps: steps(text), expected };
    vec![
        golden(
            "confirmed-after-partial",
            include_str!("../golden/journal-v1/confirmed-after-partial.txt"),
            confirmed_after_partial(),
        ),
        golden(
            "reversed-after-retract",
            include_str!("../golden/journal-v1/reversed-after-retract.txt"),
            reversed_after_retract(),
        ),
        golden("suspect-resolved", include_str!("../golden/journal-v1/suspect-resolved.txt"), suspect_resolved()),
        golden("suspect-open", include_str!("../golden/journal-v1/suspect-open.txt"), suspect_open()),
        golden("declined", include_str!("../golden/journal-v1/declined.txt"), declined()),
        golden("hold-unanswered", include_str!("../golden/journal-v1/hold-unanswered.txt"), hold_unanswered()),
        golden("abandoned", include_str!("../golden/journal-v1/abandoned.txt"), abandoned()),
        golden("cancelled", include_str!("../golden/journal-v1/cancelled.txt"), cancelled()),
        golden(
            "nothing-left-proven",
            include_str!("../golden/journal-v1/nothing-left-proven.txt"),
            nothing_left_proven(),
        ),
    ]
}

/// A line is a step: its number, when in milliseconds since 1970, its kind, its body in hexadecimal.
fn steps(text: &str) -> Vec<Step> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let step = |line: &str| {
        let [number, at, kind, body] = line.split(' ').collect::<Vec<_>>().try_into().expect("four words");
        Step {
            number: number.parse().unwrap(),
            at: ms(at.parse().unwrap()),
            kind: kind.to_owned(),
            body: hex::decode(body).unwrap(),
        }
    };
    lines.map(step).collect()
}

/// Terms that all the golden withdrawals have in common; each has its own id.
fn terms(number: u8) -> Terms {
    Terms {
        withdrawal: WithdrawalId::from_bytes([
            0x01, 0x98, 0x1f, 0x2e, 0x7c, 0x1a, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, number,
        ]),
        institution: "sakura".parse().unwrap(),
        account: "acct-7f3a".parse().unwrap(),
        device: "phone-0001".parse().unwrap(),
        atm: "atm-0001".parse().unwrap(),
        qr_session: QrSessionId::from_bytes([0x51; 16]),
        nonce: Nonce([0xa0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff]),
        amount: yen(30_000),
        approved_at: ms(1_795_000_000_000),
        decision: Decision {
            policy_version: "builtin-1".into(),
            rules: vec![],
            facts: String::new(),
            limit_figures: "withdrawal 30000/200000, day 30000/500000".into(),
            key: KeyId([0x0a, 0x1b, 0x2c, 0x3d]),
            day: CalendarDay(20_775),
            confirm_code: false,
            machine_location: None,
        },
        command_nonce: None,
        evidence_demanded: EvidenceGrade::C,
    }
}

fn hold(reference: &str) -> HoldReference {
    reference.parse().unwrap()
}

fn ended(terms: Terms, state: State, after_ms: u64) -> Withdrawal {
    let since = ms(terms.approved_at.unix_ms() + after_ms);
    Withdrawal { terms, state, since }
}

/// Two of three notes came out.
fn confirmed_after_partial() -> Withdrawal {
    ended(terms(1), State::Confirmed { hold: hold("H-000042"), amount: yen(20_000) }, 9_500)
}

/// In euros, with a code typed wrong and right; the ATM did not know at first, then had taken everything back.
fn reversed_after_retract() -> Withdrawal {
    let mut terms = terms(2);
    terms.amount = Money::from_minor_units(15_000, "EUR".parse().unwrap()).unwrap();
    terms.decision.confirm_code = true;
    terms.decision.day = CalendarDay(-1);
    ended(terms, State::Reversed { hold: Some(hold("H.2_b")), cause: ReversalCause::NothingLeft }, 95_000)
}

/// Every text at its longest: core banking refused the first decision of the operator, the second ended it.
fn suspect_resolved() -> Withdrawal {
    let mut terms = terms(3);
    (terms.institution, terms.account) = ("i".repeat(64).parse().unwrap(), "a".repeat(64).parse().unwrap());
    (terms.device, terms.atm) = ("d".repeat(64).parse().unwrap(), "m".repeat(64).parse().unwrap());
    terms.decision.policy_version = "方針 7".into();
    terms.decision.limit_figures = String::new();
    ended(terms, State::Reversed { hold: Some(hold(&"h".repeat(64))), cause: ReversalCause::Resolved }, 7_300_000)
}

/// The ATM says that more left than was commanded; the whole report is kept for whoever decides.
fn suspect_open() -> Withdrawal {
    let terms = terms(4);
    let report = OutcomeReport {
        outcome: Outcome::Dispensed,
        presented: yen(40_000),
        retracted: Some(yen(0)),
        presented_notes: vec![NoteCount { denomination: yen(10_000), count: 4 }],
        retracted_notes: vec![],
        evidence: EvidenceSource::LastCommandRecord,
        detail: "装置 E77".into(),
        observed_at: ms(1_795_000_008_000),
        present: None,
    };
    let command = DispenseCommand {
        withdrawal: terms.withdrawal,
        amount: yen(30_000),
        start_before: ms(1_795_000_030_101),
        dispense_token: None,
    };
    let state = State::Suspect {
        hold: Some(hold("H4")),
        command: Some(command),
        cause: SuspectCause::Contradiction(Contradiction::MoreThanCommanded),
        report: Some(report),
        reports: 0,
        asked: None,
        answered: false,
    };
    ended(terms, state, 9_000)
}

fn declined() -> Withdrawal {
    ended(terms(5), State::Declined { code: "insufficient_funds".parse().unwrap() }, 80)
}

/// Granted after it had been given up.
fn hold_unanswered() -> Withdrawal {
    ended(terms(6), State::Reversed { hold: Some(hold("H6")), cause: ReversalCause::HoldUnanswered }, 6_200)
}

fn abandoned() -> Withdrawal {
    ended(terms(7), State::Reversed { hold: Some(hold("H7")), cause: ReversalCause::AtmUnavailable }, 10_300)
}

/// Not yet reversed.
fn cancelled() -> Withdrawal {
    let state = State::Reversing { hold: None, command: None, cause: ReversalCause::CustomerCancelled };
    ended(terms(8), state, 50)
}

/// At a dispenser with end-to-end security: its status was not verified at first, then it proved that nothing left.
fn nothing_left_proven() -> Withdrawal {
    let mut terms = terms(9);
    terms.command_nonce = Some("254611E63B2531576314E86527338D61".parse().unwrap());
    terms.evidence_demanded = EvidenceGrade::A;
    ended(terms, State::Reversed { hold: Some(hold("H9")), cause: ReversalCause::NothingLeft }, 6_000)
}

/// What a body says it is.
fn kind_of(body: &[u8]) -> &'static str {
    use pb::step::Event;
    match pb::Step::decode(body).unwrap().event.expect("a step has an event") {
        Event::Approved(_) => "approved",
        Event::HoldGranted(_) => "hold_granted",
        Event::HoldDeclined(_) => "hold_declined",
        Event::HoldUnanswered(_) => "hold_unanswered",
        Event::CodeMatched(_) => "code_matched",
        Event::CodeMismatched(_) => "code_mismatched",
        Event::CustomerCancelled(_) => "customer_cancelled",
        Event::Abandoned(_) => "abandoned",
        Event::DispenseCommanded(_) => "dispense_commanded",
        Event::OutcomeReported(_) => "outcome_reported",
        Event::OutcomeDeadlinePassed(_) => "outcome_deadline_passed",
        Event::HoldConfirmed(_) => "hold_confirmed",
        Event::HoldReversed(_) => "hold_reversed",
        Event::SettlementRefused(_) => "settlement_refused",
        Event::SuspectResolved(_) => "suspect_resolved",
    }
}

#[test]
fn old_withdrawals_are_still_what_they_were() {
    for golden in every_golden() {
        assert_eq!(replay(golden.id(), as_stored(&golden.steps)), Ok(golden.expected), "{}", golden.name);
    }
}

#[test]
fn old_steps_are_still_of_their_kind() {
    for golden in every_golden() {
        for step in &golden.steps {
            assert_eq!(kind_of(&step.body), step.kind, "{} step {}", golden.name, step.number);
        }
    }
}

#[test]
fn there_is_an_old_step_of_every_kind() {
    let kinds: BTreeSet<String> = every_golden().into_iter().flat_map(|golden| golden.steps).map(|s| s.kind).collect();
    assert_eq!(kinds, every_kind());
}

#[test]
fn nobody_has_touched_the_files() {
    // The number of bytes and a plain sum over them (FNV-1a); whoever has to change one of these lines is changing history. A new file
    // comes last, and gets its own.
    let sum = |golden: &[Golden]| {
        let bodies = golden.iter().flat_map(|golden| &golden.steps).flat_map(|step| &step.body);
        let fnv = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        (bodies.clone().count(), format!("{:016x}", bodies.fold(0xcbf2_9ce4_8422_2325_u64, fnv)))
    };
    let all = every_golden();
    assert_eq!(sum(&all[..8]), (3_654, "a2672630062270f6".to_owned()));
    assert_eq!(sum(&all[8..]), (1_211, "d20c7721f36e6041".to_owned()));
}
