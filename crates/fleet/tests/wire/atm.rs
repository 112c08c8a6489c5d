//! An ATM on its line, against a gateway that a test plays.

use std::path::Path;
use std::time::Duration;

use aws_lc_rs::hmac;
use cashgate_fleet::atm::{
    AtmError, Book, Command, DispenseKey, Ended, Installation, Notes, OutcomeWord, Plan, ScreenEvent, read_facts, run,
    run_in_memory, run_secured,
};
use cashgate_fleet::clock::unix_ms;
use cashgate_wire::proto::atm::v1::atm_service_server::{AtmService, AtmServiceServer};
use cashgate_wire::proto::atm::v1::{
    AtmMessage, Dispense, GatewayMessage, Hello, OutcomeRecorded, Welcome, atm_message::Message as Saying,
    gateway_message::Message as Told,
};
use cashgate_wire::proto::withdrawal::v1::{EvidenceSource, Location, Money, Outcome};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use super::authority::Authority;

const W1: &str = "01981f2e-7c1a-7000-8000-000000000001";
const PATIENCE: Duration = Duration::from_secs(10);

/// The gateway's end of one stream.
struct Conversation {
    heard: Streaming<AtmMessage>,
    tell: mpsc::UnboundedSender<Result<GatewayMessage, Status>>,
}

impl Conversation {
    async fn hear(&mut self) -> Saying {
        let message = tokio::time::timeout(PATIENCE, self.heard.message()).await.expect("the ATM says something");
        message.unwrap().expect("the stream is open").message.unwrap()
    }

    async fn welcome(&mut self) -> Hello {
        let Saying::Hello(hello) = self.hear().await else { panic!("Hello comes first") };
        self.tell(Told::Welcome(Welcome { gateway_time_unix_ms: unix_ms(), atm_id: "A1".to_owned() }));
        hello
    }

    fn tell(&self, message: Told) {
        self.tell.send(Ok(GatewayMessage { message: Some(message), ..Default::default() })).unwrap();
    }

    fn dispense(&self, amount: i64) {
        let amount = Some(Money { minor_units: amount, currency: "JPY".to_owned() });
        let start_before_unix_ms = unix_ms() + 30_000;
        let withdrawal_id = W1.to_owned();
        self.tell(Told::Dispense(Dispense { withdrawal_id, amount, start_before_unix_ms, ..Dispense::default() }));
    }
}

struct Gateway {
    conversations: mpsc::UnboundedSender<Conversation>,
}

#[tonic::async_trait]
impl AtmService for Gateway {
    type ConnectStream = UnboundedReceiverStream<Result<GatewayMessage, Status>>;

    async fn connect(&self, request: Request<Streaming<AtmMessage>>) -> Result<Response<Self::ConnectStream>, Status> {
        let (tell, told) = mpsc::unbounded_channel();
        self.conversations.send(Conversation { heard: request.into_inner(), tell }).ok();
        Ok(Response::new(UnboundedReceiverStream::new(told)))
    }
}

/// A gateway on a port of its own, and the ATM's credentials for it.
struct Site {
    authority: Authority,
    uri: String,
    calls: mpsc::UnboundedReceiver<Conversation>,
}

impl Site {
    async fn open() -> Self {
        let authority = Authority::new();
        let tls = authority.credentials("gateway").server_tls();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("https://{}", listener.local_addr().unwrap());
        let (conversations, calls) = mpsc::unbounded_channel();
        let service = AtmServiceServer::new(Gateway { conversations });
        let server = Server::builder().tls_config(tls).unwrap().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        Self { authority, uri, calls }
    }

    fn switch_on(&self, state_dir: &Path) -> Atm {
        let installation = self.installation(state_dir);
        Atm::of(|commands, screen| run(installation, commands, screen, std::future::pending()))
    }

    fn switch_on_secured(&self, state_dir: &Path, key: &[u8; 32]) -> Atm {
        let (installation, key) = (self.installation(state_dir), DispenseKey::new(key));
        Atm::of(|commands, screen| run_secured(installation, key, commands, screen, std::future::pending()))
    }

    fn installation(&self, state_dir: &Path) -> Installation {
        Installation {
            plan: Plan {
                name: "ATM A1".to_owned(),
                place: "Shibuya, Tokyo".to_owned(),
                filled: vec![Notes { denomination: 10_000, count: 100 }],
                currency: "JPY".to_owned(),
                notes_per_dispense_max: 40,
                present_delay: Duration::from_millis(20),
                point: None,
                bare_word: false,
            },
            gateway: self.authority.credentials("atm/A1").endpoint(&self.uri).unwrap(),
            state_dir: state_dir.to_owned(),
        }
    }

    async fn call(&mut self) -> Conversation {
        tokio::time::timeout(PATIENCE, self.calls.recv()).await.expect("the ATM calls").unwrap()
    }
}

struct Atm {
    operator: mpsc::Sender<Command>,
    shown: mpsc::UnboundedReceiver<ScreenEvent>,
    running: JoinHandle<Ended>,
}

impl Atm {
    fn of<R>(start: impl FnOnce(mpsc::Receiver<Command>, mpsc::UnboundedSender<ScreenEvent>) -> R) -> Self
    where
        R: Future<Output = Result<Ended, AtmError>> + Send + 'static,
    {
        let (operator, commands) = mpsc::channel(4);
        let (screen, shown) = mpsc::unbounded_channel();
        let started = start(commands, screen);
        Self { operator, shown, running: tokio::spawn(async { started.await.unwrap() }) }
    }

    async fn shows(&mut self, wanted: impl Fn(&ScreenEvent) -> bool) {
        let seen = async { while !wanted(&self.shown.recv().await.expect("the ATM is on")) {} };
        tokio::time::timeout(PATIENCE, seen).await.expect("the screen shows it");
    }

    async fn order(&self, line: &str) {
        self.operator.send(line.parse().unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn pays_and_reports_and_is_switched_off() {
    let (mut site, state) = (Site::open().await, tempfile::tempdir().unwrap());
    let mut atm = site.switch_on(state.path());
    let mut call = site.call().await;
    assert_eq!(call.welcome().await.unresolved, vec![]);
    call.dispense(30_000);
    let Saying::Outcome(report) = call.hear().await else { panic!("an outcome") };
    assert_eq!(report.outcome(), Outcome::Dispensed);
    assert!(matches!(call.hear().await, Saying::UpdateCassettes(_)));
    call.tell(Told::OutcomeRecorded(OutcomeRecorded { withdrawal_id: W1.to_owned() }));
    atm.shows(|event| matches!(event, ScreenEvent::OutcomeRecorded { .. })).await;
    atm.order("quit").await;
    drop(call);
    assert_eq!(atm.running.await.unwrap(), Ended::SwitchedOff);
    let book = Book::of(&read_facts(state.path()).unwrap());
    let line = book.lines().next().unwrap();
    assert_eq!((line.cash_out, line.outcome, line.acknowledged), (30_000, Some(OutcomeWord::Dispensed), true));
}

#[tokio::test]
async fn a_machine_without_a_record_on_disk_pays_as_well_and_gives_its_book_in_the_end() {
    let (mut site, nowhere) = (Site::open().await, tempfile::tempdir().unwrap());
    let Installation { plan, gateway, .. } = site.installation(nowhere.path());
    let (operator, commands) = mpsc::channel(4);
    let (screen, mut shown) = mpsc::unbounded_channel();
    let running = tokio::spawn(run_in_memory(plan, gateway, commands, screen, std::future::pending()));
    let mut call = site.call().await;
    call.welcome().await;
    call.dispense(30_000);
    assert!(matches!(call.hear().await, Saying::Outcome(_)));
    call.tell(Told::OutcomeRecorded(OutcomeRecorded { withdrawal_id: W1.to_owned() }));
    while !matches!(shown.recv().await.expect("the ATM is on"), ScreenEvent::OutcomeRecorded { .. }) {}
    operator.send(Command::Quit).await.unwrap();
    drop(call);
    let book = running.await.unwrap().unwrap();
    let line = book.lines().next().unwrap();
    assert_eq!((line.withdrawal_id, line.cash_out, line.acknowledged), (W1, 30_000, true));
    assert_eq!(std::fs::read_dir(nowhere.path()).unwrap().count(), 0, "nothing is written");
}

#[tokio::test]
async fn an_outcome_lost_in_a_power_cut_is_told_on_reconnect() {
    let (mut site, state) = (Site::open().await, tempfile::tempdir().unwrap());
    let mut atm = site.switch_on(state.path());
    let mut call = site.call().await;
    call.welcome().await;
    atm.shows(|event| matches!(event, ScreenEvent::Connected { .. })).await;
    atm.order("fault power-cut").await;
    atm.order("start").await;
    assert!(matches!(call.hear().await, Saying::StartQrSession(_)));
    call.dispense(30_000);
    assert_eq!(atm.running.await.unwrap(), Ended::PowerCut);
    let _atm = site.switch_on(state.path());
    let hello = site.call().await.welcome().await;
    assert_eq!(hello.unresolved.len(), 1);
    assert_eq!(hello.unresolved[0].outcome(), Outcome::Dispensed);
}

#[tokio::test]
async fn a_machine_that_was_cut_off_comes_back_by_itself() {
    let (mut site, state) = (Site::open().await, tempfile::tempdir().unwrap());
    let mut atm = site.switch_on(state.path());
    let mut call = site.call().await;
    call.welcome().await;
    call.tell.send(Err(Status::unavailable("the gateway restarts"))).unwrap();
    atm.shows(|event| matches!(event, ScreenEvent::Disconnected { why } if why.contains("restarts"))).await;
    let mut again = site.call().await;
    again.welcome().await;
    atm.order("disconnect").await;
    atm.shows(|event| matches!(event, ScreenEvent::Disconnected { .. })).await;
    atm.order("connect").await;
    site.call().await.welcome().await;
}

#[tokio::test]
async fn an_atm_whose_operator_is_gone_switches_off_though_the_gateway_is_silent() {
    let (mut site, state) = (Site::open().await, tempfile::tempdir().unwrap());
    let atm = site.switch_on(state.path());
    let mut call = site.call().await;
    call.welcome().await;
    drop(atm.operator);
    assert_eq!(tokio::time::timeout(PATIENCE, atm.running).await.unwrap().unwrap(), Ended::SwitchedOff);
}

#[tokio::test]
async fn an_atm_with_a_dispense_key_pays_against_a_token_and_proves_it() {
    let (mut site, state, key) = (Site::open().await, tempfile::tempdir().unwrap(), [7; 32]);
    let atm = site.switch_on_secured(state.path(), &key);
    let mut call = site.call().await;
    assert_eq!(call.welcome().await.end_to_end.map(|declared| declared.token_format), Some(1));
    atm.order("start").await;
    let Saying::StartQrSession(started) = call.hear().await else { panic!("a customer") };
    let nonce = started.command_nonce;
    let covered = format!("NONCE={nonce},TOKENFORMAT=1,TOKENLENGTH=0167,DISPENSE1=30000.00JPY,HMACSHA256=");
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), covered.as_bytes());
    let dispense_id = hex::encode_upper(mac);
    let present_nonce = "0123456789ABCDEF0123456789ABCDEF".to_owned();
    call.tell(Told::Dispense(Dispense {
        withdrawal_id: W1.to_owned(),
        amount: Some(Money { minor_units: 30_000, currency: "JPY".to_owned() }),
        start_before_unix_ms: unix_ms() + 30_000,
        dispense_token: format!("{covered}{dispense_id}"),
        present_nonce: present_nonce.clone(),
    }));
    let Saying::Outcome(report) = call.hear().await else { panic!("an outcome") };
    assert_eq!(report.outcome(), Outcome::Dispensed);
    let begin = format!("NONCE={present_nonce},TOKENFORMAT=1,TOKENLENGTH=0327,DISPENSEID={dispense_id},DISPENSED1=");
    assert!(report.present_token.starts_with(&begin), "{}", report.present_token);
}

#[tokio::test]
async fn a_machine_tells_where_it_stands_and_that_its_word_is_all_it_has() {
    let (mut site, state) = (Site::open().await, tempfile::tempdir().unwrap());
    let mut installation = site.installation(state.path());
    installation.plan.point = Some("35.6595,139.7005".parse().unwrap());
    installation.plan.bare_word = true;
    let _atm = Atm::of(|commands, screen| run(installation, commands, screen, std::future::pending()));
    let mut call = site.call().await;
    let hello = call.welcome().await;
    assert_eq!(hello.location, Some(Location { latitude_e7: 356_595_000, longitude_e7: 1_397_005_000 }));
    assert_eq!(hello.best_evidence(), EvidenceSource::BareWord);
    call.dispense(30_000);
    let Saying::Outcome(report) = call.hear().await else { panic!("an outcome") };
    assert_eq!((report.outcome(), report.evidence()), (Outcome::Dispensed, EvidenceSource::BareWord));
}
