//! Which replica a customer's request is for, and how it gets there.

use std::sync::Arc;
use std::time::Duration;

use cashgate_ledger::{LaneOwner, ReplicaId};
use cashgate_wire::proto::customer::v1 as pb;
use cashgate_wire::proto::operations::v1::{Atm, ResolveSuspectRequest};
use cashgate_wire::proto::replica::v1::ListLanesRequest;
use cashgate_wire::{replica as wire, status};
use cashgate_withdrawal::ids::{InstitutionId, OperatorName, QrSessionId, WithdrawalId};
use cashgate_withdrawal::refusal::Refusal;
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tonic::{Code, Request, Status, Streaming};

use super::{Member, PeerClient};
use crate::clock::Stopwatch;
use crate::lanes::Surroundings;
use crate::metrics::Metrics;
use crate::telemetry::{Span, called_rpc};

/// How long another replica is waited for to tell its ATMs.
const LIST_MAX: Duration = Duration::from_secs(2);
/// How long a forwarded request may take if its caller did not say.
const FORWARD_MAX: Duration = Duration::from_secs(10);

/// An rpc that is handed on: its name to whoever asked, and its name between replicas.
struct Rpc {
    of_caller: &'static str,
    hop: &'static str,
}

const SCAN: Rpc = Rpc { of_caller: "Scan", hop: "ForwardScan" };
const APPROVE: Rpc = Rpc { of_caller: "Approve", hop: "ForwardApprove" };
const CANCEL: Rpc = Rpc { of_caller: "Cancel", hop: "ForwardCancel" };
const RESOLVE: Rpc = Rpc { of_caller: "ResolveSuspect", hop: "ForwardResolveSuspect" };
const WATCH: Rpc = Rpc { of_caller: "Watch", hop: "ForwardWatch" };

/// A QR session's id with the number of the replica that shows it in its last two bytes. What is left of it is as random as a session of seconds needs:
/// whoever cancels one must be the phone that scanned it.
pub(crate) fn marked(session: QrSessionId, replica: ReplicaId) -> QrSessionId {
    let mut bytes = *session.as_bytes();
    let [.., high, low] = &mut bytes;
    [*high, *low] = replica.0.to_be_bytes();
    QrSessionId::from_bytes(bytes)
}

fn shown_by(session: QrSessionId) -> ReplicaId {
    let [.., high, low] = *session.as_bytes();
    ReplicaId(u16::from_be_bytes([high, low]))
}

/// Where a request is to be answered.
#[derive(Debug)]
pub(crate) enum Route {
    /// Here.
    Here,
    /// At another replica.
    At(ReplicaId, PeerClient),
    /// At another replica, which is not there. What it had shown is gone with it.
    Gone,
}

/// The ATMs of the other replicas.
#[derive(Debug, Default)]
pub(crate) struct AtmsElsewhere {
    /// As their replicas know them.
    pub(crate) atms: Vec<Atm>,
    /// Those that did not answer, or were not heard of lately and did not say that they are gone.
    pub(crate) unanswered: Vec<ReplicaId>,
}

impl AtmsElsewhere {
    fn went_without(&mut self, replica: ReplicaId, why: &str) {
        tracing::warn!(%replica, why, "another replica did not tell its ATMs");
        self.unanswered.push(replica);
    }
}

/// Hands requests on.
#[derive(Clone, Debug)]
pub(crate) struct Forwarding {
    member: Arc<Member>,
    metrics: Metrics,
}

impl Forwarding {
    /// None where there are no others.
    pub(crate) fn of(surroundings: &Surroundings) -> Option<Self> {
        let member = surroundings.member.clone()?;
        Some(Self { member, metrics: surroundings.metrics.clone() })
    }

    /// The replica whose code was scanned. A code without one is of before there were several.
    pub(crate) fn by_code(&self, replica: Option<u16>) -> Route {
        match replica.map(ReplicaId) {
            Some(other) if other != self.member.id() => self.at(other),
            _ => Route::Here,
        }
    }

    /// The replica that shows a QR session.
    pub(crate) fn by_qr_session(&self, session: QrSessionId) -> Route {
        self.by_code(Some(shown_by(session).0))
    }

    /// The replica that has the lane of a withdrawal's machine, if another has it.
    pub(crate) async fn by_withdrawal(&self, withdrawal: WithdrawalId) -> Result<Route, Status> {
        let found = self.member.registry().owner_of_withdrawal(withdrawal).await.map_err(|error| {
            tracing::warn!(%error, "the owner of a withdrawal could not be read");
            status::status(&Refusal::Overloaded)
        })?;
        let owner: Option<LaneOwner> = found.and_then(|(_, owner)| owner);
        match owner.and_then(|owner| owner.replica) {
            Some((other, _)) if other != self.member.id() => Ok(self.at(other)),
            _ => Ok(Route::Here),
        }
    }

    fn at(&self, other: ReplicaId) -> Route {
        self.member.peers().client_of(other).map_or(Route::Gone, |client| Route::At(other, client))
    }

    pub(crate) async fn scan(
        &self,
        to: (ReplicaId, PeerClient),
        of: &InstitutionId,
        request: pb::ScanRequest,
        patience: Option<Duration>,
    ) -> Result<pb::ScanResponse, Status> {
        let (replica, mut client) = to;
        let request = self.request(wire::forward_scan(self.member.id().0, of, request), patience);
        let since = Stopwatch::start();
        let answer = client.forward_scan(request).await;
        let answer = self.answered(&SCAN, replica, since, answer)?.into_inner();
        answer.response.ok_or_else(status::internal)
    }

    pub(crate) async fn approve(
        &self,
        to: (ReplicaId, PeerClient),
        of: &InstitutionId,
        request: pb::ApproveRequest,
        patience: Option<Duration>,
    ) -> Result<pb::ApproveResponse, Status> {
        let (replica, mut client) = to;
        let request = self.request(wire::forward_approve(self.member.id().0, of, request), patience);
        let since = Stopwatch::start();
        let answer = client.forward_approve(request).await;
        let answer = self.answered(&APPROVE, replica, since, answer)?.into_inner();
        answer.response.ok_or_else(status::internal)
    }

    pub(crate) async fn cancel(
        &self,
        to: (ReplicaId, PeerClient),
        of: &InstitutionId,
        request: pb::CancelRequest,
        patience: Option<Duration>,
    ) -> Result<(), Status> {
        let (replica, mut client) = to;
        let request = self.request(wire::forward_cancel(self.member.id().0, of, request), patience);
        let since = Stopwatch::start();
        let answer = client.forward_cancel(request).await;
        self.answered(&CANCEL, replica, since, answer).map(drop)
    }

    pub(crate) async fn resolve(
        &self,
        to: (ReplicaId, PeerClient),
        operator: &OperatorName,
        request: ResolveSuspectRequest,
    ) -> Result<(), Status> {
        let (replica, mut client) = to;
        let request = self.request(wire::forward_resolve(self.member.id().0, operator, request), None);
        let since = Stopwatch::start();
        let answer = client.forward_resolve_suspect(request).await;
        self.answered(&RESOLVE, replica, since, answer).map(drop)
    }

    pub(crate) async fn watch(
        &self,
        to: (ReplicaId, PeerClient),
        of: &InstitutionId,
        request: pb::WatchRequest,
    ) -> Result<impl tokio_stream::Stream<Item = Result<pb::WatchResponse, Status>> + use<>, Status> {
        let (replica, mut client) = to;
        let mut request = Request::new(wire::forward_watch(self.member.id().0, of, request));
        Span::current().inject(request.metadata_mut());
        let since = Stopwatch::start();
        let answer = client.forward_watch(request).await;
        let states: Streaming<_> = self.answered(&WATCH, replica, since, answer)?.into_inner();
        Ok(states.map(|state| state.and_then(|state| state.response.ok_or_else(status::internal))))
    }

    /// The ATMs of all other replicas that live, and which should have answered and did not. All are asked at once.
    pub(crate) async fn atms_elsewhere(&self) -> AtmsElsewhere {
        let mut asking = JoinSet::new();
        for (replica, mut client) in self.member.peers().all() {
            let request = self.request(ListLanesRequest {}, Some(LIST_MAX));
            asking.spawn(async move { (replica, tokio::time::timeout(LIST_MAX, client.list_lanes(request)).await) });
        }
        let mut elsewhere = AtmsElsewhere { unanswered: self.member.peers().silent(), ..AtmsElsewhere::default() };
        while let Some(Ok((replica, answer))) = asking.join_next().await {
            match answer {
                Ok(Ok(answer)) => elsewhere.atms.extend(answer.into_inner().atms),
                Ok(Err(status)) => elsewhere.went_without(replica, status.message()),
                Err(_) => elsewhere.went_without(replica, "no answer in time"),
            }
        }
        elsewhere.unanswered.sort_unstable();
        elsewhere.unanswered.dedup();
        elsewhere
    }

    /// With the caller's trace, and with what is left of its deadline.
    fn request<T>(&self, message: T, patience: Option<Duration>) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(patience.unwrap_or(FORWARD_MAX).min(FORWARD_MAX));
        Span::current().inject(request.metadata_mut());
        request
    }

    /// An answer as it came. What did not come may have been done all the same: whoever asked must not take it for a refusal.
    fn answered<T>(
        &self,
        rpc: &Rpc,
        replica: ReplicaId,
        since: Stopwatch,
        answer: Result<T, Status>,
    ) -> Result<T, Status> {
        let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
        self.metrics.called().observe(called_rpc(rpc.hop), code, since.elapsed());
        let rpc = rpc.of_caller;
        let result = match &answer {
            Ok(_) => "answered",
            Err(status) if is_peers_own(status) => "refused",
            Err(_) => "unanswered",
        };
        self.metrics.forwarded(rpc, result);
        answer.map_err(|answer| {
            if is_peers_own(&answer) {
                return answer;
            }
            tracing::warn!(rpc, %replica, code = ?answer.code(), why = answer.message(), "another replica did not answer");
            status::status(&Refusal::OutcomeUnknown)
        })
    }
}

/// Whether the other replica said this, and not the way to it: what it says names a reason.
fn is_peers_own(status: &Status) -> bool {
    status::reason(status).is_some() && !matches!(status.code(), Code::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qr_session_names_the_replica_that_shows_it() {
        let session = QrSessionId::from_bytes([7; 16]);
        for number in [0, 1, 300, 32_767] {
            let marked = marked(session, ReplicaId(number));
            assert_eq!(shown_by(marked), ReplicaId(number));
            assert_eq!(marked.as_bytes()[..14], session.as_bytes()[..14]);
        }
    }
}
