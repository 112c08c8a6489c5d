//! What the app back end and operators ask for.

use cashgate_wire::customer::{QR_TEXT_LENGTH_MAX, approve, cancel, register_device, scan, withdrawal_id};
use cashgate_wire::operations::{resolution, state_name, state_to};
use cashgate_wire::proto::customer::v1::{self as pb, cancel_request::Subject};
use cashgate_wire::proto::operations::v1::{ResolveSuspectRequest, Reverse, resolve_suspect_request::Resolution};
use cashgate_wire::proto::withdrawal::v1::WithdrawalState;
use cashgate_withdrawal::event::Settlement;
use cashgate_withdrawal::lane::CancelSubject;
use cashgate_withdrawal::money::Money;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::given::{
    NOT_UUIDS, QR_SESSION, WITH_CONTROL_CHARACTERS, WITHDRAWAL, approve_request, money, not_amounts, refused_field,
    withdrawal, yen,
};
use crate::histories::history;

/// What stands where a text id belongs, and is none.
fn not_ids() -> Vec<String> {
    let mut wrong: Vec<String> = ["", " ", "a b", "a/b", "a:b", "a\n", "\0", "口座"].map(str::to_owned).to_vec();
    wrong.extend(["x".repeat(65), "x".repeat(100_000)]);
    wrong
}

#[test]
fn a_device_is_registered_with_an_id_a_key_and_a_moment() {
    let good = pb::RegisterDeviceRequest {
        device_id: "x".repeat(64),
        public_key: vec![0x30; 256],
        bound_at_unix_ms: i64::MAX,
        activation_channel: "post".into(),
        attestation: pb::Attestation::Failed.into(),
    };
    let read = register_device(good.clone()).unwrap();
    assert_eq!((read.device.as_str(), read.public_key.len()), (good.device_id.as_str(), 256));
    assert_eq!(read.bound_at.unix_ms(), i64::MAX.unsigned_abs());
    assert_eq!((read.channel.as_str(), read.attestation), ("post", Some(false)));
    let refused = |field: &str, change: &dyn Fn(&mut pb::RegisterDeviceRequest)| {
        let mut request = good.clone();
        change(&mut request);
        assert_eq!(refused_field(register_device(request)), field);
    };
    for wrong in not_ids() {
        refused("device_id", &|request| request.device_id.clone_from(&wrong));
    }
    refused("public_key", &|request| request.public_key.clear());
    refused("public_key", &|request| request.public_key.push(0));
    refused("bound_at_unix_ms", &|request| request.bound_at_unix_ms = -1);
    refused("bound_at_unix_ms", &|request| request.bound_at_unix_ms = i64::MIN);
    refused("activation_channel", &|request| request.activation_channel = "by post".into());
    refused("attestation", &|request| request.attestation = 3);
}

#[test]
fn a_scan_has_a_text_a_device_and_an_account() {
    let good = pb::ScanRequest {
        qr_text: "Q".repeat(QR_TEXT_LENGTH_MAX),
        device_id: "phone-1".into(),
        account_id: "acct-1".into(),
    };
    let read = scan(good.clone()).unwrap();
    assert_eq!(
        (read.qr_text.as_str(), read.device.as_str(), read.account.as_str()),
        (&*good.qr_text, "phone-1", "acct-1")
    );
    let refused = |field: &str, change: &dyn Fn(&mut pb::ScanRequest)| {
        let mut request = good.clone();
        change(&mut request);
        assert_eq!(refused_field(scan(request)), field);
    };
    refused("qr_text", &|request| request.qr_text.clear());
    refused("qr_text", &|request| request.qr_text.push('Q'));
    for wrong in not_ids() {
        refused("device_id", &|request| request.device_id.clone_from(&wrong));
        refused("account_id", &|request| request.account_id.clone_from(&wrong));
    }
}

#[test]
fn an_approval_is_read_whole() {
    let read = approve(approve_request()).unwrap();
    assert_eq!((read.qr_text.as_str(), read.device.as_str(), read.account.as_str()), ("CG1:ABC", "phone-1", "acct-1"));
    assert_eq!((read.amount, read.signature.len(), read.pin_block.is_none()), (yen(30_000), 70, true));
}

#[test]
fn an_approval_with_a_field_without_meaning_is_refused() {
    let refused = |field: &str, change: &dyn Fn(&mut pb::ApproveRequest)| {
        let mut request = approve_request();
        change(&mut request);
        assert_eq!(refused_field(approve(request)), field);
    };
    refused("qr_text", &|request| request.qr_text.clear());
    refused("qr_text", &|request| request.qr_text = "Q".repeat(QR_TEXT_LENGTH_MAX + 1));
    for wrong in not_ids() {
        refused("device_id", &|request| request.device_id.clone_from(&wrong));
        refused("account_id", &|request| request.account_id.clone_from(&wrong));
    }
    for amount in not_amounts() {
        refused("amount", &|request| request.amount.clone_from(&amount));
    }
    refused("signature", &|request| request.signature.clear());
    refused("signature", &|request| request.signature = vec![0; 73]);
    let pin =
        |block: usize, serial: usize| Some(pb::PinBlock { block: vec![1; block], key_serial_number: vec![2; serial] });
    for length in [0, 7, 9, 15, 17, 100_000] {
        refused("pin_block.block", &|request| request.pin_block = pin(length, 10));
    }
    refused("pin_block.key_serial_number", &|request| request.pin_block = pin(8, 17));
}

#[test]
fn an_approval_at_every_limit_is_accepted() {
    for (block, serial, signature) in [(8, 0, 1), (16, 16, 72)] {
        let mut request = approve_request();
        request.qr_text = "Q".repeat(QR_TEXT_LENGTH_MAX);
        request.amount = money(i64::try_from(Money::MINOR_UNITS_MAX).unwrap(), "JPY");
        request.signature = vec![0; signature];
        request.pin_block = Some(pb::PinBlock { block: vec![1; block], key_serial_number: vec![2; serial] });
        assert!(approve(request).is_ok());
    }
}

#[test]
fn a_cancellation_names_one_thing() {
    let request = |device: &str, subject| pb::CancelRequest { device_id: device.into(), subject };
    let by_session = request("phone-1", Some(Subject::QrSessionId(QR_SESSION.into())));
    assert_eq!(cancel(&by_session).unwrap().1, CancelSubject::QrSession(QR_SESSION.parse().unwrap()));
    let by_withdrawal = request("phone-1", Some(Subject::WithdrawalId(WITHDRAWAL.into())));
    let (device, subject) = cancel(&by_withdrawal).unwrap();
    assert_eq!((device.as_str(), subject), ("phone-1", CancelSubject::Withdrawal(withdrawal())));
    assert_eq!(refused_field(cancel(&request("phone-1", None))), "subject");
    for wrong in not_ids() {
        assert_eq!(
            refused_field(cancel(&request(&wrong, Some(Subject::WithdrawalId(WITHDRAWAL.into()))))),
            "device_id"
        );
    }
    for text in NOT_UUIDS {
        let by_session = request("phone-1", Some(Subject::QrSessionId(text.into())));
        assert_eq!(refused_field(cancel(&by_session)), "qr_session_id", "{text:?}");
        let by_withdrawal = request("phone-1", Some(Subject::WithdrawalId(text.into())));
        assert_eq!(refused_field(cancel(&by_withdrawal)), "withdrawal_id", "{text:?}");
        assert_eq!(refused_field(withdrawal_id(text)), "withdrawal_id", "{text:?}");
    }
}

#[test]
fn a_resolution_has_a_decision_and_a_reason() {
    let request = |resolution, reason: &str| ResolveSuspectRequest {
        withdrawal_id: WITHDRAWAL.into(),
        reason: reason.into(),
        resolution,
    };
    let confirm = |amount: i64| Some(Resolution::Confirm(money(amount, "JPY").unwrap()));
    let longest = "r".repeat(512);
    assert_eq!(resolution(request(confirm(1), &longest)), Ok((Settlement::Confirm(yen(1)), longest)));
    let reversed = resolution(request(Some(Resolution::Reverse(Reverse {})), "r"));
    assert_eq!(reversed, Ok((Settlement::Reverse, "r".to_owned())));
    assert_eq!(refused_field(resolution(request(None, "r"))), "resolution");
    for amount in not_amounts().into_iter().flatten() {
        assert_eq!(refused_field(resolution(request(Some(Resolution::Confirm(amount)), "r"))), "confirm");
    }
    for reason in ["", &"r".repeat(513), &"円".repeat(171)].into_iter().chain(WITH_CONTROL_CHARACTERS) {
        assert_eq!(refused_field(resolution(request(confirm(1), reason))), "reason", "{reason:?}");
    }
}

#[test]
fn a_state_filter_is_a_state_or_none() {
    assert_eq!(state_name(WithdrawalState::Unspecified.into()), Ok(None));
    for unknown in [-1, 12, 13, i32::MIN, i32::MAX] {
        assert_eq!(refused_field(state_name(unknown)), "state");
    }
}

#[test]
fn a_state_has_one_name_in_messages_and_in_the_ledger() {
    let mut runner = TestRunner::deterministic();
    let mut met = std::collections::BTreeSet::new();
    for _ in 0..1_000 {
        for record in history().new_tree(&mut runner).unwrap().current() {
            let number = state_to(&record.after.state);
            assert_eq!(state_name(number.into()), Ok(Some(record.after.state.name().to_owned())));
            met.insert(i32::from(number));
        }
    }
    assert_eq!(met, (1..=11).collect(), "every state was met");
}
