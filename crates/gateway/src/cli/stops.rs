//! `cashgate stop`, `release`, `stops`.

use std::process::ExitCode;

use cashgate_withdrawal::stop::StopScope;
use clap::{Args, Subcommand};

use super::Failure;
use super::operator::{How, say_answer};

/// What a stop covers.
#[derive(Debug, Subcommand)]
pub(crate) enum Scope {
    /// Every withdrawal of the network.
    Everything(Because),
    /// Those of one institution's customers.
    Institution {
        /// Its id.
        id: String,
        #[command(flatten)]
        because: Because,
    },
    /// Those at one machine.
    Atm {
        /// Its id.
        id: String,
        #[command(flatten)]
        because: Because,
    },
    /// Those from one account.
    Account {
        /// Whose.
        institution: String,
        /// Its id, as the institution names it.
        id: String,
        #[command(flatten)]
        because: Because,
    },
    /// Those approved by one phone.
    Device {
        /// Whose.
        institution: String,
        /// Its id, as the institution names it.
        id: String,
        #[command(flatten)]
        because: Because,
    },
}

/// Why, and where.
#[derive(Debug, Args)]
pub(crate) struct Because {
    /// Why, for the auditor.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    how: How,
}

impl Scope {
    fn read(&self) -> Result<(StopScope, &Because), Failure> {
        Ok(match self {
            Self::Everything(because) => (StopScope::Everything, because),
            Self::Institution { id, because } => (StopScope::Institution(id.parse()?), because),
            Self::Atm { id, because } => (StopScope::Atm(id.parse()?), because),
            Self::Account { institution, id, because } => {
                (StopScope::Account(institution.parse()?, id.parse()?), because)
            }
            Self::Device { institution, id, because } => {
                (StopScope::Device(institution.parse()?, id.parse()?), because)
            }
        })
    }
}

pub(super) fn stop(scope: &Scope) -> Result<ExitCode, Failure> {
    let (scope, Because { reason, how }) = scope.read()?;
    say_answer(async { Ok(how.connect().await?.stop(&scope, reason).await?) })
}

pub(super) fn release(scope: &Scope) -> Result<ExitCode, Failure> {
    let (scope, Because { reason, how }) = scope.read()?;
    say_answer(async { Ok(how.connect().await?.release(&scope, reason).await?) })
}

pub(super) fn list(List { how }: &List) -> Result<ExitCode, Failure> {
    say_answer(async { Ok(how.connect().await?.stops(how.json).await?) })
}
