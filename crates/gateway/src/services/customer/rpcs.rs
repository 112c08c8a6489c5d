//! The rpcs, here or at the replica that they belong to.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cashgate_wire::customer as wire;
use cashgate_wire::proto::customer::v1::customer_service_server::CustomerService;
use cashgate_wire::proto::customer::v1::{
    ApproveRequest, ApproveResponse, CancelRequest, CancelResponse, RegisterDeviceRequest, RegisterDeviceResponse,
    RevokeDeviceRequest, RevokeDeviceResponse, ScanRequest, ScanResponse, WatchRequest,
};
use cashgate_wire::status;
use cashgate_withdrawal::ids::DeviceId;
use cashgate_withdrawal::refusal::Refusal;
use tonic::{Request, Response, Status};

use super::super::app_back_end;
use super::{CustomerPort, WatchedStates};
use crate::clock;
use crate::devices::{DevicesFailure, Registered};
use crate::replica::Route;

#[tonic::async_trait]
impl CustomerService for CustomerPort {
    type WatchStream = WatchedStates;

    async fn register_device(
        &self,
        request: Request<RegisterDeviceRequest>,
    ) -> Result<Response<RegisterDeviceResponse>, Status> {
        let refuse = |refusal| self.refuse("RegisterDevice", &refusal);
        let institution = app_back_end(&self.lanes, "RegisterDevice", &request)?;
        self.lanes.surroundings().desk.rules().institution(&institution).map_err(refuse)?;
        let request = wire::register_device(request.into_inner()).map_err(refuse)?;
        let lanes = Arc::clone(&self.lanes);
        let registered = async move {
            let registered = lanes.surroundings().devices.register(institution, request, clock::now()).await?;
            if registered == Ok(Registered::WithOtherKey) {
                lanes.look_again();
            }
            Ok(registered)
        };
        to_its_end(registered).await?.map_err(refuse)?;
        Ok(Response::new(RegisterDeviceResponse {}))
    }

    async fn revoke_device(
        &self,
        request: Request<RevokeDeviceRequest>,
    ) -> Result<Response<RevokeDeviceResponse>, Status> {
        let refuse = |refusal| self.refuse("RevokeDevice", &refusal);
        let institution = app_back_end(&self.lanes, "RevokeDevice", &request)?;
        let device: DeviceId = cashgate_wire::id("device_id", &request.into_inner().device_id).map_err(refuse)?;
        let lanes = Arc::clone(&self.lanes);
        let revoked = async move {
            let known = Arc::clone(lanes.surroundings().devices.known());
            let was_in_force = known.approving(&institution, &device).is_ok();
            let revoked = lanes.surroundings().devices.revoke(institution, device, clock::now()).await;
            // Even if the disk failed: in memory it is revoked.
            if was_in_force {
                lanes.look_again();
            }
            revoked
        };
        to_its_end(revoked).await?.map_err(refuse)?;
        Ok(Response::new(RevokeDeviceResponse {}))
    }

    async fn scan(&self, request: Request<ScanRequest>) -> Result<Response<ScanResponse>, Status> {
        let institution = app_back_end(&self.lanes, "Scan", &request)?;
        let (patience, request) = (deadline(&request), request.into_inner());
        let answer = match (self.route(&request.qr_text), &self.forwarding) {
            (Route::At(replica, client), Some(forwarding)) => {
                forwarding.scan((replica, client), &institution, request, patience).await
            }
            (Route::Gone, _) => Err(self.refuse("Scan", &Refusal::QrSessionEnded)),
            _ => self.scan_here(institution, request).await,
        };
        answer.map(Response::new)
    }

    async fn approve(&self, request: Request<ApproveRequest>) -> Result<Response<ApproveResponse>, Status> {
        let institution = app_back_end(&self.lanes, "Approve", &request)?;
        let (patience, request) = (deadline(&request), request.into_inner());
        let answer = match (self.route(&request.qr_text), &self.forwarding) {
            (Route::At(replica, client), Some(forwarding)) => {
                forwarding.approve((replica, client), &institution, request, patience).await
            }
            // What was approved before the other replica went is in the ledger; it is looked for here as it would be there.
            _ => self.approve_here(institution, request).await,
        };
        answer.map(Response::new)
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let institution = app_back_end(&self.lanes, "Watch", &request)?;
        let request = request.into_inner();
        let states: WatchedStates = match (self.route_of(&request.withdrawal_id).await?, &self.forwarding) {
            (Route::At(replica, client), Some(forwarding)) => {
                Box::pin(forwarding.watch((replica, client), &institution, request).await?)
            }
            _ => self.watch_here(&institution, &request).await?,
        };
        Ok(Response::new(states))
    }

    async fn cancel(&self, request: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        let institution = app_back_end(&self.lanes, "Cancel", &request)?;
        let (patience, request) = (deadline(&request), request.into_inner());
        let answer = match (self.route_of_cancelled(&request).await?, &self.forwarding) {
            (Route::At(replica, client), Some(forwarding)) => {
                forwarding.cancel((replica, client), &institution, request, patience).await
            }
            _ => self.cancel_here(institution, &request).await,
        };
        answer.map(|()| Response::new(CancelResponse {}))
    }
}

/// What is left of a caller's deadline, as gRPC sends it; nothing if it has none.
fn deadline<T>(request: &Request<T>) -> Option<Duration> {
    let text = request.metadata().get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number.saturating_mul(3_600))),
        "M" => Some(Duration::from_secs(number.saturating_mul(60))),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// Carries a change of a device to its end even if the caller goes away, so that memory and ledger never part.
async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = Result<Result<T, Refusal>, DevicesFailure>> + Send + 'static,
) -> Result<Result<T, Refusal>, Status> {
    match tokio::spawn(change).await {
        Ok(Ok(changed)) => Ok(changed),
        Ok(Err(error)) => {
            tracing::error!(%error, "a device could not be recorded");
            Err(status::internal())
        }
        Err(error) => {
            tracing::error!(%error, "a change of a device did not end");
            Err(status::internal())
        }
    }
}
