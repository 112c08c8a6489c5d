//! The machine against a gateway that repeats itself, and against power cuts at every durable write.

mod end_to_end;
mod room;
mod tricks;

use std::time::Duration;

use cashgate_wire::proto::atm::v1::{
    Dispense, GatewayMessage, QrClaimed, Reconnect, Refused, ShowQr, Welcome, atm_message::Message as Saying,
    gateway_message::Message as Told,
};
use cashgate_wire::proto::withdrawal::v1::{EvidenceSource, Money, Outcome};

use super::*;
use room::{NOW, Room, W1, W2, acknowledged, dispense, plan, proven, sum};

#[test]
fn each_fault_of_a_dispense_of_30_000_yen() {
    use EvidenceSource::{BareWord, LastCommandRecord, PresentStatus};
    use Outcome::{Dispensed, NotDispensed, PartiallyDispensed, Retracted};
    // Fault, then word, presented, retracted, counted, evidence, and what is physically gone.
    let rows = [
        (None, Dispensed, 30_000, 0, true, PresentStatus, 30_000),
        (Some(Fault::Empty), NotDispensed, 0, 0, true, LastCommandRecord, 0),
        (Some(Fault::Jam(10_000)), PartiallyDispensed, 10_000, 0, true, PresentStatus, 10_000),
        (Some(Fault::Jam(5_000)), NotDispensed, 0, 0, true, PresentStatus, 0),
        (Some(Fault::Jam(90_000)), Dispensed, 30_000, 0, true, PresentStatus, 30_000),
        (Some(Fault::Retract), Retracted, 30_000, 30_000, true, PresentStatus, 0),
        (Some(Fault::RetractUncounted(0)), Retracted, 30_000, 0, false, PresentStatus, 0),
        (Some(Fault::RetractUncounted(20_000)), Retracted, 30_000, 0, false, PresentStatus, 20_000),
        (Some(Fault::RetractSome(10_000)), Retracted, 30_000, 10_000, true, PresentStatus, 20_000),
        (Some(Fault::LieMore), Dispensed, 40_000, 0, true, PresentStatus, 30_000),
        (Some(Fault::LieNothing), NotDispensed, 0, 0, true, BareWord, 30_000),
    ];
    for (fault, outcome, presented, retracted, counted, evidence, gone) in rows {
        let mut room = Room::new();
        fault.into_iter().for_each(|fault| room.feed(Input::Operator(Command::Fault(fault))));
        room.dispense(W1, 30_000);
        let reports = room.reports(W1);
        let [report] = reports.as_slice() else { panic!("{fault:?}: {reports:?}") };
        assert_eq!((report.outcome(), report.evidence()), (outcome, evidence), "{fault:?}");
        assert_eq!((sum(&report.presented), sum(&report.retracted)), (presented, retracted), "{fault:?}");
        assert_eq!(report.retracted_counted, counted, "{fault:?}");
        assert_eq!(room.book().get(W1).unwrap().cash_out, gone, "{fault:?}");
        // The fault was for one dispense.
        room.dispense(W2, 10_000);
        assert_eq!(room.reports(W2)[0].outcome(), Dispensed, "after {fault:?}");
    }
}

#[test]
fn each_power_cut_of_a_dispense_of_30_000_yen() {
    use Outcome::{Dispensed, NotDispensed, Unknown};
    let rows = [
        (Fault::PowerCut, Dispensed, 30_000),
        (Fault::PowerCutBefore, NotDispensed, 0),
        (Fault::PowerCutDuring(None), Unknown, 30_000),
        (Fault::PowerCutDuring(Some(10_000)), Unknown, 10_000),
    ];
    for (fault, outcome, gone) in rows {
        let mut room = Room::new();
        room.feed(Input::Operator(Command::Fault(fault)));
        room.dispense(W1, 30_000);
        assert!(room.dark && room.reports(W1).is_empty(), "{fault:?}: says nothing");
        room.restart();
        let hello = room.sent.iter().find_map(|sent| match sent {
            Saying::Hello(hello) => Some(hello.clone()),
            _ => None,
        });
        assert_eq!(hello.unwrap().unresolved[0].outcome(), outcome, "{fault:?}: says it first thing");
        assert_eq!(room.book().get(W1).unwrap().cash_out, gone, "{fault:?}");
    }
}

#[test]
fn the_plug_pulled_after_any_write_never_pays_twice_and_never_lies() {
    let faults = [
        None,
        Some(Fault::Empty),
        Some(Fault::Jam(10_000)),
        Some(Fault::Retract),
        Some(Fault::RetractUncounted(0)),
        Some(Fault::RetractSome(10_000)),
        Some(Fault::PowerCut),
        Some(Fault::PowerCutBefore),
        Some(Fault::PowerCutDuring(None)),
    ];
    for fault in faults {
        for writes in 1..=4 {
            let case = format!("{fault:?}, {writes} writes");
            let mut room = Room::new();
            room.writes_left = Some(writes);
            fault.into_iter().for_each(|fault| room.feed(Input::Operator(Command::Fault(fault))));
            room.dispense(W1, 30_000);
            room.told(acknowledged(W1));
            room.restart();
            room.dispense(W1, 30_000);
            room.query(W1);
            room.restart();
            room.dispense(W1, 30_000);
            assert!(room.moves(W1) <= 1, "{case}: notes moved twice");
            let reports = room.reports(W1);
            assert!(!reports.is_empty(), "{case}: an answer");
            assert!(reports.windows(2).all(|pair| pair[0] == pair[1]), "{case}: always the same words");
            let gone = i64::try_from(room.book().get(W1).unwrap().cash_out).unwrap();
            assert!(proven(&reports[0]).is_none_or(|left| left == gone), "{case}: {gone} against {reports:?}");
            room.told(acknowledged(W1));
            assert!(room.book().get(W1).unwrap().acknowledged, "{case}");
        }
    }
}

#[test]
fn a_duplicate_is_answered_and_not_paid() {
    let mut room = Room::new();
    room.dispense(W1, 30_000);
    // Another amount under the same id is still the same command.
    room.dispense(W1, 50_000);
    room.dispense(W1, 30_000);
    let reports = room.reports(W1);
    assert_eq!(reports.len(), 3);
    assert!(reports.iter().all(|report| *report == reports[0]));
    assert_eq!((room.moves(W1), room.book().get(W1).unwrap().cash_out), (1, 30_000));
}

#[test]
fn a_duplicate_while_notes_move_is_not_answered_early() {
    let mut room = Room::new();
    room.told(dispense(W1, 30_000, NOW + 1));
    room.told(dispense(W1, 30_000, NOW + 1));
    room.query(W1);
    assert_eq!(room.reports(W1), vec![]);
    room.told(dispense(W2, 10_000, NOW + 1));
    assert_eq!(proven(&room.reports(W2)[0]), Some(0), "one customer at a time");
    room.feed(Input::Presented);
    assert_eq!(room.reports(W1).len(), 1);
}

#[test]
fn a_command_that_came_too_late_is_remembered_as_not_carried_out() {
    let mut room = Room::new();
    room.told(dispense(W1, 30_000, NOW));
    room.dispense(W1, 30_000);
    assert_eq!(room.reports(W1).iter().map(proven).collect::<Vec<_>>(), [Some(0), Some(0)]);
    assert_eq!(room.moves(W1), 0);
}

#[test]
fn lateness_is_measured_by_the_gateways_clock() {
    let mut room = Room::new();
    let a_minute_ahead = Welcome { gateway_time_unix_ms: NOW + 60_000, atm_id: "A1".to_owned() };
    room.told(Told::Welcome(a_minute_ahead));
    room.told(dispense(W1, 30_000, NOW + 59_999));
    assert_eq!(proven(&room.reports(W1)[0]), Some(0));
    room.dispense(W2, 10_000);
    assert_eq!(room.moves(W2), 0);
    room.told(dispense("01981f2e-7c1a-7000-8000-000000000003", 30_000, NOW + 60_001));
    assert_eq!(room.moves("01981f2e-7c1a-7000-8000-000000000003"), 1);
}

#[test]
fn a_query_for_a_command_that_never_came_forbids_it_for_ever() {
    let mut room = Room::new();
    room.query(W1);
    assert_eq!(room.reports(W1)[0].evidence(), EvidenceSource::LastCommandRecord);
    room.restart();
    room.dispense(W1, 30_000);
    assert!(room.reports(W1).iter().all(|report| proven(report) == Some(0)));
    assert_eq!((room.moves(W1), room.book().get(W1).unwrap().cash_out), (0, 0));
}

#[test]
fn an_amount_that_the_cassettes_cannot_make_is_not_paid() {
    for (amount, currency) in [(0, "JPY"), (-10_000, "JPY"), (500, "JPY"), (9_999_000, "JPY"), (10_000, "EUR")] {
        let mut room = Room::new();
        let amount = Some(Money { minor_units: amount, currency: currency.to_owned() });
        let withdrawal_id = W1.to_owned();
        let start_before_unix_ms = NOW + 1;
        let command = Dispense { withdrawal_id, amount: amount.clone(), start_before_unix_ms, ..Dispense::default() };
        room.told(Told::Dispense(command));
        assert_eq!(proven(&room.reports(W1)[0]), Some(0), "{amount:?}");
        assert_eq!(room.moves(W1), 0, "{amount:?}");
    }
}

#[test]
fn hello_carries_64_reports_and_the_rest_follow_the_answers() {
    let mut room = Room::new();
    room.feed(Input::Operator(Command::Disconnect));
    let id = |n: u32| format!("01981f2e-7c1a-7000-8000-{n:012}");
    (0..70).for_each(|n| room.query(&id(n)));
    room.restart();
    let in_hello = |room: &Room| match &room.sent[0] {
        Saying::Hello(hello) => hello.unresolved.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!((in_hello(&room), room.sent.len()), (64, 1));
    (0..70).for_each(|n| room.told(acknowledged(&id(n))));
    assert_eq!((64..70).filter(|n| room.reports(&id(*n)).len() == 1).count(), 6);
    room.restart();
    assert_eq!(in_hello(&room), 0);
}

#[test]
fn a_report_is_repeated_until_it_is_recorded_or_refused() {
    let mut room = Room::new();
    room.dispense(W1, 30_000);
    room.dispense(W2, 30_000);
    room.feed(Input::Repeat);
    assert_eq!((room.reports(W1).len(), room.reports(W2).len()), (2, 2));
    room.told(acknowledged(W1));
    let withdrawal_id = W2.to_owned();
    room.told(Told::Refused(Refused { reason: "X".to_owned(), detail: String::new(), withdrawal_id }));
    room.feed(Input::Repeat);
    assert_eq!((room.reports(W1).len(), room.reports(W2).len()), (2, 2));
    room.restart();
    assert_eq!((room.reports(W1).len(), room.reports(W2).len()), (0, 1));
}

#[test]
fn the_cassettes_stay_counted_over_a_restart() {
    let mut room = Room::new();
    room.dispense(W1, 23_000);
    let told = room.sent.iter().rev().find_map(|sent| match sent {
        Saying::UpdateCassettes(update) => Some(update.cassettes.clone()),
        _ => None,
    });
    assert_eq!(told.unwrap().iter().map(|cassette| cassette.count).collect::<Vec<_>>(), [98, 97]);
    room.restart();
    let Saying::Hello(hello) = &room.sent[0] else { panic!("{:?}", room.sent) };
    assert_eq!(hello.cassettes.iter().map(|cassette| cassette.count).collect::<Vec<_>>(), [98, 97]);
}

#[test]
fn a_machine_that_is_told_to_reconnect_hangs_up_and_comes_back() {
    let mut machine = Machine::new(plan(), &[]);
    machine.handle(Input::Connected, NOW);
    let reconnect =
        GatewayMessage { message: Some(Told::Reconnect(Reconnect { after_ms: 700 })), ..Default::default() };
    let outputs = machine.handle(Input::Gateway(reconnect), NOW);
    assert!(outputs.contains(&Output::HangUp));
    assert!(outputs.contains(&Output::Dial(Some(Duration::from_millis(700)))));
    let lost = |machine: &mut Machine| machine.handle(Input::Disconnected { why: String::new() }, NOW);
    assert!(lost(&mut machine).contains(&Output::Dial(None)));
    machine.handle(Input::Operator(Command::Disconnect), NOW);
    assert!(!lost(&mut machine).contains(&Output::Dial(None)), "stays away");
}

#[test]
fn a_customer_who_waits_before_a_code_gets_a_fresh_one_at_the_next_gateway() {
    let told = |message| Input::Gateway(GatewayMessage { message: Some(message), ..Default::default() });
    let until = NOW + 120_000;
    let shown = ShowQr { qr_session_id: "s".to_owned(), qr_session_expires_at_unix_ms: until, ..ShowQr::default() };
    let claimed = Told::QrClaimed(QrClaimed { qr_session_id: "s".to_owned() });
    let start = |outputs: &[Output]| {
        outputs.iter().find_map(|output| match output {
            Output::Send(Saying::StartQrSession(start)) => Some(start.amount.clone().map(|amount| amount.minor_units)),
            _ => None,
        })
    };
    // What comes between the code and the next gateway, when that welcomes it, and the amount that it then asks a code for.
    let rows = [
        (None, NOW, Some(Some(30_000))),
        (None, until, None),
        (Some(told(claimed)), NOW, None),
        (Some(Input::Disconnected { why: String::new() }), NOW, None),
    ];
    for (between, gateway_time_unix_ms, asked) in rows {
        let mut machine = Machine::new(plan(), &[]);
        machine.handle(Input::Connected, NOW);
        machine.handle(Input::Operator("start 30000".parse().unwrap()), NOW);
        machine.handle(told(Told::ShowQr(shown.clone())), NOW);
        let what = format!("{between:?}, {gateway_time_unix_ms}");
        between.into_iter().for_each(|input| drop(machine.handle(input, NOW)));
        machine.handle(told(Told::Reconnect(Reconnect { after_ms: 0 })), NOW);
        machine.handle(Input::Connected, NOW);
        let welcome = Welcome { gateway_time_unix_ms, ..Welcome::default() };
        let outputs = machine.handle(told(Told::Welcome(welcome)), NOW);
        assert_eq!(start(&outputs), asked, "{what}");
    }
}

#[test]
fn switching_off_waits_for_notes_on_their_way() {
    let mut machine = Machine::new(plan(), &[]);
    let command = GatewayMessage { message: Some(dispense(W1, 30_000, NOW + 1)), ..Default::default() };
    machine.handle(Input::Gateway(command), NOW);
    assert!(!machine.handle(Input::Operator(Command::Quit), NOW).contains(&Output::SwitchOff));
    assert_eq!(machine.handle(Input::Presented, NOW).last(), Some(&Output::SwitchOff));
    assert_eq!(machine.book().get(W1).unwrap().cash_out, 30_000);
}

#[test]
fn the_customer_needs_a_line_and_a_code() {
    let mut machine = Machine::new(plan(), &[]);
    let refused = |outputs: &[Output]| matches!(outputs, [Output::Screen(ScreenEvent::BadCommand { .. })]);
    for line in ["start 30000", "end", "code 1234"] {
        assert!(refused(&machine.handle(Input::Operator(line.parse().unwrap()), NOW)), "{line}");
    }
    machine.handle(Input::Connected, NOW);
    assert!(refused(&machine.handle(Input::Operator(Command::End), NOW)));
    let qr_session_id = "01981f2e-7c1a-7000-8000-0000000000ff".to_owned();
    let shown = ShowQr { qr_session_id, ..ShowQr::default() };
    machine.handle(Input::Gateway(GatewayMessage { message: Some(Told::ShowQr(shown)), ..Default::default() }), NOW);
    let ended = machine.handle(Input::Operator(Command::End), NOW);
    assert!(matches!(ended.as_slice(), [Output::Send(Saying::EndQrSession(_))]), "{ended:?}");
}
