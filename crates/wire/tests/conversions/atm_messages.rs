//! What an ATM says: its first message and each later kind.

use cashgate_wire::atm::{Hello, hello_from, message_from};
use cashgate_wire::proto::atm::v1::{self as pb, atm_message::Message};
use cashgate_wire::proto::withdrawal::v1::{EvidenceSource, Location};
use cashgate_withdrawal::evidence::EvidenceGrade;
use cashgate_withdrawal::ids::QrSessionId;
use cashgate_withdrawal::lane::{ConfirmCode, FromAtm};
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::refusal::Refusal;

use crate::given::{
    NOT_UUIDS, QR_SESSION, WITH_CONTROL_CHARACTERS, WITHDRAWAL, cassette, hello, money, not_amounts, refused_field,
    report, said, withdrawal, yen,
};

const FRESH: QrSessionId = QrSessionId::from_bytes([9; 16]);

fn greeted(change: impl FnOnce(&mut pb::Hello)) -> Result<Hello, Refusal> {
    let mut hello = hello();
    change(&mut hello);
    hello_from(said(Message::Hello(hello)))
}

fn hello_refused(field: &str, change: impl FnOnce(&mut pb::Hello)) {
    assert_eq!(refused_field(greeted(change)), field);
}

fn later(message: Message) -> Result<FromAtm, Refusal> {
    message_from(said(message), FRESH, 40)
}

#[test]
fn a_hello_is_read_whole() {
    let hello = greeted(|hello| hello.unresolved = vec![report()]).unwrap();
    assert_eq!((hello.facts.name.as_str(), hello.facts.place.as_str()), ("Shibuya 3", "Shibuya station, west exit"));
    assert_eq!((hello.software.as_str(), hello.notes_per_dispense_max), ("atmd 4.2", 40));
    assert_eq!(hello.facts.cassettes.dispensable_max(), yen(400_000));
    assert_eq!(hello.unresolved[0].0, withdrawal());
}

#[test]
fn a_machine_is_worth_what_it_can_prove() {
    let end_to_end = Some(pb::EndToEndSecurity { token_format: 1 });
    for (declared, source, grade) in [
        (None, EvidenceSource::Unspecified, EvidenceGrade::B),
        (None, EvidenceSource::BareWord, EvidenceGrade::C),
        (None, EvidenceSource::LastCommandRecord, EvidenceGrade::B),
        (None, EvidenceSource::PresentStatus, EvidenceGrade::B),
        (end_to_end, EvidenceSource::BareWord, EvidenceGrade::A),
    ] {
        let hello = greeted(|hello| (hello.end_to_end, hello.best_evidence) = (declared, source.into())).unwrap();
        assert_eq!(hello.facts.evidence_grade, grade, "{source:?}");
    }
    hello_refused("hello.best_evidence", |hello| hello.best_evidence = 9);
}

#[test]
fn a_machine_stands_on_the_earth() {
    let at = |latitude_e7, longitude_e7| Some(Location { latitude_e7, longitude_e7 });
    let hello = greeted(|hello| hello.location = at(356_812_000, 1_397_671_000)).unwrap();
    let location = hello.facts.location.unwrap();
    assert_eq!((location.latitude_e7(), location.longitude_e7()), (356_812_000, 1_397_671_000));
    hello_refused("hello.location", |hello| hello.location = at(900_000_001, 0));
}

#[test]
fn only_a_hello_opens_a_stream() {
    let others = [
        Message::StartQrSession(pb::StartQrSession::default()),
        Message::EndQrSession(pb::EndQrSession { qr_session_id: QR_SESSION.into() }),
        Message::EnterConfirmCode(pb::EnterConfirmCode::default()),
        Message::Outcome(report()),
        Message::UpdateCassettes(pb::UpdateCassettes::default()),
    ];
    for other in others {
        assert_eq!(hello_from(said(other)), Err(Refusal::HelloMissing));
    }
    assert_eq!(hello_from(pb::AtmMessage::default()), Err(Refusal::HelloMissing));
}

#[test]
fn what_customers_see_of_the_machine_is_short_and_printable() {
    let longest = |hello: &mut pb::Hello| {
        (hello.name, hello.place, hello.software) = ("n".repeat(64), "p".repeat(128), "s".repeat(64));
    };
    assert!(greeted(longest).is_ok());
    assert!(greeted(|hello| hello.software.clear()).is_ok(), "the software need not be named");
    hello_refused("hello.name", |hello| hello.name.clear());
    hello_refused("hello.name", |hello| hello.name = "n".repeat(65));
    hello_refused("hello.place", |hello| hello.place.clear());
    hello_refused("hello.place", |hello| hello.place = "p".repeat(129));
    hello_refused("hello.software", |hello| hello.software = "s".repeat(65));
    for text in WITH_CONTROL_CHARACTERS {
        hello_refused("hello.name", |hello| hello.name = text.into());
        hello_refused("hello.place", |hello| hello.place = text.into());
        hello_refused("hello.software", |hello| hello.software = text.into());
    }
}

/// Lists of cassettes that no machine has.
fn no_cassettes() -> Vec<Vec<pb::Cassette>> {
    let mut wrong = vec![vec![cassette(1_000, 1); 9], vec![cassette(1_000, 0); 100_000]];
    for denomination in not_amounts() {
        wrong.push(vec![cassette(10_000, 1), pb::Cassette { denomination, count: 1 }]);
    }
    wrong.push(vec![cassette(10_000, 1), pb::Cassette { denomination: money(5_000, "EUR"), count: 1 }]);
    wrong
}

#[test]
fn cassettes_that_no_machine_has_are_refused() {
    for listed in no_cassettes() {
        hello_refused("hello.cassettes", |hello| hello.cassettes.clone_from(&listed));
        let update = Message::UpdateCassettes(pb::UpdateCassettes { cassettes: listed });
        assert_eq!(refused_field(later(update)), "update_cassettes.cassettes");
    }
}

#[test]
fn eight_cassettes_of_any_size_are_accepted() {
    let max = i64::try_from(Money::MINOR_UNITS_MAX).unwrap();
    let hello = greeted(|hello| hello.cassettes = vec![cassette(max, u32::MAX); 8]).unwrap();
    assert_eq!(hello.facts.cassettes.dispensable_max().minor_units(), Money::MINOR_UNITS_MAX);
    let empty = greeted(|hello| hello.cassettes.clear()).unwrap();
    assert_eq!(empty.facts.cassettes.dispensable_max(), yen(0));
}

#[test]
fn a_dispense_has_1_to_200_notes() {
    for accepted in [1, 200] {
        assert_eq!(greeted(|hello| hello.notes_per_dispense_max = accepted).unwrap().notes_per_dispense_max, accepted);
    }
    for refused in [0, 201, u32::MAX] {
        hello_refused("hello.notes_per_dispense_max", |hello| hello.notes_per_dispense_max = refused);
    }
}

#[test]
fn at_most_64_reports_come_with_a_hello() {
    assert_eq!(greeted(|hello| hello.unresolved = vec![report(); 64]).unwrap().unresolved.len(), 64);
    hello_refused("hello.unresolved", |hello| hello.unresolved = vec![report(); 65]);
}

#[test]
fn a_report_inside_a_hello_is_refused_with_its_path_inside_the_hello() {
    let mut nameless = report();
    nameless.withdrawal_id.clear();
    let field = refused_field(greeted(|hello| hello.unresolved = vec![report(), nameless]));
    assert!(field.starts_with("hello.unresolved"), "there is no field {field} in a hello");
}

#[test]
fn a_later_message_is_of_a_known_kind_and_no_second_hello() {
    assert_eq!(refused_field(message_from(pb::AtmMessage::default(), FRESH, 40)), "message");
    assert_eq!(refused_field(later(Message::Hello(hello()))), "message");
}

#[test]
fn each_later_kind_is_read_whole() {
    let end = pb::EndQrSession { qr_session_id: QR_SESSION.into() };
    let enter = pb::EnterConfirmCode { withdrawal_id: WITHDRAWAL.into(), code: "0427".into() };
    let update = pb::UpdateCassettes { cassettes: vec![cassette(10_000, 3)] };
    let start = |amount| Message::StartQrSession(pb::StartQrSession { amount, command_nonce: String::new() });
    let amount = Some(yen(30_000));
    let begun = |amount| FromAtm::StartQrSession { amount, command_nonce: None, fresh: FRESH };
    assert_eq!(later(start(None)), Ok(begun(None)));
    assert_eq!(later(start(money(30_000, "JPY"))), Ok(begun(amount)));
    let qr_session = QR_SESSION.parse().unwrap();
    assert_eq!(later(Message::EndQrSession(end)), Ok(FromAtm::EndQrSession { qr_session }));
    let code = ConfirmCode(*b"0427");
    let typed = FromAtm::EnterConfirmCode { withdrawal: withdrawal(), code };
    assert_eq!(later(Message::EnterConfirmCode(enter)), Ok(typed));
    let Ok(FromAtm::UpdateCassettes { cassettes }) = later(Message::UpdateCassettes(update)) else { panic!("refused") };
    assert_eq!(cassettes.dispensable_max(), yen(30_000));
    let Ok(FromAtm::Outcome { withdrawal: id, report }) = later(Message::Outcome(report())) else { panic!("refused") };
    assert_eq!((id, report.presented), (withdrawal(), yen(20_000)));
}

#[test]
fn the_amount_chosen_at_the_atm_is_none_or_one() {
    for amount in not_amounts().into_iter().filter(Option::is_some) {
        let start = pb::StartQrSession { amount: amount.clone(), ..pb::StartQrSession::default() };
        let start = Message::StartQrSession(start);
        assert_eq!(refused_field(later(start)), "start_qr_session.amount", "{amount:?}");
    }
}

#[test]
fn a_dispensers_nonce_has_1_to_64_capital_hexadecimal_digits() {
    let start = |nonce: &str| Message::StartQrSession(pb::StartQrSession { amount: None, command_nonce: nonce.into() });
    for nonce in ["0", "254611E63B2531576314E86527338D61", &"F".repeat(64)] {
        let command_nonce = Some(nonce.parse().unwrap());
        assert_eq!(later(start(nonce)), Ok(FromAtm::StartQrSession { amount: None, command_nonce, fresh: FRESH }));
    }
    for nonce in ["0a", "0x1", "1 ", "1,DISPENSE1=9", "é", &"F".repeat(65)] {
        assert_eq!(refused_field(later(start(nonce))), "start_qr_session.command_nonce", "{nonce:?}");
    }
}

#[test]
fn end_to_end_security_is_declared_with_a_token_format_that_is_known() {
    let declared = |token_format: Option<u32>| {
        greeted(|hello| hello.end_to_end = token_format.map(|token_format| pb::EndToEndSecurity { token_format }))
    };
    assert_eq!(declared(None).map(|hello| hello.facts.end_to_end), Ok(false));
    assert_eq!(declared(Some(1)).map(|hello| hello.facts.end_to_end), Ok(true));
    for other in [0, 2, u32::MAX] {
        assert_eq!(refused_field(declared(Some(other))), "hello.end_to_end.token_format");
    }
}

#[test]
fn ids_in_messages_are_uuids() {
    for text in NOT_UUIDS {
        let end = pb::EndQrSession { qr_session_id: text.into() };
        assert_eq!(refused_field(later(Message::EndQrSession(end))), "end_qr_session.qr_session_id", "{text:?}");
        let enter = pb::EnterConfirmCode { withdrawal_id: text.into(), code: "0427".into() };
        let field = refused_field(later(Message::EnterConfirmCode(enter)));
        assert_eq!(field, "enter_confirm_code.withdrawal_id", "{text:?}");
    }
}

#[test]
fn a_code_has_four_digits() {
    for code in ["", "042", "04277", "042a", "+427", " 427", "４", "0４", "04\u{e9}", "0427\n"] {
        let enter = pb::EnterConfirmCode { withdrawal_id: WITHDRAWAL.into(), code: code.into() };
        assert_eq!(refused_field(later(Message::EnterConfirmCode(enter))), "enter_confirm_code.code", "{code:?}");
    }
}

#[test]
fn a_bad_report_is_refused_with_its_path() {
    let mut unknown_word = report();
    unknown_word.outcome = 6;
    assert_eq!(refused_field(later(Message::Outcome(unknown_word))), "outcome.outcome");
}
