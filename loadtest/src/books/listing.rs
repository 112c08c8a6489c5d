//! What the gateway's own interface lists of a run.

use cashgate_fleet::rpc_error::why;
use cashgate_wire::proto::operations::v1::operations_service_client::OperationsServiceClient;
use cashgate_wire::proto::operations::v1::{ListWithdrawalsRequest, Withdrawal};
use cashgate_wire::proto::withdrawal::v1::WithdrawalState;
use tonic::Status;
use tonic::transport::Channel;

use super::{Listed, State};

/// Each carries its facts, a kilobyte or two; the most that a client takes is 4 MiB.
const PAGE_SIZE: u32 = 500;

/// The gateway's books could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the gateway does not list its withdrawals for the operator: {}", why(status))]
pub struct ListingError {
    /// What it said.
    status: Box<Status>,
}

impl From<Status> for ListingError {
    fn from(status: Status) -> Self {
        Self { status: Box::new(status) }
    }
}

/// The operator's view.
pub(crate) struct Operations {
    client: OperationsServiceClient<Channel>,
    institution: String,
    /// Older ones are not of this run.
    since_unix_ms: i64,
}

impl Operations {
    pub(crate) fn new(channel: Channel, institution: &str, since_unix_ms: i64) -> Self {
        Self { client: OperationsServiceClient::new(channel), institution: institution.to_owned(), since_unix_ms }
    }

    /// Whether the gateway answers at all: asked before the run, because without its books the run is for nothing.
    pub(crate) async fn answers(&mut self) -> Result<(), ListingError> {
        let request = ListWithdrawalsRequest { page_size: 1, ..ListWithdrawalsRequest::default() };
        self.client.list_withdrawals(request).await?;
        Ok(())
    }

    /// How many withdrawals are neither ended nor suspects.
    pub(crate) async fn open(&mut self) -> Result<usize, ListingError> {
        let states = [
            WithdrawalState::HoldRequested,
            WithdrawalState::AwaitingCode,
            WithdrawalState::Held,
            WithdrawalState::DispenseCommanded,
            WithdrawalState::OutcomeUnknown,
            WithdrawalState::Confirming,
            WithdrawalState::Reversing,
        ];
        let mut open = 0;
        for state in states {
            open += self.list(state).await?.len();
        }
        Ok(open)
    }

    /// Everything of this run, oldest first.
    pub(crate) async fn all(&mut self) -> Result<Vec<Listed>, ListingError> {
        let mut listed = self.list(WithdrawalState::Unspecified).await?;
        listed.sort_by(|a, b| a.withdrawal.cmp(&b.withdrawal));
        Ok(listed)
    }

    async fn list(&mut self, state: WithdrawalState) -> Result<Vec<Listed>, ListingError> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListWithdrawalsRequest {
                institution_id: self.institution.clone(),
                state: state.into(),
                page_size: PAGE_SIZE,
                page_token,
                ..ListWithdrawalsRequest::default()
            };
            let page = self.client.list_withdrawals(request).await?.into_inner();
            // Newest first: the first that is too old ends it.
            let older = page.withdrawals.iter().any(|one| one.approved_at_unix_ms < self.since_unix_ms);
            let ours = page.withdrawals.into_iter().filter(|one| one.approved_at_unix_ms >= self.since_unix_ms);
            all.extend(ours.map(listed));
            page_token = page.next_page_token;
            if page_token.is_empty() || older {
                return Ok(all);
            }
        }
    }
}

fn listed(one: Withdrawal) -> Listed {
    let state = match one.state() {
        WithdrawalState::Confirmed => State::Confirmed,
        WithdrawalState::Reversed => State::Reversed,
        WithdrawalState::Declined => State::Declined,
        WithdrawalState::Suspect => State::Suspect,
        _ => State::Open,
    };
    let minor_units = |money: Option<cashgate_wire::proto::withdrawal::v1::Money>| {
        money.and_then(|money| u64::try_from(money.minor_units).ok()).unwrap_or(0)
    };
    Listed {
        state,
        amount: minor_units(one.amount),
        dispensed: minor_units(one.dispensed),
        withdrawal: one.withdrawal_id,
        account: one.account_id,
    }
}
