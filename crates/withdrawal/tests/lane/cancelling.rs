//! The customer cancels in the app, at each stage.

use cashgate_withdrawal::ids::{QrSessionId, WithdrawalId};
use cashgate_withdrawal::lane::{CancelSubject, Cancellation, Input};

use crate::world::{OTHER_PHONE, PHONE, World, dispensed, nothing_dispensed, seconds};

#[test]
fn a_scanned_qr_session_can_be_cancelled_by_the_phone_that_scanned() {
    let mut world = World::claimed();
    world.cancels_qr_session(OTHER_PHONE).expect([], ["answer: QR_SESSION_UNKNOWN"]);
    world.cancels_qr_session(PHONE).expect([], ["screen ends: Cancelled", "answer: done"]);
    world.cancels_qr_session(PHONE).expect([], ["answer: QR_SESSION_UNKNOWN"]);
    world.approves(PHONE, 30_000).expect([], ["answer: QR_SESSION_ENDED"]);
}

#[test]
fn a_qr_session_that_nobody_scanned_is_nobodys_to_cancel() {
    World::showing().cancels_qr_session(PHONE).expect([], ["answer: QR_SESSION_UNKNOWN"]);
    let strange = CancelSubject::QrSession(QrSessionId::from_bytes([9; 16]));
    World::claimed().cancels_subject(PHONE, strange).expect([], ["answer: QR_SESSION_UNKNOWN"]);
}

/// The app may not have heard of its withdrawal yet.
#[test]
fn after_the_approval_the_qr_session_stands_for_its_withdrawal() {
    let mut world = World::hold_requested();
    world.cancels_qr_session(OTHER_PHONE).expect([], ["answer: QR_SESSION_UNKNOWN"]);
    world
        .cancels_qr_session(PHONE)
        .expect(["customer_cancelled"], ["reverse, no reference", "screen ends: Cancelled", "answer: done"]);
    World::commanded().cancels_qr_session(PHONE).expect([], ["answer: TOO_LATE"]);
}

#[test]
fn while_core_banking_is_being_asked() {
    let mut world = World::hold_requested();
    world
        .cancels(PHONE)
        .expect(["customer_cancelled"], ["reverse, no reference", "screen ends: Cancelled", "answer: done"]);
    world.cancels(PHONE).expect([], ["answer: done"]);
    world.bank_grants().expect(["hold_granted"], ["reverse H1"]);
    world.bank_settles().expect(["hold_reversed"], ["release"]);
    assert_eq!(world.reason().as_deref(), Some("customer_cancelled"));
}

#[test]
fn while_the_code_is_awaited() {
    let mut world = World::awaiting_code();
    world.cancels(PHONE);
    world.expect(["customer_cancelled"], ["reverse H1", "screen ends: Cancelled", "answer: done"]);
}

#[test]
fn while_the_atm_is_away() {
    let mut world = World::held_without_atm();
    world.cancels(PHONE).expect(["customer_cancelled"], ["reverse H1", "answer: done"]);
    world.atm_connects().expect([], ["welcome"]);
}

#[test]
fn after_the_command_it_is_too_late() {
    let mut world = World::commanded();
    world.cancels(PHONE).expect([], ["answer: TOO_LATE"]);
    world.atm_reports(dispensed(30_000)).cancels(PHONE).expect([], ["answer: TOO_LATE"]);

    let mut suspect = World::commanded();
    suspect.time_passes(seconds(15 * 60)).cancels(PHONE).expect([], ["answer: TOO_LATE"]);
}

#[test]
fn what_is_being_reversed_anyway_is_as_good_as_cancelled() {
    let mut world = World::commanded();
    world.atm_reports(nothing_dispensed()).cancels(PHONE).expect([], ["answer: done"]);
    assert_eq!(world.reason().as_deref(), Some("nothing_left"), "the evidence stays the reason");
}

#[test]
fn only_by_whose_withdrawal_it_is() {
    let mut world = World::hold_requested();
    world.cancels(OTHER_PHONE).expect([], ["answer: WITHDRAWAL_UNKNOWN"]);
    let strange = CancelSubject::Withdrawal(WithdrawalId::from_bytes([9; 16]));
    world.cancels_subject(PHONE, strange).expect([], ["answer: WITHDRAWAL_UNKNOWN"]);
    let cancellation = Cancellation {
        request: world.request(),
        institution: "another-bank".parse().unwrap(),
        device: PHONE.parse().unwrap(),
        subject: CancelSubject::Withdrawal(world.withdrawal()),
    };
    world.put(Input::Cancelled(cancellation)).expect([], ["answer: WITHDRAWAL_UNKNOWN"]);
}
