//! Cancel, Watch, and what operators and event consumers ask.

use cashgate_wire::proto::atm::v1::atm_message;
use cashgate_wire::proto::customer::v1::cancel_request::Subject;
use cashgate_wire::proto::customer::v1::{CancelRequest, WatchRequest};
use cashgate_wire::proto::events::v1::SubscribeRequest;
use cashgate_wire::proto::events::v1::event_service_client::EventServiceClient;
use cashgate_wire::proto::operations::v1::operations_service_client::OperationsServiceClient;
use cashgate_wire::proto::operations::v1::resolve_suspect_request::Resolution;
use cashgate_wire::proto::operations::v1::{
    GetWithdrawalRequest, ListWithdrawalsRequest, ResolveSuspectRequest, Reverse,
};
use cashgate_wire::proto::withdrawal::v1::{Money, NoteCount};
use tonic::transport::Channel;

use crate::harness::{Atm, Phone, Port, Refusals, Site, eventually, hello, report_dispensed, withdrawal_state, yen};

const NOBODYS: &str = "01981f2e-7c1a-7000-8000-0123456789ab";
const UNKNOWN: &str = "NotFound WITHDRAWAL_UNKNOWN";

async fn operations(site: &Site, peer: &str) -> OperationsServiceClient<Channel> {
    OperationsServiceClient::new(site.channel(Port::Api, peer).await)
}

/// A withdrawal that its ATM was commanded to pay out.
async fn commanded(site: &Site) -> (Atm, Phone, String) {
    let mut atm = Atm::connect(site, "A1").await;
    let mut phone = Phone::registered(site, "phone-1", "acct-1").await;
    let withdrawal_id = phone.approve_at(&mut atm, 10_000).await;
    atm.is_commanded().await;
    (atm, phone, withdrawal_id)
}

#[tokio::test]
async fn only_ones_own_can_be_cancelled_and_only_before_the_command() {
    let site = Site::ready().await;
    let (mut atm, mut phone, withdrawal_id) = commanded(&site).await;
    let mut other = Phone::registered(&site, "phone-2", "acct-1").await;
    let mut fuji = Phone::registered_at(&site, "fuji", "phone-1", "acct-1").await;
    let withdrawal = |id: &str| Some(Subject::WithdrawalId(id.to_owned()));
    let qr_session = |id: &str| Some(Subject::QrSessionId(id.to_owned()));
    let request = |device_id: &str, subject| CancelRequest { device_id: device_id.to_owned(), subject };
    let rows = [
        ("no device", request("", withdrawal(&withdrawal_id)), "InvalidArgument FIELD_INVALID device_id"),
        ("nothing", request("phone-1", None), "InvalidArgument FIELD_INVALID subject"),
        ("no UUID", request("phone-1", withdrawal("W-1")), "InvalidArgument FIELD_INVALID withdrawal_id"),
        ("no UUID", request("phone-1", qr_session("")), "InvalidArgument FIELD_INVALID qr_session_id"),
        ("nobody's withdrawal", request("phone-1", withdrawal(NOBODYS)), UNKNOWN),
        ("nobody's QR session", request("phone-1", qr_session(NOBODYS)), "NotFound QR_SESSION_UNKNOWN"),
        ("commanded", request("phone-1", withdrawal(&withdrawal_id)), "FailedPrecondition TOO_LATE"),
    ];
    let mut refused = Refusals::of(&site, "Cancel").await;
    for (what, request, expected) in rows {
        refused.row(what, phone.bank.cancel(request).await, expected).await;
    }
    let theirs = request("phone-2", withdrawal(&withdrawal_id));
    refused.row("another phone's", other.bank.cancel(theirs).await, UNKNOWN).await;
    let theirs = request("phone-1", withdrawal(&withdrawal_id));
    refused.row("another bank's", fuji.bank.cancel(theirs).await, UNKNOWN).await;
    refused.done();
    assert_eq!(withdrawal_state(&site, &withdrawal_id), "dispense_commanded");
    drop(atm);

    atm = Atm::connect(&site, "A1").await;
    atm.pays_out_again().await;
    phone.watch_to_end(&withdrawal_id).await;
    let mut refused = Refusals::of(&site, "Cancel").await;
    let paid = request("phone-1", withdrawal(&withdrawal_id));
    refused.row("paid out and confirmed", phone.bank.cancel(paid).await, "FailedPrecondition TOO_LATE").await;
    refused.done();
}

#[tokio::test]
async fn a_qr_session_is_cancelled_by_whoever_scanned_it_alone() {
    let site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let mut other = Phone::registered(&site, "phone-2", "acct-1").await;
    let mut fuji = Phone::registered_at(&site, "fuji", "phone-1", "acct-1").await;
    let shown = atm.shows_code().await;
    let cancel = |device_id: &str| CancelRequest {
        device_id: device_id.to_owned(),
        subject: Some(Subject::QrSessionId(shown.qr_session_id.clone())),
    };
    let unknown = "NotFound QR_SESSION_UNKNOWN";
    let mut refused = Refusals::of(&site, "Cancel").await;
    refused.row("nobody has scanned", phone.bank.cancel(cancel("phone-1")).await, unknown).await;
    phone.scan(&shown.qr_text).await.unwrap();
    refused.row("another phone", other.bank.cancel(cancel("phone-2")).await, unknown).await;
    refused.row("another bank", fuji.bank.cancel(cancel("phone-1")).await, unknown).await;
    refused.done();
    phone.bank.cancel(cancel("phone-1")).await.expect("whoever scanned it");
    let mut refused = Refusals::of(&site, "Cancel").await;
    refused.row("cancelled already", phone.bank.cancel(cancel("phone-1")).await, unknown).await;
    refused.done();
}

#[tokio::test]
async fn a_bank_sees_its_own_withdrawals_only() {
    let site = Site::ready().await;
    let (_atm, mut phone, withdrawal_id) = commanded(&site).await;
    let mut fuji = Phone::registered_at(&site, "fuji", "phone-1", "acct-1").await;
    let watch = |id: &str| WatchRequest { withdrawal_id: id.to_owned() };
    let mut refused = Refusals::of(&site, "Watch").await;
    let malformed = "InvalidArgument FIELD_INVALID withdrawal_id";
    for (what, id, expected) in
        [("empty", "", malformed), ("no UUID", "W-1", malformed), ("nobody's", NOBODYS, UNKNOWN)]
    {
        refused.row(what, phone.bank.watch(watch(id)).await, expected).await;
    }
    refused.row("sakura's", fuji.bank.watch(watch(&withdrawal_id)).await, UNKNOWN).await;
    refused.done();

    let mut refused = Refusals::of(&site, "GetWithdrawal").await;
    let get = |id: &str| GetWithdrawalRequest { withdrawal_id: id.to_owned() };
    let mut operator = operations(&site, "operator/dev").await;
    for (what, id, expected) in
        [("empty", "", malformed), ("no UUID", "W-1", malformed), ("nobody's", NOBODYS, UNKNOWN)]
    {
        refused.row(what, operator.get_withdrawal(get(id)).await, expected).await;
    }
    for peer in ["institution/fuji", "corebank/fuji"] {
        let mut theirs = operations(&site, peer).await;
        refused.row(peer, theirs.get_withdrawal(get(&withdrawal_id)).await, UNKNOWN).await;
        let sakura = ListWithdrawalsRequest { institution_id: "sakura".into(), ..Default::default() };
        let listed = theirs.list_withdrawals(sakura).await.unwrap().into_inner().withdrawals;
        assert!(listed.is_empty(), "{peer} is restricted to its own, whatever it asks: {listed:?}");
    }
    refused.done();
    for peer in ["operator/dev", "institution/sakura", "corebank/sakura"] {
        let found = operations(&site, peer).await.get_withdrawal(get(&withdrawal_id)).await.unwrap().into_inner();
        assert_eq!(found.withdrawal.unwrap().withdrawal_id, withdrawal_id, "{peer}");
    }
}

#[tokio::test]
async fn lists_that_cannot_be_made() {
    let site = Site::ready().await;
    let mut operator = operations(&site, "operator/dev").await;
    let all = ListWithdrawalsRequest::default;
    let rows = [
        ("an unknown state", ListWithdrawalsRequest { state: 99, ..all() }, "state"),
        ("a state below zero", ListWithdrawalsRequest { state: -1, ..all() }, "state"),
        (
            "an institution that is none",
            ListWithdrawalsRequest { institution_id: "a b".into(), ..all() },
            "institution_id",
        ),
        ("an account that is none", ListWithdrawalsRequest { account_id: "a".repeat(65), ..all() }, "account_id"),
        ("an ATM that is none", ListWithdrawalsRequest { atm_id: "A/1".into(), ..all() }, "atm_id"),
        ("a page token that is none", ListWithdrawalsRequest { page_token: "2".into(), ..all() }, "page_token"),
    ];
    let mut refused = Refusals::of(&site, "ListWithdrawals").await;
    for (what, request, field) in rows {
        let expected = format!("InvalidArgument FIELD_INVALID {field}");
        refused.row(what, operator.list_withdrawals(request).await, &expected).await;
    }
    refused.done();
}

#[tokio::test]
async fn a_feed_cannot_begin_in_the_future() {
    let site = Site::ready().await;
    let (_atm, _phone, _) = commanded(&site).await;
    let mut feed = EventServiceClient::new(site.channel(Port::Api, "corebank/sakura").await);
    let mut refused = Refusals::of(&site, "Subscribe").await;
    let beyond = "InvalidArgument FIELD_INVALID after_sequence";
    let last = site.ledger().last_sequence().unwrap().0;
    for after_sequence in [last + 1, u64::MAX] {
        let answer = feed.subscribe(SubscribeRequest { after_sequence }).await;
        refused.row(&format!("after {after_sequence} of {last}"), answer, beyond).await;
    }
    refused.done();
    feed.subscribe(SubscribeRequest { after_sequence: last }).await.expect("to wait for what comes next");
}

#[tokio::test]
async fn decisions_about_suspects_that_cannot_be_carried_out() {
    let site = Site::ready().await;
    let (mut atm, mut phone, withdrawal_id) = commanded(&site).await;
    let mut operator = operations(&site, "operator/dev").await;
    let confirm =
        |minor_units, currency: &str| Some(Resolution::Confirm(Money { minor_units, currency: currency.to_owned() }));
    let request = |id: &str, resolution| ResolveSuspectRequest {
        withdrawal_id: id.to_owned(),
        reason: "counted the cassettes".to_owned(),
        resolution,
    };
    let reverse = || Some(Resolution::Reverse(Reverse {}));
    let mut refused = Refusals::of(&site, "ResolveSuspect").await;
    let no_suspect = "FailedPrecondition NOT_A_SUSPECT";
    refused.row("a good one", operator.resolve_suspect(request(&withdrawal_id, reverse())).await, no_suspect).await;

    let mut report = report_dispensed(&atm.command_again(&site).await);
    report.presented = vec![NoteCount { denomination: Some(yen(10_000)), count: 2 }];
    atm.says(atm_message::Message::Outcome(report)).await;
    atm.hears_it_recorded(&withdrawal_id).await;
    assert_eq!(withdrawal_state(&site, &withdrawal_id), "suspect");
    refused.done();

    let with_reason = |reason: String| ResolveSuspectRequest { reason, ..request(&withdrawal_id, reverse()) };
    let invalid = |field: &str| format!("InvalidArgument FIELD_INVALID {field}");
    let rows = [
        ("no id", request("", reverse()), invalid("withdrawal_id")),
        ("nobody's", request(NOBODYS, reverse()), UNKNOWN.to_owned()),
        ("no decision", request(&withdrawal_id, None), invalid("resolution")),
        ("no reason", with_reason(String::new()), invalid("reason")),
        ("a reason of 513 bytes", with_reason("r".repeat(513)), invalid("reason")),
        ("a reason with control characters", with_reason("a\u{7}".to_owned()), invalid("reason")),
        ("nothing confirmed", request(&withdrawal_id, confirm(0, "JPY")), invalid("confirm")),
        ("less than nothing", request(&withdrawal_id, confirm(-1, "JPY")), invalid("confirm")),
        ("more than approved", request(&withdrawal_id, confirm(10_001, "JPY")), invalid("confirm")),
        ("more than there is", request(&withdrawal_id, confirm(i64::MAX, "JPY")), invalid("confirm")),
        ("another currency", request(&withdrawal_id, confirm(10_000, "EUR")), invalid("confirm")),
        ("no currency", request(&withdrawal_id, confirm(10_000, "")), invalid("confirm")),
    ];
    let mut refused = Refusals::of(&site, "ResolveSuspect").await;
    for (what, request, expected) in rows {
        refused.row(what, operator.resolve_suspect(request).await, &expected).await;
    }
    refused.done();

    let decided = request(&withdrawal_id, confirm(10_000, "JPY"));
    operator.resolve_suspect(decided.clone()).await.expect("a decision that can be carried out");
    phone.watch_to_end(&withdrawal_id).await;
    let ended = eventually("it ends", async || (withdrawal_state(&site, &withdrawal_id) == "confirmed").then_some(()));
    ended.await;
    let mut refused = Refusals::of(&site, "ResolveSuspect").await;
    refused.row("decided already", operator.resolve_suspect(decided).await, no_suspect).await;
    refused.done();
}

impl Atm {
    /// Comes back and is commanded once more.
    async fn command_again(&mut self, site: &Site) -> cashgate_wire::proto::atm::v1::Dispense {
        *self = Self::connect_saying(site, "A1", hello()).await;
        self.is_commanded().await
    }

    /// Carries out what it was commanded before its connection broke.
    async fn pays_out_again(&mut self) {
        let command = self.is_commanded().await;
        self.says(atm_message::Message::Outcome(report_dispensed(&command))).await;
        self.hears_it_recorded(&command.withdrawal_id).await;
    }
}
