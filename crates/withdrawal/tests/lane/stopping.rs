//! The kill switch, and too many failed approvals: what ends at once, and what goes on.

use cashgate_withdrawal::ids::{AccountId, AtmId, DeviceId, InstitutionId};
use cashgate_withdrawal::lane::{FAILED_APPROVALS_MAX, VerifiedCode};
use cashgate_withdrawal::stop::StopScope;

use crate::world::{OTHER_PHONE, PHONE, World, atm, dispensed};

fn sakura() -> InstitutionId {
    "sakura".parse().unwrap()
}

fn of_device(device: &str) -> StopScope {
    StopScope::Device(sakura(), device.parse::<DeviceId>().unwrap())
}

fn of_account(account: &str) -> StopScope {
    StopScope::Account(sakura(), account.parse::<AccountId>().unwrap())
}

/// Every stop that covers the customer of these stories once the account is known.
fn covering() -> [StopScope; 5] {
    let device = of_device(PHONE);
    [StopScope::Everything, StopScope::Institution(sakura()), StopScope::Atm(atm()), of_account("acct-1"), device]
}

/// Each misses by one name.
fn sparing() -> [StopScope; 6] {
    let other: InstitutionId = "ume".parse().unwrap();
    [
        StopScope::Institution(other.clone()),
        StopScope::Atm("A2".parse::<AtmId>().unwrap()),
        of_account("acct-2"),
        StopScope::Account(other.clone(), "acct-1".parse().unwrap()),
        of_device(OTHER_PHONE),
        StopScope::Device(other, PHONE.parse().unwrap()),
    ]
}

#[test]
fn a_code_that_is_shown_ends_where_the_machine_is_covered() {
    for scope in covering() {
        let mut world = World::showing();
        world.is_stopped(&scope);
        if matches!(scope, StopScope::Everything | StopScope::Atm(_)) {
            world.expect([], ["screen ends: Failed"]);
        } else {
            world.expect([], []);
        }
    }
}

#[test]
fn a_claimed_code_ends_where_machine_institution_or_phone_are_covered() {
    for scope in covering() {
        let mut world = World::claimed();
        // Nothing is known of the account before the approval, and admission refuses that.
        if matches!(scope, StopScope::Account(..)) {
            world.is_stopped(&scope).expect([], []);
        } else {
            world.is_stopped(&scope).expect([], ["screen ends: Failed"]);
            world.approves(PHONE, 30_000).expect([], ["answer: QR_SESSION_ENDED"]);
        }
    }
}

#[test]
fn what_is_not_commanded_yet_is_reversed() {
    for scope in covering() {
        let mut world = World::hold_requested();
        world.is_stopped(&scope).expect(["abandoned"], ["reverse, no reference", "screen ends: Failed"]);
        // A grant that comes late is reversed too.
        world.bank_grants().expect(["hold_granted"], ["reverse H1"]);
        world.bank_settles().expect(["hold_reversed"], ["release"]);
        assert_eq!(world.reason().as_deref(), Some("stopped"));
        World::awaiting_code().is_stopped(&scope).expect(["abandoned"], ["reverse H1", "screen ends: Failed"]);
        World::held_without_atm().is_stopped(&scope).expect(["abandoned"], ["reverse H1"]);
    }
}

#[test]
fn what_is_past_the_point_of_no_return_is_carried_to_its_end() {
    for scope in covering() {
        let mut world = World::commanded();
        world.is_stopped(&scope).expect([], []);
        world.atm_reports(dispensed(30_000));
        world.expect(["outcome_reported"], ["outcome recorded", "confirm 30000 JPY", "screen ends: Finished"]);
    }
}

#[test]
fn a_stop_of_somebody_else_changes_nothing() {
    for scope in sparing() {
        for mut world in [World::showing(), World::claimed(), World::hold_requested(), World::held_without_atm()] {
            world.is_stopped(&scope).expect([], []);
        }
    }
}

#[test]
fn a_machine_that_is_stopped_shows_try_later() {
    let mut world = World::idle();
    world.admission.stopped = Some("atm");
    world.customer_touches().expect([], ["try later: STOPPED"]);
    world.admission.stopped = None;
    world.customer_touches().expect([], ["mint"]);
}

#[test]
fn three_approvals_that_the_phone_did_not_sign_end_the_qr_session() {
    let mut world = World::claimed();
    let code = world.code();
    for _ in 1..FAILED_APPROVALS_MAX {
        world.approval_fails(PHONE, code.clone()).expect([], ["answer: done"]);
    }
    world.approval_fails(PHONE, code.clone()).expect([], ["screen ends: Failed", "answer: done"]);
    world.approval_fails(PHONE, code).expect([], ["answer: QR_SESSION_ENDED"]);
    world.approves(PHONE, 30_000).expect([], ["answer: QR_SESSION_ENDED"]);
}

#[test]
fn nobody_ends_anothers_qr_session_with_failed_approvals() {
    let mut world = World::claimed();
    let code = world.code();
    let other_code = VerifiedCode { digest: cashgate_withdrawal::ids::QrTokenDigest([9; 32]), ..code.clone() };
    for _ in 0..=FAILED_APPROVALS_MAX {
        world.approval_fails(OTHER_PHONE, code.clone()).expect([], ["answer: QR_TOKEN_CLAIMED"]);
        world.approval_fails(PHONE, other_code.clone()).expect([], ["answer: QR_TOKEN_CLAIMED"]);
    }
    world.approves(PHONE, 30_000).expect(["approved"], ["answer: approved", "hold 30000 JPY"]);
    // After the approval there is nothing left to end.
    for _ in 0..=FAILED_APPROVALS_MAX {
        world.approval_fails(PHONE, code.clone()).expect([], ["answer: SCAN_REQUIRED"]);
    }
}

#[test]
fn what_a_stop_could_end_is_what_has_begun_and_is_not_commanded() {
    let begun = |world: &World| -> Vec<bool> { world.lane.begun().map(|begun| begun.account.is_some()).collect() };
    for (world, may_be_stopped, expected) in [
        (World::idle(), false, vec![]),
        (World::showing(), true, vec![]),
        (World::claimed(), true, vec![false]),
        (World::hold_requested(), true, vec![true]),
        (World::held_without_atm(), true, vec![true]),
    ] {
        assert_eq!((world.lane.may_be_stopped(), begun(&world)), (may_be_stopped, expected), "{}", world.state());
    }
    assert_eq!(begun(&World::commanded()), Vec::<bool>::new());
}
