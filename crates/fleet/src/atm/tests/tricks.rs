//! A machine that plays false with its dispenser's tokens. It has no key; whoever has one finds it out.

use super::end_to_end::{ASKED, ASKED_AGAIN, genuine, value};
use super::*;

fn ordered(line: &str) -> Room {
    let mut room = Room::secured();
    room.feed(Input::Operator(line.parse().unwrap()));
    room
}

/// The claim that nothing left although 30,000 yen did.
#[track_caller]
fn check_claim(room: &Room, evidence: EvidenceSource) {
    let report = room.told_last(W1);
    assert_eq!((report.outcome(), report.evidence()), (Outcome::NotDispensed, evidence));
    assert_eq!(room.book().get(W1).unwrap().cash_out, 30_000);
}

#[test]
fn a_liar_hands_out_no_token() {
    let mut room = ordered("fault lie");
    room.serve(W1);
    check_claim(&room, EvidenceSource::LastCommandRecord);
    assert_eq!(room.told_last(W1).present_token, "");
    assert_eq!(room.ask(W1, ASKED_AGAIN).present_token, "");
    room.restart();
    assert_eq!(room.hello().unresolved[0].present_token, "");
    assert_eq!(room.ask(W1, ASKED_AGAIN).present_token, "", "and goes on lying after a power cut");
    // The next dispense is honest.
    room.serve(W2);
    assert_eq!(value(&room.told_last(W2).present_token, "PRESENTED1"), "YES");
}

#[test]
fn a_stale_token_is_genuine_and_answers_no_new_nonce() {
    let mut room = ordered("fault stale");
    room.serve(W1);
    check_claim(&room, EvidenceSource::PresentStatus);
    let told = room.told_last(W1).present_token;
    assert_eq!((value(&told, "NONCE"), value(&told, "DISPENSED1")), (ASKED, "0.00JPY"));
    assert_eq!((value(&told, "PRESENTED1"), value(&told, "PRESENTEDAMOUNT1")), ("NO", "0.00JPY"));
    assert_eq!(room.ask(W1, ASKED_AGAIN).present_token, told);
    room.restart();
    assert_eq!(room.ask(W1, ASKED_AGAIN).present_token, told);
}

#[test]
fn a_forged_token_names_everything_rightly_but_its_hmac_is_wrong() {
    let mut room = ordered("fault forge");
    room.serve(W1);
    check_claim(&room, EvidenceSource::PresentStatus);
    for (report, nonce) in [(room.told_last(W1), ASKED), (room.ask(W1, ASKED_AGAIN), ASKED_AGAIN)] {
        let token = report.present_token;
        assert!(token.starts_with(&format!("NONCE={nonce},")) && token.contains(",PRESENTED1=NO,"), "{token}");
        assert!(!genuine(&token), "{token}");
        assert!(token.contains(&format!(",TOKENLENGTH={:04},", token.len())), "{token}");
    }
}

#[test]
fn a_stripped_machine_hides_its_security_but_its_dispenser_keeps_it() {
    let mut room = Room::secured();
    room.serve(W1);
    let outputs = room.machine.handle(Input::Operator("fault strip".parse().unwrap()), NOW);
    assert_eq!(outputs, [Output::HangUp, Output::Dial(Some(Duration::ZERO))]);
    room.sent.clear();
    room.feed(Input::Connected);
    assert_eq!(room.hello().end_to_end, None);
    assert_eq!(room.hello().unresolved[0].present_token, "");
    assert_eq!(room.ask(W1, ASKED_AGAIN).present_token, "");
    assert_eq!(room.start(), "", "no nonce is fetched");
    room.dispense(W2, 30_000);
    assert_eq!(room.told_last(W2).detail, "the dispenser refused: there is no dispense token");
    assert_eq!(room.moves(W2), 0);
    // Switched on again it is what it was.
    room.restart();
    assert!(room.hello().end_to_end.is_some());
    assert_ne!(room.hello().unresolved[0].present_token, "");
}

#[test]
fn a_machine_without_a_key_has_no_such_tricks() {
    for line in ["fault lie", "fault stale", "fault forge", "fault strip"] {
        let mut machine = Machine::new(plan(), &[]);
        let outputs = machine.handle(Input::Operator(line.parse().unwrap()), NOW);
        let [Output::Screen(ScreenEvent::BadCommand { detail })] = outputs.as_slice() else {
            panic!("{line}: {outputs:?}");
        };
        assert!(detail.contains("--dispense-key"), "{detail}");
    }
}

#[test]
fn a_record_from_before_there_were_tokens_is_read() {
    let line = r#"{"fact":"counted","withdrawal_id":"W","cash_out":30000,"report":{"outcome":"dispensed","presented":
        [{"denomination":10000,"count":3}],"retracted":[],"evidence":"present_status","detail":"","currency":"JPY","observed_at_unix_ms":1}}"#;
    let fact: Fact = serde_json::from_str(line).unwrap();
    let Fact::Counted { report, present_status: None, trick: None, .. } = &fact else { panic!("{fact:?}") };
    assert_eq!(report.present_token, "");
    let written = serde_json::to_string(&fact).unwrap();
    assert!(!written.contains("present_token") && !written.contains("trick"), "{written}");
}
