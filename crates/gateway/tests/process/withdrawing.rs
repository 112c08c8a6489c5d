//! Withdrawals that go as they should, and requests that are repeated.

use cashgate_qr::KeySet;
use cashgate_wire::proto::atm::v1::atm_message::Message;
use cashgate_wire::proto::atm::v1::{AskConfirmCode, EnterConfirmCode};
use cashgate_wire::proto::customer::v1::ApproveRequest;
use cashgate_wire::proto::events::v1::event_service_client::EventServiceClient;
use cashgate_wire::proto::events::v1::{SubscribeRequest, SubscribeResponse};
use cashgate_wire::proto::withdrawal::v1::WithdrawalState;

use crate::harness::{
    Atm, Call, Heard, HoldScript, Phone, Port, Site, hello, in_time, report_dispensed, withdrawal_state, yen,
};

#[tokio::test]
async fn a_withdrawal_from_the_touch_to_the_books() {
    let site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let shown = atm.shows_code().await;
    let scanned = phone.scan(&shown.qr_text).await.unwrap();
    assert_eq!(scanned.qr_session_id, shown.qr_session_id);
    let place = (scanned.atm_id.as_str(), scanned.atm_name.as_str(), scanned.atm_place.as_str());
    assert_eq!(place, ("A1", "ATM 1", "Shibuya, Tokyo"));
    assert_eq!((scanned.amount, scanned.amount_max), (None, Some(yen(200_000))));
    assert_eq!(scanned.denominations, [yen(10_000), yen(1_000)]);

    let approval = phone.approval(&shown.qr_text, &yen(21_000));
    let approved = phone.bank.approve(approval).await.unwrap().into_inner();
    assert_eq!(approved.confirm_code, "", "a small amount needs no code");
    let command = atm.is_commanded().await;
    assert_eq!((&command.withdrawal_id, &command.amount), (&approved.withdrawal_id, &Some(yen(21_000))));
    atm.says(Message::Outcome(report_dispensed(&command))).await;
    atm.hears_it_recorded(&command.withdrawal_id).await;
    let states = phone.watch_to_end(&command.withdrawal_id).await;
    assert_eq!(states.last(), Some(&WithdrawalState::Confirmed), "{states:?}");

    let calls = site.core_bank.calls(&command.withdrawal_id);
    let [Call::Place(place), Call::Confirm(confirm)] = calls.as_slice() else { panic!("{calls:?}") };
    let who =
        (place.institution_id.as_str(), place.account_id.as_str(), place.atm_id.as_str(), place.device_id.as_str());
    assert_eq!(who, ("sakura", "acct-1", "A1", "phone-1"));
    assert_eq!((&place.amount, &confirm.amount), (&Some(yen(21_000)), &Some(yen(21_000))));
    assert_eq!(confirm.hold_reference, format!("hold-{}", command.withdrawal_id));
    assert_eq!(phone.headroom(&mut Atm::connect(&site, "IDLE").await).await, 179_000);
}

#[tokio::test]
async fn a_declined_hold_pays_nothing_and_counts_for_nothing() {
    let site = Site::ready().await;
    site.core_bank.is_to(HoldScript::Decline);
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let withdrawal_id = phone.approve_at(&mut atm, 21_000).await;
    let states = phone.watch_to_end(&withdrawal_id).await;
    assert_eq!(states.last(), Some(&WithdrawalState::Declined), "{states:?}");
    assert!(matches!(atm.hears().await, Heard::QrClaimed(_)));
    assert!(matches!(atm.hears().await, Heard::QrSessionEnded(_)), "and no command before it");
    assert_eq!(site.core_bank.call_names(&withdrawal_id), ["place"]);
    assert_eq!(phone.headroom(&mut atm).await, 200_000);
}

#[tokio::test]
async fn the_same_approval_gets_the_same_answer_whenever_it_comes() {
    let mut site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let code = atm.shows_code().await.qr_text;
    phone.scan(&code).await.unwrap();
    let approval = phone.approval(&code, &yen(10_000));
    let first = approved(&mut phone, &approval).await;
    assert_eq!(approved(&mut phone, &approval).await, first, "at once");
    let command = atm.is_commanded().await;
    // Another signature over the same approval: phones do not sign deterministically.
    let signed_again = phone.approval(&code, &yen(10_000));
    assert_ne!(signed_again.signature, approval.signature);
    assert_eq!(approved(&mut phone, &signed_again).await, first, "while the notes are counted");

    atm.says(Message::Outcome(report_dispensed(&command))).await;
    atm.hears_it_recorded(&first).await;
    phone.watch_to_end(&first).await;
    assert_eq!(approved(&mut phone, &approval).await, first, "after the end");
    atm.shows_next_customer().await;
    assert_eq!(approved(&mut phone, &approval).await, first, "while the next customer is there");

    site.kill();
    site.serve().await;
    phone.reconnect(&site).await;
    assert_eq!(approved(&mut phone, &approval).await, first, "after a restart, before the ATM is back");
    let mut atm = Atm::connect(&site, "A1").await;
    assert_eq!(approved(&mut phone, &approval).await, first, "and after");
    assert_eq!(site.core_bank.call_names(&first), ["place", "confirm 10000"]);
    assert_eq!(phone.headroom(&mut atm).await, 190_000, "it was counted once");
}

async fn approved(phone: &mut Phone, approval: &ApproveRequest) -> String {
    phone.bank.approve(approval.clone()).await.unwrap().into_inner().withdrawal_id
}

#[tokio::test]
async fn a_large_amount_of_a_new_phone_needs_the_code_at_the_machine() {
    let site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let code = atm.shows_code().await.qr_text;
    phone.scan(&code).await.unwrap();
    let approval = phone.approval(&code, &yen(40_000));
    let approved = phone.bank.approve(approval.clone()).await.unwrap().into_inner();
    let again = phone.bank.approve(approval).await.unwrap().into_inner();
    assert_eq!(again, approved, "the code too");
    assert!(matches!(atm.hears().await, Heard::QrClaimed(_)));

    let wrong = if approved.confirm_code == "0000" { "0001" } else { "0000" };
    for (code, tries_left) in [(wrong, 3), (approved.confirm_code.as_str(), 2)] {
        let asked = atm.is_asked_for_the_code().await;
        assert_eq!((&asked.withdrawal_id, asked.tries_left), (&approved.withdrawal_id, tries_left));
        let enter = EnterConfirmCode { withdrawal_id: asked.withdrawal_id, code: code.to_owned() };
        atm.says(Message::EnterConfirmCode(enter)).await;
    }
    atm.pays_out().await;
    assert_eq!(site.core_bank.called(&approved.withdrawal_id, "confirm").await.name(), "confirm 40000");
}

#[tokio::test]
async fn the_feed_goes_on_after_any_number_without_gap_or_repetition() {
    let mut site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut sakura = Phone::registered(&site, "phone-1", "acct-1").await;
    let mut fuji = Phone::registered_at(&site, "fuji", "phone-1", "acct-1").await;
    for phone in [&mut sakura, &mut fuji] {
        let withdrawal_id = phone.approve_at(&mut atm, 10_000).await;
        atm.pays_out().await;
        phone.watch_to_end(&withdrawal_id).await;
    }
    let all = events(&site, "operator/dev", 0, 12).await;
    let sequences: Vec<u64> = all.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=12).collect::<Vec<u64>>(), "an operator sees every step and notice");
    let registered = |event: &SubscribeResponse| event.notice.is_some() && event.event.is_none();
    assert!(all[..2].iter().all(registered) && !all[2..].iter().any(registered), "two phones first: {all:?}");
    let words: Vec<&str> = all[2..7].iter().map(|one| one.event.as_ref().unwrap().event.as_str()).collect();
    assert_eq!(words, ["approved", "hold_granted", "dispense_commanded", "outcome_reported", "hold_confirmed"]);
    let of_fuji = events(&site, "corebank/fuji", 0, 6).await;
    assert_eq!(of_fuji, [&all[1..2], &all[7..]].concat(), "core banking sees its own institution's");

    site.kill();
    site.serve().await;
    for after in 0..12 {
        let rest = events(&site, "operator/dev", after, 12 - after).await;
        assert_eq!(rest, all[usize::try_from(after).unwrap()..], "after {after}");
    }
    let mut client = EventServiceClient::new(site.channel(Port::Api, "operator/dev").await);
    let mut following = client.subscribe(SubscribeRequest { after_sequence: 10 }).await.unwrap().into_inner();
    let mut atm = Atm::connect(&site, "A1").await;
    sakura.reconnect(&site).await;
    let withdrawal_id = sakura.approve_at(&mut atm, 10_000).await;
    atm.pays_out().await;
    sakura.watch_to_end(&withdrawal_id).await;
    for expected in 11..=17 {
        let event = in_time("the feed goes on", following.message()).await.unwrap().unwrap();
        assert_eq!(event.sequence, expected, "from the past into the present");
    }
}

/// The next `count` events after a number.
async fn events(site: &Site, peer: &str, after_sequence: u64, count: u64) -> Vec<SubscribeResponse> {
    let mut client = EventServiceClient::new(site.channel(Port::Api, peer).await);
    let mut feed = client.subscribe(SubscribeRequest { after_sequence }).await.unwrap().into_inner();
    let mut events = Vec::new();
    for _ in 0..count {
        events.push(in_time("the feed goes on", feed.message()).await.unwrap().expect("the feed does not end"));
    }
    events
}

#[tokio::test]
async fn an_app_checks_offline_that_the_code_is_genuine() {
    let (site, other) = (Site::ready().await, Site::ready().await);
    let mut atm = Atm::connect(&site, "A1").await;
    let shown = atm.shows_code_for(Some(yen(20_000))).await;
    let keys = KeySet::from_jwks(&site.page("/.well-known/jwks.json").await).unwrap();
    let token = cashgate_qr::verify(&shown.qr_text, &keys).expect("it verifies under the published keys");
    let claims = token.claims();
    assert_eq!((claims.network.as_str(), claims.atm.as_str()), ("demo", "A1"));
    assert_eq!(claims.qr_session.to_string(), shown.qr_session_id);
    assert_eq!(claims.amount.map(|amount| amount.minor_units()), Some(20_000));
    assert_eq!(i64::try_from(token.expires_at().unix_ms()).unwrap(), shown.expires_at_unix_ms);
    let foreign = KeySet::from_jwks(&other.page("/.well-known/jwks.json").await).unwrap();
    assert!(cashgate_qr::verify(&shown.qr_text, &foreign).is_err(), "and under nobody else's");
}

#[tokio::test]
async fn an_empty_machine_offers_nothing() {
    let site = Site::ready().await;
    let empty = cashgate_wire::proto::atm::v1::Hello { cassettes: vec![], ..hello() };
    let mut atm = Atm::connect_saying(&site, "A1", empty).await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let code = atm.shows_code().await.qr_text;
    let scanned = phone.scan(&code).await.unwrap();
    assert_eq!((scanned.amount_max, scanned.denominations), (Some(yen(0)), vec![]));
    assert_eq!(withdrawal_state(&site, "01981f2e-7c1a-7000-8000-0123456789ab"), "none");
}

impl Atm {
    async fn shows_next_customer(&mut self) {
        assert!(matches!(self.hears().await, Heard::QrSessionEnded(_)));
        self.shows_code().await;
    }

    async fn is_asked_for_the_code(&mut self) -> AskConfirmCode {
        match self.hears().await {
            Heard::AskConfirmCode(asked) => asked,
            other => panic!("instead of the question for the code: {other:?}"),
        }
    }
}
