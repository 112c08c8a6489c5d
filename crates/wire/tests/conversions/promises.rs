//! What the comments of `proto/` promise to whoever writes the other side from them alone.

use cashgate_wire::atm::{hello_from, message_from, refused};
use cashgate_wire::proto::atm::v1::{self as pb, atm_message::Message, gateway_message};
use cashgate_wire::status::status;
use cashgate_withdrawal::ids::QrSessionId;
use tonic::Code;

use crate::given::{hello, said};

#[test]
fn lengths_that_are_promised_in_characters_are_counted_in_characters() {
    let mut japanese = hello();
    (japanese.name, japanese.place) = ("渋".repeat(64), "谷".repeat(128));
    japanese.software = "機".repeat(64);
    assert!(hello_from(said(Message::Hello(japanese))).is_ok(), "Hello.name: 1 to 64 characters; place: 1 to 128");
}

#[test]
fn a_stream_that_does_not_begin_with_hello_fails_its_precondition() {
    let refusal = hello_from(said(Message::StartQrSession(pb::StartQrSession::default()))).unwrap_err();
    let promised = (Code::FailedPrecondition, "HELLO_MISSING");
    assert_eq!((status(&refusal).code(), refusal.reason()), promised, "as AtmService.Connect says");
}

#[test]
fn an_invalid_hello_is_an_invalid_argument() {
    let refusal = hello_from(said(Message::Hello(pb::Hello::default()))).unwrap_err();
    assert_eq!(status(&refusal).code(), Code::InvalidArgument, "as AtmService.Connect says");
}

#[test]
fn a_message_of_no_kind_is_refused() {
    let empty = pb::AtmMessage::default();
    let refusal = message_from(empty, QrSessionId::from_bytes([9; 16]), 40).unwrap_err();
    let Some(gateway_message::Message::Refused(told)) = refused(&refusal).message else { panic!("not refused") };
    assert_eq!(told.reason, "FIELD_INVALID", "as AtmMessage says");
}
