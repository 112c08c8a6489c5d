//! `OperationsService`: what operators see and decide.

use std::collections::BTreeMap;
use std::sync::Arc;

use cashgate_ledger::{ReadError, StoredRemark, StoredStep, WithdrawalFilter, WithdrawalPage};
use cashgate_wire::proto::operations::v1::operations_service_server::OperationsService;
use cashgate_wire::proto::operations::v1::{
    Atm, GetDeviceRequest, GetDeviceResponse, GetPublicationRequest, GetPublicationResponse, GetWithdrawalRequest,
    GetWithdrawalResponse, ListAtmsRequest, ListAtmsResponse, ListKeyEventsRequest, ListKeyEventsResponse,
    ListKeysRequest, ListKeysResponse, ListPublicationsRequest, ListPublicationsResponse, ListStopsRequest,
    ListStopsResponse, ListWithdrawalsRequest, ListWithdrawalsResponse, PublishRulesRequest, PublishRulesResponse,
    ReleaseDeviceRequest, ReleaseDeviceResponse, ReleaseRequest, ReleaseResponse, Remark, ResolveSuspectRequest,
    ResolveSuspectResponse, RetireKeyRequest, RetireKeyResponse, RotateKeyRequest, RotateKeyResponse, Step,
    StopRequest, StopResponse,
};
use cashgate_wire::{id, journal, operations as wire, status, unix_ms};
use cashgate_withdrawal::ids::{InstitutionId, OperatorName, WithdrawalId};
use cashgate_withdrawal::lane::{Input, Resolution};
use cashgate_withdrawal::refusal::Refusal;
use tonic::{Request, Response, Status, Streaming};

use super::{identity, may_see, read, read_withdrawal};
use crate::identity::Identity;
use crate::keys::{KeyOffice, KeyRefusal, messages};
use crate::lanes::{Lanes, read_back};
use crate::publishing::Publisher;
use crate::replica::{AtmsElsewhere, Forwarding, Route};
use crate::stops::StopSwitch;

/// How many withdrawals a page has if the caller does not say.
const PAGE_SIZE_USUAL: u32 = 100;

/// The operators' side of the gateway.
#[derive(Clone, Debug)]
pub struct OperationsPort {
    pub(super) lanes: Arc<Lanes>,
    keys: KeyOffice,
    pub(super) switch: StopSwitch,
    pub(super) publisher: Publisher,
    /// To the other replicas, if there are any.
    forwarding: Option<Forwarding>,
}

impl OperationsPort {
    /// A port over the lanes, the keys, the kill switch and what is published.
    #[must_use]
    pub fn new(lanes: Arc<Lanes>, keys: KeyOffice, switch: StopSwitch, publisher: Publisher) -> Self {
        let forwarding = Forwarding::of(lanes.surroundings());
        Self { lanes, keys, switch, publisher, forwarding }
    }

    pub(super) fn refuse(&self, rpc: &'static str, refusal: &Refusal) -> Status {
        super::refuse(&self.lanes, rpc, refusal)
    }

    pub(super) fn operator<T>(&self, rpc: &'static str, request: &Request<T>) -> Result<OperatorName, Status> {
        match identity(&self.lanes, rpc, request)? {
            Identity::Operator(name) => Ok(name),
            _ => Err(self.refuse(rpc, &Refusal::IdentityNotAllowed { needed: "operator/<name>" })),
        }
    }

    /// The ATMs whose lanes this gateway has.
    pub(super) async fn atms_here(&self) -> Vec<Atm> {
        let replica = self.lanes.surroundings().member.as_ref().map(|member| member.id().0.into());
        let mut atms = Vec::new();
        for (atm, lane) in self.lanes.all() {
            if let Some(view) = lane.view().await {
                atms.push(Atm { replica, ..wire::atm_to(atm.as_str(), &view) });
            }
        }
        atms
    }

    /// A decision about a suspect whose lane is this replica's, or nobody's.
    pub(super) async fn resolve_here(
        &self,
        operator: OperatorName,
        request: ResolveSuspectRequest,
    ) -> Result<(), Status> {
        let refuse = |refusal| self.refuse("ResolveSuspect", &refusal);
        let withdrawal: WithdrawalId = id("withdrawal_id", &request.withdrawal_id).map_err(refuse)?;
        let (settlement, reason) = wire::resolution(request).map_err(refuse)?;
        let followed = self.lanes.surroundings().watchers.follow(withdrawal);
        let atm = followed.map(|followed| followed.borrow().terms.atm.clone());
        let Some(lane) = atm.and_then(|atm| self.lanes.find(&atm)) else {
            let has_ended = read_withdrawal(&self.lanes, withdrawal).await?.is_some();
            return Err(refuse(if has_ended { Refusal::NotASuspect } else { Refusal::WithdrawalUnknown }));
        };
        lane.ask(None, move |request| {
            Input::Resolved(Resolution { request, withdrawal, settlement, operator, reason })
        })
        .await
        .map_err(refuse)?;
        Ok(())
    }

    async fn page(
        &self,
        request: ListWithdrawalsRequest,
        of: Option<InstitutionId>,
    ) -> Result<ListWithdrawalsResponse, Status> {
        let (filter, before, size) = list_request(request, of).map_err(|r| self.refuse("ListWithdrawals", &r))?;
        let (found, next) = read(&self.lanes, move |reader| {
            let WithdrawalPage { withdrawals, next } =
                reader.list(&filter, before, size).map_err(|error| error.to_string())?;
            let replayed: Result<Vec<_>, String> = withdrawals
                .iter()
                .map(|summary| match read_back(reader, summary.id) {
                    Ok(Some((withdrawal, _))) => Ok(withdrawal),
                    Ok(None) => Err(format!("withdrawal {} has no steps", summary.id)),
                    Err(error) => Err(error.to_string()),
                })
                .collect();
            replayed.map(|found| (found, next))
        })
        .await?;
        Ok(ListWithdrawalsResponse {
            withdrawals: found.iter().map(wire::withdrawal_to).collect(),
            next_page_token: next.map(|id| id.to_string()).unwrap_or_default(),
        })
    }
}

/// All ATMs in the order of their ids. One whose lane is changing hands may be told by two replicas: whoever has it connected knows better.
fn listed(here: Vec<Atm>, elsewhere: AtmsElsewhere) -> ListAtmsResponse {
    let AtmsElsewhere { atms, unanswered } = elsewhere;
    let mut all: BTreeMap<String, Atm> = BTreeMap::new();
    for atm in here.into_iter().chain(atms) {
        match all.get(&atm.atm_id) {
            Some(known) if known.connected || !atm.connected => {}
            _ => drop(all.insert(atm.atm_id.clone(), atm)),
        }
    }
    let unanswered_replicas = unanswered.into_iter().map(|replica| replica.0.into()).collect();
    ListAtmsResponse { atms: all.into_values().collect(), unanswered_replicas }
}

/// What a list request asks for: filter, where to go on, and how many.
fn list_request(
    request: ListWithdrawalsRequest,
    of: Option<InstitutionId>,
) -> Result<(WithdrawalFilter, Option<WithdrawalId>, u32), Refusal> {
    fn given<T>(text: &str, read: impl FnOnce(&str) -> Result<T, Refusal>) -> Result<Option<T>, Refusal> {
        if text.is_empty() { Ok(None) } else { read(text).map(Some) }
    }
    let filter = WithdrawalFilter {
        institution: match of {
            Some(own) => Some(own),
            None => given(&request.institution_id, |text| id("institution_id", text))?,
        },
        atm: given(&request.atm_id, |text| id("atm_id", text))?,
        account: given(&request.account_id, |text| id("account_id", text))?,
        state: wire::state_name(request.state)?,
        open_only: false,
    };
    let before = given(&request.page_token, |text| id("page_token", text))?;
    let size = if request.page_size == 0 { PAGE_SIZE_USUAL } else { request.page_size.min(1_000) };
    Ok((filter, before, size))
}

#[tonic::async_trait]
impl OperationsService for OperationsPort {
    async fn get_withdrawal(
        &self,
        request: Request<GetWithdrawalRequest>,
    ) -> Result<Response<GetWithdrawalResponse>, Status> {
        let of = may_see(&self.lanes, "GetWithdrawal", &request)?;
        let refuse = |refusal| self.refuse("GetWithdrawal", &refusal);
        let id: WithdrawalId = id("withdrawal_id", &request.into_inner().withdrawal_id).map_err(refuse)?;
        let found = read(&self.lanes, move |reader| {
            let Some((summary, steps)) = reader.withdrawal(id)? else { return Ok(None) };
            Ok::<_, ReadError>(Some((summary, steps, reader.remarks(id)?)))
        })
        .await?;
        let theirs = found.filter(|(summary, ..)| of.is_none_or(|of| of == summary.row.institution));
        let (_, steps, remarks) = theirs.ok_or_else(|| refuse(Refusal::WithdrawalUnknown))?;
        let mut states = Vec::with_capacity(steps.len());
        let mut latest = None;
        let replayed = steps.iter().map(|step| (step.number, step.at, step.body.as_slice()));
        journal::replay_each(id, replayed, |_, after| {
            states.push(after.state.name());
            latest = Some(wire::withdrawal_to(after));
        })
        .map_err(|error| {
            tracing::error!(%error, "the ledger is damaged");
            status::internal()
        })?;
        let step = |(step, state): (&StoredStep, &str)| Step {
            number: step.number,
            at_unix_ms: unix_ms(step.at),
            event: step.kind.clone(),
            state: state.to_owned(),
            detail: journal::describe(id, &step.body),
            seal: step.seal.to_string(),
        };
        let remark = |remark: StoredRemark| {
            let StoredRemark { at, kind, detail, .. } = remark;
            Remark { at_unix_ms: unix_ms(at), kind, detail }
        };
        Ok(Response::new(GetWithdrawalResponse {
            withdrawal: latest,
            steps: steps.iter().zip(states).map(step).collect(),
            remarks: remarks.kept.into_iter().map(remark).collect(),
            remarks_left_out: remarks.left_out,
        }))
    }

    async fn list_withdrawals(
        &self,
        request: Request<ListWithdrawalsRequest>,
    ) -> Result<Response<ListWithdrawalsResponse>, Status> {
        let of = may_see(&self.lanes, "ListWithdrawals", &request)?;
        self.page(request.into_inner(), of).await.map(Response::new)
    }

    async fn list_atms(&self, request: Request<ListAtmsRequest>) -> Result<Response<ListAtmsResponse>, Status> {
        self.operator("ListAtms", &request)?;
        let elsewhere = async {
            match &self.forwarding {
                Some(forwarding) => forwarding.atms_elsewhere().await,
                None => AtmsElsewhere::default(),
            }
        };
        let (here, elsewhere) = tokio::join!(self.atms_here(), elsewhere);
        Ok(Response::new(listed(here, elsewhere)))
    }

    async fn resolve_suspect(
        &self,
        request: Request<ResolveSuspectRequest>,
    ) -> Result<Response<ResolveSuspectResponse>, Status> {
        let operator = self.operator("ResolveSuspect", &request)?;
        let request = request.into_inner();
        if let Some(forwarding) = &self.forwarding
            && let Ok(withdrawal) = id("withdrawal_id", &request.withdrawal_id)
            && self.lanes.surroundings().watchers.state_name(withdrawal).is_none()
            && let Route::At(replica, client) = forwarding.by_withdrawal(withdrawal).await?
        {
            forwarding.resolve((replica, client), &operator, request).await?;
            return Ok(Response::new(ResolveSuspectResponse {}));
        }
        self.resolve_here(operator, request).await?;
        Ok(Response::new(ResolveSuspectResponse {}))
    }

    async fn list_keys(&self, request: Request<ListKeysRequest>) -> Result<Response<ListKeysResponse>, Status> {
        self.operator("ListKeys", &request)?;
        Ok(Response::new(messages::status(self.keys.status().await)))
    }

    async fn rotate_key(&self, request: Request<RotateKeyRequest>) -> Result<Response<RotateKeyResponse>, Status> {
        let operator = self.operator("RotateKey", &request)?;
        let (label, generate, reason) =
            wire::rotation(request.into_inner()).map_err(|refusal| self.refuse("RotateKey", &refusal))?;
        let rotated = self.keys.rotate(&label, generate, &operator, &reason).await;
        let rotation = rotated.map_err(|refusal| refuse_key("RotateKey", &operator, refusal))?;
        Ok(Response::new(RotateKeyResponse {
            key_ids: rotation.key_ids.iter().map(ToString::to_string).collect(),
            use_from_unix_ms: unix_ms(rotation.use_from),
        }))
    }

    async fn retire_key(&self, request: Request<RetireKeyRequest>) -> Result<Response<RetireKeyResponse>, Status> {
        let operator = self.operator("RetireKey", &request)?;
        let (key_id, at_once, reason) =
            wire::retirement(request.into_inner()).map_err(|refusal| self.refuse("RetireKey", &refusal))?;
        let retired = self.keys.retire(key_id, at_once, &operator, &reason).await;
        retired.map_err(|refusal| refuse_key("RetireKey", &operator, refusal))?;
        Ok(Response::new(RetireKeyResponse {}))
    }

    async fn list_key_events(
        &self,
        request: Request<ListKeyEventsRequest>,
    ) -> Result<Response<ListKeyEventsResponse>, Status> {
        self.operator("ListKeyEvents", &request)?;
        let events = read(&self.lanes, |reader| reader.key_events()).await?;
        Ok(Response::new(ListKeyEventsResponse { events: events.into_iter().map(messages::event).collect() }))
    }

    async fn stop(&self, request: Request<StopRequest>) -> Result<Response<StopResponse>, Status> {
        self.stopped(request).await.map(|()| Response::new(StopResponse {}))
    }

    async fn release(&self, request: Request<ReleaseRequest>) -> Result<Response<ReleaseResponse>, Status> {
        self.released(request).await.map(|()| Response::new(ReleaseResponse {}))
    }

    async fn list_stops(&self, request: Request<ListStopsRequest>) -> Result<Response<ListStopsResponse>, Status> {
        self.stops(&request).map(Response::new)
    }

    async fn publish_rules(
        &self,
        request: Request<Streaming<PublishRulesRequest>>,
    ) -> Result<Response<PublishRulesResponse>, Status> {
        self.published(request).await.map(Response::new)
    }

    async fn list_publications(
        &self,
        request: Request<ListPublicationsRequest>,
    ) -> Result<Response<ListPublicationsResponse>, Status> {
        self.publications(&request).await.map(Response::new)
    }

    async fn get_publication(
        &self,
        request: Request<GetPublicationRequest>,
    ) -> Result<Response<GetPublicationResponse>, Status> {
        self.publication(request).await.map(Response::new)
    }

    async fn get_device(&self, request: Request<GetDeviceRequest>) -> Result<Response<GetDeviceResponse>, Status> {
        self.device(request).map(Response::new)
    }

    async fn release_device(
        &self,
        request: Request<ReleaseDeviceRequest>,
    ) -> Result<Response<ReleaseDeviceResponse>, Status> {
        self.device_released(request).await.map(|()| Response::new(ReleaseDeviceResponse {}))
    }
}

/// A wish about keys that is not granted changes nothing, so it stands in the log and not in the audit trail.
fn refuse_key(rpc: &'static str, operator: &OperatorName, refusal: KeyRefusal) -> Status {
    tracing::warn!(rpc, %operator, reason = refusal.reason(), "refused: {refusal}");
    refusal.into()
}
