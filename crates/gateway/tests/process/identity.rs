//! Who may speak: the certificate alone says who somebody is.

use cashgate_wire::proto::atm::v1::AtmMessage;
use cashgate_wire::proto::atm::v1::atm_message::Message;
use cashgate_wire::proto::customer::v1::customer_service_client::CustomerServiceClient;
use cashgate_wire::proto::customer::v1::*;
use cashgate_wire::proto::events::v1::SubscribeRequest;
use cashgate_wire::proto::events::v1::event_service_client::EventServiceClient;
use cashgate_wire::proto::operations::v1::operations_service_client::OperationsServiceClient;
use cashgate_wire::proto::operations::v1::*;
use tonic::transport::Identity;
use tonic::{Response, Status};

use crate::harness::certificates::{from_another_authority, with_uris};
use crate::harness::{
    Atm, Heard, Phone, Port, Refusals, Site, eventually, hello, in_words, report_dispensed, withdrawal_state,
};

const NOT_ALLOWED: &str = "PermissionDenied IDENTITY_NOT_ALLOWED";

fn first() -> AtmMessage {
    AtmMessage { message: Some(Message::Hello(hello())), ..Default::default() }
}

/// What an rpc answers, as words.
fn words<T>(answer: Result<Response<T>, Status>) -> String {
    answer.map_or_else(|status| in_words(&status), |_| "accepted".to_owned())
}

#[tokio::test]
async fn only_atms_connect_as_atms() {
    let site = Site::ready().await;
    let mut refused = Refusals::of(&site, "Connect").await;
    for peer in ["institution/sakura", "corebank/sakura", "operator/dev"] {
        let found = Atm::try_connect(&site, peer, first()).await.map(|_| Response::new(()));
        refused.row(peer, found, NOT_ALLOWED).await;
    }
    refused.done();
}

#[tokio::test]
async fn only_institutions_speak_for_customers() {
    let site = Site::ready().await;
    for peer in ["atm/A1", "corebank/sakura", "operator/dev"] {
        let mut client = CustomerServiceClient::new(site.channel(Port::Api, peer).await);
        let answers = [
            ("RegisterDevice", words(client.register_device(RegisterDeviceRequest::default()).await)),
            ("RevokeDevice", words(client.revoke_device(RevokeDeviceRequest::default()).await)),
            ("Scan", words(client.scan(ScanRequest::default()).await)),
            ("Approve", words(client.approve(ApproveRequest::default()).await)),
            ("Watch", words(client.watch(WatchRequest::default()).await)),
            ("Cancel", words(client.cancel(CancelRequest::default()).await)),
        ];
        for (rpc, found) in answers {
            assert_eq!(found, NOT_ALLOWED, "{peer} calls {rpc}");
        }
    }
}

#[tokio::test]
async fn atms_see_no_withdrawals_and_only_operators_see_atms_and_decide() {
    let site = Site::ready().await;
    let mut atm = OperationsServiceClient::new(site.channel(Port::Api, "atm/A1").await);
    assert_eq!(words(atm.get_withdrawal(GetWithdrawalRequest::default()).await), NOT_ALLOWED);
    assert_eq!(words(atm.list_withdrawals(ListWithdrawalsRequest::default()).await), NOT_ALLOWED);
    let mut events = EventServiceClient::new(site.channel(Port::Api, "atm/A1").await);
    assert_eq!(words(events.subscribe(SubscribeRequest::default()).await), NOT_ALLOWED);
    for peer in ["atm/A1", "institution/sakura", "corebank/sakura"] {
        let mut client = OperationsServiceClient::new(site.channel(Port::Api, peer).await);
        assert_eq!(words(client.list_atms(ListAtmsRequest {}).await), NOT_ALLOWED, "{peer}");
        assert_eq!(words(client.resolve_suspect(ResolveSuspectRequest::default()).await), NOT_ALLOWED, "{peer}");
    }
}

#[tokio::test]
async fn every_refusal_of_an_identity_is_counted() {
    let site = Site::ready().await;
    let channel = site.channel(Port::Api, "atm/A1").await;
    let mut customers = CustomerServiceClient::new(channel.clone());
    let mut operations = OperationsServiceClient::new(channel.clone());
    let mut events = EventServiceClient::new(channel);
    let calls = [
        ("RegisterDevice", words(customers.register_device(RegisterDeviceRequest::default()).await)),
        ("RevokeDevice", words(customers.revoke_device(RevokeDeviceRequest::default()).await)),
        ("Scan", words(customers.scan(ScanRequest::default()).await)),
        ("Approve", words(customers.approve(ApproveRequest::default()).await)),
        ("Watch", words(customers.watch(WatchRequest::default()).await)),
        ("Cancel", words(customers.cancel(CancelRequest::default()).await)),
        ("GetWithdrawal", words(operations.get_withdrawal(GetWithdrawalRequest::default()).await)),
        ("ListWithdrawals", words(operations.list_withdrawals(ListWithdrawalsRequest::default()).await)),
        ("ListAtms", words(operations.list_atms(ListAtmsRequest {}).await)),
        ("ResolveSuspect", words(operations.resolve_suspect(ResolveSuspectRequest::default()).await)),
        ("Subscribe", words(events.subscribe(SubscribeRequest::default()).await)),
    ];
    let mut uncounted = Vec::new();
    for (rpc, found) in calls {
        assert_eq!(found, NOT_ALLOWED, "{rpc}");
        let labels = [("rpc", rpc), ("reason", "IDENTITY_NOT_ALLOWED")];
        if site.metric("cashgate_refused_total", &labels).await != 1 {
            uncounted.push(rpc);
        }
    }
    assert!(uncounted.is_empty(), "refused and not counted: {uncounted:?}");
}

/// Whether a certificate gets through to the customer service, and what it is told there.
async fn scan_with(site: &Site, identity: Option<Identity>) -> String {
    match site.try_channel(Port::Api, identity).await {
        Err(_) => "no connection".to_owned(),
        Ok(channel) => match CustomerServiceClient::new(channel).scan(ScanRequest::default()).await {
            Ok(_) => "accepted".to_owned(),
            Err(status) if std::error::Error::source(&status).is_some() => "no connection".to_owned(),
            Err(status) => in_words(&status),
        },
    }
}

#[tokio::test]
async fn without_a_certificate_of_our_authority_there_is_no_connection() {
    let site = Site::ready().await;
    let sakura = "spiffe://cashgate.test/institution/sakura";
    assert_eq!(scan_with(&site, None).await, "no connection", "no certificate");
    let foreign = from_another_authority(&[sakura]);
    assert_eq!(scan_with(&site, Some(foreign)).await, "no connection", "another authority");
    let ours = with_uris(&site, &[sakura]);
    assert_eq!(scan_with(&site, Some(ours)).await, "InvalidArgument FIELD_INVALID qr_text", "our own gets through");
}

#[tokio::test]
async fn a_certificate_that_names_nobody_we_know_is_told_so() {
    let site = Site::ready().await;
    let rows: [(&str, &[&str]); 7] = [
        ("another trust domain", &["spiffe://elsewhere.test/institution/sakura"]),
        ("a longer trust domain", &["spiffe://cashgate.test.elsewhere/institution/sakura"]),
        ("another scheme", &["https://cashgate.test/institution/sakura"]),
        ("another role", &["spiffe://cashgate.test/gateway"]),
        ("an id that is none", &["spiffe://cashgate.test/institution/sakura/admin"]),
        ("two names", &["spiffe://cashgate.test/institution/sakura", "spiffe://cashgate.test/operator/dev"]),
        ("no name", &[]),
    ];
    let unknown = "Unauthenticated IDENTITY_UNKNOWN";
    for (what, uris) in rows {
        assert_eq!(scan_with(&site, Some(with_uris(&site, uris))).await, unknown, "{what}");
    }
    let counted = site.metric("cashgate_refused_total", &[("rpc", "Scan"), ("reason", "IDENTITY_UNKNOWN")]).await;
    assert_eq!(counted, 7, "each is counted");
}

#[tokio::test]
async fn an_atm_cannot_speak_for_another() {
    let site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut impostor = Atm::connect(&site, "A2").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let withdrawal_id = phone.approve_at(&mut atm, 10_000).await;
    let command = atm.is_commanded().await;
    impostor.says(Message::Outcome(report_dispensed(&command))).await;
    match impostor.hears().await {
        Heard::Refused(refused) => assert_eq!(refused.reason, "WITHDRAWAL_UNKNOWN"),
        other => panic!("{other:?}"),
    }
    let again = cashgate_wire::proto::atm::v1::Hello { unresolved: vec![report_dispensed(&command)], ..hello() };
    impostor = Atm::connect_saying(&site, "A2", again).await;
    match impostor.hears().await {
        Heard::Refused(refused) => assert_eq!(refused.withdrawal_id, withdrawal_id),
        other => panic!("{other:?}"),
    }
    assert_eq!(site.core_bank.call_names(&withdrawal_id), ["place"]);
    atm.says(Message::Outcome(report_dispensed(&command))).await;
    atm.hears_it_recorded(&withdrawal_id).await;
}

#[tokio::test]
async fn a_second_connection_of_an_atm_ends_the_first() {
    let site = Site::ready().await;
    let mut first = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    phone.approve_at(&mut first, 10_000).await;
    let command = first.is_commanded().await;

    let mut second = Atm::connect(&site, "A1").await;
    let status = first.hears_or_ends().await.unwrap_err();
    assert_eq!(in_words(&status), "Aborted ATM_REPLACED");
    assert_eq!(second.is_commanded().await, command, "the second goes on where the first was");
    assert_eq!(site.metric("cashgate_atms_connected", &[]).await, 1);
    second.says(Message::Outcome(report_dispensed(&command))).await;
    second.hears_it_recorded(&command.withdrawal_id).await;
}

#[tokio::test]
async fn core_banking_of_one_institution_does_not_answer_for_another() {
    let mut site = Site::folder_only().await;
    let [sakura, fuji] = site.core_bank.ports()[..] else { panic!("two banks") };
    site.edit_configuration(|text| text.replace(&fuji.to_string(), &sakura.to_string()));
    site.serve().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered_at(&site, "fuji", "phone-1", "acct-1").await;
    let withdrawal_id = phone.approve_at(&mut atm, 10_000).await;
    assert!(matches!(atm.hears().await, Heard::QrClaimed(_)));
    assert!(matches!(atm.hears().await, Heard::QrSessionEnded(_)), "nobody granted a hold");
    let state = eventually("the hold counts as unanswered", async || {
        Some(withdrawal_state(&site, &withdrawal_id)).filter(|state| state != "hold_requested")
    });
    assert_eq!(state.await, "reversing", "and is to be reversed for as long as it takes");
    assert_eq!(site.core_bank.call_count(), 0, "sakura's core banking is told nothing about fuji's customers");
}
