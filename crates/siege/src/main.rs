//! `cashgate-siege`: attacks a gateway of its own making, one attack after the other, while honest peers measure what they notice of it.
//!
//! It knows the gateway as an attacker does: ports, certificates, bytes on the wire, and the memory of its process. It must never know how the
//! gateway defends itself. For each attack it says how long the gateway bore the attacker, how much memory that cost, and how much slower the
//! honest peers were served. Attackers run at the lowest priority, as on a machine of their own: the processors are the gateway's and the honest
//! peers' first. Time to close and memory are judged; latencies are only told, since other programs may share the machine.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]
#![allow(clippy::float_arithmetic, reason = "milliseconds and ratios for people; no money here")]

mod attacks;
mod certificates;
mod clock;
mod honest;
mod raw;
mod report;
mod site;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use report::Report;
use site::Site;

/// Attacks a gateway of its own making, and tells how it bore it.
#[derive(Debug, Parser)]
#[command(name = "cashgate-siege")]
struct Cli {
    /// The gateway's binary.
    #[arg(long)]
    cashgate: PathBuf,
    /// Fewer peers and shorter measurements: less than a minute.
    #[arg(long)]
    quick: bool,
    /// Only attacks whose name begins so.
    #[arg(long)]
    only: Option<String>,
    /// Also writes the table as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// The binary knows no revocation lists, and nothing is judged: for a gateway from before the hardening.
    #[arg(long)]
    before: bool,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("cashgate-siege: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<bool, String> {
    let site = Site::started(&cli.cashgate, !cli.before)?;
    let scale = if cli.quick { attacks::Scale::QUICK } else { attacks::Scale::FULL };
    let mut report = Report::begin();
    for attack in attacks::all() {
        let chosen = cli.only.as_ref().map_or(attack.is_quick || !cli.quick, |only| attack.name.starts_with(only));
        if !chosen || (cli.before && attack.needs_crl) {
            continue;
        }
        report.add(attacks::carry_out(&attack, &site, &scale)?);
    }
    if let Some(file) = &cli.json {
        std::fs::write(file, report.json()).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    let problems = report.problems();
    if cli.before || problems.is_empty() {
        return Ok(true);
    }
    eprintln!("{}", problems.join("\n"));
    Ok(false)
}
