//! What the gateway says to an ATM arrives as it was meant.

use std::time::Duration;

use cashgate_wire::atm::{message_to, reconnect, refused};
use cashgate_wire::money_from;
use cashgate_wire::proto::atm::v1::{self as pb, gateway_message::Message as Said};
use cashgate_withdrawal::dispense::DispenseCommand;
use cashgate_withdrawal::evidence::DispenseToken;
use cashgate_withdrawal::ids::{QrSessionId, QrTokenDigest, WithdrawalId};
use cashgate_withdrawal::lane::{MintedCode, QrSessionEnd, ToAtm};
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::time::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use prost::Message;

use crate::given::ms;
use crate::refusals::every_refusal;

/// The last moment that a message can carry, far beyond any clock.
const LAST_MS: u64 = i64::MAX.unsigned_abs();

fn withdrawal() -> impl Strategy<Value = WithdrawalId> {
    any::<[u8; 16]>().prop_map(WithdrawalId::from_bytes)
}

fn qr_session() -> impl Strategy<Value = QrSessionId> {
    any::<[u8; 16]>().prop_map(QrSessionId::from_bytes)
}

fn moment() -> impl Strategy<Value = Timestamp> {
    prop_oneof![Just(0), Just(LAST_MS), 0..LAST_MS].prop_map(ms)
}

fn refusal() -> impl Strategy<Value = Refusal> {
    select(every_refusal())
}

fn end() -> impl Strategy<Value = QrSessionEnd> {
    use QrSessionEnd::{Cancelled, Declined, Expired, Failed, Finished};
    select(vec![Expired, Cancelled, Declined, Finished, Failed])
}

fn command() -> impl Strategy<Value = DispenseCommand> {
    let amount = prop_oneof![Just(Money::MINOR_UNITS_MAX), 0..=Money::MINOR_UNITS_MAX];
    let token = proptest::option::of("[ -~]{1,300}");
    (withdrawal(), amount, moment(), token).prop_map(|(withdrawal, amount, start_before, token)| DispenseCommand {
        withdrawal,
        amount: Money::from_minor_units(amount, Currency::JPY).unwrap(),
        start_before,
        dispense_token: token.map(|token| token.parse().unwrap()),
    })
}

/// Everything that can be said.
fn to_atm() -> impl Strategy<Value = ToAtm> {
    let code = (qr_session(), "[0-9A-Z $%*+./:-]{1,300}", any::<[u8; 32]>(), moment()).prop_map(
        |(qr_session, text, digest, expires_at)| MintedCode {
            qr_session,
            text: text.into(),
            digest: QrTokenDigest(digest),
            expires_at,
        },
    );
    let after = prop_oneof![Just(u64::MAX), 0..100_000_u64].prop_map(Duration::from_millis);
    prop_oneof![
        (moment(), "[A-Za-z0-9._-]{1,64}").prop_map(|(now, atm)| ToAtm::Welcome { now, atm: atm.parse().unwrap() }),
        (code, moment()).prop_map(|(code, at)| ToAtm::ShowQr { code, qr_session_expires_at: at }),
        qr_session().prop_map(ToAtm::QrClaimed),
        (withdrawal(), any::<u8>(), moment()).prop_map(|(withdrawal, tries_left, expires_at)| {
            ToAtm::AskConfirmCode { withdrawal, tries_left, expires_at }
        }),
        command().prop_map(ToAtm::Dispense),
        (withdrawal(), proptest::option::of("[0-9A-F]{1,64}")).prop_map(|(withdrawal, nonce)| {
            ToAtm::QueryOutcome { withdrawal, present_nonce: nonce.map(|nonce| nonce.parse().unwrap()) }
        }),
        withdrawal().prop_map(ToAtm::OutcomeRecorded),
        (qr_session(), end()).prop_map(|(qr_session, end)| ToAtm::QrSessionEnded { qr_session, end }),
        (after, refusal()).prop_map(|(after, refusal)| ToAtm::TryLater { after, refusal }),
        (refusal(), proptest::option::of(withdrawal()))
            .prop_map(|(refusal, withdrawal)| ToAtm::Refused { refusal, withdrawal }),
    ]
}

/// What an ATM reads off the wire.
fn heard(message: &ToAtm) -> Said {
    let bytes = message_to(message.clone()).encode_to_vec();
    pb::GatewayMessage::decode(bytes.as_slice()).unwrap().message.expect("something was said")
}

fn at(unix_ms: i64) -> Timestamp {
    ms(unix_ms.try_into().unwrap())
}

/// A number for each kind, and that each arrives whole. No catch-all: a new kind has to be told to ATMs, and checked, here.
fn arrives(meant: &ToAtm) -> usize {
    match (meant, heard(meant)) {
        (ToAtm::Welcome { now, atm }, Said::Welcome(said)) => {
            assert_eq!((at(said.gateway_time_unix_ms), said.atm_id.as_str()), (*now, atm.as_str()));
            0
        }
        (ToAtm::ShowQr { code, qr_session_expires_at }, Said::ShowQr(said)) => {
            assert_eq!((said.qr_session_id.parse(), said.qr_text.as_str()), (Ok(code.qr_session), &*code.text));
            let moments = (at(said.expires_at_unix_ms), at(said.qr_session_expires_at_unix_ms));
            assert_eq!(moments, (code.expires_at, *qr_session_expires_at));
            1
        }
        (ToAtm::QrClaimed(id), Said::QrClaimed(said)) => {
            assert_eq!(said.qr_session_id.parse(), Ok(*id));
            2
        }
        (ToAtm::AskConfirmCode { withdrawal, tries_left, expires_at }, Said::AskConfirmCode(said)) => {
            assert_eq!((said.withdrawal_id.parse(), said.tries_left), (Ok(*withdrawal), u32::from(*tries_left)));
            assert_eq!(at(said.expires_at_unix_ms), *expires_at);
            3
        }
        (ToAtm::Dispense(command), Said::Dispense(said)) => {
            assert_eq!(
                (said.withdrawal_id.parse(), at(said.start_before_unix_ms)),
                (Ok(command.withdrawal), command.start_before)
            );
            assert_eq!(money_from("amount", said.amount), Ok(command.amount));
            let token = command.dispense_token.as_ref().map_or("", DispenseToken::as_str);
            let id = command.withdrawal.to_string().replace('-', "").to_uppercase();
            let nonce = if token.is_empty() { "" } else { id.as_str() };
            assert_eq!((said.dispense_token.as_str(), said.present_nonce.as_str()), (token, nonce));
            4
        }
        (ToAtm::QueryOutcome { withdrawal, present_nonce }, Said::QueryOutcome(said)) => {
            assert_eq!(said.withdrawal_id.parse(), Ok(*withdrawal));
            assert_eq!(said.present_nonce.parse().ok(), *present_nonce);
            5
        }
        (ToAtm::OutcomeRecorded(id), Said::OutcomeRecorded(said)) => {
            assert_eq!(said.withdrawal_id.parse(), Ok(*id));
            6
        }
        (ToAtm::QrSessionEnded { qr_session, end }, Said::QrSessionEnded(said)) => {
            assert_eq!((said.qr_session_id.parse(), said.end), (Ok(*qr_session), number_of(*end)));
            7
        }
        (ToAtm::TryLater { after, refusal }, Said::TryLater(said)) => {
            assert_eq!(u128::from(said.after_ms), after.as_millis().min(u32::MAX.into()));
            assert_eq!(said.reason, refusal.reason());
            8
        }
        (ToAtm::Refused { refusal, withdrawal }, Said::Refused(said)) => {
            assert_eq!((said.reason.as_str(), said.detail), (refusal.reason(), refusal.to_string()));
            assert_eq!(said.withdrawal_id.parse().ok(), *withdrawal);
            9
        }
        (meant, said) => wrong_kind(meant, &said),
    }
}

/// Reached only when a message is of another kind than was meant; the match has no `_` so that a new kind cannot slip through it.
fn wrong_kind(meant: &ToAtm, said: &Said) -> ! {
    match meant {
        ToAtm::Welcome { .. }
        | ToAtm::ShowQr { .. }
        | ToAtm::QrClaimed(_)
        | ToAtm::AskConfirmCode { .. }
        | ToAtm::Dispense(_)
        | ToAtm::QueryOutcome { .. }
        | ToAtm::OutcomeRecorded(_)
        | ToAtm::QrSessionEnded { .. }
        | ToAtm::TryLater { .. }
        | ToAtm::Refused { .. } => panic!("{meant:?} became {said:?}"),
    }
}

/// The numbers that ATMs in the field have compiled in.
const fn number_of(end: QrSessionEnd) -> i32 {
    match end {
        QrSessionEnd::Expired => 1,
        QrSessionEnd::Cancelled => 2,
        QrSessionEnd::Declined => 3,
        QrSessionEnd::Finished => 4,
        QrSessionEnd::Failed => 5,
    }
}

proptest! {
    #[test]
    fn what_is_said_arrives_as_it_was_meant(meant in to_atm()) {
        arrives(&meant);
    }

    #[test]
    fn a_resent_dispense_command_is_byte_for_byte_the_first(command in command()) {
        let sent = || message_to(ToAtm::Dispense(command.clone())).encode_to_vec();
        prop_assert_eq!(sent(), sent());
    }
}

#[test]
fn every_kind_was_said() {
    let mut runner = TestRunner::deterministic();
    let mut kinds = [false; 10];
    for _ in 0..1_000 {
        kinds[arrives(&to_atm().new_tree(&mut runner).unwrap().current())] = true;
    }
    assert_eq!(kinds, [true; 10]);
}

#[test]
fn what_no_lane_says_arrives_too() {
    for refusal in every_refusal() {
        let Some(Said::Refused(said)) = refused(&refusal).message else { panic!("not refused") };
        assert_eq!((said.reason.as_str(), said.withdrawal_id.as_str()), (refusal.reason(), ""));
    }
    for (after, expected) in [(Duration::from_millis(1_500), 1_500), (Duration::MAX, u32::MAX)] {
        let Some(Said::Reconnect(said)) = reconnect(after).message else { panic!("not told to reconnect") };
        assert_eq!(said.after_ms, expected);
    }
}
