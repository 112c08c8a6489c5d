//! `EventService`: the durable feed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use cashgate_ledger::{FeedEntry, LedgerReader, Sequence};
use cashgate_wire::proto::events::v1::event_service_server::EventService;
use cashgate_wire::proto::events::v1::{SubscribeRequest, SubscribeResponse, WithdrawalEvent};
use cashgate_wire::{journal, notices, operations as wire, unix_ms};
use cashgate_withdrawal::ids::{InstitutionId, WithdrawalId};
use cashgate_withdrawal::refusal::Refusal;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{may_see, read, refuse};
use crate::lanes::Lanes;

/// How many entries are read at a time.
const PAGE_SIZE: u32 = 256;
/// How many events may wait for a consumer; then reading stops until it has taken some. It misses none: they are in the ledger.
const WAITING_MAX: usize = 64;

/// How long a consumer may leave what was sent to it. It then subscribes again from its last event, and has missed none.
const TAKING_MAX: Duration = Duration::from_secs(10);

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
                let page = reader.feed_after(after, institution.as_ref(), PAGE_SIZE).map_err(|e| e.to_string())?;
                let events = events_of(reader, &page.entries, institution.is_some())?;
                Ok::<_, String>((events, page.through))
            });
            let (events, through) = match read.await {
                Ok(page) => page,
                Err(status) => return consumer.send(Err(status)).await.ok(),
            };
            for event in events {
                match consumer.send_timeout(Ok(event), TAKING_MAX).await {
                    Ok(()) => {}
                    Err(SendTimeoutError::Closed(_)) => return None,
                    Err(SendTimeoutError::Timeout(_)) => {
                        tracing::warn!("a consumer of events does not take them: it has to subscribe again");
                        // There is no place for a last word; the stream ends, and with it the consumer's turn.
                        return None;
                    }
                }
            }
            after = through;
        }
        last.changed().await.ok()?;
    }
}

/// The events of some entries: a step with the state that its withdrawal had come to, a notice as it is.
fn events_of(
    reader: &LedgerReader,
    entries: &[FeedEntry],
    for_institution: bool,
) -> Result<Vec<SubscribeResponse>, String> {
    let mut histories: HashMap<WithdrawalId, Vec<WithdrawalEvent>> = HashMap::new();
    let mut events = Vec::with_capacity(entries.len());
    for entry in entries {
        events.push(match entry {
            FeedEntry::Step(step) => {
                let history = match histories.entry(step.withdrawal) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(unknown) => unknown.insert(history(reader, step.withdrawal)?),
                };
                // Steps are numbered from 1 without a gap.
                let number = usize::try_from(step.number).ok();
                let event = number.and_then(|number| history.get(number.checked_sub(1)?)).cloned();
                SubscribeResponse { sequence: step.sequence.0, event, notice: None }
            }
            FeedEntry::Notice(stored) => {
                let notice = notices::message(&stored.body).map_err(|error| error.to_string())?;
                let notice = if for_institution { notices::for_institution(notice) } else { notice };
                SubscribeResponse { sequence: stored.sequence.0, event: None, notice: Some(notice) }
            }
        });
    }
    Ok(events)
}

/// Every step of a withdrawal as an event.
fn history(reader: &LedgerReader, id: WithdrawalId) -> Result<Vec<WithdrawalEvent>, String> {
    let Some((_, steps)) = reader.withdrawal(id).map_err(|error| error.to_string())? else { return Ok(Vec::new()) };
    let mut events = Vec::with_capacity(steps.len());
    let replayed = steps.iter().map(|step| (step.number, step.at, step.body.as_slice()));
    let mut kinds = steps.iter();
    journal::replay_each(id, replayed, |number, after| {
        let Some(step) = kinds.next() else { return };
        let event = wire::event_to(after, number, &step.kind);
        events.push(WithdrawalEvent { at_unix_ms: unix_ms(step.at), ..event });
    })
    .map_err(|error| error.to_string())?;
    Ok(events)
}
