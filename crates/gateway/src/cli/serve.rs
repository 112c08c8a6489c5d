//! `cashgate serve`.

use std::path::PathBuf;
use std::process::ExitCode;

use cashgate_gateway::config::Config;
use cashgate_gateway::{serve, telemetry};
use clap::Args;

use super::Failure;
use super::environment::{again_with, is_set};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The configuration.
    #[arg(long)]
    config: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let config = Config::load(&arguments.config)?;
    if !config.hsm.environment.iter().all(is_set) {
        return Err(again_with(&config.hsm.environment).into());
    }
    telemetry::logging::to_stderr();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve::serve(config, stop_signal()));
    // A query or a call to core banking that is still running must not hold the process back.
    runtime.shutdown_background();
    served?;
    Ok(ExitCode::SUCCESS)
}

async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
