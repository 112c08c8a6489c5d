//! The subcommands: one variant and one file each.

mod certificates;
mod check_config;
mod devices;
mod dispense_key;
mod environment;
mod init;
mod keys;
mod ledger;
mod migrate;
mod operator;
mod output;
mod policy;
mod reconcile;
mod serve;
mod stops;
mod withdrawals;

use std::fmt;
use std::process::ExitCode;

use clap::Subcommand;

/// What `cashgate` can be asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes a folder with everything for a gateway on this machine: authority, certificates, SoftHSM token and keys, configuration.
    Init(init::Arguments),
    /// Issues a certificate from a folder's development authority.
    IssueCert(certificates::Arguments),
    /// Makes an ATM's dispense key: a file for its dispenser, and a copy in the folder's SoftHSM token. For trials: in production the key is made in
    /// the HSM and loaded into the machine by the vendor's means.
    DispenseKey(dispense_key::Arguments),
    /// Checks a configuration and says everything that is wrong with it.
    CheckConfig(check_config::Arguments),
    /// Serves until SIGTERM or Ctrl-C.
    Serve(serve::Arguments),
    /// Looks at the withdrawals of a running gateway, and decides about suspects.
    Withdrawals {
        #[command(subcommand)]
        look: withdrawals::Look,
    },
    /// Throws the kill switch at a running gateway: no code is shown, scanned or approved for what is covered, and what is not commanded yet is
    /// reversed. It holds until it is released, also over restarts.
    Stop {
        #[command(subcommand)]
        scope: stops::Scope,
    },
    /// Takes a stop back.
    Release {
        #[command(subcommand)]
        scope: stops::Scope,
    },
    /// Lists the stops in force at a running gateway.
    Stops(stops::List),
    /// Looks at a phone, and releases a locked one, at a running gateway.
    Devices {
        #[command(subcommand)]
        task: devices::Task,
    },
    /// Checks fraud rules, rehearses a draft on what a ledger has recorded, and publishes rules and limits through the ledger.
    Policy {
        #[command(subcommand)]
        task: policy::Task,
    },
    /// Looks after the keys that sign QR tokens, at a running gateway.
    Keys {
        #[command(subcommand)]
        task: keys::Task,
    },
    /// Looks after a ledger file.
    Ledger {
        #[command(subcommand)]
        task: ledger::Task,
    },
    /// Brings the database of a ledger on PostgreSQL to this program's schema. Gateways of the version before may go on running.
    Migrate(migrate::Migrate),
    /// Moves the history of withdrawals that ended long ago out of the way of new ones, in a ledger on PostgreSQL. Nothing is lost: lists,
    /// histories, the feed and `ledger verify` find it as before.
    Archive(migrate::Archive),
    /// Compares the gateway's books with core banking's and the ATMs'. Exit code 0: they agree, 1: they do not, 2: a file or argument is
    /// bad.
    Reconcile(reconcile::Arguments),
}

impl Command {
    /// Does it. The exit code tells more than "it failed" where a subcommand says so.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Init(arguments) => init::run(arguments),
            Self::IssueCert(arguments) => certificates::run(&arguments),
            Self::DispenseKey(arguments) => dispense_key::run(&arguments),
            Self::CheckConfig(arguments) => check_config::run(&arguments),
            Self::Serve(arguments) => serve::run(&arguments),
            Self::Withdrawals { look } => withdrawals::run(&look),
            Self::Stop { scope } => stops::stop(&scope),
            Self::Release { scope } => stops::release(&scope),
            Self::Stops(arguments) => stops::list(&arguments),
            Self::Devices { task } => devices::run(&task),
            Self::Policy { task } => policy::run(&task),
            Self::Keys { task } => keys::run(&task),
            Self::Ledger { task } => ledger::run(&task),
            Self::Migrate(arguments) => migrate::migrate(&arguments),
            Self::Archive(arguments) => migrate::archive(&arguments),
            Self::Reconcile(arguments) => reconcile::run(&arguments),
        }
    }
}

/// Why a subcommand could not do what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    why: Box<dyn std::error::Error>,
    code: u8,
}

impl Failure {
    /// A failure of a subcommand whose exit code 1 means something else: files or arguments that it cannot work with. Code 2, as for
    /// arguments that are refused on the command line.
    pub(crate) fn unusable(why: impl Into<Box<dyn std::error::Error>>) -> Self {
        Self { why: why.into(), code: 2 }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.why)
    }
}

impl<E: Into<Box<dyn std::error::Error>>> From<E> for Failure {
    fn from(why: E) -> Self {
        Self { why: why.into(), code: 1 }
    }
}
