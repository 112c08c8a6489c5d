//! `cashgate check-config`.

use std::path::PathBuf;
use std::process::ExitCode;

use cashgate_gateway::config::{Config, PolicySource};
use cashgate_gateway::tls::TlsSet;
use cashgate_gateway::{clock, reloading};
use clap::Args;

use super::Failure;
use super::output::say;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The file.
    #[arg(long)]
    config: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let config = Config::load(&arguments.config)?;
    // As `serve` does: it does not start on rules that are not fit to decide, or TLS files that would keep peers out.
    if config.policy.source == PolicySource::Files {
        reloading::rules(&config)?;
    }
    TlsSet::load(&config.tls, clock::now())?;
    if let Some(replica) = &config.replica {
        TlsSet::load(&replica.tls(&config.tls), clock::now())?;
    }
    say("the configuration is valid")?;
    Ok(ExitCode::SUCCESS)
}
