//! `cashgate dispense-key`.

use std::path::PathBuf;
use std::process::ExitCode;

use cashgate_gateway::init;
use cashgate_withdrawal::ids::AtmId;
use clap::Args;

use super::Failure;
use super::environment::{again_with, is_set};
use super::output::say;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The folder that `init` made.
    dir: PathBuf,
    /// The ATM whose dispenser demands end-to-end security.
    atm: AtmId,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let environment = init::environment(&arguments.dir);
    if !is_set(&environment) {
        return Err(again_with(&[environment]).into());
    }
    let file = init::make_dispense_key(&arguments.dir, &arguments.atm)?;
    say(&file.display().to_string())?;
    Ok(ExitCode::SUCCESS)
}
