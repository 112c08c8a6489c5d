//! Whatever bytes come as a message, a journal step or a token of a dispenser: refused, or within their bounds and written as they were read.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "a test may stop loudly; and it borrows a module of which it does not need all"
)]

#[path = "conversions/given.rs"]
mod given;

use std::path::{Path, PathBuf};

use cashgate_fuzz::{Verdict, fuzz};
use cashgate_wire::atm::{hello_from, message_from};
use cashgate_wire::corebank::{hold_answer, settlement_answer};
use cashgate_wire::customer::{approve, cancel, register_device, scan};
use cashgate_wire::dispense_token::{PresentStatement, dispense_id};
use cashgate_wire::outcome::{report_from, report_to};
use cashgate_wire::proto::atm::v1::{
    AtmMessage, EndQrSession, EnterConfirmCode, StartQrSession, UpdateCassettes, atm_message,
};
use cashgate_wire::proto::corebank::v1::{ConfirmHoldResponse, PlaceHoldResponse, ReverseHoldResponse};
use cashgate_wire::proto::customer::v1::CancelRequest;
use cashgate_wire::proto::operations::v1::{
    ListWithdrawalsRequest, ResolveSuspectRequest, RetireKeyRequest, RotateKeyRequest, resolve_suspect_request,
};
use cashgate_wire::proto::withdrawal::v1::{OutcomeReport, StopScope};
use cashgate_wire::{journal, notices, operations, stops};
use cashgate_withdrawal::evidence::{DispenseToken, PresentToken};
use cashgate_withdrawal::ids::{QrSessionId, WithdrawalId};
use cashgate_withdrawal::refusal::Refusal;
use prost::Message;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(target)
}

/// Whether the bytes are such a message, and it was accepted.
fn offer<M: Message + Default, T, E>(bytes: &[u8], convert: impl FnOnce(M) -> Result<T, E>) -> bool {
    M::decode(bytes).is_ok_and(|message| convert(message).is_ok())
}

fn report(report: OutcomeReport) -> Result<(), Refusal> {
    let (id, read) = report_from(report)?;
    assert!(read.presented_notes.len() <= 16 && read.detail.len() <= 256);
    assert_eq!(report_from(report_to(id, &read)), Ok((id, read)), "an accepted report is written as it was read");
    Ok(())
}

fn hello(message: AtmMessage) -> Result<(), Refusal> {
    let hello = hello_from(message)?;
    assert!(hello.unresolved.len() <= 64 && hello.facts.name.chars().count() <= 64);
    Ok(())
}

#[test]
fn messages() {
    fuzz(&corpus("messages"), |bytes| {
        let accepted = [
            offer(bytes, hello),
            offer(bytes, |message: AtmMessage| message_from(message, QrSessionId::from_bytes([9; 16]), 40)),
            offer(bytes, report),
            offer(bytes, register_device),
            offer(bytes, scan),
            offer(bytes, approve),
            offer(bytes, |request: CancelRequest| cancel(&request)),
            offer(bytes, |request: ResolveSuspectRequest| operations::resolution(request)),
            offer(bytes, |request: RotateKeyRequest| operations::rotation(request)),
            offer(bytes, |request: RetireKeyRequest| operations::retirement(request)),
            offer(bytes, |request: ListWithdrawalsRequest| operations::state_name(request.state)),
            offer(bytes, |scope: StopScope| {
                let read = stops::scope_from(Some(scope))?;
                assert_eq!(stops::scope_from(Some(stops::scope_to(&read))), Ok(read));
                Ok::<_, Refusal>(())
            }),
        ];
        // Core banking's answers always mean something; here only that nothing stops.
        let _ = offer(bytes, |answer: PlaceHoldResponse| Ok::<_, ()>(hold_answer(answer)));
        let _ = offer(bytes, |answer: ConfirmHoldResponse| Ok::<_, ()>(settlement_answer(answer.refused)));
        let _ = offer(bytes, |answer: ReverseHoldResponse| Ok::<_, ()>(settlement_answer(answer.refused)));
        let notice = notices::decode(bytes);
        if let Ok(notice) = &notice {
            assert_eq!(
                notices::decode(&notices::encode(notice)).as_ref(),
                Ok(notice),
                "a notice is written as it was read"
            );
        }
        Verdict::from(notice.is_ok() || accepted.contains(&true))
    });
}

/// A withdrawal's id, and its steps, each behind its length in two bytes.
fn withdrawal(bytes: &[u8]) -> Option<(WithdrawalId, Vec<&[u8]>)> {
    let (id, mut bytes) = bytes.split_first_chunk::<16>()?;
    let mut steps = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let (step, rest) = rest.split_at(rest.len().min(usize::from(u16::from_be_bytes(*length))));
        steps.push(step);
        bytes = rest;
    }
    Some((WithdrawalId::from_bytes(*id), steps))
}

#[test]
fn journal_frames() {
    fuzz(&corpus("journal_frames"), |bytes| {
        let Some((id, steps)) = withdrawal(bytes) else { return Verdict::Refused };
        for step in &steps {
            assert!(journal::describe(id, step).len() <= 64 * 1024);
        }
        let numbered = steps.iter().zip(1_u32..).map(|(step, number)| (number, given::ms(number.into()), *step));
        match journal::replay(id, numbered) {
            Ok(withdrawal) => {
                assert_eq!(withdrawal.terms.withdrawal, id, "a step of another withdrawal cannot come in");
                Verdict::Accepted
            }
            Err(_) => Verdict::Refused,
        }
    });
}

#[test]
fn dispense_tokens() {
    fuzz(&corpus("dispense_tokens"), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(token) = text.parse::<DispenseToken>() {
            let id = dispense_id(&token);
            assert!(token.as_str().len() <= 1_024 && id.is_none_or(|_| token.as_str().contains("HMACSHA256=")));
        }
        let Ok(token) = text.parse::<PresentToken>() else { return Verdict::Refused };
        let Ok(read) = PresentStatement::read(&token) else { return Verdict::Refused };
        assert!(text.as_bytes().starts_with(read.authenticated()), "the MAC covers what stands before it");
        assert_eq!(read.authenticated().len() + 64, text.len(), "and all of it");
        Verdict::Accepted
    });
}

fn put(target: &str, name: &str, bytes: &[u8]) {
    std::fs::create_dir_all(corpus(target)).unwrap();
    std::fs::write(corpus(target).join(name), bytes).unwrap();
}

/// Makes the corpora: `cargo test -p cashgate-wire --test fuzz -- --ignored`.
#[test]
#[ignore = "writes files"]
fn write_corpus() {
    put_messages();
    put_journal();
    put_tokens();
}

fn put_messages() {
    let mut greeting = given::hello();
    greeting.unresolved = vec![given::report(); 2];
    let said = |message| given::said(message).encode_to_vec();
    put("messages", "hello", &said(atm_message::Message::Hello(greeting)));
    put("messages", "outcome", &said(atm_message::Message::Outcome(given::report())));
    put(
        "messages",
        "start",
        &said(atm_message::Message::StartQrSession(StartQrSession {
            amount: given::money(30_000, "JPY"),
            ..Default::default()
        })),
    );
    put(
        "messages",
        "end",
        &said(atm_message::Message::EndQrSession(EndQrSession { qr_session_id: given::QR_SESSION.into() })),
    );
    let code = EnterConfirmCode { withdrawal_id: given::WITHDRAWAL.into(), code: "0427".into() };
    put("messages", "code", &said(atm_message::Message::EnterConfirmCode(code)));
    let cassettes = UpdateCassettes { cassettes: vec![given::cassette(10_000, 3)] };
    put("messages", "cassettes", &said(atm_message::Message::UpdateCassettes(cassettes)));
    put("messages", "report", &given::report().encode_to_vec());
    put("messages", "approve", &given::approve_request().encode_to_vec());
    let counted = given::money(1, "JPY").map(resolve_suspect_request::Resolution::Confirm);
    let key = ResolveSuspectRequest {
        withdrawal_id: given::WITHDRAWAL.into(),
        reason: "counted".into(),
        resolution: counted,
    };
    put("messages", "resolve", &key.encode_to_vec());
    put("messages", "noise", &[0xff; 40]);
    put("messages", "empty", &[]);
}

/// The journal's corpus is that of the golden records, whole and without their first steps.
fn put_journal() {
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/journal-v1")).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let bodies = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| hex::decode(line.rsplit_once(' ').unwrap().1).unwrap());
        let framed: Vec<u8> =
            bodies.flat_map(|body| [&u16::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat()).collect();
        // Their ids differ in the last byte.
        let candidates = (0..=255).map(|number| {
            let id = [0x01, 0x98, 0x1f, 0x2e, 0x7c, 0x1a, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, number];
            [&id[..], &framed].concat()
        });
        let replays = |bytes: &Vec<u8>| {
            let (id, steps) = withdrawal(bytes).unwrap();
            journal::replay(
                id,
                steps.iter().zip(1_u32..).map(|(step, number)| (number, given::ms(number.into()), *step)),
            )
            .is_ok()
        };
        let whole = candidates.into_iter().find(replays).expect("a golden withdrawal");
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        put("journal_frames", &name, &whole);
        put(
            "journal_frames",
            &format!("{name}-without-its-first-step"),
            &[&whole[..16], &framed[2 + usize::from(u16::from_be_bytes([framed[0], framed[1]]))..]].concat(),
        );
    }
}

fn put_tokens() {
    let mac = "CB735612FD6141213C2827FB5A6A4F4846D7A7347B15434916FEA6AC16F3D2F2";
    put(
        "dispense_tokens",
        "dispense",
        format!(
            "NONCE=254611E63B2531576314E86527338D61,TOKENFORMAT=1,TOKENLENGTH=0164,DISPENSE1=50.00EUR,HMACSHA256={mac}"
        )
        .as_bytes(),
    );
    put("dispense_tokens", "present", format!("NONCE=1414,TOKENFORMAT=1,TOKENLENGTH=0268,DISPENSEID={mac},DISPENSED1=50.00EUR,PRESENTED1=YES,PRESENTEDAMOUNT1=50.00EUR,RETRACTED1=NO,HMACSHA256={mac}").as_bytes());
}
