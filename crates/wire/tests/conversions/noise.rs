//! Whatever bytes come in: nothing here panics, and what is accepted is within its limits.

use std::cell::Cell;

use cashgate_wire::atm::{hello_from, message_from};
use cashgate_wire::corebank::{hold_answer, settlement_answer};
use cashgate_wire::customer::{approve, cancel, register_device, scan};
use cashgate_wire::journal::{describe, replay};
use cashgate_wire::operations::{resolution, state_name};
use cashgate_wire::outcome::{report_from, report_to};
use cashgate_wire::proto::atm::v1::{AtmMessage, atm_message};
use cashgate_wire::proto::corebank::v1::{ConfirmHoldResponse, PlaceHoldResponse, ReverseHoldResponse};
use cashgate_wire::proto::customer::v1::{ApproveRequest, CancelRequest, RegisterDeviceRequest, ScanRequest};
use cashgate_wire::proto::operations::v1::{ListWithdrawalsRequest, ResolveSuspectRequest};
use cashgate_wire::proto::withdrawal::v1::OutcomeReport;
use cashgate_withdrawal::ids::QrSessionId;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};
use prost::Message;
use prost::encoding::encode_varint;

use crate::given::{WITHDRAWAL, approve_request, hello, report, said, withdrawal};
use crate::journal::approval;

/// How many of the conversions took the bytes for a message, and how many accepted it.
#[derive(Clone, Copy, Default)]
struct Tally {
    decoded: u32,
    accepted: u32,
}

impl Tally {
    fn offer<M: Message + Default, T, E>(&mut self, bytes: &[u8], convert: impl FnOnce(M) -> Result<T, E>) {
        if let Ok(message) = M::decode(bytes) {
            self.decoded += 1;
            self.accepted += u32::from(convert(message).is_ok());
        }
    }
}

/// How many conversions [`offer_everywhere`] tries.
const OFFERS: u32 = 12;

/// Offers the same bytes as every message that comes from outside, and as a journal step.
fn offer_everywhere(bytes: &[u8]) -> Tally {
    let mut tally = Tally::default();
    tally.offer(bytes, hello_from);
    tally.offer(bytes, |message: AtmMessage| message_from(message, QrSessionId::from_bytes([9; 16]), 40));
    tally.offer(bytes, |report: OutcomeReport| {
        let (id, read) = report_from(report)?;
        assert!(read.presented_notes.len() <= 16 && read.detail.len() <= 256);
        assert_eq!(report_from(report_to(id, &read)), Ok((id, read)), "an accepted report is written as it was read");
        Ok::<_, cashgate_withdrawal::refusal::Refusal>(())
    });
    tally.offer(bytes, |request: RegisterDeviceRequest| register_device(request));
    tally.offer(bytes, |request: ScanRequest| scan(request));
    tally.offer(bytes, |request: ApproveRequest| approve(request));
    tally.offer(bytes, |request: CancelRequest| cancel(&request));
    tally.offer(bytes, |request: ResolveSuspectRequest| resolution(request));
    tally.offer(bytes, |request: ListWithdrawalsRequest| state_name(request.state));
    tally.offer(bytes, |response: PlaceHoldResponse| Ok::<_, ()>(hold_answer(response)));
    tally.offer(bytes, |response: ConfirmHoldResponse| Ok::<_, ()>(settlement_answer(response.refused)));
    tally.offer(bytes, |response: ReverseHoldResponse| Ok::<_, ()>(settlement_answer(response.refused)));
    let _ = describe(withdrawal(), bytes);
    let at = crate::given::ms(0);
    let _ = replay(withdrawal(), [(1, at, bytes)]);
    let _ = replay(withdrawal(), [(1, at, approval().as_slice()), (2, at, bytes)]);
    tally
}

/// A field of a message: its number, and a number, text or message in it. Wire types as in the Protocol Buffers encoding.
fn field(number: u64, wire_type: u64, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![];
    encode_varint(number << 3 | wire_type, &mut bytes);
    if wire_type == 2 {
        encode_varint(content.len() as u64, &mut bytes);
    }
    bytes.extend_from_slice(content);
    bytes
}

/// Bytes that have the shape of messages in messages, with field numbers that ours have and contents that some of ours accept.
fn shaped() -> impl Strategy<Value = Vec<u8>> {
    let numbers = 1..17_u64;
    let size = prop_oneof![select(vec![0, 1, 2, 5, 10_000, u64::MAX, 1 << 63, 1 << 32, 1_000_000_000_000]), 0..300_u64];
    let varint = (numbers.clone(), size).prop_map(|(number, size)| {
        let mut content = vec![];
        encode_varint(size, &mut content);
        field(number, 0, &content)
    });
    let texts = select(vec![WITHDRAWAL, "JPY", "EUR", "0427", "phone-1", "", "a\nb", "abandoned", "nothing_left"]);
    let text = (numbers.clone(), texts).prop_map(|(number, text)| field(number, 2, text.as_bytes()));
    let blob = (numbers, vec(any::<u8>(), 0..20)).prop_map(|(number, blob)| field(number, 2, &blob));
    let one = prop_oneof![4 => varint, 4 => text, 1 => blob].boxed();
    let flat = vec(one.clone(), 0..6).prop_map(|fields| fields.concat());
    flat.prop_recursive(4, 48, 6, move |inner| {
        let nested = (1..17_u64, inner).prop_map(|(number, inner)| field(number, 2, &inner));
        vec(prop_oneof![2 => one.clone(), 3 => nested], 0..6).prop_map(|fields| fields.concat())
    })
}

/// Messages that nothing is wrong with, with a few bytes changed, added or removed.
fn nearly_right() -> impl Strategy<Value = Vec<u8>> {
    let mut greeting = hello();
    greeting.unresolved = vec![report(); 2];
    let right = vec![
        said(atm_message::Message::Hello(greeting)).encode_to_vec(),
        said(atm_message::Message::Outcome(report())).encode_to_vec(),
        report().encode_to_vec(),
        approve_request().encode_to_vec(),
        approval(),
    ];
    let change = (any::<Index>(), any::<u8>(), 0..3_u8);
    (select(right), vec(change, 0..4)).prop_map(|(mut bytes, changes)| {
        for (place, byte, how) in changes {
            let place = place.index(bytes.len());
            match how {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                _ => drop(bytes.remove(place)),
            }
        }
        bytes
    })
}

/// Offers `cases` of them, and holds that they were not all turned away at the door: so many in a hundred conversions, or at least one,
/// were of bytes that are a message, and some were accepted.
fn survive(noise: impl Strategy<Value = Vec<u8>>, cases: u32, decoded_percent: u32) {
    let total = Cell::new(Tally::default());
    let mut runner = TestRunner::new(Config { cases, source_file: Some(file!()), ..Config::default() });
    let survived = runner.run(&noise, |bytes| {
        let (mut sum, tally) = (total.get(), offer_everywhere(&bytes));
        sum.decoded += tally.decoded;
        sum.accepted += tally.accepted;
        total.set(sum);
        Ok(())
    });
    survived.unwrap();
    let Tally { decoded, accepted } = total.get();
    let wanted = (cases * OFFERS * decoded_percent / 100).max(1);
    assert!(decoded >= wanted, "only {decoded} were messages: the noise is too wild to test anything");
    assert!(accepted > 0, "nothing was accepted");
}

#[test]
fn random_bytes() {
    survive(vec(any::<u8>(), 0..200), 2_000, 0);
}

#[test]
fn bytes_in_the_shape_of_messages() {
    survive(shaped(), 2_000, 10);
}

#[test]
fn messages_with_a_few_bytes_changed() {
    survive(nearly_right(), 2_000, 10);
}
