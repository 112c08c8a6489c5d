//! The kill switch and the phones, as an operator sees them.

use cashgate_wire::proto::operations::v1::{
    ActiveStop, GetDeviceRequest, GetDeviceResponse, ListStopsRequest, ReleaseDeviceRequest, ReleaseRequest,
    StopRequest,
};
use cashgate_wire::stops::{scope_from, scope_to};
use cashgate_withdrawal::stop::StopScope;
use tonic::Code;

use super::{InspectError, Operator, not_zero, refused};
use crate::evidence;

impl Operator {
    /// Throws the kill switch.
    pub async fn stop(&mut self, scope: &StopScope, reason: &str) -> Result<String, InspectError> {
        let request = StopRequest { scope: Some(scope_to(scope)), reason: reason.to_owned() };
        self.client.stop(request).await.map_err(refused)?;
        let doubt = if self.is_strange(scope).await { ". It has never been registered: is its id right?" } else { "" };
        Ok(format!("{scope}: stopped; what was commanded already is carried to its end{doubt}"))
    }

    /// Whether it is a phone that the gateway has never heard of. Stopped all the same: it may be about to be registered.
    async fn is_strange(&mut self, scope: &StopScope) -> bool {
        let StopScope::Device(institution, device) = scope else { return false };
        let request = GetDeviceRequest { institution_id: institution.to_string(), device_id: device.to_string() };
        self.client.get_device(request).await.is_err_and(|status| status.code() == Code::NotFound)
    }

    /// Takes a stop back.
    pub async fn release(&mut self, scope: &StopScope, reason: &str) -> Result<String, InspectError> {
        let request = ReleaseRequest { scope: Some(scope_to(scope)), reason: reason.to_owned() };
        self.client.release(request).await.map_err(refused)?;
        Ok(format!("{scope}: released"))
    }

    /// The stops in force, one line each, oldest first.
    pub async fn stops(&mut self, json: bool) -> Result<String, InspectError> {
        let found = self.client.list_stops(ListStopsRequest {}).await.map_err(refused)?.into_inner();
        if found.stops.is_empty() && !json {
            return Ok("nothing is stopped".to_owned());
        }
        let line = |stop: &ActiveStop| if json { stop_as_json(stop).to_string() } else { stop_as_line(stop) };
        Ok(found.stops.iter().map(|stop| line(stop) + "\n").collect())
    }

    /// A phone as the gateway knows it.
    pub async fn device(&mut self, institution: &str, device: &str, json: bool) -> Result<String, InspectError> {
        let request = GetDeviceRequest { institution_id: institution.to_owned(), device_id: device.to_owned() };
        let found = self.client.get_device(request).await.map_err(refused)?.into_inner();
        Ok(if json { device_as_json(&found).to_string() } else { device_as_lines(&found) })
    }

    /// Lets a locked phone approve again.
    pub async fn release_device(
        &mut self,
        institution: &str,
        device: &str,
        reason: &str,
    ) -> Result<String, InspectError> {
        let request = ReleaseDeviceRequest {
            institution_id: institution.to_owned(),
            device_id: device.to_owned(),
            reason: reason.to_owned(),
        };
        self.client.release_device(request).await.map_err(refused)?;
        Ok(format!("device {device} of {institution} may approve again; its failures are forgotten"))
    }
}

fn scope_in_words(stop: &ActiveStop) -> String {
    scope_from(stop.scope.clone()).map_or_else(|_| "something unknown".to_owned(), |scope| scope.to_string())
}

fn stop_as_line(stop: &ActiveStop) -> String {
    let since = evidence::time(stop.since_unix_ms);
    format!("{since:<24}  {:<40}  {:<24}  {}", scope_in_words(stop), stop.actor, stop.reason)
}

fn stop_as_json(stop: &ActiveStop) -> serde_json::Value {
    let scope = scope_from(stop.scope.clone()).ok();
    serde_json::json!({
        "scope": scope.as_ref().map(StopScope::name),
        "covers": scope.as_ref().map(ToString::to_string),
        "since_unix_ms": stop.since_unix_ms,
        "actor": stop.actor,
        "reason": stop.reason,
    })
}

fn device_as_lines(device: &GetDeviceResponse) -> String {
    let at = |moment| if moment == 0 { "-".to_owned() } else { evidence::time(moment) };
    let channel = if device.activation_channel.is_empty() { "not told" } else { &device.activation_channel };
    [
        ("registered", at(device.registered_at_unix_ms)),
        ("bound, as its institution says", at(device.bound_at_unix_ms)),
        ("age counts from", at(device.age_since_unix_ms)),
        ("activated by", channel.to_owned()),
        ("attestation", device.attestation.clone()),
        ("failed attempts in a row", device.failed_attempts.to_string()),
        ("locked since", at(device.locked_at_unix_ms)),
        ("revoked since", at(device.revoked_at_unix_ms)),
    ]
    .map(|(name, value)| format!("{name:<32}{value}\n"))
    .concat()
}

fn device_as_json(device: &GetDeviceResponse) -> serde_json::Value {
    serde_json::json!({
        "registered_at_unix_ms": device.registered_at_unix_ms,
        "bound_at_unix_ms": device.bound_at_unix_ms,
        "age_since_unix_ms": device.age_since_unix_ms,
        "activation_channel": device.activation_channel,
        "attestation": device.attestation,
        "failed_attempts": device.failed_attempts,
        "locked_at_unix_ms": not_zero(device.locked_at_unix_ms),
        "revoked_at_unix_ms": not_zero(device.revoked_at_unix_ms),
    })
}
