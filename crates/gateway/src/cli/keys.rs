//! `cashgate keys`.

use std::process::ExitCode;

use clap::Subcommand;

use super::Failure;
use super::operator::{How, say_answer};

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Every key with its state and where it is, and every HSM slot.
    Status {
        #[command(flatten)]
        how: How,
    },
    /// Has another key sign, once it has been published for hsm.publish_before_use_s. Taken back by retiring the new key.
    Rotate {
        /// The key's label in the HSM.
        #[arg(long, value_name = "LABEL")]
        to: String,
        /// Make it in each slot that does not have it.
        #[arg(long)]
        generate: bool,
        /// Why, for the auditor.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        how: How,
    },
    /// Has codes under a key refused, for good, and takes it out of what apps fetch.
    Retire {
        /// The key's id, as `status` shows it.
        key_id: String,
        /// Also while codes under it may be valid: in an emergency.
        #[arg(long)]
        now: bool,
        /// Why, for the auditor.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        how: How,
    },
    /// What happened to keys and who did it, oldest first.
    History {
        #[command(flatten)]
        how: How,
    },
}

pub(super) fn run(task: &Task) -> Result<ExitCode, Failure> {
    say_answer(done(task))
}

async fn done(task: &Task) -> Result<String, Failure> {
    let (Task::Status { how } | Task::Rotate { how, .. } | Task::Retire { how, .. } | Task::History { how }) = task;
    let mut operator = how.connect().await?;
    Ok(match task {
        Task::Status { how } => operator.keys(how.json).await?,
        Task::Rotate { to, generate, reason, .. } => operator.rotate_key(to, *generate, reason).await?,
        Task::Retire { key_id, now, reason, .. } => operator.retire_key(key_id, *now, reason).await?,
        Task::History { how } => operator.key_history(how.json).await?,
    })
}
