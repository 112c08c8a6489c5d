//! `EventService`: the durable feed.

use std::collections::HashMap;
use std::sync::Arc;

use cashgate_ledger::{Sequence, StoredStep};
use cashgate_wire::proto::events::v1::event_service_server::EventService;
use cashgate_wire::proto::events::v1::{SubscribeRequest, SubscribeResponse};
use cashgate_wire::{journal, operations as wire};
use cashgate_withdrawal::ids::{InstitutionId, WithdrawalId};
use cashgate_withdrawal::refusal::Refusal;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{may_see, read, refuse};
use crate::lanes::Lanes;

/// How many steps are read at a time.
const PAGE_SIZE: u32 = 256;
/// How many events may wait for a consumer; then reading stops until it has taken some. It misses none: they are in the ledger.
const WAITING_MAX: usize = 64;

/// The event consumers' side of the gateway.
#[derive(Clone, Debug)]
pub struct EventPort {
    lanes: Arc<Lanes>,
}

impl EventPort {
    /// A port over the lanes' ledger.
    #[must_use]
    pub const fn new(lanes: Arc<Lanes>) -> Self {
        Self { lanes }
    }
}

#[tonic::async_trait]
impl EventService for EventPort {
    type SubscribeStream = ReceiverStream<Result<SubscribeResponse, Status>>;

    async fn subscribe(&self, request: Request<SubscribeRequest>) -> Result<Response<Self::SubscribeStream>, Status> {
        let of = may_see(&self.lanes, "Subscribe", &request)?;
        let after = Sequence(request.into_inner().after_sequence);
        let last = *self.lanes.surroundings().ledger.subscribe_last_sequence().borrow();
        if after > last {
            // Waiting for it would silently leave out what comes in between, after a restore for example.
            let detail = format!("lies beyond the last event, which is {last}");
            return Err(refuse(&self.lanes, "Subscribe", &Refusal::FieldInvalid { field: "after_sequence", detail }));
        }
        let (sender, events) = mpsc::channel(WAITING_MAX);
        let lanes = Arc::clone(&self.lanes);
        tokio::spawn(async move {
            let _consumer_left = tokio::select! {
                ended = feed(&lanes, of, after, &sender) => ended,
                () = sender.closed() => None,
            };
        });
        Ok(Response::new(ReceiverStream::new(events)))
    }
}

/// Sends what is there and what comes, until the consumer leaves.
async fn feed(
    lanes: &Lanes,
    of: Option<InstitutionId>,
    mut after: Sequence,
    consumer: &mpsc::Sender<Result<SubscribeResponse, Status>>,
) -> Option<()> {
    let mut last = lanes.surroundings().ledger.subscribe_last_sequence();
    loop {
        let durable = *last.borrow_and_update();
        while after < durable {
            let institution = of.clone();
            let read = read(lanes, move |reader| {
                let page = reader.steps_after(after, institution.as_ref(), PAGE_SIZE).map_err(|e| e.to_string())?;
                let events = events_of(reader, &page.steps)?;
                Ok::<_, String>((events, page.through))
            });
            let (events, through) = match read.await {
                Ok(page) => page,
                Err(status) => return consumer.send(Err(status)).await.ok(),
            };
            for event in events {
                consumer.send(Ok(event)).await.ok()?;
            }
            after = through;
        }
        last.changed().await.ok()?;
    }
}

/// The events of some steps: each with the state that its withdrawal had come to.
fn events_of(reader: &cashgate_ledger::LedgerReader, steps: &[StoredStep]) -> Result<Vec<SubscribeResponse>, String> {
    let mut histories: HashMap<WithdrawalId, Vec<StoredStep>> = HashMap::new();
    let mut events = Vec::with_capacity(steps.len());
    for step in steps {
        let history = match histories.entry(step.withdrawal) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(unknown) => {
                let found = reader.withdrawal(step.withdrawal).map_err(|error| error.to_string())?;
                unknown.insert(found.map(|(_, steps)| steps).unwrap_or_default())
            }
        };
        let so_far = history.iter().filter(|earlier| earlier.number <= step.number);
        let so_far = so_far.map(|earlier| (earlier.number, earlier.at, earlier.body.as_slice()));
        let after = journal::replay(step.withdrawal, so_far).map_err(|error| error.to_string())?;
        let mut event = wire::event_to(&after, step.number, &step.kind);
        event.at_unix_ms = i64::try_from(step.at.unix_ms()).unwrap_or(i64::MAX);
        events.push(SubscribeResponse { sequence: step.sequence.0, event: Some(event) });
    }
    Ok(events)
}
