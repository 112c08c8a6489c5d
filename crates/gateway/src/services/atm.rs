//! `AtmService`: one long stream an ATM.

use std::sync::Arc;
use std::time::Duration;

use cashgate_wire::atm::{hello_from, message_from, refused};
use cashgate_wire::proto::atm::v1::atm_service_server::AtmService;
use cashgate_wire::proto::atm::v1::{AtmMessage, GatewayMessage};
use cashgate_withdrawal::lane::LinkId;
use cashgate_withdrawal::refusal::Refusal;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::identity;
use crate::clock;
use crate::identity::Identity;
use crate::lanes::{LaneHandle, Lanes, OUTBOX_LENGTH_MAX, Outbox};
use crate::telemetry::Traceparent;

/// How long an ATM may take to say Hello.
const HELLO_MAX: Duration = Duration::from_secs(10);

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
    type ConnectStream = ReceiverStream<Result<GatewayMessage, Status>>;

    async fn connect(&self, request: Request<Streaming<AtmMessage>>) -> Result<Response<Self::ConnectStream>, Status> {
        let Identity::Atm(atm) = identity(&self.lanes, "Connect", &request)? else {
            return Err(self.refuse(&Refusal::IdentityNotAllowed { needed: "atm/<id>" }));
        };
        let mut messages = request.into_inner();
        let first = match tokio::time::timeout(HELLO_MAX, messages.message()).await {
            Ok(first) => first?,
            Err(_) => None,
        };
        let first = first.ok_or_else(|| self.refuse(&Refusal::HelloMissing))?;
        let hello = hello_from(first).map_err(|refusal| self.refuse(&refusal))?;
        let lane = self.lanes.of_connecting(&atm).map_err(|refusal| self.refuse(&refusal))?;
        let (outbox, outgoing) = mpsc::channel(OUTBOX_LENGTH_MAX);
        let link = self.lanes.next_link();
        let (unresolved, end_to_end) = (hello.unresolved.len(), hello.facts.end_to_end);
        tracing::info!(%atm, software = hello.software, unresolved, end_to_end, "an ATM connected");
        lane.connected(hello.facts, hello.unresolved, link, outbox.clone()).await;
        let lanes = Arc::clone(&self.lanes);
        tokio::spawn(async move {
            let why = listen(&lanes, &lane, link, messages, outbox, hello.notes_per_dispense_max).await;
            tracing::info!(%atm, why, "an ATM disconnected");
            lane.disconnected(link).await;
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

/// Hands an ATM's messages to its lane until the stream ends, and says why it did.
async fn listen(
    lanes: &Lanes,
    lane: &LaneHandle,
    link: LinkId,
    mut messages: Streaming<AtmMessage>,
    outbox: Outbox,
    notes_per_dispense_max: u32,
) -> String {
    // Only the lane keeps the stream open: when it drops its half, the ATM is cut off.
    let only_lane_holds = outbox.downgrade();
    drop(outbox);
    loop {
        if only_lane_holds.strong_count() == 0 {
            return "another connection took over, or it did not take its messages".to_owned();
        }
        let mut message = match messages.message().await {
            Ok(Some(message)) => message,
            Ok(None) => return "it ended its stream".to_owned(),
            Err(status) => return format!("{:?}: {}", status.code(), status.message()),
        };
        let from = Traceparent::from_text(&std::mem::take(&mut message.traceparent));
        match message_from(message, clock::fresh_qr_session(), notes_per_dispense_max) {
            Ok(message) => lane.said(link, message, from).await,
            Err(refusal) => {
                lanes.surroundings().metrics.refused("Connect", &refusal);
                let told = only_lane_holds.upgrade().map(|outbox| outbox.try_send(Ok(refused(&refusal))).is_ok());
                if told != Some(true) {
                    return "it does not take its messages".to_owned();
                }
            }
        }
    }
}
