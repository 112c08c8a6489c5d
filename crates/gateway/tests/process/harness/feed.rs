//! The event feed, as its consumers read it.

use cashgate_wire::proto::events::v1::event_service_client::EventServiceClient;
use cashgate_wire::proto::events::v1::{Notice, SubscribeRequest, SubscribeResponse};

use super::{Port, Site, in_time};

/// Everything in the feed that a peer may see, from the beginning to what is there now.
pub(crate) async fn feed(site: &Site, peer: &str) -> Vec<SubscribeResponse> {
    let last = site.ledger().last_sequence().unwrap().0;
    let mut client = EventServiceClient::new(site.channel(Port::Api, peer).await);
    let mut subscribed = client.subscribe(SubscribeRequest { after_sequence: 0 }).await.unwrap().into_inner();
    let mut found = Vec::new();
    // An operator sees every sequence, so its feed has an end that can be waited for; others are read through its eyes.
    while found.last().is_none_or(|event: &SubscribeResponse| event.sequence < last) {
        if last == 0 {
            break;
        }
        found.push(in_time("the feed goes on", subscribed.message()).await.unwrap().unwrap());
    }
    found
}

/// The notices among them.
pub(crate) async fn notices(site: &Site, peer: &str) -> Vec<Notice> {
    feed(site, peer).await.into_iter().filter_map(|event| event.notice).collect()
}
