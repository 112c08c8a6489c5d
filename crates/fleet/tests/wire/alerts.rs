//! An institution's consumer on the feed, against a gateway that a test plays from a recorded feed: the first hour of a new phone.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cashgate_fleet::alerts::{Alert, AlertRules, Consumer, ConsumerError, Progress};
use cashgate_wire::proto::events::v1::event_service_server::{EventService, EventServiceServer};
use cashgate_wire::proto::events::v1::{
    ApprovalRefused, DeviceLocked, DeviceRegistered, DeviceReleased, Notice, SubscribeRequest, SubscribeResponse,
    WithdrawalEvent, notice::Notice as Kind,
};
use cashgate_wire::proto::withdrawal::v1::{Money, WithdrawalState};
use tokio::sync::oneshot;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::authority::Authority;

const PATIENCE: Duration = Duration::from_secs(10);
/// What the recorded feed makes an institution say, in order.
const SAID: [&str; 10] = [
    "3-customer device_registered",
    "4-customer refused",
    "4-fraud-desk refused",
    "5-customer approved",
    "8-customer dispensed",
    "11-customer device_locked",
    "11-fraud-desk device_locked",
    "14-customer device_released",
    "14-fraud-desk device_released",
    "15-customer device_key_changed",
];

/// As the gateway told it; the numbers that are missing were another institution's.
fn recorded() -> Vec<SubscribeResponse> {
    let (institution_id, device_id) = ("sakura".to_owned(), "phone-1".to_owned());
    let registered = |key_changed| {
        let (institution_id, device_id) = (institution_id.clone(), device_id.clone());
        let activation_channel = "online".to_owned();
        Kind::DeviceRegistered(DeviceRegistered { institution_id, device_id, activation_channel, key_changed })
    };
    let refused = |reason: &str| {
        Kind::ApprovalRefused(ApprovalRefused {
            institution_id: institution_id.clone(),
            account_id: "acct-1".to_owned(),
            device_id: device_id.clone(),
            amount: yen(50_000),
            reasons: vec![reason.to_owned()],
            ..ApprovalRefused::default()
        })
    };
    let locked = Kind::DeviceLocked(DeviceLocked {
        institution_id: institution_id.clone(),
        device_id: device_id.clone(),
        failed_attempts: 5,
    });
    let released = Kind::DeviceReleased(DeviceReleased {
        institution_id: institution_id.clone(),
        device_id: device_id.clone(),
        actor: "institution/sakura".to_owned(),
        reason: "the customer came to the branch".to_owned(),
    });
    vec![
        notice(3, registered(false)),
        notice(4, refused("new_device_above_habit")),
        step(5, "approved", WithdrawalState::HoldRequested, None),
        step(6, "hold_granted", WithdrawalState::Held, None),
        step(7, "dispense_commanded", WithdrawalState::DispenseCommanded, None),
        step(8, "outcome_reported", WithdrawalState::Confirming, yen(20_000)),
        step(9, "hold_confirmed", WithdrawalState::Confirmed, yen(20_000)),
        notice(11, locked),
        notice(14, released),
        notice(15, registered(true)),
    ]
}

fn yen(minor_units: i64) -> Option<Money> {
    Some(Money { minor_units, currency: "JPY".to_owned() })
}

fn notice(sequence: u64, kind: Kind) -> SubscribeResponse {
    SubscribeResponse { sequence, event: None, notice: Some(Notice { at_unix_ms: 1, notice: Some(kind) }) }
}

fn step(sequence: u64, event: &str, state: WithdrawalState, dispensed: Option<Money>) -> SubscribeResponse {
    let event = WithdrawalEvent {
        event: event.to_owned(),
        state: state.into(),
        amount: yen(20_000),
        dispensed,
        ..WithdrawalEvent::default()
    };
    SubscribeResponse { sequence, event: Some(event), notice: None }
}

/// Plays the recorded feed; each subscription breaks after so many events, and the line stays open after the last.
struct Gateway {
    breaks_after: usize,
    held: Mutex<Vec<tokio::sync::mpsc::UnboundedSender<Result<SubscribeResponse, Status>>>>,
}

#[tonic::async_trait]
impl EventService for Gateway {
    type SubscribeStream = UnboundedReceiverStream<Result<SubscribeResponse, Status>>;

    async fn subscribe(&self, request: Request<SubscribeRequest>) -> Result<Response<Self::SubscribeStream>, Status> {
        let after = request.into_inner().after_sequence;
        let all = recorded();
        if all.last().is_some_and(|last| after > last.sequence) {
            return Err(Status::invalid_argument("after_sequence lies beyond the last event"));
        }
        let due: Vec<_> = all.into_iter().filter(|event| event.sequence > after).collect();
        let breaks = due.len() > self.breaks_after;
        let (sender, events) = tokio::sync::mpsc::unbounded_channel();
        for event in due.into_iter().take(self.breaks_after) {
            sender.send(Ok(event)).unwrap();
        }
        if breaks {
            sender.send(Err(Status::unavailable("the gateway restarts"))).unwrap();
        } else {
            self.held.lock().unwrap().push(sender);
        }
        Ok(Response::new(UnboundedReceiverStream::new(events)))
    }
}

struct Site {
    authority: Authority,
    uri: String,
}

impl Site {
    async fn open(breaks_after: usize) -> Self {
        let authority = Authority::new();
        let tls = authority.credentials("gateway").server_tls();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("https://{}", listener.local_addr().unwrap());
        let service = EventServiceServer::new(Gateway { breaks_after, held: Mutex::default() });
        let server = Server::builder().tls_config(tls).unwrap().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        Self { authority, uri }
    }

    fn consumer(&self, state: &Path) -> Consumer {
        let channel = self.authority.credentials("institution/sakura").channel(&self.uri).unwrap();
        Consumer::new(channel, AlertRules { approvals_from: 10_000 }, Progress::open(state, 0).unwrap())
    }

    /// Runs a consumer until it has said `enough`, then switches it off in order. Gives what it said.
    async fn listen(&self, state: &Path, enough: usize) -> Vec<String> {
        let said = Arc::new(Mutex::new(Vec::new()));
        let (done, shutdown) = oneshot::channel();
        let (mut done, heard) = (Some(done), Arc::clone(&said));
        let tell = move |alert: &Alert| {
            let mut said = heard.lock().unwrap();
            said.push(outline(alert));
            if said.len() == enough {
                done.take().map(|done| done.send(()));
            }
            Ok(())
        };
        let running = self.consumer(state).run(tell, async { drop(shutdown.await) });
        tokio::time::timeout(PATIENCE, running).await.expect("the consumer has said enough").unwrap();
        let said = said.lock().unwrap();
        said.clone()
    }
}

fn outline(alert: &Alert) -> String {
    format!("{} {}", alert.alert_id, alert.about)
}

#[tokio::test]
async fn a_line_that_breaks_loses_nothing_and_repeats_nothing() {
    for breaks_after in [1, 3, 100] {
        let (site, folder) = (Site::open(breaks_after).await, tempfile::tempdir().unwrap());
        assert_eq!(site.listen(&folder.path().join("alerts.json"), SAID.len()).await, SAID, "{breaks_after}");
    }
}

#[tokio::test]
async fn a_consumer_that_is_switched_off_anywhere_goes_on_there() {
    for first in 1..SAID.len() {
        let (site, folder) = (Site::open(100).await, tempfile::tempdir().unwrap());
        let state = folder.path().join("alerts.json");
        let mut said = site.listen(&state, first).await;
        // It ends at an event, not within one, and may have read on before it was told to stop.
        if said.len() < SAID.len() {
            said.extend(site.listen(&state, SAID.len() - said.len()).await);
        }
        assert_eq!(said, SAID, "switched off after {first}");
    }
}

#[tokio::test]
async fn an_alert_that_could_not_be_handed_on_comes_again_under_its_id() {
    let (site, folder) = (Site::open(100).await, tempfile::tempdir().unwrap());
    let state = folder.path().join("alerts.json");
    let mut said = Vec::new();
    let tell = |alert: &Alert| {
        if said.len() == 2 {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe)); // the fraud desk's half of event 4
        }
        said.push(outline(alert));
        Ok(())
    };
    let ended = site.consumer(&state).run(tell, std::future::pending()).await;
    assert!(matches!(ended, Err(ConsumerError::Untold(_))), "{ended:?}");
    assert_eq!(said, SAID[..2]);
    assert_eq!(site.listen(&state, SAID.len() - 1).await, SAID[1..], "event 4 again as a whole");
}

#[tokio::test]
async fn a_feed_that_is_shorter_than_before_is_for_a_person_to_look_at() {
    let (site, folder) = (Site::open(100).await, tempfile::tempdir().unwrap());
    let state = folder.path().join("alerts.json");
    Progress::open(&state, 0).unwrap().advance(16).unwrap();
    let ended = site.consumer(&state).run(|_| Ok(()), std::future::pending()).await;
    assert!(matches!(ended, Err(ConsumerError::Refused(_))), "{ended:?}");
    assert_eq!(Progress::open(&state, 0).unwrap().sequence(), 16);
}
