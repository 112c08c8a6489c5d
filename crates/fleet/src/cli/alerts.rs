//! `cashgate-fleet alerts`.

use std::path::PathBuf;

use cashgate_fleet::alerts::{AlertRules, Consumer, ConsumerError, Progress};
use cashgate_fleet::rpc_error::RpcError;
use clap::Args;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::terminal::{hand_over_line, print_line};
use super::{Exit, Failure, GatewayArguments};

#[derive(Args)]
pub(crate) struct AlertsArguments {
    #[command(flatten)]
    gateway: GatewayArguments,
    /// The file that keeps how far the feed was read; made if it is missing.
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// Where to begin while there is no such file: behind this sequence number; 0 for the whole feed.
    #[arg(long, default_value_t = 0)]
    after: u64,
    /// Customers hear of approvals from this amount on. The Monetary Authority of Singapore has banks alert from 100 dollars, which are 10,000 cents
    /// (and about as many yen).
    #[arg(long, value_name = "MINOR_UNITS", default_value_t = 10_000)]
    alert_from: i64,
}

pub(super) async fn run(arguments: AlertsArguments) -> Result<Exit, Failure> {
    let AlertsArguments { gateway, state, after, alert_from } = arguments;
    let channel = gateway.identity.credentials()?.channel(&gateway.gateway)?;
    let consumer = Consumer::new(channel, AlertRules { approvals_from: alert_from }, Progress::open(&state, after)?);
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = async {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    };
    match consumer.run(hand_over_line, shutdown).await {
        Ok(()) => Ok(Exit::Done),
        Err(ConsumerError::Refused(status)) => {
            print_line(&json!({"error": RpcError::from(status.as_ref())}))?;
            Ok(Exit::RpcRefused)
        }
        Err(error) => Err(error.into()),
    }
}
