//! `cashgate devices`.

use std::process::ExitCode;

use clap::Subcommand;

use super::Failure;
use super::operator::{How, say_answer};

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// A phone as the gateway knows it: its age, failed attempts, lock.
    Show {
        /// Whose.
        institution: String,
        /// Its id, as the institution names it.
        device: String,
        #[command(flatten)]
        how: How,
    },
    /// Lets a phone approve again that failed too often, and forgets its failures.
    Release {
        /// Whose.
        institution: String,
        /// Its id, as the institution names it.
        device: String,
        /// Why, for the auditor.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        how: How,
    },
}

pub(super) fn run(task: &Task) -> Result<ExitCode, Failure> {
    say_answer(async {
        Ok(match task {
            Task::Show { institution, device, how } => {
                how.connect().await?.device(institution, device, how.json).await?
            }
            Task::Release { institution, device, reason, how } => {
                how.connect().await?.release_device(institution, device, reason).await?
            }
        })
    })
}
