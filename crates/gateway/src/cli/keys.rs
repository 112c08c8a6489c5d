//! `cashgate keys`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cashgate_gateway::config::Config;
use cashgate_gateway::inspect::Operator;
use clap::{Args, Subcommand};

use super::Failure;
use super::output::say;

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Every key with its state and where it is, and every HSM slot.
    Status {
        #[command(flatten)]
        how: How,
    },
    /// Has another key sign, once it has been published for hsm.publish_before_use_s. Taken back by retiring the new key.
    Rotate {
        /// The key's label in the HSM.
        #[arg(long, value_name = "LABEL")]
        to: String,
        /// Make it in each slot that does not have it.
        #[arg(long)]
        generate: bool,
        /// Why, for the auditor.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        how: How,
    },
    /// Has codes under a key refused, for good, and takes it out of what apps fetch.
    Retire {
        /// The key's id, as `status` shows it.
        key_id: String,
        /// Also while codes under it may be valid: in an emergency.
        #[arg(long)]
        now: bool,
        /// Why, for the auditor.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        how: How,
    },
    /// What happened to keys and who did it, oldest first.
    History {
        #[command(flatten)]
        how: How,
    },
}

#[derive(Debug, Args)]
pub(crate) struct How {
    /// The gateway's configuration.
    #[arg(long)]
    config: PathBuf,
    /// The operator's certificate; certs/operator-dev.pem beside the configuration if left out. Its name is recorded.
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// The operator's private key.
    #[arg(long, requires = "certificate")]
    key: Option<PathBuf>,
    /// One JSON object a line, for status and history.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(task: &Task) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    say(runtime.block_on(done(task))?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

async fn done(task: &Task) -> Result<String, Failure> {
    let (Task::Status { how } | Task::Rotate { how, .. } | Task::Retire { how, .. } | Task::History { how }) = task;
    let beside = how.config.parent().unwrap_or(Path::new(".")).join("certs");
    let certificate = how.certificate.clone().unwrap_or_else(|| beside.join("operator-dev.pem"));
    let key = how.key.clone().unwrap_or_else(|| beside.join("operator-dev-key.pem"));
    let mut operator = Operator::connect(&Config::load(&how.config)?, &certificate, &key).await?;
    Ok(match task {
        Task::Status { how } => operator.keys(how.json).await?,
        Task::Rotate { to, generate, reason, .. } => operator.rotate_key(to, *generate, reason).await?,
        Task::Retire { key_id, now, reason, .. } => operator.retire_key(key_id, *now, reason).await?,
        Task::History { how } => operator.key_history(how.json).await?,
    })
}
