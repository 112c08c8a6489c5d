//! A machine whose dispenser demands tokens, and what it says on the wire.

use cashgate_wire::proto::atm::v1::{Dispense, EndToEndSecurity, Hello, QueryOutcome, StartQrSession};
use cashgate_wire::proto::withdrawal::v1::{Money, OutcomeReport};

use super::super::dispenser::tests::{KEY, dispense_token, signed};
use super::*;

pub(super) const ASKED: &str = "0123456789ABCDEF0123456789ABCDEF";
pub(super) const ASKED_AGAIN: &str = "FEDCBA9876543210FEDCBA9876543210";

impl Room {
    pub(super) fn hello(&self) -> &Hello {
        let hello = self.sent.iter().find_map(|sent| match sent {
            Saying::Hello(hello) => Some(hello),
            _ => None,
        });
        hello.expect("it said hello")
    }

    /// A customer comes; the nonce that goes with that.
    pub(super) fn start(&mut self) -> String {
        self.feed(Input::Operator(Command::Start(None)));
        match self.sent.last() {
            Some(Saying::StartQrSession(StartQrSession { command_nonce, .. })) => command_nonce.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn dispense_with(&mut self, withdrawal_id: &str, minor_units: i64, dispense_token: &str) {
        self.told(Told::Dispense(Dispense {
            withdrawal_id: withdrawal_id.to_owned(),
            amount: Some(Money { minor_units, currency: "JPY".to_owned() }),
            start_before_unix_ms: NOW + 10_000,
            dispense_token: dispense_token.to_owned(),
            present_nonce: ASKED.to_owned(),
        }));
        self.feed(Input::Presented);
    }

    /// A customer comes and 30,000 yen are commanded with the token for it.
    pub(super) fn serve(&mut self, withdrawal_id: &str) {
        let nonce = self.start();
        self.dispense_with(withdrawal_id, 30_000, &dispense_token(&nonce, "30000.00JPY"));
    }

    pub(super) fn ask(&mut self, withdrawal_id: &str, present_nonce: &str) -> OutcomeReport {
        let (withdrawal_id, present_nonce) = (withdrawal_id.to_owned(), present_nonce.to_owned());
        self.told(Told::QueryOutcome(QueryOutcome { withdrawal_id, present_nonce }));
        match self.sent.last() {
            Some(Saying::Outcome(report)) => report.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn told_last(&self, withdrawal_id: &str) -> OutcomeReport {
        self.reports(withdrawal_id).pop().expect("a report")
    }
}

/// The value of a token's key, after its HMAC has been verified.
pub(super) fn value<'a>(token: &'a str, key: &str) -> &'a str {
    assert!(genuine(token), "{token:?}");
    let found = token.split(',').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {key} in {token}"))
}

pub(super) fn genuine(token: &str) -> bool {
    token.len() > 64 && signed(&token[..token.len() - 64], KEY) == token
}

#[test]
fn it_declares_itself_and_fetches_a_new_nonce_for_each_customer() {
    let mut room = Room::secured();
    assert_eq!(room.hello().end_to_end, Some(EndToEndSecurity { token_format: 1 }));
    let nonces = [room.start(), room.start(), room.start()];
    let different: std::collections::BTreeSet<_> = nonces.iter().collect();
    assert_eq!(different.len(), 3, "{nonces:?}");
    room.restart();
    assert!(!nonces.contains(&room.start()));
}

#[test]
fn a_machine_without_a_key_is_as_it_was() {
    let mut room = Room::new();
    assert_eq!(room.hello().end_to_end, None);
    assert_eq!(room.start(), "");
    room.dispense_with(W1, 30_000, "whatever");
    assert_eq!((room.told_last(W1).outcome(), room.told_last(W1).present_token), (Outcome::Dispensed, String::new()));
    assert_eq!(room.ask(W1, ASKED), room.reports(W1)[0]);
    let facts = std::fs::read_to_string(room.state_dir.path().join(RECORD_FILE_NAME)).unwrap();
    for new in ["token", "\"present_status\":", "trick"] {
        assert!(!facts.contains(new), "{new} in {facts}");
    }
}

#[test]
fn a_token_pays_once_and_the_report_carries_the_proof() {
    let mut room = Room::secured();
    let nonce = room.start();
    let token = dispense_token(&nonce, "30000.00JPY");
    room.dispense_with(W1, 30_000, &token);
    let report = room.told_last(W1);
    assert_eq!((report.outcome(), report.evidence()), (Outcome::Dispensed, EvidenceSource::PresentStatus));
    let rows = [
        ("NONCE", ASKED),
        ("DISPENSEID", &token[token.len() - 64..]),
        ("DISPENSED1", "30000.00JPY"),
        ("PRESENTED1", "YES"),
        ("PRESENTEDAMOUNT1", "30000.00JPY"),
        ("RETRACTED1", "NO"),
        ("RETRACTEDAMOUNT1", "0.00JPY"),
    ];
    for (key, expected) in rows {
        assert_eq!(value(&report.present_token, key), expected, "{key}");
    }
    // Repeated word for word, the token included; the same token under another id pays nothing.
    room.feed(Input::Repeat);
    assert_eq!(room.reports(W1), [report.clone(), report]);
    room.dispense_with(W2, 30_000, &token);
    assert_eq!(room.told_last(W2).detail, "the dispenser refused: the dispense token's nonce was used already");
    assert_eq!((room.moves(W1), room.moves(W2)), (1, 0));
}

#[test]
fn a_token_that_allows_more_than_the_command_pays_the_command() {
    let mut room = Room::secured();
    let nonce = room.start();
    room.dispense_with(W1, 30_000, &dispense_token(&nonce, "50000.00JPY"));
    assert_eq!(value(&room.told_last(W1).present_token, "PRESENTEDAMOUNT1"), "30000.00JPY");
    assert_eq!(room.book().get(W1).unwrap().cash_out, 30_000);
}

/// What is wrong, the token for a nonce, and what the dispenser says to it.
type Row = (&'static str, fn(&str) -> String, &'static str);

#[test]
fn a_refused_token_pays_nothing_and_the_report_says_why() {
    let other_nonce = "00112233445566778899AABBCCDDEEFF";
    let rows: [Row; 8] = [
        ("none", |_| String::new(), "there is no dispense token"),
        (
            "another key",
            |nonce| {
                let text = format!("NONCE={nonce},TOKENFORMAT=1,TOKENLENGTH=LLLL,DISPENSE1=30000.00JPY,HMACSHA256=");
                signed(&text, [7; 32])
            },
            "the dispense token's HMAC is wrong",
        ),
        ("less", |nonce| dispense_token(nonce, "29999.00JPY"), "the dispense token allows less than the amount"),
        ("euros", |nonce| dispense_token(nonce, "30000.00EUR"), "the dispense token is for another currency"),
        ("half a yen", |nonce| dispense_token(nonce, "30000.50JPY"), "the dispense token's amount cannot be read"),
        ("too long", |_| "A".repeat(1_025), "the dispense token has more than 1024 characters"),
        ("not ASCII", |_| "¥".repeat(20), "the dispense token is not printable ASCII"),
        (
            "raised",
            |nonce| dispense_token(nonce, "10000.00JPY").replace("=10000", "=30000"),
            "the dispense token's HMAC is wrong",
        ),
    ];
    for (name, token, why) in rows {
        let mut room = Room::secured();
        let nonce = room.start();
        room.dispense_with(W1, 30_000, &token(&nonce));
        check_refused(&mut room, name, why);
        // The nonce is not used up by that.
        room.dispense_with(W2, 30_000, &dispense_token(&nonce, "30000.00JPY"));
        assert_eq!(room.told_last(W2).outcome(), Outcome::Dispensed, "after {name}");
    }
    let mut room = Room::secured();
    room.start();
    room.dispense_with(W1, 30_000, &dispense_token(other_nonce, "30000.00JPY"));
    check_refused(&mut room, "another nonce", "the dispense token is for a nonce that is not open");
    let mut room = Room::secured();
    let nonce = room.start();
    room.restart();
    room.dispense_with(W1, 30_000, &dispense_token(&nonce, "30000.00JPY"));
    check_refused(&mut room, "a nonce from before a power cut", "the dispense token is for a nonce that is not open");
}

#[track_caller]
fn check_refused(room: &mut Room, name: &str, why: &str) {
    let report = room.told_last(W1);
    let said = (report.outcome(), report.evidence(), report.detail.as_str(), report.present_token.as_str());
    let detail = format!("the dispenser refused: {why}");
    assert_eq!(said, (Outcome::NotDispensed, EvidenceSource::LastCommandRecord, detail.as_str(), ""), "{name}");
    assert_eq!(room.ask(W1, ASKED_AGAIN).present_token, "", "{name}: there is nothing to prove");
    assert_eq!((room.moves(W1), room.book().get(W1).unwrap().cash_out), (0, 0), "{name}");
}

#[test]
fn the_dispenser_proves_what_really_happened_whatever_the_machine_says() {
    // Fault, what the machine says, then dispensed, presented, the amount presented, retracted, the amount retracted.
    let rows = [
        (Fault::Empty, Outcome::NotDispensed, ["0.00JPY", "NO", "0.00JPY", "NO", "0.00JPY"]),
        (Fault::Jam(10_000), Outcome::PartiallyDispensed, ["10000.00JPY", "YES", "10000.00JPY", "NO", "0.00JPY"]),
        (Fault::Jam(5_000), Outcome::NotDispensed, ["0.00JPY", "NO", "0.00JPY", "NO", "0.00JPY"]),
        (Fault::Retract, Outcome::Retracted, ["30000.00JPY", "YES", "30000.00JPY", "YES", "30000.00JPY"]),
        (Fault::RetractSome(10_000), Outcome::Retracted, ["30000.00JPY", "YES", "30000.00JPY", "YES", "10000.00JPY"]),
        // No note is worth so little: the customer took them all.
        (Fault::RetractSome(5_000), Outcome::Retracted, ["30000.00JPY", "YES", "30000.00JPY", "NO", "0.00JPY"]),
        (Fault::RetractUncounted(0), Outcome::Retracted, ["30000.00JPY", "YES", "30000.00JPY", "YES", "?"]),
        (Fault::LieMore, Outcome::Dispensed, ["30000.00JPY", "YES", "30000.00JPY", "NO", "0.00JPY"]),
        (Fault::LieNothing, Outcome::NotDispensed, ["30000.00JPY", "YES", "30000.00JPY", "NO", "0.00JPY"]),
    ];
    let keys = ["DISPENSED1", "PRESENTED1", "PRESENTEDAMOUNT1", "RETRACTED1", "RETRACTEDAMOUNT1"];
    for (fault, outcome, expected) in rows {
        let mut room = Room::secured();
        room.feed(Input::Operator(Command::Fault(fault)));
        room.serve(W1);
        let report = room.told_last(W1);
        assert_eq!(report.outcome(), outcome, "{fault:?}");
        assert_eq!(keys.map(|key| value(&report.present_token, key)), expected, "{fault:?}");
        room.restart();
        let asked = room.ask(W1, ASKED_AGAIN).present_token;
        assert_eq!(keys.map(|key| value(&asked, key)), expected, "{fault:?} after a power cut");
        assert_eq!(value(&asked, "NONCE"), ASKED_AGAIN);
    }
}

#[test]
fn a_query_is_answered_with_the_same_words_and_a_token_for_its_own_nonce() {
    let mut room = Room::secured();
    room.serve(W1);
    let first = room.told_last(W1);
    let again = room.ask(W1, ASKED_AGAIN);
    assert_eq!(value(&again.present_token, "NONCE"), ASKED_AGAIN);
    assert_eq!(OutcomeReport { present_token: first.present_token.clone(), ..again }, first);
    assert_eq!(room.ask(W1, "").present_token, first.present_token, "asked without a nonce");
    assert_eq!(room.ask(W2, ASKED_AGAIN).present_token, "", "a command that never came");
    // The dispenser knows only of its last dispense; of an older one the recorded token is all there is.
    room.serve("01981f2e-7c1a-7000-8000-000000000003");
    assert_eq!(room.ask(W1, ASKED_AGAIN).present_token, first.present_token);
}

#[test]
fn commands_that_the_machine_itself_turns_down_leave_the_token_unused() {
    let mut room = Room::secured();
    let nonce = room.start();
    let token = dispense_token(&nonce, "9999000.00JPY");
    room.dispense_with(W1, 9_999_000, &token);
    assert_eq!(room.told_last(W1).detail, "the cassettes cannot make the amount");
    assert_eq!(room.told_last(W1).present_token, "");
    room.dispense_with(W2, 30_000, &token);
    assert_eq!(room.told_last(W2).outcome(), Outcome::Dispensed);
}

#[test]
fn a_power_cut_leaves_a_proof_only_where_the_dispenser_knows() {
    // Fault, what the machine says afterwards, and whether the customer had access by the dispenser's word.
    let rows = [
        (Fault::PowerCut, Outcome::Dispensed, Some("YES")),
        (Fault::PowerCutBefore, Outcome::NotDispensed, None),
        (Fault::PowerCutDuring(None), Outcome::Unknown, None),
    ];
    for (fault, outcome, presented) in rows {
        let mut room = Room::secured();
        room.feed(Input::Operator(Command::Fault(fault)));
        room.serve(W1);
        room.restart();
        assert_eq!(room.hello().unresolved[0].outcome(), outcome, "{fault:?}");
        let asked = room.ask(W1, ASKED_AGAIN).present_token;
        let said = (!asked.is_empty()).then(|| value(&asked, "PRESENTED1"));
        assert_eq!(said, presented, "{fault:?}");
    }
}

#[test]
fn the_plug_pulled_after_any_write_leaves_no_proof_that_lies() {
    let faults = [None, Some(Fault::Empty), Some(Fault::Jam(10_000)), Some(Fault::Retract), Some(Fault::PowerCut)];
    for fault in faults {
        for writes in 1..=5 {
            let case = format!("{fault:?}, {writes} writes");
            let mut room = Room::secured();
            let token = dispense_token(&room.start(), "30000.00JPY");
            room.writes_left = Some(writes);
            fault.into_iter().for_each(|fault| room.feed(Input::Operator(Command::Fault(fault))));
            room.dispense_with(W1, 30_000, &token);
            room.restart();
            room.dispense_with(W1, 30_000, &token);
            room.dispense_with(W2, 30_000, &token);
            assert!(room.moves(W1) <= 1 && room.moves(W2) == 0, "{case}");
            let report = room.ask(W1, ASKED_AGAIN);
            let gone = room.book().get(W1).unwrap().cash_out;
            assert!(proven(&report).is_none_or(|left| left == i64::try_from(gone).unwrap()), "{case}: {report:?}");
            if !report.present_token.is_empty() {
                let yen = |key| {
                    let amount = value(&report.present_token, key).strip_suffix(".00JPY");
                    amount.unwrap().parse::<u64>().unwrap()
                };
                assert_eq!(yen("PRESENTEDAMOUNT1") - yen("RETRACTEDAMOUNT1"), gone, "{case}: {report:?}");
            }
        }
    }
}
