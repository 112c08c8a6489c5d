//! One stream to the gateway, from dialling to its end, as a task of its own.

use std::time::Duration;

use cashgate_wire::proto::atm::v1::atm_service_client::AtmServiceClient;
use cashgate_wire::proto::atm::v1::{AtmMessage, GatewayMessage, atm_message::Message as Saying};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

use crate::rpc_error::RpcError;

/// Messages that may wait for a slow line; more means that it is dead.
const OUTBOUND_MAX: usize = 256;

/// What a link tells the driver.
pub(super) enum LinkEvent {
    /// The stream may be spoken on.
    Open,
    /// The gateway said something.
    Message(GatewayMessage),
    /// The stream is over.
    Closed {
        /// Why.
        why: String,
    },
}

/// A stream that is being opened or is open. Dropping it cuts the line.
pub(super) struct Link {
    events: mpsc::Receiver<LinkEvent>,
    outbound: Option<mpsc::Sender<AtmMessage>>,
    task: JoinHandle<()>,
}

impl Link {
    pub(super) fn dial(gateway: Endpoint, after: Duration) -> Self {
        let (outbound, messages) = mpsc::channel(OUTBOUND_MAX);
        let (sender, events) = mpsc::channel(OUTBOUND_MAX);
        let task = tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let why = carry(gateway, messages, &sender).await;
            // Nobody listens when the driver has hung up itself.
            let _ = sender.send(LinkEvent::Closed { why }).await;
        });
        Self { events, outbound: Some(outbound), task }
    }

    /// What happens next on the line.
    pub(super) async fn event(&mut self) -> LinkEvent {
        let closed = || LinkEvent::Closed { why: "the line went dead".to_owned() };
        self.events.recv().await.unwrap_or_else(closed)
    }

    /// Puts a message on the line, with the trace that it belongs to; false if the line is dead.
    pub(super) fn send(&self, message: Saying, traceparent: String) -> bool {
        let message = AtmMessage { message: Some(message), traceparent };
        self.outbound.as_ref().is_some_and(|outbound| outbound.try_send(message).is_ok())
    }

    /// Ends the stream in order: what was sent still goes out, for as long as `patience`.
    pub(super) async fn close(mut self, patience: Duration) {
        self.outbound = None;
        let drained = async { while !matches!(self.event().await, LinkEvent::Closed { .. }) {} };
        // A gateway that does not end its side is simply cut off.
        let _ = tokio::time::timeout(patience, drained).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Opens the stream, passes on what comes in, and returns why it ended.
async fn carry(gateway: Endpoint, messages: mpsc::Receiver<AtmMessage>, events: &mpsc::Sender<LinkEvent>) -> String {
    let channel = match gateway.connect().await {
        Ok(channel) => channel,
        Err(error) => return with_sources(&error),
    };
    // Hello goes first, and the gateway may answer the call only when it has read it, so the driver must be told before the call.
    if events.send(LinkEvent::Open).await.is_err() {
        return "hung up".to_owned();
    }
    let mut client = AtmServiceClient::new(channel);
    let mut incoming = match client.connect(ReceiverStream::new(messages)).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return reason_of(&status),
    };
    loop {
        match incoming.message().await {
            Ok(Some(message)) => {
                if events.send(LinkEvent::Message(message)).await.is_err() {
                    return "hung up".to_owned();
                }
            }
            Ok(None) => return "the gateway ended the stream".to_owned(),
            Err(status) => return reason_of(&status),
        }
    }
}

fn reason_of(status: &tonic::Status) -> String {
    let RpcError { code, reason, message, .. } = RpcError::from(status);
    let reason = if reason.is_empty() { reason } else { format!(" {reason}") };
    format!("{code}{reason}: {message}")
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
