//! Asks a running gateway, with an operator's certificate: for `cashgate withdrawals`, `keys`, `stop` and the like.

mod publications;
mod stops;

use std::path::Path;

use cashgate_wire::causes;
use cashgate_wire::proto::operations::v1::operations_service_client::OperationsServiceClient;
use cashgate_wire::proto::operations::v1::resolve_suspect_request::Resolution;
use cashgate_wire::proto::operations::v1::{
    GetWithdrawalRequest, HsmSlot, Key, KeyEvent, ListKeyEventsRequest, ListKeysRequest, ListWithdrawalsRequest,
    ResolveSuspectRequest, RetireKeyRequest, Reverse, RotateKeyRequest, Withdrawal,
};
use cashgate_wire::proto::withdrawal::v1::{Money, WithdrawalState};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::config::Reach;
use crate::evidence;

/// The most that the gateway lists in one answer.
const PAGE_SIZE_MAX: u32 = 1_000;

/// Why a question got no answer.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// A certificate or key.
    #[error(
        "{file}: {source}; name the operator's certificate and key with --certificate and --key, or in CASHGATE_OPERATOR_CERTIFICATE and CASHGATE_OPERATOR_KEY"
    )]
    File {
        /// Which file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// The gateway.
    #[error("the gateway at {address} cannot be reached: {}. Is `cashgate serve` running?", causes::last(source))]
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
    /// Connects to a gateway, with a certificate and its key.
    pub async fn connect(gateway: &Reach, certificate: &Path, key: &Path) -> Result<Self, InspectError> {
        let read = |file: &Path| {
            std::fs::read(file).map_err(|source| InspectError::File { file: file.display().to_string(), source })
        };
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(&gateway.ca)?))
            .identity(Identity::from_pem(read(certificate)?, read(key)?))
            .domain_name("localhost");
        let address = format!("https://{}", gateway.api);
        let unreachable = |source| InspectError::Unreachable { address: address.clone(), source };
        let endpoint = Endpoint::from_shared(address.clone()).and_then(|endpoint| endpoint.tls_config(tls));
        let channel = endpoint.map_err(unreachable)?.connect().await.map_err(unreachable)?;
        Ok(Self { client: OperationsServiceClient::new(channel) })
    }

    /// All withdrawals, or those in one state, newest first, one line each, and no more than so many.
    pub async fn list(
        &mut self,
        state: Option<WithdrawalState>,
        newest: Option<usize>,
        json: bool,
    ) -> Result<String, InspectError> {
        let state = state.map_or(0, i32::from);
        let mut left = newest.unwrap_or(usize::MAX);
        let mut lines = String::new();
        let mut page_token = String::new();
        while left > 0 {
            let page_size = u32::try_from(left).unwrap_or(PAGE_SIZE_MAX).min(PAGE_SIZE_MAX);
            let request = ListWithdrawalsRequest { page_size, page_token, state, ..Default::default() };
            let page = self.client.list_withdrawals(request).await.map_err(refused)?.into_inner();
            for withdrawal in page.withdrawals.iter().take(left) {
                lines.push_str(&if json { as_json(withdrawal).to_string() } else { as_line(withdrawal) });
                lines.push('\n');
            }
            left = left.saturating_sub(page.withdrawals.len());
            if page.next_page_token.is_empty() {
                break;
            }
            page_token = page.next_page_token;
        }
        Ok(lines)
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
                object.insert("rules".to_owned(), withdrawal.rules.into());
                object.insert("facts".to_owned(), serde_json::from_str(&withdrawal.facts).unwrap_or_default());
            }
            return Ok(format!("{value}\n"));
        }
        let mut text = format!("{}\n", as_line(&withdrawal));
        text.push_str(&format!(
            "policy {}, key {}, limits {}\nrules {}\nfacts {}\n",
            withdrawal.policy_version,
            withdrawal.key_id,
            withdrawal.limit_figures,
            withdrawal.rules.join(", "),
            withdrawal.facts
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

impl Operator {
    /// All keys and HSM slots, one line each.
    pub async fn keys(&mut self, json: bool) -> Result<String, InspectError> {
        let found = self.client.list_keys(ListKeysRequest {}).await.map_err(refused)?.into_inner();
        let mut lines = String::new();
        for key in &found.keys {
            lines.push_str(&if json { key_as_json(key).to_string() } else { key_as_line(key) });
            lines.push('\n');
        }
        for slot in &found.slots {
            lines.push_str(&if json { slot_as_json(slot).to_string() } else { slot_as_line(slot) });
            lines.push('\n');
        }
        if !json {
            lines.push_str(&format!("the HSM is {}\n", short(found.state().as_str_name(), "HSM_STATE_")));
        }
        Ok(lines)
    }

    /// Has the keys of another label sign, once apps can know them.
    pub async fn rotate_key(&mut self, label: &str, generate: bool, reason: &str) -> Result<String, InspectError> {
        let request = RotateKeyRequest { label: label.to_owned(), generate, reason: reason.to_owned() };
        let rotation = self.client.rotate_key(request).await.map_err(refused)?.into_inner();
        let from = evidence::time(rotation.use_from_unix_ms);
        Ok(format!("published: {}; signs from {from} on", rotation.key_ids.join(", ")))
    }

    /// Has codes under a key refused from now on.
    pub async fn retire_key(&mut self, key_id: &str, at_once: bool, reason: &str) -> Result<String, InspectError> {
        let request = RetireKeyRequest { key_id: key_id.to_owned(), at_once, reason: reason.to_owned() };
        self.client.retire_key(request).await.map_err(refused)?;
        Ok(format!("{key_id} is retired"))
    }

    /// What happened to keys and who did it, one line each, oldest first.
    pub async fn key_history(&mut self, json: bool) -> Result<String, InspectError> {
        let found = self.client.list_key_events(ListKeyEventsRequest {}).await.map_err(refused)?.into_inner();
        let line = |event: &KeyEvent| if json { event_as_json(event).to_string() } else { event_as_line(event) };
        Ok(found.events.iter().map(|event| line(event) + "\n").collect())
    }
}

fn key_as_line(key: &Key) -> String {
    let state = short(key.state().as_str_name(), "KEY_STATE_");
    let at = |what: &str, at| if at == 0 { String::new() } else { format!("  {what} {}", evidence::time(at)) };
    format!(
        "{}  {state:<11}  {}  in {}{}{}{}{}{}{}",
        key.key_id,
        key.label,
        if key.found_in.is_empty() { "no slot".to_owned() } else { key.found_in.join(", ") },
        at("published", key.published_at_unix_ms),
        at("signs from", key.use_from_unix_ms),
        at("signing since", key.signing_since_unix_ms),
        at("until", key.signed_until_unix_ms),
        at("may be retired from", key.may_be_retired_from_unix_ms),
        at("retired", key.retired_at_unix_ms),
    )
}

fn key_as_json(key: &Key) -> serde_json::Value {
    serde_json::json!({
        "key_id": key.key_id,
        "label": key.label,
        "found_in": key.found_in,
        "state": short(key.state().as_str_name(), "KEY_STATE_"),
        "published_at_unix_ms": key.published_at_unix_ms,
        "use_from_unix_ms": not_zero(key.use_from_unix_ms),
        "signing_since_unix_ms": not_zero(key.signing_since_unix_ms),
        "signed_until_unix_ms": not_zero(key.signed_until_unix_ms),
        "may_be_retired_from_unix_ms": not_zero(key.may_be_retired_from_unix_ms),
        "retired_at_unix_ms": not_zero(key.retired_at_unix_ms),
        "public_key": key.public_key.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
    })
}

fn slot_as_line(slot: &HsmSlot) -> String {
    let state = short(slot.state().as_str_name(), "HSM_STATE_");
    let HsmSlot { token_label, workers, stuck_workers, reason, .. } = slot;
    format!("slot {token_label}  {state}  {workers} workers, {stuck_workers} stuck  {reason}").trim_end().to_owned()
}

fn slot_as_json(slot: &HsmSlot) -> serde_json::Value {
    serde_json::json!({
        "slot": slot.token_label,
        "state": short(slot.state().as_str_name(), "HSM_STATE_"),
        "workers": slot.workers,
        "stuck_workers": slot.stuck_workers,
        "reason": slot.reason,
    })
}

fn event_as_line(event: &KeyEvent) -> String {
    let at = evidence::time(event.at_unix_ms);
    let KeyEvent { sequence, actor, action, key_id, label, token_label, reason, .. } = event;
    let from = match event.use_from_unix_ms {
        0 => String::new(),
        from => format!(", to sign from {}", evidence::time(from)),
    };
    format!("{sequence:>3}  {at:<24}  {actor:<16} {action:<15} {key_id}  {label} in {token_label}{from}  {reason}")
}

fn event_as_json(event: &KeyEvent) -> serde_json::Value {
    serde_json::json!({
        "sequence": event.sequence,
        "at_unix_ms": event.at_unix_ms,
        "actor": event.actor,
        "action": event.action,
        "key_id": event.key_id,
        "label": event.label,
        "token_label": event.token_label,
        "use_from_unix_ms": not_zero(event.use_from_unix_ms),
        "reason": event.reason,
        "seal": event.seal,
    })
}

fn short(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase()
}

fn not_zero(moment: i64) -> Option<i64> {
    Some(moment).filter(|moment| *moment != 0)
}

fn refused(status: tonic::Status) -> InspectError {
    // An answer comes from nothing; a connection that broke does. With TLS 1.3 a certificate is refused after the connection has come up.
    let message = match std::error::Error::source(&status) {
        Some(source) => format!("{}: {}", status.message(), causes::last(source)),
        None => status.message().to_owned(),
    };
    InspectError::Refused(format!("{message} ({:?})", status.code()))
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
