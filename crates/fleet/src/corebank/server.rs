//! The bank on the wire.

use std::future::Future;
use std::sync::Arc;

use cashgate_wire::proto::corebank::v1 as wire;
use cashgate_wire::proto::corebank::v1::core_banking_service_server::{CoreBankingService, CoreBankingServiceServer};
use cashgate_wire::proto::withdrawal::v1::Money;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

use super::answers::{PlaceHold, PlaceHoldAnswer, SettlementAnswer, Standing};
use super::bank::{Bank, BankError};
use super::caller::{refusal, require_gateway};
use super::faults::{CallFaults, CallKind, Faults};
use crate::credentials::Credentials;

/// One institution's core bank as it is served.
#[derive(Clone, Debug)]
pub struct Branch {
    /// Whose requests it takes.
    pub institution: String,
    /// Its books.
    pub bank: Arc<Bank>,
    /// What it does wrong.
    pub faults: Arc<Faults>,
    /// Where it reports its calls.
    pub events: mpsc::UnboundedSender<BankEvent>,
}

/// A call as the bank has dealt with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BankEvent {
    /// `place_hold`, `confirm_hold` or `reverse_hold`.
    pub event: &'static str,
    /// The withdrawal.
    pub withdrawal_id: String,
    /// `granted`, `declined`, `done`, `refused`, `unavailable` or `stalled`.
    pub answer: &'static str,
    /// Why, if it was declined or refused.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// In minor units; zero for a reversal.
    pub amount: u64,
}

/// The server could not go on.
#[derive(Debug, thiserror::Error)]
#[error("the core bank's server: {0}; are the certificate and the key PEM files of one another?")]
pub struct ServeError(#[from] tonic::transport::Error);

/// Serves the bank over mTLS until `shutdown` completes. Stalled calls are let go then.
///
/// # Errors
/// The TLS material cannot be used.
pub async fn serve(
    branch: Branch,
    listener: TcpListener,
    credentials: &Credentials,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let (stopping, stopped) = watch::channel(false);
    let counter = Counter { branch, stopped };
    let signal = async move {
        shutdown.await;
        stopping.send_replace(true);
    };
    Server::builder()
        .tls_config(credentials.server_tls())?
        .add_service(CoreBankingServiceServer::new(counter))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), signal)
        .await?;
    Ok(())
}

#[derive(Clone)]
struct Counter {
    branch: Branch,
    stopped: watch::Receiver<bool>,
}

/// One call's name, subject and faults.
struct Call {
    event: &'static str,
    withdrawal_id: String,
    amount: u64,
    faults: CallFaults,
}

#[tonic::async_trait]
impl CoreBankingService for Counter {
    async fn place_hold(
        &self,
        request: Request<wire::PlaceHoldRequest>,
    ) -> Result<Response<wire::PlaceHoldResponse>, Status> {
        require_gateway(&request)?;
        let request = request.into_inner();
        self.require_own(&request.institution_id)?;
        let (amount, currency) = required_amount(request.amount)?;
        let place = PlaceHold {
            withdrawal_id: required_id(request.withdrawal_id)?,
            account: request.account_id,
            amount,
            currency,
        };
        let mut call = self.admit("place_hold", &place.withdrawal_id, amount, CallKind::PlaceHold)?;
        let (counter, late) = (self.clone(), call.faults.late.unwrap_or_default().saturating_add(call.faults.slow));
        // A task of its own: a late hold is placed even if the caller has given up.
        let placing = tokio::spawn(async move {
            tokio::time::sleep(late).await;
            let declined = call.faults.declined.take();
            let work = move |bank: &Bank| bank.place_hold(&place, declined.as_deref());
            let answer = counter.carry_out(&call, work).await?;
            let (word, code) = match &answer {
                PlaceHoldAnswer::Granted { .. } => ("granted", ""),
                PlaceHoldAnswer::Declined { code } => ("declined", code.as_str()),
            };
            counter.report(&call, word, code);
            Ok::<_, Status>((answer, call))
        });
        let (answer, call) = placing.await.map_err(|error| Status::internal(error.to_string()))??;
        self.stall_if_told(&call).await?;
        let decision = match answer {
            PlaceHoldAnswer::Granted { reference } => {
                wire::place_hold_response::Decision::Granted(wire::HoldGranted { hold_reference: reference })
            }
            PlaceHoldAnswer::Declined { code } => {
                wire::place_hold_response::Decision::Declined(wire::HoldDeclined { code })
            }
        };
        Ok(Response::new(wire::PlaceHoldResponse { decision: Some(decision) }))
    }

    async fn confirm_hold(
        &self,
        request: Request<wire::ConfirmHoldRequest>,
    ) -> Result<Response<wire::ConfirmHoldResponse>, Status> {
        require_gateway(&request)?;
        let request = request.into_inner();
        self.require_own(&request.institution_id)?;
        let (amount, currency) = required_amount(request.amount)?;
        let withdrawal_id = required_id(request.withdrawal_id)?;
        let call = self.admit("confirm_hold", &withdrawal_id, amount, CallKind::Other)?;
        let reference = request.hold_reference;
        let work = move |bank: &Bank| bank.confirm_hold(&withdrawal_id, &reference, amount, &currency);
        let refused = self.settle(&call, work).await?;
        Ok(Response::new(wire::ConfirmHoldResponse { refused }))
    }

    async fn reverse_hold(
        &self,
        request: Request<wire::ReverseHoldRequest>,
    ) -> Result<Response<wire::ReverseHoldResponse>, Status> {
        require_gateway(&request)?;
        let request = request.into_inner();
        self.require_own(&request.institution_id)?;
        let withdrawal_id = required_id(request.withdrawal_id)?;
        let call = self.admit("reverse_hold", &withdrawal_id, 0, CallKind::Other)?;
        let refused = self.settle(&call, move |bank: &Bank| bank.reverse_hold(&withdrawal_id)).await?;
        Ok(Response::new(wire::ReverseHoldResponse { refused }))
    }

    async fn get_hold(
        &self,
        request: Request<wire::GetHoldRequest>,
    ) -> Result<Response<wire::GetHoldResponse>, Status> {
        require_gateway(&request)?;
        let withdrawal_id = required_id(request.into_inner().withdrawal_id)?;
        let call = self.admit("get_hold", &withdrawal_id, 0, CallKind::Other)?;
        tokio::time::sleep(call.faults.slow).await;
        self.stall_if_told(&call).await?;
        let found = self.carry_out(&call, move |bank: &Bank| bank.look_up(&withdrawal_id)).await?;
        let unknown = || refusal(Code::NotFound, "WITHDRAWAL_UNKNOWN", "the bank never heard of this withdrawal");
        let known = found.ok_or_else(unknown)?;
        let status = match known.standing {
            Standing::Held => wire::HoldStatus::Held,
            Standing::Confirmed => wire::HoldStatus::Confirmed,
            Standing::Reversed => wire::HoldStatus::Reversed,
            Standing::Declined => wire::HoldStatus::Declined,
        };
        let money = |minor_units: u64| Money {
            minor_units: i64::try_from(minor_units).unwrap_or(i64::MAX),
            currency: known.currency.clone(),
        };
        Ok(Response::new(wire::GetHoldResponse {
            status: status.into(),
            held: (known.asked > 0).then(|| money(known.asked)),
            confirmed: (known.standing == Standing::Confirmed).then(|| money(known.confirmed)),
            hold_reference: known.reference,
        }))
    }
}

impl Counter {
    fn require_own(&self, institution_id: &str) -> Result<(), Status> {
        let own = &self.branch.institution;
        if institution_id == own {
            return Ok(());
        }
        let message = format!("this is the core bank of {own}, not of {institution_id:?}");
        Err(refusal(Code::InvalidArgument, "FIELD_INVALID", message))
    }

    /// Lets a call in, unless it is to be lost.
    fn admit(&self, event: &'static str, withdrawal_id: &str, amount: u64, kind: CallKind) -> Result<Call, Status> {
        let faults = self.branch.faults.next(kind);
        let call = Call { event, withdrawal_id: withdrawal_id.to_owned(), amount, faults };
        if call.faults.unavailable {
            self.report(&call, "unavailable", "");
            return Err(refusal(Code::Unavailable, "CORE_BANK_DOWN", "the bank has been told to be down"));
        }
        Ok(call)
    }

    /// Confirms or reverses, and says how the bank refused if it did.
    async fn settle(
        &self,
        call: &Call,
        work: impl Fn(&Bank) -> Result<SettlementAnswer, BankError> + Send + 'static,
    ) -> Result<Option<wire::SettlementRefused>, Status> {
        tokio::time::sleep(call.faults.slow).await;
        self.stall_if_told(call).await?;
        match self.carry_out(call, work).await? {
            SettlementAnswer::Done => {
                self.report(call, "done", "");
                Ok(None)
            }
            SettlementAnswer::Refused { code } => {
                self.report(call, "refused", code);
                Ok(Some(wire::SettlementRefused { code: code.to_owned() }))
            }
        }
    }

    /// Does the work on a thread that may wait for the disk; twice, if the bank has been told so, which must change nothing.
    async fn carry_out<T: PartialEq + Send + 'static>(
        &self,
        call: &Call,
        work: impl Fn(&Bank) -> Result<T, BankError> + Send + 'static,
    ) -> Result<T, Status> {
        let (bank, twice) = (Arc::clone(&self.branch.bank), call.faults.twice);
        let done = tokio::task::spawn_blocking(move || {
            let first = work(&bank)?;
            if twice && work(&bank)? != first {
                return Ok(None);
            }
            Ok::<_, BankError>(Some(first))
        });
        let answer = done.await.map_err(|error| Status::internal(error.to_string()))?;
        let answer = answer.map_err(|error| Status::internal(error.to_string()))?;
        answer.ok_or_else(|| refusal(Code::Internal, "NOT_IDEMPOTENT", "the same call twice had two answers"))
    }

    /// Waits for ever, if told so: the caller gives up, or the server stops.
    async fn stall_if_told(&self, call: &Call) -> Result<(), Status> {
        if !call.faults.stalled {
            return Ok(());
        }
        self.report(call, "stalled", "");
        let mut stopped = self.stopped.clone();
        // An error means that the server is gone, which ends the wait as well.
        let _ = stopped.wait_for(|stopped| *stopped).await;
        Err(Status::unavailable("the bank stops"))
    }

    fn report(&self, call: &Call, answer: &'static str, code: &str) {
        // Whoever serves the bank may not care what it does.
        let _ = self.branch.events.send(BankEvent {
            event: call.event,
            withdrawal_id: call.withdrawal_id.clone(),
            answer,
            code: code.to_owned(),
            amount: call.amount,
        });
    }
}

fn required_id(withdrawal_id: String) -> Result<String, Status> {
    let invalid = || refusal(Code::InvalidArgument, "FIELD_INVALID", "withdrawal_id must be a UUID");
    withdrawal_id.parse::<cashgate_withdrawal::ids::WithdrawalId>().map_err(|_| invalid())?;
    Ok(withdrawal_id)
}

fn required_amount(amount: Option<Money>) -> Result<(u64, String), Status> {
    let invalid = || refusal(Code::InvalidArgument, "FIELD_INVALID", "amount must be set and not negative");
    let amount = amount.ok_or_else(invalid)?;
    Ok((u64::try_from(amount.minor_units).map_err(|_| invalid())?, amount.currency))
}
