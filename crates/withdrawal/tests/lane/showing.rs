//! From the customer's touch to a scan.

use std::time::Duration;

use cashgate_withdrawal::cassettes::Cassettes;
use cashgate_withdrawal::dispense::NoteCount;
use cashgate_withdrawal::ids::{QrSessionId, QrTokenDigest};
use cashgate_withdrawal::lane::{Action, FromAtm, Input, LinkId, MintedCode, ToAtm};
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::refusal::Refusal;

use crate::world::{OTHER_PHONE, PHONE, World, seconds, yen};

#[test]
fn a_touch_brings_a_code() {
    let mut world = World::idle();
    world.customer_touches().expect([], ["mint"]);
    world.hsm_mints().expect([], ["show code"]);
    world.scans(PHONE).expect([], ["show claimed", "answer: scanned"]);
}

#[test]
fn codes_rotate_and_the_older_one_stays_valid_until_it_expires() {
    let mut world = World::showing();
    let first = world.code();
    world.time_passes(seconds(19)).expect([], []);
    world.time_passes(seconds(1)).expect([], ["mint"]);
    world.hsm_mints().expect([], ["show code"]);
    world.time_passes(seconds(9));
    world.scans_code(PHONE, first).expect([], ["show claimed", "answer: scanned"]);
}

#[test]
fn the_replaced_code_expires_on_its_own_time() {
    let mut world = World::showing();
    let first = world.code();
    world.time_passes(seconds(20)).hsm_mints().time_passes(seconds(10));
    world.scans_code(PHONE, first).expect([], ["answer: QR_TOKEN_EXPIRED"]);
    world.scans(PHONE).expect([], ["show claimed", "answer: scanned"]);
}

/// Whoever sets a lifetime that is shorter than the time it takes to refresh does not set the HSM on fire.
#[test]
fn a_code_with_a_short_life_is_replaced_a_second_later_and_not_at_once() {
    let mut world = World::idle();
    world.customer_touches();
    let (qr_session, expires_at) = (world.qr_session, world.now.after(seconds(5)));
    let code = MintedCode { qr_session, text: "CG1:".into(), digest: QrTokenDigest([7; 32]), expires_at };
    world.put(Input::CodeMinted(code)).expect([], ["show code"]);
    world.time_passes(Duration::from_millis(999)).expect([], []);
    world.time_passes(Duration::from_millis(1)).expect([], ["mint"]);
}

#[test]
fn at_most_two_codes_are_valid_at_a_time() {
    let mut world = World::showing();
    let first = world.code();
    world.hsm_mints().hsm_mints();
    world.scans_code(PHONE, first).expect([], ["answer: QR_TOKEN_INVALID"]);
    let second = world.codes[1].clone();
    world.scans_code(PHONE, second).expect([], ["show claimed", "answer: scanned"]);
}

#[test]
fn a_code_in_the_customers_hand_is_not_rotated_away() {
    let mut world = World::claimed();
    world.time_passes(seconds(60)).expect([], []);
    world.hsm_mints().expect([], []);
}

#[test]
fn an_expired_code_is_refused_even_if_the_lane_was_not_woken() {
    let mut world = World::showing();
    world.time_passes_unnoticed(seconds(30)).scans(PHONE);
    assert_eq!(world.answer(), Err(Refusal::QrTokenExpired));
}

#[test]
fn the_code_of_another_qr_session_is_refused() {
    let mut world = World::showing();
    let old = world.code();
    world.customer_touches().expect([], ["mint"]);
    world.scans_code(PHONE, old).expect([], ["answer: QR_SESSION_ENDED"]);
}

/// The lane believes what it showed, not what a token says of itself.
#[test]
fn a_code_is_not_accepted_for_longer_than_it_was_shown_for() {
    for (waited, answer) in [(29, "show claimed"), (30, "answer: QR_TOKEN_INVALID")] {
        let mut world = World::showing();
        let mut lasting = world.code();
        lasting.expires_at = lasting.expires_at.after(seconds(60));
        world.time_passes(seconds(waited)).scans_code(PHONE, lasting);
        assert_eq!(world.actions()[0], answer);
    }
}

#[test]
fn a_verified_code_that_was_never_shown_here_is_refused() {
    let mut world = World::showing();
    let mut forged = world.code();
    forged.digest.0[0] ^= 1;
    world.scans_code(PHONE, forged).expect([], ["answer: QR_TOKEN_INVALID"]);
}

#[test]
fn a_code_that_was_minted_for_an_older_touch_is_not_shown() {
    let mut world = World::idle();
    world.customer_touches();
    let old = world.qr_session;
    world.customer_touches();
    world.hsm_mints_for(old).expect([], []);
    world.hsm_mints_for(QrSessionId::from_bytes([9; 16])).expect([], []);
    world.hsm_mints().expect([], ["show code"]);
}

#[test]
fn two_phones_race_on_one_code_and_one_wins() {
    let mut world = World::showing();
    world.scans(PHONE).expect([], ["show claimed", "answer: scanned"]);
    world.scans(OTHER_PHONE).expect([], ["answer: QR_TOKEN_CLAIMED"]);
    world.approves(OTHER_PHONE, 30_000).expect([], ["answer: QR_TOKEN_CLAIMED"]);
    world.approves(PHONE, 30_000).expect(["approved"], ["answer: approved", "hold 30000 JPY"]);
}

#[test]
fn a_repeated_scan_gets_the_same_answer() {
    let mut world = World::showing();
    world.scans(PHONE);
    let first = world.answer();
    world.time_passes(seconds(40)).scans(PHONE).expect([], ["answer: scanned"]);
    assert_eq!(world.answer(), first, "the claim neither expires with the code nor lives longer for a repetition");
}

#[test]
fn a_qr_session_that_nobody_scans_ends() {
    let mut world = World::showing();
    for _ in 0..5 {
        world.time_passes(seconds(20)).expect([], ["mint"]);
        world.hsm_mints();
    }
    world.time_passes(seconds(20)).expect([], ["screen ends: Expired"]);
    world.scans(PHONE).expect([], ["answer: QR_SESSION_ENDED"]);
    assert_eq!(world.lane.next_deadline(), None);
}

#[test]
fn a_qr_session_that_is_over_cannot_be_scanned_even_if_the_lane_was_not_woken() {
    let mut world = World::showing();
    world.time_passes(seconds(110)).hsm_mints();
    world.time_passes_unnoticed(seconds(15)).scans(PHONE);
    assert_eq!(world.answer(), Err(Refusal::QrSessionEnded), "the code has 15 s left, its QR session has none");
}

#[test]
fn a_claim_that_nobody_approves_ends() {
    let mut world = World::claimed();
    world.time_passes(seconds(119)).expect([], []);
    world.time_passes(seconds(1)).expect([], ["screen ends: Expired"]);
    world.approves(PHONE, 30_000).expect([], ["answer: QR_SESSION_ENDED"]);
}

#[test]
fn the_customer_walks_away() {
    let mut world = World::showing();
    world.customer_walks_away().expect([], ["screen ends: Cancelled"]);
    world.customer_walks_away().expect([], []);
    world.scans(PHONE).expect([], ["answer: QR_SESSION_ENDED"]);
    let mut world = World::claimed();
    world.customer_walks_away().expect([], ["screen ends: Cancelled"]);
    world.approves(PHONE, 30_000).expect([], ["answer: QR_SESSION_ENDED"]);
}

#[test]
fn walking_away_from_an_older_qr_session_does_not_end_the_present_one() {
    let mut world = World::showing();
    let (older, link) = (world.qr_session, LinkId(world.link));
    world.customer_touches().hsm_mints();
    world.put(Input::AtmSaid { link, message: FromAtm::EndQrSession { qr_session: older } }).expect([], []);
    world.scans(PHONE).expect([], ["show claimed", "answer: scanned"]);
}

/// From the approval on the screen is the gateway's, and who wants to cancel does so in the app.
#[test]
fn nobody_walks_away_from_an_approval() {
    let mut world = World::hold_requested();
    world.customer_walks_away().expect([], []);
    world.approves(PHONE, 30_000).expect([], ["answer: approved"]);
    world.bank_grants().expect(["hold_granted", "dispense_commanded"], ["dispense 30000 JPY"]);
}

#[test]
fn without_a_code_to_show_the_customer_is_sent_away() {
    let mut world = World::idle();
    world.customer_touches();
    world.hsm_fails().expect([], ["try later: HSM_UNAVAILABLE"]);
    assert!(matches!(
        &world.turn.actions[..],
        [Action::Tell(ToAtm::TryLater { after, .. })] if *after == seconds(2)
    ));
    assert_eq!(world.lane.next_deadline(), None);
    world.customer_touches().expect([], ["mint"]);
}

#[test]
fn a_code_on_the_screen_outlasts_a_mint_failure() {
    let mut world = World::showing();
    world.time_passes(seconds(20)).expect([], ["mint"]);
    world.hsm_fails().expect([], []);
    world.time_passes(seconds(2)).expect([], ["mint"]);
    world.scans(PHONE).expect([], ["show claimed", "answer: scanned"]);
}

#[test]
fn when_the_code_on_the_screen_has_expired_a_mint_failure_ends_the_qr_session() {
    let mut world = World::showing();
    world.time_passes(seconds(20)).expect([], ["mint"]);
    world.time_passes(seconds(10)).hsm_fails().expect([], ["try later: HSM_UNAVAILABLE"]);
    world.hsm_fails().expect([], []);
}

#[test]
fn an_amount_chosen_at_the_atm_goes_into_the_code() {
    let mut world = World::idle();
    world.customer_chooses_at_atm(yen(20_000)).expect([], ["mint for 20000 JPY"]);
    world.hsm_mints().scans(PHONE).expect([], ["show claimed", "answer: scanned, 20000 JPY"]);
}

#[test]
fn an_amount_that_the_atm_cannot_pay_out_gets_no_code() {
    let euro = Money::from_minor_units(30_000, "EUR".parse().unwrap()).unwrap();
    let mut world = World::idle();
    world.customer_chooses_at_atm(yen(500)).expect([], ["refuse: AMOUNT_NOT_DISPENSABLE"]);
    world.customer_chooses_at_atm(yen(0)).expect([], ["refuse: AMOUNT_NOT_DISPENSABLE"]);
    world.customer_chooses_at_atm(yen(111_000)).expect([], ["refuse: AMOUNT_NOT_DISPENSABLE"]);
    world.customer_chooses_at_atm(euro).expect([], ["refuse: CURRENCY_DIFFERS"]);
    world.customer_chooses_at_atm(yen(110_000)).expect([], ["mint for 110000 JPY"]);
}

#[test]
fn what_the_cassettes_hold_now_is_what_counts() {
    let mut world = World::claimed();
    let notes = [NoteCount { denomination: yen(1_000), count: 5 }];
    world.atm_loads(Cassettes::new(&notes, Currency::JPY, 40).unwrap()).expect([], []);
    world.approves(PHONE, 30_000).expect([], ["answer: AMOUNT_NOT_DISPENSABLE"]);
    world.approves(PHONE, 5_000).expect(["approved"], ["answer: approved", "hold 5000 JPY"]);
}

#[test]
fn an_atm_that_serves_a_customer_is_busy() {
    for mut world in [World::hold_requested(), World::awaiting_code(), World::commanded()] {
        assert!(world.lane.is_serving());
        world.customer_touches().expect([], ["refuse: ATM_BUSY"]);
    }
    assert!(World::claimed().lane.is_serving(), "the customer is choosing an amount");
    assert!(!World::showing().lane.is_serving());
    let mut world = World::held_without_atm();
    assert!(!world.lane.is_serving(), "nobody can be served at an ATM that is not there");
    world.atm_connects().customer_touches().expect([], ["refuse: ATM_BUSY"]);
}
