//! `cashgate init`.

use std::path::PathBuf;
use std::process::ExitCode;

use cashgate_gateway::init::{self, Plan};
use cashgate_withdrawal::ids::InstitutionId;
use clap::Args;

use super::Failure;
use super::environment::{again_with, is_set};
use super::output::say;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The folder; it must not hold such files yet.
    dir: PathBuf,
    /// The loopback port for ATMs.
    #[arg(long, default_value_t = 7443)]
    atm_port: u16,
    /// The loopback port for app back ends, operators and event consumers.
    #[arg(long, default_value_t = 7444)]
    api_port: u16,
    /// The loopback port for metrics, probes and public keys.
    #[arg(long, default_value_t = 7445)]
    http_port: u16,
    /// An institution and the loopback port of its core banking, such as sakura=7450. May be repeated.
    #[arg(long = "institution", value_name = "ID=PORT", default_values_t = ["sakura=7450".to_owned()])]
    institutions: Vec<String>,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { dir, atm_port, api_port, http_port, institutions } = arguments;
    let institutions = institutions.iter().map(|text| institution(text)).collect::<Result<Vec<_>, _>>()?;
    let mut ports: Vec<u16> = vec![atm_port, api_port, http_port];
    ports.extend(institutions.iter().map(|(_, port): &(_, u16)| *port));
    if let Some(twice) = ports.iter().enumerate().find(|(at, port)| ports.iter().take(*at).any(|p| p == *port)) {
        return Err(format!("port {} is given twice; every part needs its own", twice.1).into());
    }
    let plan = Plan { dir, ports: (atm_port, api_port, http_port), institutions };
    let environment = init::environment(&plan.dir);
    if !is_set(&environment) {
        init::prepare(&plan)?;
        return Err(again_with(&[environment]).into());
    }
    let file = init::make(&plan)?;
    say(&format!("{} is ready; start it with: cashgate serve --config {}", plan.dir.display(), file.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn institution(text: &str) -> Result<(InstitutionId, u16), String> {
    let wrong = || format!("--institution {text}: must be an id and a port, such as sakura=7450");
    let (id, port) = text.split_once('=').ok_or_else(wrong)?;
    Ok((id.parse().map_err(|_| wrong())?, port.parse().map_err(|_| wrong())?))
}
