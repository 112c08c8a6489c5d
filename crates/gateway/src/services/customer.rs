//! `CustomerService`: what an institution's app back end asks.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use cashgate_qr::VerifiedQrToken;
use cashgate_qr::approval::{self, ApprovalStatement};
use cashgate_wire::proto::customer::v1::customer_service_server::CustomerService;
use cashgate_wire::proto::customer::v1::{
    ApproveRequest, ApproveResponse, CancelRequest, CancelResponse, RegisterDeviceRequest, RegisterDeviceResponse,
    RevokeDeviceRequest, RevokeDeviceResponse, ScanRequest, ScanResponse, WatchRequest, WatchResponse,
};
use cashgate_wire::{customer as wire, status};
use cashgate_withdrawal::ids::{DeviceId, InstitutionId, WithdrawalId};
use cashgate_withdrawal::lane::{
    Answer, Approval, CancelSubject, Cancellation, ConfirmCode, FailedApproval, Input, Scan, VerifiedCode,
};
use cashgate_withdrawal::location::Location;
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::stop::StopScope;
use cashgate_withdrawal::withdrawal::Withdrawal;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use super::{app_back_end, read, read_withdrawal};
use crate::admission::Intended;
use crate::clock;
use crate::devices::{Devices, DevicesFailure, Registered};
use crate::lanes::{LaneHandle, Lanes};

/// The app back ends' side of the gateway.
#[derive(Clone, Debug)]
pub struct CustomerPort {
    lanes: Arc<Lanes>,
}

impl CustomerPort {
    /// A port over the lanes.
    #[must_use]
    pub const fn new(lanes: Arc<Lanes>) -> Self {
        Self { lanes }
    }

    fn devices(&self) -> Arc<Devices> {
        Arc::clone(&self.lanes.surroundings().devices)
    }

    /// Counts a refusal, keeps what failed exactly in the log, and tells the caller only what it may know.
    fn refuse(&self, rpc: &'static str, refusal: &Refusal) -> Status {
        self.lanes.surroundings().metrics.refused(rpc, refusal);
        tracing::info!(rpc, reason = refusal.reason(), factor = refusal.factor(), "refused");
        status::status(refusal)
    }

    /// Verifies a token: there is no way to a lane but through a signature under a published key.
    fn verified(&self, qr_text: &str) -> Result<VerifiedQrToken, Refusal> {
        let mint = &self.lanes.surroundings().mint;
        let token = cashgate_qr::verify(qr_text, &mint.keys()).map_err(|error| {
            tracing::info!(%error, "a QR token was not accepted");
            Refusal::QrTokenInvalid
        })?;
        if !mint.is_of_network(token.claims()) {
            return Err(Refusal::QrTokenInvalid);
        }
        Ok(token)
    }

    fn lane_of(&self, token: &VerifiedQrToken) -> Result<LaneHandle, Refusal> {
        self.lanes.find(&token.claims().atm).ok_or(Refusal::QrSessionEnded)
    }

    async fn scanned(&self, institution: InstitutionId, request: ScanRequest) -> Result<ScanResponse, Refusal> {
        let request = wire::scan(request)?;
        let desk = &self.lanes.surroundings().desk;
        let token = self.verified(&request.qr_text)?;
        let intended = Intended {
            institution: &institution,
            account: &request.account,
            device: &request.device,
            atm: &token.claims().atm,
        };
        desk.may_scan(intended)?;
        let lane = self.lane_of(&token)?;
        let (code, of, device) = (code_of(&token), institution.clone(), request.device.clone());
        let answer =
            lane.ask(None, move |request| Input::Scanned(Scan { request, code, institution: of, device })).await?;
        let Answer::Scanned { qr_session, facts, amount, approve_before } = answer else {
            return Err(Refusal::Overloaded);
        };
        let headroom = desk.headroom(intended, clock::now())?.withdrawal_max;
        let in_machine = facts.cassettes.dispensable_max();
        let amount_max = match headroom.exceeds(in_machine) {
            Ok(true) => in_machine,
            Ok(false) => headroom,
            // A machine of another currency pays this account nothing.
            Err(_) => Money::zero(headroom.currency()),
        };
        let atm = token.claims().atm.as_str();
        Ok(wire::scan_response(qr_session, atm, &facts, amount, amount_max, approve_before))
    }

    async fn approved(
        &self,
        institution: InstitutionId,
        request: ApproveRequest,
    ) -> Result<(WithdrawalId, Option<ConfirmCode>), Refusal> {
        let request = wire::approve(request)?;
        let token = self.verified(&request.qr_text)?;
        let intended = Intended {
            institution: &institution,
            account: &request.account,
            device: &request.device,
            atm: &token.claims().atm,
        };
        self.lanes.surroundings().desk.may_scan(intended)?;
        let device = self.devices().known().approving(&institution, &request.device)?;
        let statement = ApprovalStatement {
            qr_token: token.digest(),
            institution,
            account: request.account,
            amount: request.amount,
            device: request.device,
        };
        let verified = match approval::verify(statement.clone(), &request.signature, &device.key) {
            Ok(verified) => verified,
            Err(_) => return Err(self.approval_failed(&token, statement).await),
        };
        match self.ask_to_approve(&token, verified.statement().clone(), request.pin_block, request.location).await {
            Ok(Answer::Approved { withdrawal, confirm_code }) => Ok((withdrawal, confirm_code)),
            Ok(_) => Err(Refusal::Overloaded),
            // The screen has moved on, or the gateway was restarted: a repeated approval still gets its withdrawal, from the ledger.
            Err(Refusal::QrSessionEnded) => {
                let earlier = self.approved_earlier(&token, verified.statement()).await;
                earlier.map(|withdrawal| (withdrawal, None)).ok_or(Refusal::QrSessionEnded)
            }
            Err(refusal) => Err(refusal),
        }
    }

    async fn ask_to_approve(
        &self,
        token: &VerifiedQrToken,
        statement: ApprovalStatement,
        pin_block: Option<wire::PinBlock>,
        location: Option<Location>,
    ) -> Result<Answer, Refusal> {
        let (lane, code) = (self.lane_of(token)?, code_of(token));
        let approval = move |request| {
            Input::Approved(Approval {
                request,
                fresh: clock::fresh_withdrawal(),
                code,
                institution: statement.institution,
                account: statement.account,
                device: statement.device,
                amount: statement.amount,
                location,
            })
        };
        lane.ask(pin_block, approval).await
    }

    /// Somebody approves in the name of a phone that did not sign: counted against the QR session, if it is that phone's, and against the
    /// phone, and told to its institution.
    async fn approval_failed(&self, token: &VerifiedQrToken, statement: ApprovalStatement) -> Refusal {
        let (surroundings, lane, code) = (Arc::clone(self.lanes.surroundings()), self.lane_of(token), code_of(token));
        let atm = token.claims().atm.clone();
        let counted = tokio::spawn(async move {
            let ApprovalStatement { institution, account, amount, device, .. } = statement;
            let intended = Intended { institution: &institution, account: &account, device: &device, atm: &atm };
            surroundings.desk.tell_failed(intended, amount, clock::now());
            if let Ok(lane) = lane {
                let (institution, device) = (institution.clone(), device.clone());
                lane.approval_failed(FailedApproval { code, institution, device }).await;
            }
            let rules = surroundings.desk.rules();
            let Ok(of) = rules.institution(&institution) else { return };
            let lock_after = of.failed_attempts_max;
            if let Err(error) = surroundings.devices.attempt_failed(institution, device, lock_after, clock::now()).await
            {
                tracing::error!(%error, "a failed approval was not recorded against its phone");
            }
        });
        // The caller waits, so that it cannot try faster than failures are counted; if it goes away they are counted all the same.
        let _ = counted.await;
        Refusal::NotAllowed { factor: "signature" }
    }

    /// The withdrawal that the very same approval began earlier, if it did.
    async fn approved_earlier(&self, token: &VerifiedQrToken, statement: &ApprovalStatement) -> Option<WithdrawalId> {
        let nonce = token.claims().nonce;
        let earlier = read(&self.lanes, move |reader| reader.withdrawal_of_nonce(nonce)).await.ok()??;
        let terms = read_withdrawal(&self.lanes, earlier).await.ok()??.terms;
        let same = (&terms.institution, &terms.account, &terms.device, terms.amount)
            == (&statement.institution, &statement.account, &statement.device, statement.amount);
        same.then_some(earlier)
    }

    async fn cancelled(&self, institution: InstitutionId, request: &CancelRequest) -> Result<(), Refusal> {
        let (device, subject) = wire::cancel(request)?;
        let surroundings = self.lanes.surroundings();
        let (atm, unknown) = match subject {
            CancelSubject::Withdrawal(id) => {
                let followed = surroundings.watchers.follow(id);
                if followed.is_none() && self.has_ended(id, &institution, &device).await {
                    return Err(Refusal::TooLate);
                }
                (followed.map(|followed| followed.borrow().terms.atm.clone()), Refusal::WithdrawalUnknown)
            }
            CancelSubject::QrSession(id) => (surroundings.showing.atm_of(id), Refusal::QrSessionUnknown),
        };
        let lane = atm.and_then(|atm| self.lanes.find(&atm)).ok_or(unknown)?;
        let cancelled =
            lane.ask(None, move |request| Input::Cancelled(Cancellation { request, institution, device, subject }));
        cancelled.await.map(|_| ())
    }

    /// Whether a withdrawal that is not open is the caller's own.
    async fn has_ended(&self, id: WithdrawalId, institution: &InstitutionId, device: &DeviceId) -> bool {
        let found = read_withdrawal(&self.lanes, id).await.ok().flatten();
        found.is_some_and(|found| found.terms.institution == *institution && found.terms.device == *device)
    }

    /// The states of a withdrawal from now to its end.
    async fn watched(&self, institution: &InstitutionId, id: WithdrawalId) -> Result<WatchedStates, Status> {
        let watchers = &self.lanes.surroundings().watchers;
        let unknown = || self.refuse("Watch", &Refusal::WithdrawalUnknown);
        if let Some(followed) = watchers.follow(id) {
            if followed.borrow().terms.institution != *institution {
                return Err(unknown());
            }
            let states = WatchStream::new(followed);
            // The last state is the end of the stream.
            return Ok(Box::pin(states.map(|withdrawal| Ok(wire::watch_response(&withdrawal)))));
        }
        let found = read_withdrawal(&self.lanes, id).await?;
        let found: Withdrawal = found.filter(|w| w.terms.institution == *institution).ok_or_else(unknown)?;
        // Between its first record and its followers there is a moment; whoever comes just then tries again.
        if !found.state.is_ended() {
            return Err(self.refuse("Watch", &Refusal::Overloaded));
        }
        Ok(Box::pin(tokio_stream::once(Ok(wire::watch_response(&found)))))
    }
}

type WatchedStates = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

/// What of a verified token the lane needs.
fn code_of(token: &VerifiedQrToken) -> VerifiedCode {
    VerifiedCode {
        qr_session: token.claims().qr_session,
        digest: token.digest(),
        nonce: token.claims().nonce,
        key: token.key_id(),
        expires_at: token.expires_at(),
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
            let scope = StopScope::Device(institution.clone(), request.device.clone());
            let registered = lanes.surroundings().devices.register(institution, request, clock::now()).await?;
            if registered == Ok(Registered::WithOtherKey) {
                lanes.stop(&scope);
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
            let scope = StopScope::Device(institution.clone(), device.clone());
            let revoked = lanes.surroundings().devices.revoke(institution, device, clock::now()).await?;
            lanes.stop(&scope);
            Ok(revoked)
        };
        to_its_end(revoked).await?.map_err(refuse)?;
        Ok(Response::new(RevokeDeviceResponse {}))
    }

    async fn scan(&self, request: Request<ScanRequest>) -> Result<Response<ScanResponse>, Status> {
        let institution = app_back_end(&self.lanes, "Scan", &request)?;
        let answer = self.scanned(institution, request.into_inner()).await;
        answer.map(Response::new).map_err(|refusal| self.refuse("Scan", &refusal))
    }

    async fn approve(&self, request: Request<ApproveRequest>) -> Result<Response<ApproveResponse>, Status> {
        let institution = app_back_end(&self.lanes, "Approve", &request)?;
        let answer = self.approved(institution, request.into_inner()).await;
        let (withdrawal, code) = answer.map_err(|refusal| self.refuse("Approve", &refusal))?;
        Ok(Response::new(ApproveResponse {
            withdrawal_id: withdrawal.to_string(),
            confirm_code: code.map(|code| code.as_str().to_owned()).unwrap_or_default(),
        }))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let institution = app_back_end(&self.lanes, "Watch", &request)?;
        let id = wire::withdrawal_id(&request.into_inner().withdrawal_id);
        let id = id.map_err(|refusal| self.refuse("Watch", &refusal))?;
        self.watched(&institution, id).await.map(Response::new)
    }

    async fn cancel(&self, request: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        let institution = app_back_end(&self.lanes, "Cancel", &request)?;
        let answer = self.cancelled(institution, request.get_ref()).await;
        answer.map(|()| Response::new(CancelResponse {})).map_err(|refusal| self.refuse("Cancel", &refusal))
    }
}
