//! The gRPC services. Each one reads the caller's identity from its certificate, converts, and asks a lane or the ledger.

mod atm;
mod customer;
mod events;
mod operations;
mod publishing;
mod replica;
mod stopping;

pub use atm::AtmPort;
pub use customer::CustomerPort;
pub use events::EventPort;
pub use operations::OperationsPort;
pub use replica::ReplicaPort;

use cashgate_ledger::LedgerReader;
use cashgate_wire::status;
use cashgate_withdrawal::ids::{InstitutionId, WithdrawalId};
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::withdrawal::Withdrawal;
use tonic::{Request, Status};

use crate::identity::Identity;
use crate::lanes::{Lanes, read_back};
use crate::ledger_reads;
use crate::listener::Peer;

/// Counts a refusal and makes it a status.
fn refuse(lanes: &Lanes, rpc: &'static str, refusal: &Refusal) -> Status {
    lanes.surroundings().metrics.refused(rpc, refusal);
    status::status(refusal)
}

/// Who calls.
fn identity<T>(lanes: &Lanes, rpc: &'static str, request: &Request<T>) -> Result<Identity, Status> {
    let why = match request.extensions().get::<Peer>() {
        Some(Peer { identity: Ok(identity), .. }) => return Ok(identity.clone()),
        Some(Peer { identity: Err(error), .. }) => error.to_string(),
        None => "there is none".to_owned(),
    };
    Err(refuse(lanes, rpc, &Refusal::IdentityUnknown { why }))
}

/// The institution whose app back end calls.
fn app_back_end<T>(lanes: &Lanes, rpc: &'static str, request: &Request<T>) -> Result<InstitutionId, Status> {
    match identity(lanes, rpc, request)? {
        Identity::Institution(institution) => Ok(institution),
        _ => Err(refuse(lanes, rpc, &Refusal::IdentityNotAllowed { needed: "institution/<id>" })),
    }
}

/// Whose withdrawals the caller may see: those of one institution, or (`None`) all.
fn may_see<T>(lanes: &Lanes, rpc: &'static str, request: &Request<T>) -> Result<Option<InstitutionId>, Status> {
    match identity(lanes, rpc, request)? {
        Identity::Institution(institution) | Identity::CoreBanking(institution) => Ok(Some(institution)),
        Identity::Operator(_) => Ok(None),
        Identity::Atm(_) | Identity::Replica(_) => {
            let needed = "institution/<id>, corebank/<id> or operator/<name>";
            Err(refuse(lanes, rpc, &Refusal::IdentityNotAllowed { needed }))
        }
    }
}

/// A withdrawal out of the ledger, whatever its state.
async fn read_withdrawal(lanes: &Lanes, id: WithdrawalId) -> Result<Option<Withdrawal>, Status> {
    read(lanes, move |reader| read_back(reader, id).map(|found| found.map(|(withdrawal, _)| withdrawal))).await
}

/// A query of the ledger for a caller, who learns only that it failed.
async fn read<T, E>(
    lanes: &Lanes,
    query: impl FnOnce(&LedgerReader) -> Result<T, E> + Send + 'static,
) -> Result<T, Status>
where
    T: Send + 'static,
    E: std::fmt::Display + Send + 'static,
{
    ledger_reads::read(lanes.surroundings().ledger.reader(), query).await.map_err(|error| {
        tracing::error!(error, "the ledger could not be read");
        status::internal()
    })
}
