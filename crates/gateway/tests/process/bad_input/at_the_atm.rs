//! AtmService: first messages, and what comes after them.

use cashgate_wire::proto::atm::v1::atm_message::Message;
use cashgate_wire::proto::atm::v1::{
    AtmMessage, Cassette, EndQrSession, EnterConfirmCode, Hello, StartQrSession, UpdateCassettes,
};
use cashgate_wire::proto::withdrawal::v1::{EvidenceSource, Money, NoteCount, Outcome, OutcomeReport};

use crate::harness::{Atm, Heard, Phone, Refusals, Site, hello, in_words, report_dispensed, withdrawal_state};

const NOBODYS: &str = "01981f2e-7c1a-7000-8000-0123456789ab";

fn cassette(minor_units: i64, currency: &str) -> Cassette {
    Cassette { denomination: Some(Money { minor_units, currency: currency.to_owned() }), count: 10 }
}

fn nothing_left(withdrawal_id: &str) -> OutcomeReport {
    OutcomeReport {
        withdrawal_id: withdrawal_id.to_owned(),
        outcome: Outcome::NotDispensed.into(),
        evidence: EvidenceSource::LastCommandRecord.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn first_messages_that_are_not_valid() {
    let site = Site::ready().await;
    let mut refused = Refusals::of(&site, "Connect").await;
    let changed = |change: &dyn Fn(&mut Hello)| {
        let mut hello = hello();
        change(&mut hello);
        hello
    };
    let unresolved = |report: OutcomeReport| changed(&move |hello| hello.unresolved = vec![report.clone()]);
    let cassettes = |listed: Vec<Cassette>| changed(&move |hello| hello.cassettes.clone_from(&listed));
    let rows = [
        ("no name", changed(&|hello| hello.name = String::new()), "hello.name"),
        ("a name of 65 characters", changed(&|hello| hello.name = "n".repeat(65)), "hello.name"),
        ("a name with a line feed", changed(&|hello| hello.name = "A\nB".into()), "hello.name"),
        ("no place", changed(&|hello| hello.place = String::new()), "hello.place"),
        ("a place of 129 characters", changed(&|hello| hello.place = "p".repeat(129)), "hello.place"),
        ("software of 65 characters", changed(&|hello| hello.software = "s".repeat(65)), "hello.software"),
        ("no notes at once", changed(&|hello| hello.notes_per_dispense_max = 0), "hello.notes_per_dispense_max"),
        ("201 notes at once", changed(&|hello| hello.notes_per_dispense_max = 201), "hello.notes_per_dispense_max"),
        ("nine cassettes", cassettes(vec![cassette(1_000, "JPY"); 9]), "hello.cassettes"),
        ("two currencies", cassettes(vec![cassette(1_000, "JPY"), cassette(10, "EUR")]), "hello.cassettes"),
        ("a worthless note", cassettes(vec![cassette(0, "JPY")]), "hello.cassettes"),
        ("a note below zero", cassettes(vec![cassette(-1_000, "JPY")]), "hello.cassettes"),
        ("a note without a value", cassettes(vec![Cassette { denomination: None, count: 1 }]), "hello.cassettes"),
        ("a note of no currency", cassettes(vec![cassette(1_000, "yen")]), "hello.cassettes"),
        ("65 outcomes", changed(&|hello| hello.unresolved = vec![nothing_left(NOBODYS); 65]), "hello.unresolved"),
        ("an outcome of nothing", unresolved(nothing_left("")), "hello.unresolved"),
        ("an unknown outcome", unresolved(OutcomeReport { outcome: 99, ..nothing_left(NOBODYS) }), "hello.unresolved"),
    ];
    for (what, hello, field) in rows {
        let first = AtmMessage { message: Some(Message::Hello(hello)), ..Default::default() };
        let found = connecting(&site, first).await;
        refused.heard(what, &found, &format!("InvalidArgument FIELD_INVALID {field}")).await;
    }
    refused.done();
    assert_eq!(site.metric("cashgate_atms_connected", &[]).await, 0);
}

/// How a first message is refused.
async fn connecting(site: &Site, first: AtmMessage) -> String {
    match Atm::try_connect(site, "atm/A1", first).await {
        Ok(_) => "accepted".to_owned(),
        Err(status) => in_words(&status),
    }
}

#[tokio::test]
async fn the_first_message_must_be_hello() {
    let site = Site::ready().await;
    let rows = [
        ("empty", None),
        ("a customer", Some(Message::StartQrSession(StartQrSession::default()))),
        ("an outcome", Some(Message::Outcome(nothing_left(NOBODYS)))),
    ];
    let mut refused = Refusals::of(&site, "Connect").await;
    for (what, message) in rows {
        let found = connecting(&site, AtmMessage { message, ..Default::default() }).await;
        refused.heard(what, &found, "FailedPrecondition HELLO_MISSING").await;
    }
    refused.done();
}

#[tokio::test]
async fn later_messages_are_refused_and_the_stream_goes_on() {
    let site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let start = |minor_units, currency: &str| {
        let amount = Some(Money { minor_units, currency: currency.to_owned() });
        Some(Message::StartQrSession(StartQrSession { amount, ..Default::default() }))
    };
    let code = |withdrawal_id: &str, code: &str| {
        Some(Message::EnterConfirmCode(EnterConfirmCode { withdrawal_id: withdrawal_id.into(), code: code.into() }))
    };
    let update = |cassettes| Some(Message::UpdateCassettes(UpdateCassettes { cassettes }));
    let end = EndQrSession { qr_session_id: "Q-1".into() };
    let rows = [
        ("nothing", None, "FIELD_INVALID"),
        ("a second hello", Some(Message::Hello(hello())), "FIELD_INVALID"),
        ("zero", start(0, "JPY"), "FIELD_INVALID"),
        ("below zero", start(-1, "JPY"), "FIELD_INVALID"),
        ("huge", start(i64::MAX, "JPY"), "FIELD_INVALID"),
        ("no currency", start(10_000, ""), "FIELD_INVALID"),
        ("another currency", start(10_000, "EUR"), "CURRENCY_DIFFERS"),
        ("between two notes", start(1_500, "JPY"), "AMOUNT_NOT_DISPENSABLE"),
        ("more than there is", start(1_000_000, "JPY"), "AMOUNT_NOT_DISPENSABLE"),
        ("a session that has no id", Some(Message::EndQrSession(end)), "FIELD_INVALID"),
        ("a code of three digits", code(NOBODYS, "123"), "FIELD_INVALID"),
        ("a code of letters", code(NOBODYS, "abcd"), "FIELD_INVALID"),
        ("a code in full-width digits", code(NOBODYS, "１２３４"), "FIELD_INVALID"),
        ("a code for nothing", code("", "1234"), "FIELD_INVALID"),
        ("a code that nobody asked for", code(NOBODYS, "1234"), "WITHDRAWAL_UNKNOWN"),
        ("nine cassettes", update(vec![cassette(1_000, "JPY"); 9]), "FIELD_INVALID"),
        ("two currencies", update(vec![cassette(1_000, "JPY"), cassette(10, "EUR")]), "FIELD_INVALID"),
    ];
    let mut refused = Refusals::of(&site, "Connect").await;
    for (what, message, reason) in rows {
        atm.says_raw(AtmMessage { message, ..Default::default() }).await;
        refused.heard(what, &atm.hears_refusal().await, &format!("refused {reason}")).await;
    }
    refused.done();
    atm.shows_code().await;
}

#[tokio::test]
async fn reports_that_have_no_meaning() {
    let site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let withdrawal_id = phone.approve_at(&mut atm, 10_000).await;
    let command = atm.is_commanded().await;
    let good = || report_dispensed(&command);
    let note = |minor_units, currency: &str, count| NoteCount {
        denomination: Some(Money { minor_units, currency: currency.to_owned() }),
        count,
    };
    let presenting = |presented| OutcomeReport { presented, ..good() };
    let rows = [
        ("no withdrawal", OutcomeReport { withdrawal_id: String::new(), ..good() }),
        ("no outcome", OutcomeReport { outcome: 0, ..good() }),
        ("an unknown outcome", OutcomeReport { outcome: 99, ..good() }),
        ("an outcome below zero", OutcomeReport { outcome: -1, ..good() }),
        ("no evidence", OutcomeReport { evidence: 0, ..good() }),
        ("unknown evidence", OutcomeReport { evidence: 99, ..good() }),
        ("17 kinds of notes", presenting(vec![note(1_000, "JPY", 1); 17])),
        ("notes without a value", presenting(vec![NoteCount { denomination: None, count: 1 }])),
        ("notes below zero", presenting(vec![note(-1_000, "JPY", 1)])),
        ("notes of no currency", presenting(vec![note(1_000, "", 1)])),
        ("notes of two currencies", presenting(vec![note(1_000, "JPY", 1), note(10, "EUR", 1)])),
        ("more money than there is", presenting(vec![note(1_000_000_000_000, "JPY", u32::MAX)])),
        ("worthless notes taken back", OutcomeReport { retracted: vec![note(0, "JPY", 1)], ..good() }),
        ("a detail of 257 bytes", OutcomeReport { detail: "d".repeat(257), ..good() }),
        ("a detail with an escape", OutcomeReport { detail: "\u{1b}[2J".into(), ..good() }),
        ("observed before 1970", OutcomeReport { observed_at_unix_ms: -1, ..good() }),
    ];
    let mut refused = Refusals::of(&site, "Connect").await;
    for (what, report) in rows {
        atm.says(Message::Outcome(report)).await;
        refused.heard(what, &atm.hears_refusal().await, "refused FIELD_INVALID").await;
    }
    refused.done();
    atm.says(Message::Outcome(good())).await;
    atm.hears_it_recorded(&withdrawal_id).await;
    phone.watch_to_end(&withdrawal_id).await;
}

#[tokio::test]
async fn reports_on_what_is_not_this_atms_business() {
    let site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut other = Atm::connect(&site, "A2").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let withdrawal_id = phone.approve_at(&mut atm, 10_000).await;
    let command = atm.is_commanded().await;

    let mut refused = Refusals::of(&site, "Connect").await;
    let unknown = "refused WITHDRAWAL_UNKNOWN";
    for (what, id) in [("nobody's", NOBODYS), ("another ATM's, open", withdrawal_id.as_str())] {
        other.says(Message::Outcome(nothing_left(id))).await;
        refused.heard(what, &other.hears_refusal().await, unknown).await;
    }
    refused.done();
    assert_eq!(withdrawal_state(&site, &withdrawal_id), "dispense_commanded");
    atm.says(Message::Outcome(report_dispensed(&command))).await;
    atm.hears_it_recorded(&withdrawal_id).await;
    phone.watch_to_end(&withdrawal_id).await;

    let mut refused = Refusals::of(&site, "Connect").await;
    other.says(Message::Outcome(nothing_left(&withdrawal_id))).await;
    refused.heard("another ATM's, ended", &other.hears_refusal().await, unknown).await;
    assert!(matches!(atm.hears().await, Heard::QrSessionEnded(_)));
    atm.says(Message::Outcome(nothing_left(&withdrawal_id))).await;
    let contradiction = "refused OUTCOME_CONTRADICTS";
    refused.heard("its own, and against the first", &atm.hears_refusal().await, contradiction).await;
    refused.done();
    atm.says(Message::Outcome(report_dispensed(&command))).await;
    atm.hears_it_recorded(&withdrawal_id).await;
    assert_eq!(site.core_bank.call_names(&withdrawal_id), ["place", "confirm 10000"]);
}

#[tokio::test]
async fn an_atm_that_serves_a_customer_is_busy() {
    let site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    phone.approve_at(&mut atm, 10_000).await;
    atm.is_commanded().await;
    let mut refused = Refusals::of(&site, "Connect").await;
    atm.says(Message::StartQrSession(StartQrSession::default())).await;
    refused.heard("the next customer", &atm.hears_refusal().await, "refused ATM_BUSY").await;
    refused.done();
}

#[tokio::test]
async fn a_message_of_more_than_16_kib_ends_the_stream_and_nothing_else() {
    let site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let report = OutcomeReport { detail: "d".repeat(17 * 1024), ..nothing_left(NOBODYS) };
    atm.says(Message::Outcome(report)).await;
    assert!(!matches!(atm.hears_or_ends().await, Ok(Some(_))), "the stream is over");
    let first = AtmMessage {
        message: Some(Message::Hello(Hello { name: "n".repeat(17 * 1024), ..hello() })),
        ..Default::default()
    };
    let found = connecting(&site, first).await;
    assert!(found.starts_with("OutOfRange"), "{found}");
    Atm::connect(&site, "A1").await.shows_code().await;
    assert!(site.steps().is_empty());
}

impl Atm {
    /// The reason of the refusal that comes next.
    async fn hears_refusal(&mut self) -> String {
        match self.hears().await {
            Heard::Refused(refused) => format!("refused {}", refused.reason),
            other => format!("heard {other:?}"),
        }
    }
}
