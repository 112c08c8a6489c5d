//! How a subcommand asks a running gateway: as an operator.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cashgate_gateway::config::{Config, Reach};
use cashgate_gateway::inspect::Operator;
use clap::Args;

use super::Failure;
use super::output::say;

#[derive(Debug, Args)]
pub(crate) struct How {
    /// The gateway's configuration. Of it only `listen.api` and `tls.ca` are looked at, so that a stop does not fail because of what else is in
    /// it; by `policy publish` all its keys.
    #[arg(long)]
    config: PathBuf,
    /// The operator's certificate; certs/operator-dev.pem beside the configuration if left out. Its name is recorded with every change.
    #[arg(long, requires = "key", env = "CASHGATE_OPERATOR_CERTIFICATE")]
    certificate: Option<PathBuf>,
    /// The operator's private key.
    #[arg(long, requires = "certificate", env = "CASHGATE_OPERATOR_KEY")]
    key: Option<PathBuf>,
    /// One JSON object a line, for what lists something.
    #[arg(long)]
    pub(super) json: bool,
}

impl How {
    /// The gateway's configuration.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        Ok(Config::load_elsewhere(&self.config)?)
    }

    /// Connects to the gateway of the configuration.
    pub(super) async fn connect(&self) -> Result<Operator, Failure> {
        let beside = self.config.parent().unwrap_or(Path::new(".")).join("certs");
        let certificate = self.certificate.clone().unwrap_or_else(|| beside.join("operator-dev.pem"));
        let key = self.key.clone().unwrap_or_else(|| beside.join("operator-dev-key.pem"));
        Ok(Operator::connect(&Reach::load(&self.config)?, &certificate, &key).await?)
    }
}

/// Waits for what the gateway answers, and says it.
pub(super) fn say_answer(answer: impl Future<Output = Result<String, Failure>>) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    say(runtime.block_on(answer)?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
