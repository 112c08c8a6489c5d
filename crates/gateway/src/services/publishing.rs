//! Publications, for operators.

use cashgate_ledger::StoredPublication;
use cashgate_wire::proto::operations::v1::{
    GetPublicationRequest, GetPublicationResponse, ListPublicationsResponse, PublicationSummary, PublishRulesRequest,
    PublishRulesResponse,
};
use cashgate_wire::publications::{Incoming, files_to};
use cashgate_wire::{status, unix_ms};
use tonic::{Request, Status, Streaming};

use super::OperationsPort;
use crate::publishing::{PublishRefusal, Published};

impl OperationsPort {
    pub(super) async fn published(
        &self,
        request: Request<Streaming<PublishRulesRequest>>,
    ) -> Result<PublishRulesResponse, Status> {
        // Before anything of the stream is read.
        let operator = self.operator("PublishRules", &request)?;
        let (mut stream, mut incoming) = (request.into_inner(), Incoming::default());
        let refuse = |refusal| self.refuse("PublishRules", &refusal);
        while let Some(message) = stream.message().await? {
            incoming.take(message).map_err(refuse)?;
        }
        let (note, after, files) = incoming.whole().map_err(refuse)?;
        let publisher = self.publisher.clone();
        // To its end, even if the caller goes away.
        let publishing =
            tokio::spawn(
                async move { publisher.publish(&operator, note, after, files).await.map_err(|r| (operator, r)) },
            );
        match publishing.await {
            Ok(Ok(Published { number, version, in_force })) => {
                Ok(PublishRulesResponse { number, policy_version: version, in_force })
            }
            Ok(Err((operator, refusal))) => {
                tracing::warn!(%operator, reason = refusal.reason(), "a publication was refused: {refusal}");
                Err(refusal.into())
            }
            Err(error) => {
                tracing::error!(%error, "a publication was not carried to its end");
                Err(status::internal())
            }
        }
    }

    pub(super) async fn publications<T>(&self, request: &Request<T>) -> Result<ListPublicationsResponse, Status> {
        self.operator("ListPublications", request)?;
        let found = self.publisher.publications().await.map_err(unread)?;
        Ok(ListPublicationsResponse {
            publications: found.into_iter().rev().map(summary).collect(),
            in_force: self.publisher.standing().in_force(),
            from_ledger: self.publisher.is_source(),
        })
    }

    pub(super) async fn publication(
        &self,
        request: Request<GetPublicationRequest>,
    ) -> Result<GetPublicationResponse, Status> {
        self.operator("GetPublication", &request)?;
        let (publication, files) = self.publisher.publication(request.into_inner().number).await.map_err(unread)?;
        Ok(GetPublicationResponse { publication: Some(summary(publication)), files: files_to(files) })
    }
}

/// Why nothing can be shown. What the ledger said is for the log.
fn unread(refusal: PublishRefusal) -> Status {
    if let PublishRefusal::Ledger(error) = &refusal {
        tracing::error!(error, "publications could not be read");
        return status::internal();
    }
    refusal.into()
}

fn summary(stored: StoredPublication) -> PublicationSummary {
    PublicationSummary {
        number: stored.number,
        policy_version: stored.version,
        digest: stored.digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        at_unix_ms: unix_ms(stored.at),
        operator: stored.actor,
        note: stored.note,
        sequence: stored.sequence.0,
        seal: stored.seal.to_string(),
    }
}
