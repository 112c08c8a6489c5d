//! `ReplicaService`: what other replicas ask. Everything here is answered here: nothing is handed on from here.

use std::pin::Pin;

use cashgate_ledger::Epoch;
use cashgate_wire::proto::replica::v1::replica_service_server::ReplicaService;
use cashgate_wire::proto::replica::v1::{
    ForwardApproveRequest, ForwardApproveResponse, ForwardCancelRequest, ForwardCancelResponse,
    ForwardResolveSuspectRequest, ForwardResolveSuspectResponse, ForwardScanRequest, ForwardScanResponse,
    ForwardWatchRequest, ForwardWatchResponse, ReleaseLaneRequest, ReleaseLaneResponse, TakesAtmsRequest,
    TakesAtmsResponse,
};
use cashgate_wire::replica::{self as wire, Forwarded};
use cashgate_withdrawal::refusal::Refusal;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use super::{CustomerPort, OperationsPort, identity};
use crate::identity::Identity;

/// The other replicas' side of the gateway.
#[derive(Clone, Debug)]
pub struct ReplicaPort {
    customers: CustomerPort,
    operations: OperationsPort,
}

impl ReplicaPort {
    /// A port to what customers and operators are answered here.
    #[must_use]
    pub const fn new(customers: CustomerPort, operations: OperationsPort) -> Self {
        Self { customers, operations }
    }

    /// Another replica, and the one that the message says. Only then is it believed whom it has verified.
    fn peer<T>(&self, rpc: &'static str, request: &Request<T>) -> Result<u16, Status> {
        match identity(self.customers.lanes(), rpc, request)? {
            Identity::Replica(number) => Ok(number),
            _ => Err(self.customers.refuse(rpc, &Refusal::IdentityNotAllowed { needed: "replica/<number>" })),
        }
    }

    fn read<T, M>(
        &self,
        rpc: &'static str,
        request: Request<M>,
        read: impl FnOnce(M) -> Result<Forwarded<T>, Refusal>,
    ) -> Result<Forwarded<T>, Status> {
        let peer = self.peer(rpc, &request)?;
        let forwarded = read(request.into_inner()).map_err(|refusal| self.customers.refuse(rpc, &refusal))?;
        self.check_from(rpc, "forwarded.from_replica", forwarded.from, peer).map(|()| forwarded)
    }

    /// The replica that a message names must be the one whose certificate brings it.
    fn check_from(&self, rpc: &'static str, field: &'static str, from: u16, peer: u16) -> Result<(), Status> {
        if from == peer {
            return Ok(());
        }
        let detail = format!("is not the caller's, whose certificate is replica/{peer}");
        Err(self.customers.refuse(rpc, &Refusal::FieldInvalid { field, detail }))
    }
}

#[tonic::async_trait]
impl ReplicaService for ReplicaPort {
    type ForwardWatchStream = Pin<Box<dyn Stream<Item = Result<ForwardWatchResponse, Status>> + Send>>;

    async fn forward_scan(
        &self,
        request: Request<ForwardScanRequest>,
    ) -> Result<Response<ForwardScanResponse>, Status> {
        let Forwarded { institution, request, .. } = self.read("ForwardScan", request, wire::forwarded_scan)?;
        let response = self.customers.scan_here(institution, request).await?;
        Ok(Response::new(ForwardScanResponse { response: Some(response) }))
    }

    async fn forward_approve(
        &self,
        request: Request<ForwardApproveRequest>,
    ) -> Result<Response<ForwardApproveResponse>, Status> {
        let Forwarded { institution, request, .. } = self.read("ForwardApprove", request, wire::forwarded_approve)?;
        let response = self.customers.approve_here(institution, request).await?;
        Ok(Response::new(ForwardApproveResponse { response: Some(response) }))
    }

    async fn forward_cancel(
        &self,
        request: Request<ForwardCancelRequest>,
    ) -> Result<Response<ForwardCancelResponse>, Status> {
        let Forwarded { institution, request, .. } = self.read("ForwardCancel", request, wire::forwarded_cancel)?;
        self.customers.cancel_here(institution, &request).await?;
        Ok(Response::new(ForwardCancelResponse {}))
    }

    async fn forward_watch(
        &self,
        request: Request<ForwardWatchRequest>,
    ) -> Result<Response<Self::ForwardWatchStream>, Status> {
        let Forwarded { institution, request, .. } = self.read("ForwardWatch", request, wire::forwarded_watch)?;
        let states = self.customers.watch_here(&institution, &request).await?;
        let states = states.map(|state| state.map(|response| ForwardWatchResponse { response: Some(response) }));
        Ok(Response::new(Box::pin(states)))
    }

    async fn forward_resolve_suspect(
        &self,
        request: Request<ForwardResolveSuspectRequest>,
    ) -> Result<Response<ForwardResolveSuspectResponse>, Status> {
        let rpc = "ForwardResolveSuspect";
        let peer = self.peer(rpc, &request)?;
        let refuse = |refusal| self.customers.refuse(rpc, &refusal);
        let (from, operator, request) = wire::forwarded_resolve(request.into_inner()).map_err(refuse)?;
        self.check_from(rpc, "from_replica", from, peer)?;
        self.operations.resolve_here(operator, request).await?;
        Ok(Response::new(ForwardResolveSuspectResponse {}))
    }

    async fn release_lane(
        &self,
        request: Request<ReleaseLaneRequest>,
    ) -> Result<Response<ReleaseLaneResponse>, Status> {
        self.peer("ReleaseLane", &request)?;
        let wanted = wire::released_lane(request.get_ref());
        let wanted = wanted.map_err(|refusal| self.customers.refuse("ReleaseLane", &refusal))?;
        let released = self.customers.lanes().let_go(&wanted.atm, Epoch(wanted.epoch)).await;
        Ok(Response::new(ReleaseLaneResponse { released }))
    }

    async fn takes_atms(&self, request: Request<TakesAtmsRequest>) -> Result<Response<TakesAtmsResponse>, Status> {
        self.peer("TakesAtms", &request)?;
        let takes = self.customers.lanes().surroundings().member.as_ref().is_some_and(|member| member.takes_atms());
        Ok(Response::new(TakesAtmsResponse { takes }))
    }
}
