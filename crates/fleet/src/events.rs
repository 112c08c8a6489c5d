//! A consumer of the gateway's event feed that keeps its place over breaks.

use cashgate_wire::proto::events::v1::event_service_client::EventServiceClient;
use cashgate_wire::proto::events::v1::{SubscribeRequest, SubscribeResponse};
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// A consumer and the last event that it has dealt with.
#[derive(Debug)]
pub struct Subscription {
    client: EventServiceClient<Channel>,
    after_sequence: u64,
    stream: Option<Streaming<SubscribeResponse>>,
}

impl Subscription {
    /// Begins behind a sequence number; 0 for all events.
    #[must_use]
    pub fn after(sequence: u64, gateway: Channel) -> Self {
        Self { client: EventServiceClient::new(gateway), after_sequence: sequence, stream: None }
    }

    /// The next event; `None` if the gateway ended the stream. Calling again afterwards, also after an error, goes on where it stopped.
    ///
    /// # Errors
    /// The gateway's status.
    pub async fn next(&mut self) -> Result<Option<SubscribeResponse>, Status> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let request = SubscribeRequest { after_sequence: self.after_sequence };
                self.stream.insert(self.client.subscribe(request).await?.into_inner())
            }
        };
        let answer = stream.message().await;
        match &answer {
            Ok(Some(event)) => self.after_sequence = event.sequence,
            Ok(None) | Err(_) => self.stream = None,
        }
        answer
    }
}
