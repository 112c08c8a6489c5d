//! `cashgate issue-cert`.

use std::path::PathBuf;
use std::process::ExitCode;

use cashgate_gateway::{certificates, init};
use clap::Args;

use super::Failure;
use super::output::say;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The folder that `init` made.
    dir: PathBuf,
    /// Whom for: `atm/A1`, `institution/sakura`, `operator/mori` or `corebank/sakura` (the id of its institution).
    peer: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (certificate, key) = certificates::issue_peer(&arguments.dir, init::TRUST_DOMAIN, &arguments.peer)?;
    say(&format!("{}\n{}", certificate.display(), key.display()))?;
    Ok(ExitCode::SUCCESS)
}
