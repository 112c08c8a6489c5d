//! The core bank as the gateway sees it.

use std::sync::Arc;
use std::time::Duration;

use cashgate_fleet::corebank::{Bank, BankEvent, Branch, Faults, serve};
use cashgate_fleet::rpc_error::RpcError;
use cashgate_wire::proto::corebank::v1::core_banking_service_client::CoreBankingServiceClient;
use cashgate_wire::proto::corebank::v1::place_hold_response::Decision;
use cashgate_wire::proto::corebank::v1::{
    ConfirmHoldRequest, GetHoldRequest, HoldDeclined, HoldStatus, PlaceHoldRequest, ReverseHoldRequest,
};
use cashgate_wire::proto::withdrawal::v1::Money;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::authority::Authority;

const W1: &str = "01981f2e-7c1a-7000-8000-000000000001";

struct Street {
    authority: Authority,
    bank: Arc<Bank>,
    faults: Arc<Faults>,
    events: mpsc::UnboundedReceiver<BankEvent>,
    uri: String,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Street {
    async fn open() -> Self {
        let authority = Authority::new();
        let credentials = authority.credentials("corebank/sakura");
        let bank = Arc::new(Bank::in_memory().unwrap());
        bank.open_account("acct-1", 100_000).unwrap();
        let faults = Arc::new(Faults::default());
        let (sender, events) = mpsc::unbounded_channel();
        let branch = Branch {
            institution: "sakura".to_owned(),
            bank: Arc::clone(&bank),
            faults: Arc::clone(&faults),
            events: sender,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("https://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(async move {
            serve(branch, listener, &credentials, async { drop(stopped.await) }).await.unwrap();
        });
        Self { authority, bank, faults, events, uri, stop, serving }
    }

    fn caller(&self, role: &str) -> CoreBankingServiceClient<Channel> {
        CoreBankingServiceClient::new(self.authority.credentials(role).channel(&self.uri).unwrap())
    }

    fn balance(&self) -> u64 {
        self.bank.account_books().unwrap()[0].balance
    }

    async fn answered(&mut self) -> (&'static str, &'static str) {
        let event = self.events.recv().await.unwrap();
        (event.event, event.answer)
    }
}

fn place(amount: i64) -> PlaceHoldRequest {
    PlaceHoldRequest {
        withdrawal_id: W1.to_owned(),
        institution_id: "sakura".to_owned(),
        account_id: "acct-1".to_owned(),
        amount: yen(amount),
        ..PlaceHoldRequest::default()
    }
}

fn reverse() -> ReverseHoldRequest {
    ReverseHoldRequest {
        withdrawal_id: W1.to_owned(),
        institution_id: "sakura".to_owned(),
        hold_reference: String::new(),
    }
}

fn yen(minor_units: i64) -> Option<Money> {
    Some(Money { minor_units, currency: "JPY".to_owned() })
}

fn within<T>(patience: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(patience);
    request
}

fn reason(status: &Status) -> (Code, String) {
    (status.code(), RpcError::from(status).reason)
}

#[tokio::test]
async fn holds_confirms_and_looks_up() {
    let mut street = Street::open().await;
    let mut gateway = street.caller("gateway");
    street.faults.order("twice 2".parse().unwrap());
    let decision = gateway.place_hold(place(30_000)).await.unwrap().into_inner().decision.unwrap();
    let Decision::Granted(granted) = decision else { panic!("{decision:?}") };
    let confirm = ConfirmHoldRequest {
        withdrawal_id: W1.to_owned(),
        institution_id: "sakura".to_owned(),
        hold_reference: granted.hold_reference.clone(),
        amount: yen(20_000),
    };
    assert_eq!(gateway.confirm_hold(confirm).await.unwrap().into_inner().refused, None);
    let refused = gateway.reverse_hold(reverse()).await.unwrap().into_inner().refused.unwrap();
    assert_eq!(refused.code, "already_confirmed");
    let known = gateway.get_hold(GetHoldRequest { withdrawal_id: W1.to_owned() }).await.unwrap().into_inner();
    assert_eq!((known.status(), known.held, known.confirmed), (HoldStatus::Confirmed, yen(30_000), yen(20_000)));
    assert_eq!((known.hold_reference, street.balance()), (granted.hold_reference, 80_000));
    assert_eq!(street.answered().await, ("place_hold", "granted"));
    assert_eq!(street.answered().await, ("confirm_hold", "done"));
    assert_eq!(street.answered().await, ("reverse_hold", "refused"));
}

#[tokio::test]
async fn only_the_gateway_may_call() {
    let street = Street::open().await;
    let refused = street.caller("atm/A1").place_hold(place(30_000)).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::PermissionDenied, "IDENTITY_NOT_ALLOWED".to_owned()));
    let foreign = Authority::new().credentials("gateway").channel(&street.uri).unwrap();
    assert!(CoreBankingServiceClient::new(foreign).place_hold(place(30_000)).await.is_err());
    assert_eq!(street.balance(), 100_000);
}

#[tokio::test]
async fn malformed_requests_have_no_effect() {
    let street = Street::open().await;
    let mut gateway = street.caller("gateway");
    let requests = [
        PlaceHoldRequest { withdrawal_id: "1".to_owned(), ..place(1) },
        PlaceHoldRequest { institution_id: "fuji".to_owned(), ..place(1) },
        PlaceHoldRequest { amount: None, ..place(1) },
        place(-1),
    ];
    for request in requests {
        let refused = gateway.place_hold(request.clone()).await.unwrap_err();
        assert_eq!(reason(&refused), (Code::InvalidArgument, "FIELD_INVALID".to_owned()), "{request:?}");
    }
    let unknown = gateway.get_hold(GetHoldRequest { withdrawal_id: W1.to_owned() }).await.unwrap_err();
    assert_eq!(reason(&unknown), (Code::NotFound, "WITHDRAWAL_UNKNOWN".to_owned()));
}

#[tokio::test]
async fn a_stalled_hold_is_placed_and_can_be_reversed() {
    let mut street = Street::open().await;
    let mut gateway = street.caller("gateway");
    street.faults.order("stall 1".parse().unwrap());
    gateway.place_hold(within(Duration::from_millis(500), place(30_000))).await.unwrap_err();
    assert_eq!(street.answered().await, ("place_hold", "granted"));
    assert_eq!(street.answered().await, ("place_hold", "stalled"));
    assert_eq!(street.balance(), 70_000);
    gateway.reverse_hold(reverse()).await.unwrap();
    assert_eq!(street.balance(), 100_000);
}

#[tokio::test]
async fn a_late_hold_does_not_follow_its_reversal() {
    let mut street = Street::open().await;
    let mut gateway = street.caller("gateway");
    street.faults.order("late 1 800".parse().unwrap());
    gateway.place_hold(within(Duration::from_millis(200), place(30_000))).await.unwrap_err();
    gateway.reverse_hold(reverse()).await.unwrap();
    assert_eq!(street.answered().await, ("reverse_hold", "done"));
    assert_eq!(street.answered().await, ("place_hold", "declined"));
    assert_eq!(street.balance(), 100_000);
}

#[tokio::test]
async fn lost_and_down_have_no_effect_and_pass() {
    let street = Street::open().await;
    let mut gateway = street.caller("gateway");
    street.faults.order("lose 1".parse().unwrap());
    assert_eq!(gateway.place_hold(place(30_000)).await.unwrap_err().code(), Code::Unavailable);
    street.faults.order("down".parse().unwrap());
    assert_eq!(gateway.reverse_hold(reverse()).await.unwrap_err().code(), Code::Unavailable);
    street.faults.order("up".parse().unwrap());
    street.faults.order("decline 1 card_stolen".parse().unwrap());
    let decision = gateway.place_hold(place(30_000)).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(decision, Decision::Declined(HoldDeclined { code: "card_stolen".to_owned() }));
    assert_eq!(street.balance(), 100_000);
}

#[tokio::test]
async fn stopping_lets_stalled_callers_go() {
    let mut street = Street::open().await;
    let mut gateway = street.caller("gateway");
    street.faults.order("stall 1".parse().unwrap());
    let stalled = tokio::spawn(async move { gateway.reverse_hold(reverse()).await });
    assert_eq!(street.answered().await, ("reverse_hold", "stalled"));
    street.stop.send(()).unwrap();
    assert_eq!(stalled.await.unwrap().unwrap_err().code(), Code::Unavailable);
    tokio::time::timeout(Duration::from_secs(5), street.serving).await.unwrap().unwrap();
}
