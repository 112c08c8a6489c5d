//! `cashgate-fleet events`.

use std::time::Duration;

use cashgate_fleet::events::Subscription;
use cashgate_fleet::notices;
use cashgate_fleet::rpc_error::RpcError;
use cashgate_wire::proto::events::v1::{SubscribeResponse, WithdrawalEvent};
use clap::Args;
use serde_json::{Value, json};
use tonic::Code;

use super::phone::state_name;
use super::terminal::print_line;
use super::{Exit, Failure, GatewayArguments};

/// Without `--follow`: no event for so long means that there is none left.
const QUIET: Duration = Duration::from_millis(500);

#[derive(Args)]
pub(crate) struct EventsArguments {
    #[command(flatten)]
    gateway: GatewayArguments,
    /// The last sequence number that was dealt with; 0 for all.
    #[arg(long, default_value_t = 0)]
    after: u64,
    /// Waits for new events, and connects again after a break.
    #[arg(long)]
    follow: bool,
}

pub(super) async fn run(arguments: EventsArguments) -> Result<Exit, Failure> {
    let channel = arguments.gateway.identity.credentials()?.channel(&arguments.gateway.gateway)?;
    let mut subscription = Subscription::after(arguments.after, channel);
    let mut first = true;
    loop {
        let next = subscription.next();
        let answer = match arguments.follow || first {
            // The first answer may take a handshake.
            true if !arguments.follow => tokio::time::timeout(QUIET.saturating_mul(6), next).await,
            true => Ok(next.await),
            false => tokio::time::timeout(QUIET, next).await,
        };
        first = false;
        match answer {
            Err(_) => return Ok(Exit::Done),
            Ok(Ok(Some(event))) => print_line(&as_json(&event))?,
            Ok(Ok(None)) if !arguments.follow => return Ok(Exit::Done),
            Ok(Err(status)) if !arguments.follow || status.code() != Code::Unavailable => {
                print_line(&json!({"error": RpcError::from(&status)}))?;
                return Ok(Exit::RpcRefused);
            }
            Ok(_) => tokio::time::sleep(QUIET).await,
        }
    }
}

fn as_json(response: &SubscribeResponse) -> Value {
    let mut line = match (&response.event, &response.notice) {
        (None, Some(notice)) => notices::as_json(notice),
        (event, _) => step_as_json(&event.clone().unwrap_or_default()),
    };
    if let Value::Object(fields) = &mut line {
        fields.insert("sequence".to_owned(), response.sequence.into());
    }
    line
}

fn step_as_json(event: &WithdrawalEvent) -> Value {
    json!({
        "withdrawal_id": event.withdrawal_id,
        "step": event.step,
        "at_unix_ms": event.at_unix_ms,
        "event": event.event,
        "state": state_name(event.state()),
        "institution_id": event.institution_id,
        "account_id": event.account_id,
        "device_id": event.device_id,
        "atm_id": event.atm_id,
        "amount": event.amount.as_ref().map(|money| money.minor_units),
        "currency": event.amount.as_ref().map(|money| money.currency.as_str()),
        "dispensed": event.dispensed.as_ref().map(|money| money.minor_units),
        "reason": event.reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cashgate_wire::proto::events::v1::{DeviceRevoked, Notice, notice::Notice as Kind};

    #[test]
    fn every_line_has_its_place_in_the_feed_and_says_what_it_is() {
        let event = WithdrawalEvent { event: "approved".into(), device_id: "phone-1".into(), ..Default::default() };
        let step = as_json(&SubscribeResponse { sequence: 4, event: Some(event), notice: None });
        assert_eq!(
            (&step["sequence"], &step["event"], &step["device_id"]),
            (&json!(4), &json!("approved"), &json!("phone-1"))
        );
        assert_eq!(step.get("notice"), None);
        let revoked = DeviceRevoked { institution_id: "sakura".into(), device_id: "phone-1".into() };
        let notice = Notice { at_unix_ms: 7, notice: Some(Kind::DeviceRevoked(revoked)) };
        let line = as_json(&SubscribeResponse { sequence: 5, event: None, notice: Some(notice) });
        let expected = json!({
            "sequence": 5, "notice": "device_revoked", "at_unix_ms": 7, "institution_id": "sakura", "device_id": "phone-1",
        });
        assert_eq!(line, expected);
    }
}
