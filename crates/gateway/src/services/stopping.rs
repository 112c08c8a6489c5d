//! The kill switch and the phones, for operators and for institutions about their own.

use cashgate_wire::proto::operations::v1::{
    ActiveStop, GetDeviceRequest, GetDeviceResponse, ListStopsResponse, ReleaseDeviceRequest, ReleaseRequest,
    StopRequest,
};
use cashgate_wire::stops::{reason_from, scope_from, scope_to};
use cashgate_wire::{id, status, unix_ms};
use cashgate_withdrawal::ids::{DeviceId, InstitutionId};
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::stop::StopScope;
use tonic::{Request, Status};

use super::{OperationsPort, identity};
use crate::clock;
use crate::identity::Identity;
use crate::stops::StopActor;

impl OperationsPort {
    pub(super) async fn stopped(&self, request: Request<StopRequest>) -> Result<(), Status> {
        let actor = self.stopper("Stop", &request)?;
        let StopRequest { scope, reason } = request.into_inner();
        let refuse = |refusal| self.refuse("Stop", &refusal);
        let scope = scope_from(scope).map_err(refuse)?;
        if scope.institution().is_some_and(|id| self.lanes.surroundings().desk.rules().institution(id).is_err()) {
            let detail = "no such institution is configured: nothing would be stopped".to_owned();
            return Err(refuse(Refusal::FieldInvalid { field: "scope", detail }));
        }
        let reason = reason_from(reason).map_err(refuse)?;
        let Some(notice) = self.switch.stop(scope, &actor, reason, clock::now()).map_err(refuse)? else {
            return Ok(());
        };
        // What is known in memory counts from here on; the disk comes after.
        self.lanes.look_again();
        let switch = self.switch.clone();
        // To its end, even if the caller goes away.
        let recording = tokio::spawn(async move { switch.make_durable(notice).await });
        ended("Stop", recording.await)?.map_err(refuse)
    }

    pub(super) async fn released(&self, request: Request<ReleaseRequest>) -> Result<(), Status> {
        let actor = self.stopper("Release", &request)?;
        let ReleaseRequest { scope, reason } = request.into_inner();
        let refuse = |refusal| self.refuse("Release", &refusal);
        let scope = scope_from(scope).map_err(refuse)?;
        let reason = reason_from(reason).map_err(refuse)?;
        let switch = self.switch.clone();
        let releasing = tokio::spawn(async move { switch.release(scope, &actor, reason, clock::now()).await });
        ended("Release", releasing.await)?.map_err(refuse)
    }

    pub(super) fn stops<T>(&self, request: &Request<T>) -> Result<ListStopsResponse, Status> {
        let of = super::may_see(&self.lanes, "ListStops", request)?;
        let concerns = |scope: &StopScope| match (&of, scope.institution()) {
            (None, _) | (_, None) => true,
            (Some(of), Some(institution)) => of == institution,
        };
        let active = self.switch.stops().active().into_iter().filter(|(scope, _)| concerns(scope));
        let stops = active.map(|(scope, stop)| {
            // Why an operator stopped a machine, or all, is not for every bank to read.
            let is_told = of.is_none() || scope.institution().is_some();
            let told = |text: String| if is_told { text } else { String::new() };
            ActiveStop {
                scope: Some(scope_to(&scope)),
                since_unix_ms: unix_ms(stop.since),
                actor: told(stop.actor),
                reason: told(stop.reason),
            }
        });
        Ok(ListStopsResponse { stops: stops.collect() })
    }

    pub(super) fn device(&self, request: Request<GetDeviceRequest>) -> Result<GetDeviceResponse, Status> {
        let actor = self.stopper("GetDevice", &request)?;
        let GetDeviceRequest { institution_id, device_id } = request.into_inner();
        let refuse = |refusal| self.refuse("GetDevice", &refusal);
        let (institution, device) = own_device(&actor, &institution_id, &device_id).map_err(refuse)?;
        let known = self.lanes.surroundings().devices.known().find(&institution, &device);
        let known = known.ok_or_else(|| refuse(Refusal::DeviceUnknown))?;
        // What counts now may be ahead of what is on disk.
        let attempts = self.lanes.surroundings().desk.limits().attempts(&institution, &device);
        let attestation = match known.attestation {
            None => "none",
            Some(true) => "passed",
            Some(false) => "failed",
        };
        Ok(GetDeviceResponse {
            registered_at_unix_ms: unix_ms(known.registered_at),
            bound_at_unix_ms: unix_ms(known.bound_at),
            age_since_unix_ms: unix_ms(known.age_since()),
            activation_channel: known.channel.clone(),
            attestation: attestation.to_owned(),
            failed_attempts: attempts.failed.into(),
            locked_at_unix_ms: known.locked_at.map_or(0, unix_ms),
            revoked_at_unix_ms: known.revoked_at.map_or(0, unix_ms),
        })
    }

    pub(super) async fn device_released(&self, request: Request<ReleaseDeviceRequest>) -> Result<(), Status> {
        let actor = self.stopper("ReleaseDevice", &request)?;
        let ReleaseDeviceRequest { institution_id, device_id, reason } = request.into_inner();
        let refuse = |refusal| self.refuse("ReleaseDevice", &refusal);
        let (institution, device) = own_device(&actor, &institution_id, &device_id).map_err(refuse)?;
        let reason = reason_from(reason).map_err(refuse)?;
        let devices = self.lanes.surroundings().devices.clone();
        let actor = actor.to_string();
        let releasing =
            tokio::spawn(async move { devices.release(institution, device, actor, reason, clock::now()).await });
        ended("ReleaseDevice", releasing.await)?.map_err(refuse)
    }

    /// Who throws the switch: an operator, or an institution's back end.
    fn stopper<T>(&self, rpc: &'static str, request: &Request<T>) -> Result<StopActor, Status> {
        match identity(&self.lanes, rpc, request)? {
            Identity::Operator(name) => Ok(StopActor::Operator(name.to_string())),
            Identity::Institution(id) => Ok(StopActor::Institution(id)),
            Identity::Atm(_) | Identity::CoreBanking(_) | Identity::Replica(_) => {
                let needed = "operator/<name> or institution/<id>";
                Err(self.refuse(rpc, &Refusal::IdentityNotAllowed { needed }))
            }
        }
    }
}

/// Whose phone is meant: an institution's own, or the one that an operator names.
fn own_device(actor: &StopActor, institution: &str, device: &str) -> Result<(InstitutionId, DeviceId), Refusal> {
    let named = match actor {
        StopActor::Institution(own) if institution.is_empty() => own.clone(),
        _ => id("institution_id", institution)?,
    };
    if matches!(actor, StopActor::Institution(own) if *own != named) {
        return Err(Refusal::DeviceUnknown);
    }
    Ok((named, id("device_id", device)?))
}

fn ended<T, E: std::fmt::Display>(
    rpc: &'static str,
    change: Result<Result<T, E>, tokio::task::JoinError>,
) -> Result<T, Status> {
    match change {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => {
            tracing::error!(rpc, %error, "a change could not be recorded");
            Err(status::internal())
        }
        Err(error) => {
            tracing::error!(rpc, %error, "a change did not end");
            Err(status::internal())
        }
    }
}
