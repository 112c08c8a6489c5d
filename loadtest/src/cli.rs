//! The command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cashgate_loadtest::Target;
use cashgate_loadtest::certificates::Folder;
use cashgate_loadtest::faults::Hook;
use cashgate_loadtest::gateway_watch::{MetricsAddress, Windows};
use cashgate_loadtest::scenario::{Scenario, ScenarioError};
use clap::{Args, Parser, Subcommand};

/// Anything that ends the program, in words.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// Open-loop load on a running Cashgate: ATMs, phones and a core bank in one process, books at the end, a report.
#[derive(Parser)]
#[command(name = "cashgate-loadtest", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Subcommand)]
pub(crate) enum Task {
    /// Runs a scenario and judges it. Exit code 0: passed; 1: failed; 2: there was no run to judge.
    Run(RunArguments),
    /// Makes a scenario's phones known and ends, for a gateway whose rules want phones to be days old. Run the scenario with the same --phones afterwards.
    Register(LoadArguments),
    /// Lists the scenarios that come with the program.
    Scenarios,
    /// Has the development authority of a folder that `cashgate init` made issue certificates for ATMs L00001 and so on, the institution, its core bank and the operator.
    Certificates(CertificatesArguments),
}

#[derive(Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) load: LoadArguments,
    /// The folder of the report; target/loadtest/SCENARIO if not given.
    #[arg(long)]
    out: Option<PathBuf>,
    /// The TrueType font of the plots' letters; that of Debian's fonts-dejavu-core if not given.
    #[arg(long)]
    pub(crate) font: Option<PathBuf>,
    /// The command line that the report names for a repetition, if it is not this program's own.
    #[arg(long, hide = true)]
    pub(crate) command: Option<String>,
}

#[derive(Args)]
pub(crate) struct LoadArguments {
    /// The name of a scenario (`cashgate-loadtest scenarios`), or a TOML file.
    scenario: String,
    /// The gateway's port for ATMs.
    #[arg(long, default_value = "https://127.0.0.1:7443")]
    atm: String,
    /// The gateway's port for app back ends and operators.
    #[arg(long, default_value = "https://127.0.0.1:7444")]
    api: String,
    /// The authority that signed the gateway's certificate, PEM.
    #[arg(long)]
    ca: PathBuf,
    /// The folder of everybody's certificates and keys, named as `cashgate issue-cert` names them: atm-ID.pem and atm-ID-key.pem for as many ATMs as the
    /// scenario has, institution-ID, corebank-ID and operator-NAME.
    #[arg(long)]
    certs: PathBuf,
    /// The DNS name in the gateway's certificate.
    #[arg(long, default_value = "localhost")]
    server_name: String,
    /// The institution whose customers come.
    #[arg(long, default_value = "sakura")]
    institution: String,
    /// The operator who reads the gateway's books.
    #[arg(long, default_value = "dev")]
    operator: String,
    /// Where this program serves the institution's core banking: where the gateway's `core_banking.endpoint` points.
    #[arg(long, default_value = "127.0.0.1:7450")]
    core_bank: SocketAddr,
    /// A file with the gateway's process id, or those of its replicas, for CPU and memory, if they run on this machine. Read anew every second.
    #[arg(long)]
    gateway_pid_file: Option<PathBuf>,
    /// The gateway's metrics, such as http://127.0.0.1:7445/metrics, for the HSM's queue and more. Repeatable: those of several replicas are added up.
    #[arg(long)]
    metrics: Vec<MetricsAddress>,
    /// The shell command that fulfils a hook of the scenario, as NAME=COMMAND. Repeatable.
    #[arg(long = "hook", value_name = "NAME=COMMAND")]
    hooks: Vec<Hook>,
    /// A folder that keeps the phones' keys, so that the same phones come again; new phones every time if not given.
    #[arg(long)]
    pub(crate) phones: Option<PathBuf>,
    /// Another number of ATMs than the scenario's.
    #[arg(long)]
    atms: Option<u32>,
    /// Every rate of the scenario times so many percent.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate_percent: u32,
    /// Threads of the generator; half of the cores if not given.
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Args)]
pub(crate) struct CertificatesArguments {
    /// The folder that `cashgate init` made.
    pub(crate) site: PathBuf,
    /// The trust domain of its certificates.
    #[arg(long, default_value = "cashgate.test")]
    pub(crate) trust_domain: String,
    /// The institution.
    #[arg(long, default_value = "sakura")]
    pub(crate) institution: String,
    /// The operator.
    #[arg(long, default_value = "dev")]
    pub(crate) operator: String,
    /// How many ATMs.
    #[arg(long)]
    pub(crate) atms: u32,
}

impl RunArguments {
    pub(crate) fn out(&self, scenario: &str) -> PathBuf {
        self.out.clone().unwrap_or_else(|| Path::new("target/loadtest").join(scenario))
    }
}

impl LoadArguments {
    pub(crate) fn scenario(&self) -> Result<Scenario, ScenarioError> {
        let scenario = Scenario::load(&self.scenario)?.with_rate_percent(self.rate_percent);
        Ok(match self.atms {
            Some(atms) => scenario.with_atms(atms),
            None => scenario,
        })
    }

    pub(crate) fn target(&self, atm_records: &Path) -> Target {
        Target {
            atm_uri: self.atm.clone(),
            api_uri: self.api.clone(),
            certificates: Folder {
                ca: self.ca.clone(),
                certificates: self.certs.clone(),
                server_name: self.server_name.clone(),
            },
            institution: self.institution.clone(),
            operator: self.operator.clone(),
            core_bank: self.core_bank,
            phone_keys: self.phones.clone(),
            atm_records: atm_records.to_owned(),
            windows: Windows { pid_file: self.gateway_pid_file.clone(), metrics: self.metrics.clone() },
            hooks: self.hooks.clone(),
        }
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| cores() / 2).max(1)
    }
}

/// This program's command line as a shell takes it.
pub(crate) fn own_command_line() -> String {
    let quoted = |word: String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
        if word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    std::env::args().map(quoted).collect::<Vec<_>>().join(" ")
}

/// How many this machine has.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
