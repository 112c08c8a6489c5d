//! Withdrawals as a lane could have recorded them: only what `withdrawal` permits, made of everything that can come in.

use cashgate_withdrawal::dispense::{DispenseCommand, EvidenceSource, NoteCount, Outcome, OutcomeReport};
use cashgate_withdrawal::event::{Event, ReversalCause, Settlement};
use cashgate_withdrawal::evidence::{EvidenceGrade, PresentEvidence, PresentFinding, PresentStatus, WrongToken};
use cashgate_withdrawal::ids::{KeyId, Nonce, QrSessionId, WithdrawalId};
use cashgate_withdrawal::lane::Record;
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::step;
use cashgate_withdrawal::time::CalendarDay;
use cashgate_withdrawal::withdrawal::{Decision, Terms, Withdrawal};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;

use crate::given::ms;

/// The records of one withdrawal, oldest first.
pub(crate) fn history() -> impl Strategy<Value = Vec<Record>> {
    terms()
        .prop_flat_map(|terms| {
            let offered = vec((event(&terms), 0..100_000_u64), 0..40);
            (Just(terms), offered)
        })
        .prop_map(|(terms, offered)| records(terms, offered))
}

/// What a lane records of the events that it is offered: those that are legal and change something.
fn records(terms: Terms, offered: Vec<(Event, u64)>) -> Vec<Record> {
    let mut at = terms.approved_at;
    let mut now = Withdrawal::open(terms).0;
    let mut records = vec![Record { number: 1, at, event: None, after: now.clone() }];
    for (event, later_ms) in offered {
        at = ms(at.unix_ms() + later_ms);
        match step(now.clone(), event.clone(), at) {
            Ok((after, _)) if after != now => {
                let number = u32::try_from(records.len()).unwrap() + 1;
                records.push(Record { number, at, event: Some(event), after: after.clone() });
                now = after;
            }
            _ => {}
        }
    }
    records
}

/// Every moment that a message can carry.
fn moment() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(i64::MAX.unsigned_abs()), 1_500_000_000_000..2_000_000_000_000_u64]
}

fn text_id() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[A-Za-z0-9._-]{1,12}", 1 => "[A-Za-z0-9._-]{64}"]
}

fn terms() -> impl Strategy<Value = Terms> {
    let ids = (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<[u8; 16]>(), any::<[u8; 4]>());
    let texts = (text_id(), text_id(), text_id(), text_id(), any::<String>(), any::<String>());
    let amount = prop_oneof![Just(1), Just(Money::MINOR_UNITS_MAX), 2..1_000_000_u64];
    let currency = select(vec!["JPY", "EUR"]);
    let proof = (proptest::option::of("[0-9A-F]{1,64}"), select(EvidenceGrade::ALL.to_vec()));
    (ids, texts, amount, currency, moment(), any::<i32>(), any::<bool>(), proof).prop_map(
        |(ids, texts, amount, currency, approved_at, day, confirm_code, (nonce, grade))| Terms {
            withdrawal: WithdrawalId::from_bytes(ids.0),
            qr_session: QrSessionId::from_bytes(ids.1),
            nonce: Nonce(ids.2),
            institution: texts.0.parse().unwrap(),
            account: texts.1.parse().unwrap(),
            device: texts.2.parse().unwrap(),
            atm: texts.3.parse().unwrap(),
            amount: Money::from_minor_units(amount, currency.parse().unwrap()).unwrap(),
            approved_at: ms(approved_at),
            decision: Decision {
                policy_version: texts.4.clone(),
                rules: vec![texts.4],
                facts: texts.5.clone(),
                limit_figures: texts.5,
                key: KeyId(ids.3),
                day: CalendarDay(day),
                confirm_code,
                machine_location: None,
            },
            command_nonce: nonce.map(|nonce| nonce.parse().unwrap()),
            evidence_demanded: grade,
        },
    )
}

fn event(terms: &Terms) -> Union<BoxedStrategy<Event>> {
    let (withdrawal, amount) = (terms.withdrawal, terms.amount);
    let dispense_token = terms.command_nonce.is_some().then(|| "NONCE=1,HMACSHA256=0".parse().unwrap());
    let command = moment().prop_map(move |at| Event::DispenseCommanded {
        command: DispenseCommand { withdrawal, amount, start_before: ms(at), dispense_token: dispense_token.clone() },
    });
    let resolved = (settlement(amount), text_id(), any::<String>()).prop_map(|(settlement, operator, reason)| {
        Event::SuspectResolved { settlement, operator: operator.parse().unwrap(), reason }
    });
    let hold = select(vec!["H1", "H1", "H2"]).prop_map(|hold| Event::HoldGranted { hold: hold.parse().unwrap() });
    let plain = select(vec![
        Event::HoldUnanswered,
        Event::CodeMatched,
        Event::CodeMismatched,
        Event::CodeMismatched,
        Event::CustomerCancelled,
        Event::OutcomeDeadlinePassed,
        Event::HoldConfirmed,
        Event::HoldReversed,
    ]);
    Union::new_weighted(vec![
        (6, hold.boxed()),
        (5, command.boxed()),
        (5, report(amount).prop_map(|report| Event::OutcomeReported { report }).boxed()),
        (6, plain.boxed()),
        (1, text_id().prop_map(|code| Event::HoldDeclined { code: code.parse().unwrap() }).boxed()),
        (1, text_id().prop_map(|code| Event::SettlementRefused { code: code.parse().unwrap() }).boxed()),
        (1, select(ReversalCause::ALL.to_vec()).prop_map(|cause| Event::Abandoned { cause }).boxed()),
        (2, resolved.boxed()),
    ])
}

fn settlement(approved: Money) -> impl Strategy<Value = Settlement> {
    let confirm = (1..=approved.minor_units())
        .prop_map(move |units| Settlement::Confirm(Money::from_minor_units(units, approved.currency()).unwrap()));
    prop_oneof![Just(Settlement::Reverse), confirm]
}

/// A report as it can have come in: its sums are those of its notes.
fn report(commanded: Money) -> impl Strategy<Value = OutcomeReport> {
    let currency = prop_oneof![9 => Just(commanded.currency()), 1 => Just("USD".parse().unwrap())];
    let noted = currency.prop_flat_map(move |currency| {
        (note_list(currency, commanded.minor_units()), note_list(currency, commanded.minor_units()))
    });
    let outcome = select(Outcome::ALL.to_vec());
    let evidence =
        select(vec![EvidenceSource::BareWord, EvidenceSource::LastCommandRecord, EvidenceSource::PresentStatus]);
    let present = proptest::option::weighted(0.3, present(commanded));
    (noted, any::<bool>(), outcome, evidence, "\\PC{0,64}", moment(), present).prop_map(
        |((presented_notes, retracted_notes), counted, outcome, evidence, detail, observed_at, present)| {
            let first = presented_notes.first().or(retracted_notes.first());
            let currency = first.map_or(Currency::JPY, |notes| notes.denomination.currency());
            OutcomeReport {
                outcome,
                presented: sum(&presented_notes, currency),
                retracted: counted.then(|| sum(&retracted_notes, currency)),
                presented_notes,
                retracted_notes,
                evidence,
                detail,
                observed_at: ms(observed_at),
                present,
            }
        },
    )
}

fn present(commanded: Money) -> impl Strategy<Value = PresentEvidence> {
    let nothing = Money::zero(commanded.currency());
    let amount = || select(vec![None, Some(nothing), Some(commanded)]);
    let genuine = (amount(), amount(), any::<bool>()).prop_map(|(presented, retracted, fresh)| {
        PresentFinding::Genuine(PresentStatus { presented, retracted, fresh })
    });
    let wrong = select(WrongToken::ALL.to_vec()).prop_map(PresentFinding::Wrong);
    let finding = prop_oneof![3 => genuine, 1 => wrong, 1 => Just(PresentFinding::Unverified)];
    ("[ -~]{1,80}", finding).prop_map(|(token, finding)| PresentEvidence { token: token.parse().unwrap(), finding })
}

/// Nothing, exactly the commanded amount, a part of it, or whatever notes.
fn note_list(currency: Currency, commanded: u64) -> impl Strategy<Value = Vec<NoteCount>> {
    let of = move |units: u64, count: u32| NoteCount {
        denomination: Money::from_minor_units(units, currency).unwrap(),
        count,
    };
    let some = (1..1_000_000_000_u64, 0..60_u32).prop_map(move |(units, count)| of(units, count));
    prop_oneof![
        3 => Just(vec![]),
        3 => Just(vec![of(commanded, 1)]),
        2 => Just(vec![of(commanded.div_ceil(2), 1)]),
        2 => vec(some, 0..=16),
    ]
}

fn sum(notes: &[NoteCount], currency: Currency) -> Money {
    let units = notes.iter().map(|note| note.denomination.minor_units() * u64::from(note.count)).sum();
    Money::from_minor_units(units, currency).unwrap()
}
