//! Every state meets every event, as one table. A cell is the next state; `.` means "nothing new", `x` means "illegal".

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop loudly")]

use cashgate_withdrawal::dispense::{DispenseCommand, EvidenceSource, Outcome, OutcomeReport};
use cashgate_withdrawal::event::{Effect, Event, ReversalCause, Settlement, SuspectCause};
use cashgate_withdrawal::evidence::{EvidenceGrade, PresentEvidence, PresentFinding, PresentStatus, WrongToken};
use cashgate_withdrawal::ids::{HoldReference, KeyId, Nonce, QrSessionId, WithdrawalId};
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::step;
use cashgate_withdrawal::time::{CalendarDay, Timestamp};
use cashgate_withdrawal::withdrawal::{Decision, State, Terms, Withdrawal};

const ID: WithdrawalId = WithdrawalId::from_bytes([1; 16]);

fn yen(amount: u64) -> Money {
    Money::from_minor_units(amount, Currency::JPY).unwrap()
}

fn terms(confirm_code: bool) -> Terms {
    Terms {
        withdrawal: ID,
        institution: "sakura".parse().unwrap(),
        account: "acct-1".parse().unwrap(),
        device: "phone-1".parse().unwrap(),
        atm: "A1".parse().unwrap(),
        qr_session: QrSessionId::from_bytes([2; 16]),
        nonce: Nonce([3; 16]),
        amount: yen(30_000),
        approved_at: Timestamp::from_unix_ms(1_000),
        decision: Decision {
            policy_version: "builtin-1".into(),
            rules: vec![],
            facts: String::new(),
            limit_figures: String::new(),
            key: KeyId([4; 4]),
            day: CalendarDay(20_000),
            confirm_code,
            machine_location: None,
        },
        command_nonce: None,
        evidence_demanded: EvidenceGrade::C,
    }
}

fn hold() -> HoldReference {
    "H1".parse().unwrap()
}

fn command() -> DispenseCommand {
    let start_before = Timestamp::from_unix_ms(9_000);
    DispenseCommand { withdrawal: ID, amount: yen(30_000), start_before, dispense_token: None }
}

fn report(outcome: Outcome, presented: u64, retracted: Option<u64>) -> OutcomeReport {
    OutcomeReport {
        outcome,
        presented: yen(presented),
        retracted: retracted.map(yen),
        presented_notes: vec![],
        retracted_notes: vec![],
        evidence: EvidenceSource::LastCommandRecord,
        detail: String::new(),
        observed_at: Timestamp::from_unix_ms(5_000),
        present: None,
    }
}

fn reported(outcome: Outcome, presented: u64, retracted: Option<u64>) -> Event {
    Event::OutcomeReported { report: report(outcome, presented, retracted) }
}

/// A state of each kind, by the short name that the table uses.
fn states() -> Vec<(&'static str, State)> {
    let unknown = report(Outcome::Unknown, 0, None);
    let overdue = SuspectCause::OutcomeOverdue;
    let suspect = |command, asked| State::Suspect {
        hold: Some(hold()),
        command,
        cause: overdue,
        report: None,
        reports: 0,
        asked,
        answered: false,
    };
    let reversing = |hold, command, cause| State::Reversing { hold, command, cause };
    vec![
        ("requested", State::HoldRequested),
        ("code", State::AwaitingCode { hold: hold(), tries_left: 3 }),
        ("lastcode", State::AwaitingCode { hold: hold(), tries_left: 1 }),
        ("held", State::Held { hold: hold() }),
        ("commanded", State::DispenseCommanded { hold: hold(), command: command() }),
        ("unknown", State::OutcomeUnknown { hold: hold(), command: command(), report: unknown }),
        ("confirming", State::Confirming { hold: hold(), command: command(), amount: yen(30_000) }),
        ("rev-early", reversing(None, None, ReversalCause::HoldUnanswered)),
        ("rev-proof", reversing(Some(hold()), Some(command()), ReversalCause::NothingLeft)),
        ("suspect", suspect(Some(command()), None)),
        ("doubt", suspect(Some(command()), Some(Settlement::Confirm(yen(30_000))))),
        ("declined", State::Declined { code: "insufficient_funds".parse().unwrap() }),
        ("confirmed", State::Confirmed { hold: hold(), amount: yen(30_000) }),
        ("rvd-early", State::Reversed { hold: Some(hold()), cause: ReversalCause::CustomerCancelled }),
        ("rvd-proof", State::Reversed { hold: Some(hold()), cause: ReversalCause::NothingLeft }),
    ]
}

fn event(name: &str) -> Event {
    let resolved = |settlement| Event::SuspectResolved {
        settlement,
        operator: "mori".parse().unwrap(),
        reason: "journal roll shows 3 notes".into(),
    };
    match name {
        "granted" => Event::HoldGranted { hold: hold() },
        "granted-other" => Event::HoldGranted { hold: "H2".parse().unwrap() },
        "declined" => Event::HoldDeclined { code: "insufficient_funds".parse().unwrap() },
        "unanswered" => Event::HoldUnanswered,
        "code-ok" => Event::CodeMatched,
        "code-wrong" => Event::CodeMismatched,
        "cancelled" => Event::CustomerCancelled,
        "abandoned" => Event::Abandoned { cause: ReversalCause::AtmUnavailable },
        "command" => Event::DispenseCommanded { command: command() },
        "command-more" => Event::DispenseCommanded { command: DispenseCommand { amount: yen(40_000), ..command() } },
        "dispensed" => reported(Outcome::Dispensed, 30_000, None),
        "partial" => reported(Outcome::PartiallyDispensed, 20_000, None),
        "nothing" => reported(Outcome::NotDispensed, 0, None),
        "retracted" => reported(Outcome::Retracted, 30_000, Some(30_000)),
        "uncounted" => reported(Outcome::Retracted, 30_000, None),
        "unknown" => reported(Outcome::Unknown, 0, None),
        "too-much" => reported(Outcome::Dispensed, 40_000, None),
        "deadline" => Event::OutcomeDeadlinePassed,
        "hold-confirmed" => Event::HoldConfirmed,
        "hold-reversed" => Event::HoldReversed,
        "refused" => Event::SettlementRefused { code: "already_reversed".parse().unwrap() },
        "resolve-pay" => resolved(Settlement::Confirm(yen(20_000))),
        "resolve-more" => resolved(Settlement::Confirm(yen(40_000))),
        "resolve-zero" => resolved(Settlement::Confirm(yen(0))),
        "resolve-back" => resolved(Settlement::Reverse),
        other => panic!("no such event: {other}"),
    }
}

/// Reading help: a row is an event, a column the state it meets.
const TABLE: &str = "
event          requested code      lastcode  held      commanded unknown   confirming rev-early rev-proof suspect   doubt     declined confirmed rvd-early rvd-proof
granted        held      .         .         .         .         .         .          reversing .         .         .         .        .         .         .
granted-other  held      x         x         x         x         x         x          reversing x         x         x         .        x         .         .
declined       declined  x         x         x         x         x         x          .         x         x         x         .        x         .         .
unanswered     reversing .         .         .         .         .         .          .         .         .         .         .        .         .         .
code-ok        x         held      held      x         x         x         x          x         x         x         x         x        x         x         x
code-wrong     x         awaiting  reversing x         x         x         x          x         x         x         x         x        x         x         x
cancelled      reversing reversing reversing reversing x         x         x          .         .         x         x         .        x         .         .
abandoned      reversing reversing reversing reversing x         x         x          .         .         x         x         .        x         .         .
command        x         x         x         dispense  x         x         x          x         x         x         x         x        x         x         x
command-more   x         x         x         x         x         x         x          x         x         x         x         x        x         x         x
dispensed      x         x         x         x         confirming confirming .        x         suspect   suspect   suspect   x        .         x         x
partial        x         x         x         x         confirming confirming suspect  x         suspect   suspect   suspect   x        x         x         x
nothing        x         x         x         x         reversing reversing suspect    x         .         suspect   suspect   x        x         x         .
retracted      x         x         x         x         reversing reversing suspect    x         .         suspect   suspect   x        x         x         .
uncounted      x         x         x         x         outcome   .         .          x         .         suspect   suspect   x        .         x         .
unknown        x         x         x         x         outcome   .         .          x         .         suspect   suspect   x        .         x         .
too-much       x         x         x         x         suspect   suspect   suspect    x         suspect   suspect   suspect   x        x         x         x
deadline       x         x         x         x         suspect   suspect   .          .         .         .         .         .        .         .         .
hold-confirmed x         x         x         x         x         x         confirmed  x         x         x         suspect   x        .         x         x
hold-reversed  x         x         x         x         x         x         x          reversed  reversed  x         x         .        x         .         .
refused        x         x         x         x         x         x         suspect    suspect   suspect   .         .         .        .         .         .
resolve-pay    x         x         x         x         x         x         x          x         x         confirming confirming x       x         x         x
resolve-more   x         x         x         x         x         x         x          x         x         x         x         x        x         x         x
resolve-zero   x         x         x         x         x         x         x          x         x         x         x         x        x         x         x
resolve-back   x         x         x         x         x         x         x          x         x         reversing reversing x        x         x         x
";

const LATER: Timestamp = Timestamp::from_unix_ms(7_000);

fn withdrawal(state: State) -> Withdrawal {
    Withdrawal { terms: terms(false), state, since: Timestamp::from_unix_ms(2_000) }
}

#[test]
fn every_state_meets_every_event() {
    let mut lines = TABLE.trim().lines();
    let columns: Vec<&str> = lines.next().unwrap().split_whitespace().skip(1).collect();
    let states = states();
    assert_eq!(columns, states.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "a column for each state");
    let mut cells = 0;
    for line in lines {
        let mut words = line.split_whitespace();
        let event_name = words.next().unwrap();
        for ((state_name, state), expected) in states.iter().zip(words.by_ref()) {
            let found = match step(withdrawal(state.clone()), event(event_name), LATER) {
                Err(illegal) => {
                    assert_eq!(illegal.state, state.name());
                    "x"
                }
                Ok((after, _)) if after.state == *state => ".",
                Ok((after, _)) => after.state.name(),
            };
            assert!(found.starts_with(expected), "{event_name} while {state_name}: expected {expected}, found {found}");
            cells += 1;
        }
    }
    assert_eq!(cells, 15 * 25, "no cell may be missing");
}

#[test]
fn a_change_moves_the_clock_and_a_repetition_does_not() {
    for (_, state) in states() {
        for name in TABLE.trim().lines().skip(1).filter_map(|line| line.split_whitespace().next()) {
            let Ok((after, _)) = step(withdrawal(state.clone()), event(name), LATER) else { continue };
            let expected = if after.state == state { Timestamp::from_unix_ms(2_000) } else { LATER };
            assert_eq!(after.since, expected, "{name} while {}", state.name());
            assert_eq!(after.terms, terms(false), "terms never change");
        }
    }
}

fn effects(state: &str, event_name: &str) -> Vec<Effect> {
    let (_, state) = states().into_iter().find(|(name, _)| *name == state).unwrap();
    step(withdrawal(state), event(event_name), LATER).unwrap().1
}

#[test]
fn what_is_to_be_done() {
    let yen_30_000 = yen(30_000);
    let rows: &[(&str, &str, &[Effect])] = &[
        ("requested", "declined", &[Effect::ReleaseReservation]),
        ("requested", "unanswered", &[Effect::ReverseHold]),
        ("requested", "cancelled", &[Effect::ReverseHold]),
        ("code", "code-wrong", &[Effect::AskConfirmCode { tries_left: 2 }]),
        ("lastcode", "code-wrong", &[Effect::ReverseHold]),
        ("held", "command", &[Effect::SendDispense { command: command() }]),
        ("held", "cancelled", &[Effect::ReverseHold]),
        ("commanded", "dispensed", &[Effect::AcknowledgeOutcome, Effect::ConfirmHold { amount: yen_30_000 }]),
        ("commanded", "partial", &[Effect::AcknowledgeOutcome, Effect::ConfirmHold { amount: yen(20_000) }]),
        ("commanded", "nothing", &[Effect::AcknowledgeOutcome, Effect::ReverseHold]),
        ("commanded", "unknown", &[Effect::AcknowledgeOutcome]),
        ("commanded", "too-much", &[Effect::AcknowledgeOutcome]),
        ("commanded", "deadline", &[]),
        ("confirming", "dispensed", &[Effect::AcknowledgeOutcome]),
        ("confirming", "partial", &[Effect::AcknowledgeOutcome]),
        ("confirming", "hold-confirmed", &[Effect::SettleReservation { dispensed: yen_30_000 }]),
        ("confirming", "refused", &[]),
        ("rev-early", "granted", &[Effect::ReverseHold]),
        ("rev-early", "hold-reversed", &[Effect::ReleaseReservation]),
        ("rvd-early", "granted", &[]),
        ("declined", "granted", &[]),
        ("confirmed", "dispensed", &[Effect::AcknowledgeOutcome]),
        ("confirmed", "hold-confirmed", &[]),
        ("suspect", "dispensed", &[Effect::AcknowledgeOutcome]),
        ("suspect", "resolve-pay", &[Effect::ConfirmHold { amount: yen(20_000) }]),
        ("suspect", "resolve-back", &[Effect::ReverseHold]),
    ];
    for (state, event_name, expected) in rows {
        assert_eq!(effects(state, event_name), *expected, "{event_name} while {state}");
    }
}

#[test]
fn an_atm_that_contradicts_itself_for_ever_is_not_recorded_for_ever() {
    let (_, state) = states().into_iter().find(|(name, _)| *name == "suspect").unwrap();
    let mut now = withdrawal(state);
    let mut kept = 0;
    for name in ["dispensed", "nothing"].into_iter().cycle().take(100) {
        let Ok((after, _)) = step(now.clone(), event(name), LATER) else { continue };
        kept += usize::from(after != now);
        now = after;
    }
    assert_eq!(kept, 8);
}

#[test]
fn a_step_up_asks_for_the_code_before_anything_can_be_commanded() {
    let (opened, effects) = Withdrawal::open(terms(true));
    assert_eq!(effects, [Effect::PlaceHold]);
    let (asked, effects) = step(opened, event("granted"), LATER).unwrap();
    assert_eq!(asked.state.name(), "awaiting_code");
    assert_eq!(effects, [Effect::AskConfirmCode { tries_left: 3 }]);
    assert!(step(asked.clone(), event("command"), LATER).is_err());
    let (held, _) = step(asked, event("code-ok"), LATER).unwrap();
    assert!(step(held, event("command"), LATER).is_ok());
}

#[test]
fn three_wrong_codes_and_the_money_goes_back() {
    let (mut now, _) = step(Withdrawal::open(terms(true)).0, event("granted"), LATER).unwrap();
    for _ in 0..3 {
        assert_eq!(now.state.name(), "awaiting_code");
        now = step(now, event("code-wrong"), LATER).unwrap().0;
    }
    assert_eq!(now.state.reason(), Some("code_refused"));
}

/// Of a dispenser with end-to-end security.
fn with_token() -> Terms {
    let command_nonce = Some("254611E63B2531576314E86527338D61".parse().unwrap());
    Terms { command_nonce, evidence_demanded: EvidenceGrade::A, ..terms(false) }
}

fn command_with_token() -> DispenseCommand {
    DispenseCommand { dispense_token: Some("NONCE=1".parse().unwrap()), ..command() }
}

#[test]
fn a_command_has_a_dispense_token_if_and_only_if_the_dispenser_demands_one() {
    let held = |terms| Withdrawal { terms, state: State::Held { hold: hold() }, since: LATER };
    let commanded = |terms, command| step(held(terms), Event::DispenseCommanded { command }, LATER).is_ok();
    assert!(commanded(terms(false), command()));
    assert!(!commanded(terms(false), command_with_token()));
    assert!(!commanded(with_token(), command()));
    assert!(commanded(with_token(), command_with_token()));
}

#[test]
fn what_a_dispenser_proves_decides_where_grade_a_is_demanded() {
    let genuine = |presented: u64, fresh| {
        PresentFinding::Genuine(PresentStatus { presented: Some(yen(presented)), retracted: Some(yen(0)), fresh })
    };
    let nothing = (Outcome::NotDispensed, 0);
    let partial = (Outcome::PartiallyDispensed, 20_000);
    let all = (Outcome::Dispensed, 30_000);
    let rows = [
        // The words, what was found of the present token, and the next state out of each of these two.
        (nothing, None, "outcome_unknown", "outcome_unknown"),
        (nothing, Some(genuine(0, false)), "outcome_unknown", "outcome_unknown"),
        (nothing, Some(PresentFinding::Unverified), "outcome_unknown", "outcome_unknown"),
        (nothing, Some(PresentFinding::Wrong(WrongToken::OtherDispense)), "outcome_unknown", "outcome_unknown"),
        (nothing, Some(genuine(0, true)), "reversing", "reversing"),
        (nothing, Some(genuine(30_000, false)), "suspect", "suspect"),
        (nothing, Some(genuine(30_000, true)), "suspect", "suspect"),
        (partial, None, "outcome_unknown", "outcome_unknown"),
        (partial, Some(genuine(20_000, true)), "confirming", "confirming"),
        (all, None, "confirming", "confirming"),
        (all, Some(PresentFinding::Wrong(WrongToken::Forged)), "confirming", "confirming"),
        (all, Some(genuine(0, true)), "suspect", "suspect"),
    ];
    let unknown = report(Outcome::Unknown, 0, None);
    let commanded = State::DispenseCommanded { hold: hold(), command: command_with_token() };
    let open = State::OutcomeUnknown { hold: hold(), command: command_with_token(), report: unknown };
    for ((outcome, presented), finding, from_commanded, from_unknown) in rows {
        for (state, expected) in [(commanded.clone(), from_commanded), (open.clone(), from_unknown)] {
            let mut report = report(outcome, presented, None);
            let token = "NONCE=2".parse().unwrap();
            report.present = finding.clone().map(|finding| PresentEvidence { token, finding });
            let before = Withdrawal { terms: with_token(), state, since: LATER };
            let (after, _) = step(before, Event::OutcomeReported { report }, LATER).unwrap();
            assert_eq!(after.state.name(), expected, "{outcome:?} with {finding:?}");
        }
    }
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    fn any_event() -> impl Strategy<Value = Event> {
        let names: Vec<&'static str> =
            TABLE.trim().lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
        proptest::sample::select(names).prop_map(event)
    }

    proptest! {
        /// Rules 2, 4, 5, 7 and 9 over any history, judged from the outside: by the effects and the states' names alone.
        #[test]
        fn the_rules_hold_whatever_happens(events in proptest::collection::vec(any_event(), 0..40), confirm_code: bool) {
            let (mut now, _) = Withdrawal::open(terms(confirm_code));
            let (mut granted, mut unanswered, mut commanded, mut settled) = (false, false, 0, 0);
            for event in events {
                let was = now.clone();
                let (name, evidence) = (event.name(), matches!(event, Event::OutcomeReported { .. } | Event::SuspectResolved { .. }));
                let Ok((after, effects)) = step(was.clone(), event, LATER) else { continue };
                granted |= name == "hold_granted" && was.state == State::HoldRequested;
                unanswered |= name == "hold_unanswered" && was.state == State::HoldRequested;
                for effect in &effects {
                    match effect {
                        Effect::SendDispense { .. } => {
                            commanded += 1;
                            prop_assert!(granted && !unanswered, "no dispense without a granted hold");
                        }
                        Effect::ReverseHold if commanded > 0 => prop_assert!(evidence, "{name} reversed after the point of no return"),
                        Effect::SettleReservation { .. } | Effect::ReleaseReservation => settled += 1,
                        _ => {}
                    }
                }
                prop_assert!(commanded <= 1, "one dispense command");
                prop_assert!(!was.state.is_ended() || after == was, "ended withdrawals do not change");
                prop_assert_eq!(settled, i32::from(after.state.is_ended()), "the reservation is settled once, at the end");
                now = after;
            }
        }
    }
}
