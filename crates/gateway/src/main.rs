//! The `cashgate` binary: its command line, and nothing else.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cashgate_gateway::config::Config;
use cashgate_gateway::init::{self, Plan};
use cashgate_gateway::inspect::Operator;
use cashgate_gateway::{certificates, serve};
use cashgate_wire::proto::withdrawal::v1::WithdrawalState;
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// The gateway between ATMs and core banking for cardless cash.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a folder with everything for a gateway on this machine: authority, certificates, SoftHSM token and keys, configuration.
    Init {
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
    },
    /// Issues a certificate from a folder's development authority.
    IssueCert {
        /// The folder that `init` made.
        dir: PathBuf,
        /// Whom for: `atm/A1`, `institution/sakura`, `operator/mori` or `corebank/sakura` (the id of its institution).
        peer: String,
    },
    /// Checks a configuration and says everything that is wrong with it.
    CheckConfig {
        /// The file.
        #[arg(long)]
        config: PathBuf,
    },
    /// Serves until SIGTERM or Ctrl-C.
    Serve {
        /// The configuration.
        #[arg(long)]
        config: PathBuf,
    },
    /// Looks at the withdrawals of a running gateway, and decides about suspects.
    Withdrawals {
        #[command(subcommand)]
        look: Look,
    },
}

#[derive(Debug, Subcommand)]
enum Look {
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

#[derive(Debug, clap::Args)]
struct How {
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

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[allow(clippy::print_stderr, reason = "the one line that says why")]
            {
                eprintln!("cashgate: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Box<dyn std::error::Error>> {
    match command {
        Command::Init { dir, atm_port, api_port, http_port, institutions } => {
            let institutions = institutions.iter().map(|text| institution(text)).collect::<Result<Vec<_>, _>>()?;
            let mut ports: Vec<u16> = vec![atm_port, api_port, http_port];
            ports.extend(institutions.iter().map(|(_, port): &(_, u16)| *port));
            if let Some(twice) = ports.iter().enumerate().find(|(at, port)| ports.iter().take(*at).any(|p| p == *port))
            {
                return Err(format!("port {} is given twice; every part needs its own", twice.1).into());
            }
            let plan = Plan { dir, ports: (atm_port, api_port, http_port), institutions };
            let environment = init::environment(&plan.dir);
            if !is_set(&environment) {
                init::prepare(&plan)?;
                return Err(again_with(&[environment]).into());
            }
            let file = init::make(&plan)?;
            say(&format!(
                "{} is ready; start it with: cashgate serve --config {}",
                plan.dir.display(),
                file.display()
            ))?;
        }
        Command::IssueCert { dir, peer } => {
            let (certificate, key) = certificates::issue_peer(&dir, init::TRUST_DOMAIN, &peer)?;
            say(&format!("{}\n{}", certificate.display(), key.display()))?;
        }
        Command::CheckConfig { config } => {
            Config::load(&config)?;
            say("the configuration is valid")?;
        }
        Command::Serve { config } => {
            let config = Config::load(&config)?;
            if !config.hsm.environment.iter().all(is_set) {
                return Err(again_with(&config.hsm.environment).into());
            }
            log_to_stderr();
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let served = runtime.block_on(serve::serve(config, stop_signal()));
            // A query or a call to core banking that is still running must not hold the process back.
            runtime.shutdown_background();
            served?;
        }
        Command::Withdrawals { look } => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            say(runtime.block_on(look_at(look))?.trim_end())?;
        }
    }
    Ok(())
}

async fn look_at(look: Look) -> Result<String, Box<dyn std::error::Error>> {
    let (Look::List { how } | Look::Show { how, .. } | Look::Suspects { how } | Look::Resolve { how, .. }) = &look;
    let beside = how.config.parent().unwrap_or(Path::new(".")).join("certs");
    let certificate = how.certificate.clone().unwrap_or_else(|| beside.join("operator-dev.pem"));
    let key = how.key.clone().unwrap_or_else(|| beside.join("operator-dev-key.pem"));
    let mut operator = Operator::connect(&Config::load(&how.config)?, &certificate, &key).await?;
    Ok(match &look {
        Look::List { how } => operator.list(None, how.json).await?,
        Look::Suspects { how } => operator.list(Some(WithdrawalState::Suspect), how.json).await?,
        Look::Resolve { id, confirm, reason, .. } => operator.resolve(id, *confirm, reason).await?,
        Look::Show { id, how } => operator.show(id, how.json).await?,
    })
}

fn institution(text: &str) -> Result<(cashgate_withdrawal::ids::InstitutionId, u16), String> {
    let wrong = || format!("--institution {text}: must be an id and a port, such as sakura=7450");
    let (id, port) = text.split_once('=').ok_or_else(wrong)?;
    Ok((id.parse().map_err(|_| wrong())?, port.parse().map_err(|_| wrong())?))
}

fn is_set((variable, value): &(String, String)) -> bool {
    std::env::var(variable).is_ok_and(|set| set == *value)
}

/// Starts this command again with variables that a PKCS#11 module reads when it is loaded. Returns only if that fails.
fn again_with(environment: &[(String, String)]) -> std::io::Error {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let variables = environment.iter().map(|(name, value)| (name, value));
    std::process::Command::new(program).args(std::env::args_os().skip(1)).envs(variables).exec()
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("CASHGATE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
}

async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Prints what the command was asked for. A reader that has seen enough and closed its end is no error.
fn say(text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        said => said,
    }
}
