//! Publications of rules and limits, as an operator makes and sees them.

use cashgate_wire::proto::operations::v1::{
    GetPublicationRequest, ListPublicationsRequest, ListPublicationsResponse, PublicationSummary, PublishRulesResponse,
};
use cashgate_wire::publications::{Files, parts};

use super::{InspectError, Operator, refused};
use crate::evidence;

impl Operator {
    /// Publishes rules and limits.
    pub async fn publish(&mut self, note: &str, after: Option<u64>, files: &Files) -> Result<String, InspectError> {
        let parts = tokio_stream::iter(parts(note, after, files));
        let answer = self.client.publish_rules(parts).await.map_err(refused)?.into_inner();
        let PublishRulesResponse { number, policy_version, in_force } = answer;
        let here = if in_force {
            "in force at this gateway, and at every other of its ledger within a second"
        } else {
            "recorded. It is not in force at this gateway: its rules come from files, or it has said in its log why"
        };
        Ok(format!("publication {number}, rules {policy_version}: {here}"))
    }

    /// What was published, newest first, one line each.
    pub async fn published(&mut self, json: bool) -> Result<String, InspectError> {
        let found = self.client.list_publications(ListPublicationsRequest {}).await.map_err(refused)?.into_inner();
        if json {
            return Ok(found.publications.iter().map(|one| as_json(one, found.in_force).to_string() + "\n").collect());
        }
        let mut lines: String = found.publications.iter().map(|one| as_line(one, found.in_force) + "\n").collect();
        lines.push_str(standing(&found));
        Ok(lines)
    }

    /// A publication's number and files; the latest if no number is given.
    pub async fn publication(&mut self, number: Option<u64>) -> Result<(u64, Files), InspectError> {
        let request = GetPublicationRequest { number: number.unwrap_or(0) };
        let found = self.client.get_publication(request).await.map_err(refused)?.into_inner();
        let files = found.files.into_iter().map(|file| (file.name, file.content)).collect();
        Ok((found.publication.unwrap_or_default().number, files))
    }
}

/// What holds at the gateway that was asked.
fn standing(found: &ListPublicationsResponse) -> &'static str {
    let latest = found.publications.first().map_or(0, |one| one.number);
    match (found.from_ledger, found.in_force) {
        (false, _) => "rules and limits come from files at this gateway (policy.source)",
        (true, 0) => "nothing is in force at this gateway, and every withdrawal is refused",
        (true, in_force) if in_force < latest => {
            "THE LATEST IS NOT IN FORCE at this gateway, which does not understand it: its log says why"
        }
        (true, _) => "the latest is in force at this gateway",
    }
}

fn as_line(one: &PublicationSummary, in_force: u64) -> String {
    let PublicationSummary { number, policy_version, digest, at_unix_ms, operator, note, .. } = one;
    let mark = if *number == in_force { '*' } else { ' ' };
    let (at, digest) = (evidence::time(*at_unix_ms), digest.get(..16).unwrap_or_default());
    format!("{mark}{number:>4}  {at:<24}  {operator:<16} {policy_version}  files {digest}  {note}")
        .trim_end()
        .to_owned()
}

fn as_json(one: &PublicationSummary, in_force: u64) -> serde_json::Value {
    serde_json::json!({
        "number": one.number,
        "in_force": one.number == in_force,
        "policy_version": one.policy_version,
        "digest": one.digest,
        "at_unix_ms": one.at_unix_ms,
        "operator": one.operator,
        "note": one.note,
        "sequence": one.sequence,
        "seal": one.seal,
    })
}
