//! `cashgate withdrawals`: asks a running gateway, with an operator's certificate.

use std::path::Path;

use cashgate_wire::proto::operations::v1::operations_service_client::OperationsServiceClient;
use cashgate_wire::proto::operations::v1::resolve_suspect_request::Resolution;
use cashgate_wire::proto::operations::v1::{
    GetWithdrawalRequest, ListWithdrawalsRequest, ResolveSuspectRequest, Reverse, Withdrawal,
};
use cashgate_wire::proto::withdrawal::v1::{Money, WithdrawalState};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::config::Config;
use crate::evidence;

/// Why a question got no answer.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// A certificate or key.
    #[error("{file}: {source}")]
    File {
        /// Which file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// The gateway.
    #[error("the gateway at {address} cannot be reached: {source}. Is `cashgate serve` running?")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// Its answer.
    #[error("the gateway refused: {0}")]
    Refused(String),
}

/// An operator's connection to a gateway.
#[derive(Debug)]
pub struct Operator {
    client: OperationsServiceClient<Channel>,
}

impl Operator {
    /// Connects to the gateway of a configuration, with the certificate and key `<stem>.pem` and `<stem>-key.pem`.
    pub async fn connect(config: &Config, certificate: &Path, key: &Path) -> Result<Self, InspectError> {
        let read = |file: &Path| {
            std::fs::read(file).map_err(|source| InspectError::File { file: file.display().to_string(), source })
        };
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(&config.tls_ca)?))
            .identity(Identity::from_pem(read(certificate)?, read(key)?))
            .domain_name("localhost");
        let address = format!("https://{}", config.listen_api);
        let unreachable = |source| InspectError::Unreachable { address: address.clone(), source };
        let endpoint = Endpoint::from_shared(address.clone()).and_then(|endpoint| endpoint.tls_config(tls));
        let channel = endpoint.map_err(unreachable)?.connect().await.map_err(unreachable)?;
        Ok(Self { client: OperationsServiceClient::new(channel) })
    }

    /// All withdrawals, or those in one state, newest first, one line each.
    pub async fn list(&mut self, state: Option<WithdrawalState>, json: bool) -> Result<String, InspectError> {
        let state = state.map_or(0, i32::from);
        let mut lines = String::new();
        let mut page_token = String::new();
        loop {
            let request = ListWithdrawalsRequest { page_size: 1_000, page_token, state, ..Default::default() };
            let page = self.client.list_withdrawals(request).await.map_err(refused)?.into_inner();
            for withdrawal in &page.withdrawals {
                lines.push_str(&if json { as_json(withdrawal).to_string() } else { as_line(withdrawal) });
                lines.push('\n');
            }
            if page.next_page_token.is_empty() {
                return Ok(lines);
            }
            page_token = page.next_page_token;
        }
    }

    /// Decides what a suspect becomes: confirmed for an amount in minor units of its own currency, or (`None`) reversed.
    pub async fn resolve(&mut self, id: &str, confirm: Option<i64>, reason: &str) -> Result<String, InspectError> {
        let withdrawal_id = id.to_owned();
        let resolution = match confirm {
            None => Resolution::Reverse(Reverse {}),
            Some(minor_units) => {
                let request = GetWithdrawalRequest { withdrawal_id: withdrawal_id.clone() };
                let found = self.client.get_withdrawal(request).await.map_err(refused)?.into_inner();
                let approved = found.withdrawal.and_then(|withdrawal| withdrawal.amount).unwrap_or_default();
                Resolution::Confirm(Money { minor_units, ..approved })
            }
        };
        let request = ResolveSuspectRequest { withdrawal_id, reason: reason.to_owned(), resolution: Some(resolution) };
        self.client.resolve_suspect(request).await.map_err(refused)?;
        Ok("the decision is recorded, and core banking is being told".to_owned())
    }

    /// All that is known of one withdrawal, as a JSON document.
    pub async fn evidence(&mut self, id: &str) -> Result<String, InspectError> {
        let request = GetWithdrawalRequest { withdrawal_id: id.to_owned() };
        let found = self.client.get_withdrawal(request).await.map_err(refused)?.into_inner();
        Ok(format!("{:#}\n", evidence::bundle(&found)))
    }

    /// One withdrawal with its history.
    pub async fn show(&mut self, id: &str, json: bool) -> Result<String, InspectError> {
        let request = GetWithdrawalRequest { withdrawal_id: id.to_owned() };
        let found = self.client.get_withdrawal(request).await.map_err(refused)?.into_inner();
        let withdrawal = found.withdrawal.unwrap_or_default();
        if json {
            let mut value = as_json(&withdrawal);
            let steps: Vec<_> = found
                .steps
                .iter()
                .map(|s| serde_json::json!({"number": s.number, "at_unix_ms": s.at_unix_ms, "event": s.event, "state": s.state, "detail": s.detail}))
                .collect();
            if let Some(object) = value.as_object_mut() {
                object.insert("steps".to_owned(), steps.into());
                object.insert("policy_version".to_owned(), withdrawal.policy_version.into());
                object.insert("limit_figures".to_owned(), withdrawal.limit_figures.into());
                object.insert("key_id".to_owned(), withdrawal.key_id.into());
            }
            return Ok(format!("{value}\n"));
        }
        let mut text = format!("{}\n", as_line(&withdrawal));
        text.push_str(&format!(
            "policy {}, key {}, limits {}\n",
            withdrawal.policy_version, withdrawal.key_id, withdrawal.limit_figures
        ));
        for step in &found.steps {
            let at = evidence::time(step.at_unix_ms);
            text.push_str(&format!(
                "{:>3}  {at:<24}  {:<24} -> {:<20} {}\n",
                step.number, step.event, step.state, step.detail
            ));
        }
        for remark in &found.remarks {
            let at = evidence::time(remark.at_unix_ms);
            text.push_str(&format!("  -  {at:<24}  {:<48} {}\n", remark.kind, remark.detail));
        }
        Ok(text)
    }
}

fn refused(status: tonic::Status) -> InspectError {
    InspectError::Refused(format!("{} ({:?})", status.message(), status.code()))
}

fn state_name(withdrawal: &Withdrawal) -> String {
    withdrawal.state().as_str_name().trim_start_matches("WITHDRAWAL_STATE_").to_lowercase()
}

fn amount(money: Option<&Money>) -> String {
    money.map_or_else(|| "-".to_owned(), |money| format!("{} {}", money.minor_units, money.currency))
}

fn as_line(w: &Withdrawal) -> String {
    format!(
        "{}  {:<18} {:>14} {:>14}  {}/{}  {}  {}",
        w.withdrawal_id,
        state_name(w),
        amount(w.amount.as_ref()),
        amount(w.dispensed.as_ref()),
        w.institution_id,
        w.account_id,
        w.atm_id,
        w.reason
    )
}

fn as_json(w: &Withdrawal) -> serde_json::Value {
    serde_json::json!({
        "withdrawal_id": w.withdrawal_id,
        "institution_id": w.institution_id,
        "account_id": w.account_id,
        "device_id": w.device_id,
        "atm_id": w.atm_id,
        "amount": w.amount.as_ref().map(|m| m.minor_units),
        "currency": w.amount.as_ref().map(|m| m.currency.clone()),
        "state": state_name(w),
        "dispensed": w.dispensed.as_ref().map(|m| m.minor_units),
        "reason": w.reason,
        "hold_reference": w.hold_reference,
        "approved_at_unix_ms": w.approved_at_unix_ms,
        "since_unix_ms": w.since_unix_ms,
    })
}
