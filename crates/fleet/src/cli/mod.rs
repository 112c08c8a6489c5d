//! The command line: what each subcommand takes, and how it ends.

mod alerts;
mod atm;
mod corebank;
mod events;
mod phone;
mod terminal;

use std::path::PathBuf;

use cashgate_fleet::credentials::{Credentials, CredentialsError};
use clap::{Args, Subcommand};

/// What a simulated party can be.
#[derive(Subcommand)]
pub(crate) enum FleetCommand {
    /// Runs an ATM: commands on stdin, one JSON object a line on stdout.
    Atm(atm::AtmArguments),
    /// Prints an ATM's books, one JSON object a command, or as CSV.
    AtmBooks(atm::BooksArguments),
    /// Does one thing that a phone does.
    Phone(phone::PhoneArguments),
    /// Runs a core bank: commands on stdin, one JSON object a line on stdout.
    Corebank(corebank::CorebankArguments),
    /// Prints a core bank's books, one JSON object an account, or its postings as CSV.
    CorebankBooks(corebank::BooksArguments),
    /// Prints the gateway's events, one JSON object each: steps of withdrawals, and notices of what happens beside them.
    Events(events::EventsArguments),
    /// Follows the gateway's events as an institution does, and prints what it tells its customers and its fraud desk, one JSON object each.
    Alerts(alerts::AlertsArguments),
}

/// How a subcommand ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// As it should. Exit code 0.
    Done,
    /// The gateway refused. Exit code 2.
    RpcRefused,
    /// A simulated power cut. Exit code 3.
    PowerCut,
}

/// Anything else; the process says it in one line and ends with exit code 1.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Whom to call, and as whom.
#[derive(Args)]
pub(crate) struct GatewayArguments {
    /// The gateway's address, such as `https://127.0.0.1:7443`.
    #[arg(long)]
    gateway: String,
    #[command(flatten)]
    identity: IdentityArguments,
}

/// As whom to call or serve.
#[derive(Args)]
pub(crate) struct IdentityArguments {
    /// The certificate authority, PEM.
    #[arg(long)]
    ca: PathBuf,
    /// The own certificate, PEM.
    #[arg(long)]
    cert: PathBuf,
    /// Its key, PEM.
    #[arg(long)]
    key: PathBuf,
}

impl IdentityArguments {
    fn credentials(&self) -> Result<Credentials, CredentialsError> {
        Credentials::read(&self.ca, &self.cert, &self.key)
    }
}

pub(crate) async fn run(command: FleetCommand) -> Result<Exit, Failure> {
    match command {
        FleetCommand::Atm(arguments) => atm::run(arguments).await,
        FleetCommand::AtmBooks(arguments) => atm::print_books(&arguments),
        FleetCommand::Phone(arguments) => phone::run(arguments).await,
        FleetCommand::Corebank(arguments) => corebank::run(arguments).await,
        FleetCommand::CorebankBooks(arguments) => corebank::print_books(&arguments),
        FleetCommand::Events(arguments) => events::run(arguments).await,
        FleetCommand::Alerts(arguments) => alerts::run(arguments).await,
    }
}
