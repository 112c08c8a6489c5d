//! `cashgate check-config`.

use std::path::PathBuf;
use std::process::ExitCode;

use cashgate_gateway::config::{Config, PolicySource};
use cashgate_gateway::tls::{Believers, TlsSet};
use cashgate_gateway::{clock, reloading};
use clap::Args;

use super::Failure;
use super::output::say;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The file.
    #[arg(long)]
    config: PathBuf,
    /// Looks at the keys and their values alone: what the configuration names (certificates, PINs, the HSM's module) is on another machine. For one that
    /// was rendered and is not where it will be used yet.
    #[arg(long)]
    keys_only: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.keys_only {
        Config::load_elsewhere(&arguments.config)?;
        say("the configuration is valid as far as it can be read without the files that it names")?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::load(&arguments.config)?;
    // As `serve` does: it does not start on rules that are not fit to decide, or TLS files that would keep peers out.
    if config.policy.source == PolicySource::Files {
        reloading::rules(&config)?;
    }
    TlsSet::load(&config.tls, &Believers::Outside, clock::now())?;
    if let Some(replica) = &config.replica {
        TlsSet::load(&replica.tls(&config.tls), &replica.believers(&config.trust_domain), clock::now())?;
    }
    say("the configuration is valid")?;
    Ok(ExitCode::SUCCESS)
}
