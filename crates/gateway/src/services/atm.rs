//! `AtmService`: one long stream an ATM.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use cashgate_wire::atm::{hello_from, message_from, refused};
use cashgate_wire::proto::atm::v1::atm_service_server::AtmService;
use cashgate_wire::proto::atm::v1::{AtmMessage, GatewayMessage};
use cashgate_withdrawal::ids::QrSessionId;
use cashgate_withdrawal::lane::LinkId;
use cashgate_withdrawal::refusal::Refusal;
use tokio::sync::mpsc::{self, WeakSender};
use tokio::time::MissedTickBehavior;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::identity;
use crate::clock;
use crate::guard::{Cut, Link};
use crate::identity::Identity;
use crate::lanes::{Boxed, LaneHandle, Lanes, OUTBOX_LENGTH_MAX};
use crate::listener::Peer;
use crate::replica;
use crate::telemetry::Traceparent;

/// How long an ATM may take to say Hello.
const HELLO_MAX: Duration = Duration::from_secs(5);
/// How often is looked whether an ATM takes what is sent to it. One that has taken nothing from one look to the next is cut off.
const TAKING_LOOK: Duration = Duration::from_secs(4);
/// How long an ATM may be behind with what it may say. One that still is then is cut off; outcomes it says again, until they are recorded.
const BEHIND_MAX: Duration = Duration::from_secs(5);

/// The ATMs' side of the gateway.
#[derive(Clone, Debug)]
pub struct AtmPort {
    lanes: Arc<Lanes>,
}

impl AtmPort {
    /// A port over the lanes.
    #[must_use]
    pub const fn new(lanes: Arc<Lanes>) -> Self {
        Self { lanes }
    }

    fn refuse(&self, refusal: &Refusal) -> Status {
        super::refuse(&self.lanes, "Connect", refusal)
    }
}

#[tonic::async_trait]
impl AtmService for AtmPort {
    type ConnectStream = Taking;

    async fn connect(&self, request: Request<Streaming<AtmMessage>>) -> Result<Response<Self::ConnectStream>, Status> {
        let Identity::Atm(atm) = identity(&self.lanes, "Connect", &request)? else {
            return Err(self.refuse(&Refusal::IdentityNotAllowed { needed: "atm/<id>" }));
        };
        let own_link = request.extensions().get::<Peer>().map(|peer| Arc::clone(&peer.link));
        let own_link = own_link.ok_or_else(|| Status::internal("a request without a connection"))?;
        let mut messages = request.into_inner();
        let first = match tokio::time::timeout(HELLO_MAX, messages.message()).await {
            Ok(first) => first?,
            Err(_) => None,
        };
        let first = first.ok_or_else(|| self.refuse(&Refusal::HelloMissing))?;
        let hello = hello_from(first).map_err(|refusal| self.refuse(&refusal))?;
        let lane = self.lanes.of_connecting(&atm).await.map_err(|refusal| self.refuse(&refusal))?;
        let (outbox, outgoing) = mpsc::channel(OUTBOX_LENGTH_MAX);
        let link = self.lanes.next_link();
        let (unresolved, end_to_end) = (hello.unresolved.len(), hello.facts.end_to_end);
        tracing::info!(%atm, software = hello.software, unresolved, end_to_end, "an ATM connected");
        lane.connected(hello.facts, hello.unresolved, link, outbox.clone()).await;
        let taken = Arc::new(AtomicU64::new(0));
        let listening = Listening {
            lanes: Arc::clone(&self.lanes),
            lane: lane.clone(),
            link,
            connection: own_link,
            // Only the lane keeps the stream open: when it drops its half, the ATM is cut off.
            outbox: outbox.downgrade(),
            taken: Arc::clone(&taken),
            notes_per_dispense_max: hello.notes_per_dispense_max,
        };
        drop(outbox);
        tokio::spawn(async move {
            let why = listening.listen(messages).await;
            tracing::info!(%atm, why, "an ATM disconnected");
            lane.disconnected(link).await;
        });
        Ok(Response::new(Taking { outgoing, taken }))
    }
}

/// An ATM's messages on their way, counted as they are taken.
#[derive(Debug)]
pub struct Taking {
    outgoing: mpsc::Receiver<Boxed>,
    taken: Arc<AtomicU64>,
}

impl Stream for Taking {
    type Item = Result<GatewayMessage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.outgoing.poll_recv(cx);
        if next.is_ready() {
            self.taken.fetch_add(1, Ordering::Relaxed);
        }
        next.map(|message| message.map(|message| *message))
    }
}

/// Hands an ATM's messages to its lane.
struct Listening {
    lanes: Arc<Lanes>,
    lane: LaneHandle,
    link: LinkId,
    connection: Arc<Link>,
    outbox: WeakSender<Boxed>,
    taken: Arc<AtomicU64>,
    notes_per_dispense_max: u32,
}

impl Listening {
    /// Until the stream ends; says why it did.
    async fn listen(self, mut messages: Streaming<AtmMessage>) -> String {
        let mut look = tokio::time::interval(TAKING_LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut taken_before = None;
        let mut behind = Duration::ZERO;
        let aged = tokio::time::sleep(self.connection.age());
        tokio::pin!(aged);
        loop {
            if self.outbox.strong_count() == 0 {
                return "another connection took over, or it did not take its messages".to_owned();
            }
            let message = tokio::select! {
                message = messages.message() => message,
                _ = look.tick() => {
                    let waiting = self.is_waiting().then(|| self.taken.load(Ordering::Relaxed));
                    if waiting.is_some() && waiting == taken_before {
                        self.connection.cut(Cut::SlowReader);
                        return "it does not take its messages".to_owned();
                    }
                    taken_before = waiting;
                    continue;
                }
                () = &mut aged => {
                    // It is told to connect anew once it serves nobody; that may be elsewhere.
                    self.lane.move_on(self.link).await;
                    aged.as_mut().reset(clock::in_time(self.connection.age()));
                    continue;
                }
            };
            let mut message = match message {
                Ok(Some(message)) => message,
                Ok(None) => return "it ended its stream".to_owned(),
                Err(status) => return format!("{:?}: {}", status.code(), status.message()),
            };
            behind = match self.wait_for_turn().await {
                Duration::ZERO => Duration::ZERO,
                waited => behind.saturating_add(waited),
            };
            if behind > BEHIND_MAX {
                self.connection.cut(Cut::MessageFlood);
                return "it said too much".to_owned();
            }
            let from = Traceparent::from_text(&std::mem::take(&mut message.traceparent));
            match message_from(message, self.fresh_qr_session(), self.notes_per_dispense_max) {
                Ok(message) => self.lane.said(self.link, message, from).await,
                Err(refusal) => {
                    self.lanes.surroundings().metrics.refused("Connect", &refusal);
                    let told =
                        self.outbox.upgrade().map(|outbox| outbox.try_send(Box::new(Ok(refused(&refusal)))).is_ok());
                    if told != Some(true) {
                        return "it does not take its messages".to_owned();
                    }
                }
            }
        }
    }

    /// A QR session's id; among replicas it names the one that shows it, so that a cancellation finds it.
    fn fresh_qr_session(&self) -> QrSessionId {
        let fresh = clock::fresh_qr_session();
        self.lanes.surroundings().member.as_ref().map_or(fresh, |member| replica::marked(fresh, member.id()))
    }

    /// Waits until the next message may be listened to; gives how long that was. While nobody reads, the ATM's window fills up, and it has to wait too.
    async fn wait_for_turn(&self) -> Duration {
        let mut waited = Duration::ZERO;
        while let Some(pause) = self.connection.message_pause() {
            tokio::time::sleep(pause).await;
            waited = waited.saturating_add(pause);
        }
        waited
    }

    /// Whether something waits for the ATM to take it.
    fn is_waiting(&self) -> bool {
        self.outbox.upgrade().is_some_and(|outbox| outbox.capacity() < outbox.max_capacity())
    }
}
