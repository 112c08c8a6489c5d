//! `cashgate withdrawals`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cashgate_gateway::config::Config;
use cashgate_gateway::inspect::Operator;
use cashgate_wire::proto::withdrawal::v1::WithdrawalState;
use clap::{Args, Subcommand};

use super::Failure;
use super::output::say;

#[derive(Debug, Subcommand)]
pub(crate) enum Look {
    /// All of them, newest first.
    List {
        #[command(flatten)]
        how: How,
    },
    /// One, with its whole history.
    Show {
        /// Its id.
        id: String,
        #[command(flatten)]
        how: How,
    },
    /// All that is known of one, as a JSON document: every message with its time, what stood behind the decision, seals.
    Evidence {
        /// Its id.
        id: String,
        /// Write it to this file, which must not be there yet.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        how: How,
    },
    /// Those that need a person.
    Suspects {
        #[command(flatten)]
        how: How,
    },
    /// Decides what a suspect becomes. The operator's name comes from the certificate and is recorded with the reason.
    Resolve {
        /// Its id.
        id: String,
        /// What left the machine, in minor units; at most what was approved.
        #[arg(long, conflicts_with = "reverse", required_unless_present = "reverse")]
        confirm: Option<i64>,
        /// Nothing left the machine.
        #[arg(long)]
        reverse: bool,
        /// Why, for the auditor.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        how: How,
    },
}

#[derive(Debug, Args)]
pub(crate) struct How {
    /// The gateway's configuration.
    #[arg(long)]
    config: PathBuf,
    /// The operator's certificate; certs/operator-dev.pem beside the configuration if left out.
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// The operator's private key.
    #[arg(long, requires = "certificate")]
    key: Option<PathBuf>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(look: &Look) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    say(runtime.block_on(look_at(look))?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

async fn look_at(look: &Look) -> Result<String, Failure> {
    let (Look::List { how }
    | Look::Show { how, .. }
    | Look::Evidence { how, .. }
    | Look::Suspects { how }
    | Look::Resolve { how, .. }) = look;
    let beside = how.config.parent().unwrap_or(Path::new(".")).join("certs");
    let certificate = how.certificate.clone().unwrap_or_else(|| beside.join("operator-dev.pem"));
    let key = how.key.clone().unwrap_or_else(|| beside.join("operator-dev-key.pem"));
    let mut operator = Operator::connect(&Config::load(&how.config)?, &certificate, &key).await?;
    Ok(match look {
        Look::List { how } => operator.list(None, how.json).await?,
        Look::Suspects { how } => operator.list(Some(WithdrawalState::Suspect), how.json).await?,
        Look::Resolve { id, confirm, reason, .. } => operator.resolve(id, *confirm, reason).await?,
        Look::Show { id, how } => operator.show(id, how.json).await?,
        Look::Evidence { id, out, .. } => {
            let document = operator.evidence(id).await?;
            match out {
                None => document,
                Some(file) => written(file, &document)?,
            }
        }
    })
}

/// Evidence is not written over other evidence.
fn written(file: &Path, document: &str) -> Result<String, Failure> {
    let mut open = std::fs::OpenOptions::new();
    let mut created =
        open.write(true).create_new(true).open(file).map_err(|error| format!("{}: {error}", file.display()))?;
    created.write_all(document.as_bytes()).and_then(|()| created.sync_all())?;
    Ok(format!("written to {}", file.display()))
}
