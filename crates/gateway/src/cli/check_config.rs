//! `cashgate check-config`.

use std::path::PathBuf;
use std::process::ExitCode;

use cashgate_gateway::config::Config;
use cashgate_gateway::reloading;
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
    // As `serve` does: it does not start on rules that are not fit to decide.
    reloading::rules(&config)?;
    say("the configuration is valid")?;
    Ok(ExitCode::SUCCESS)
}
