//! `CustomerService`: what an institution's app back end asks.

mod rpcs;

use std::pin::Pin;
use std::sync::Arc;

use cashgate_qr::VerifiedQrToken;
use cashgate_qr::approval::{self, ApprovalStatement};
use cashgate_wire::proto::customer::v1::{
    ApproveRequest, ApproveResponse, CancelRequest, ScanRequest, ScanResponse, WatchRequest, WatchResponse,
    cancel_request,
};
use cashgate_wire::{customer as wire, status};
use cashgate_withdrawal::ids::{DeviceId, InstitutionId, WithdrawalId};
use cashgate_withdrawal::lane::{
    Answer, Approval, CancelSubject, Cancellation, ConfirmCode, FailedApproval, Input, Scan, VerifiedCode,
};
use cashgate_withdrawal::location::Location;
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::withdrawal::Withdrawal;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use super::{read, read_withdrawal};
use crate::admission::Intended;
use crate::clock;
use crate::devices::Devices;
use crate::lanes::{LaneHandle, Lanes};
use crate::replica::{Forwarding, Route};

/// The app back ends' side of the gateway.
#[derive(Clone, Debug)]
pub struct CustomerPort {
    lanes: Arc<Lanes>,
    /// To the other replicas, if there are any.
    forwarding: Option<Forwarding>,
}

impl CustomerPort {
    /// A port over the lanes.
    #[must_use]
    pub fn new(lanes: Arc<Lanes>) -> Self {
        let forwarding = Forwarding::of(lanes.surroundings());
        Self { lanes, forwarding }
    }

    pub(super) const fn lanes(&self) -> &Arc<Lanes> {
        &self.lanes
    }

    /// Which replica a code is for. What cannot be read, or is none of ours, is refused here.
    fn route(&self, qr_text: &str) -> Route {
        let Some(forwarding) = &self.forwarding else { return Route::Here };
        self.verified(qr_text).map_or(Route::Here, |token| forwarding.by_code(token.claims().replica))
    }

    pub(super) async fn scan_here(
        &self,
        institution: InstitutionId,
        request: ScanRequest,
    ) -> Result<ScanResponse, Status> {
        self.scanned(institution, request).await.map_err(|refusal| self.refuse("Scan", &refusal))
    }

    pub(super) async fn approve_here(
        &self,
        institution: InstitutionId,
        request: ApproveRequest,
    ) -> Result<ApproveResponse, Status> {
        let answer = self.approved(institution, request).await;
        let (withdrawal, code) = answer.map_err(|refusal| self.refuse("Approve", &refusal))?;
        Ok(ApproveResponse {
            withdrawal_id: withdrawal.to_string(),
            confirm_code: code.map(|code| code.as_str().to_owned()).unwrap_or_default(),
        })
    }

    pub(super) async fn cancel_here(&self, institution: InstitutionId, request: &CancelRequest) -> Result<(), Status> {
        self.cancelled(institution, request).await.map_err(|refusal| self.refuse("Cancel", &refusal))
    }

    pub(super) async fn watch_here(
        &self,
        institution: &InstitutionId,
        request: &WatchRequest,
    ) -> Result<WatchedStates, Status> {
        let id = wire::withdrawal_id(&request.withdrawal_id);
        let id = id.map_err(|refusal| self.refuse("Watch", &refusal))?;
        self.watched(institution, id).await
    }

    /// A QR session is cancelled where it is shown.
    async fn route_of_cancelled(&self, request: &CancelRequest) -> Result<Route, Status> {
        match &request.subject {
            Some(cancel_request::Subject::WithdrawalId(id)) => self.route_of(id).await,
            Some(cancel_request::Subject::QrSessionId(id)) => {
                let shown = self.forwarding.as_ref().zip(cashgate_wire::id("qr_session_id", id).ok());
                Ok(shown.map_or(Route::Here, |(forwarding, session)| forwarding.by_qr_session(session)))
            }
            None => Ok(Route::Here),
        }
    }

    /// Where a withdrawal is followed and cancelled: here, or where its machine's lane is.
    async fn route_of(&self, withdrawal_id: &str) -> Result<Route, Status> {
        let (Some(forwarding), Ok(id)) = (&self.forwarding, wire::withdrawal_id(withdrawal_id)) else {
            return Ok(Route::Here);
        };
        if self.lanes.surroundings().watchers.state_name(id).is_some() {
            return Ok(Route::Here);
        }
        forwarding.by_withdrawal(id).await
    }

    fn devices(&self) -> Arc<Devices> {
        Arc::clone(&self.lanes.surroundings().devices)
    }

    /// Counts a refusal, keeps what failed exactly in the log, and tells the caller only what it may know.
    pub(super) fn refuse(&self, rpc: &'static str, refusal: &Refusal) -> Status {
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
        self.may_go_on(intended, None)?;
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
        let device = self.devices().known().find(&institution, &request.device);
        let device = device.ok_or(Refusal::NotAllowed { factor: "device_unknown" })?;
        let may_go_on = self.may_go_on(intended, Some(request.amount));
        let statement = ApprovalStatement {
            qr_token: token.digest(),
            institution,
            account: request.account,
            amount: request.amount,
            device: request.device,
        };
        let verified = match approval::verify(statement.clone(), &request.signature, &device.key) {
            Ok(verified) => verified,
            Err(_) => {
                may_go_on?;
                return Err(self.approval_failed(&token, statement).await);
            }
        };
        if let Err(refusal) = may_go_on {
            // What was accepted before it was stopped goes on, and its answer may have been lost.
            let earlier = self.approved_earlier(&token, verified.statement()).await;
            return earlier.map(|withdrawal| (withdrawal, None)).ok_or(refusal);
        }
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

    /// Whether a customer may go on, told to the institution if not: the attempts that it wants to hear of most are those with a stopped account or a
    /// locked phone.
    fn may_go_on(&self, intended: Intended<'_>, amount: Option<Money>) -> Result<(), Refusal> {
        let desk = &self.lanes.surroundings().desk;
        desk.may_scan(intended)
            .inspect_err(|refusal| desk.tell_failed(intended, amount, refusal.factor(), clock::now()))
    }

    /// An approval came that the phone did not sign. If that phone has claimed this code, it counts against the QR session and the phone, and its
    /// institution hears of it; anybody else can name a phone.
    async fn approval_failed(&self, token: &VerifiedQrToken, statement: ApprovalStatement) -> Refusal {
        let refusal = Refusal::NotAllowed { factor: "signature" };
        let Ok(lane) = self.lane_of(token) else { return refusal };
        let (surroundings, code, atm) =
            (Arc::clone(self.lanes.surroundings()), code_of(token), token.claims().atm.clone());
        let counted = tokio::spawn(async move {
            let ApprovalStatement { institution, account, amount, device, .. } = statement;
            let (of, named) = (institution.clone(), device.clone());
            let failed =
                move |request| Input::ApprovalFailed(FailedApproval { request, code, institution: of, device: named });
            if lane.ask(None, failed).await.is_err() {
                return;
            }
            let intended = Intended { institution: &institution, account: &account, device: &device, atm: &atm };
            surroundings.desk.tell_failed(intended, Some(amount), "signature", clock::now());
            let rules = surroundings.desk.rules();
            let Ok(of) = rules.institution(&institution) else { return };
            surroundings.devices.count_failure(&institution, &device, of.failed_attempts_max);
            if let Err(error) = surroundings.devices.record_attempts(institution, device, clock::now()).await {
                tracing::error!(%error, "a failed approval was not recorded against its phone");
            }
        });
        // The caller waits, so that it cannot try faster than failures are counted; if it goes away they are counted all the same.
        let _ = counted.await;
        refusal
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

pub(super) type WatchedStates = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

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
