//! `cashgate withdrawals`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cashgate_wire::proto::withdrawal::v1::WithdrawalState;
use clap::Subcommand;

use super::Failure;
use super::operator::{How, say_answer};

#[derive(Debug, Subcommand)]
pub(crate) enum Look {
    /// All of them, newest first.
    List {
        /// No more than so many: a ledger of years has millions.
        #[arg(long, value_name = "COUNT")]
        newest: Option<usize>,
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
    /// All that is known of one, as a JSON document: every message with its time, what stood behind the decision, seals.
    Evidence {
        /// Its id.
        id: String,
        /// Write it to this file, which must not be there yet.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
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

pub(super) fn run(look: &Look) -> Result<ExitCode, Failure> {
    say_answer(look_at(look))
}

async fn look_at(look: &Look) -> Result<String, Failure> {
    let (Look::List { how, .. }
    | Look::Show { how, .. }
    | Look::Evidence { how, .. }
    | Look::Suspects { how }
    | Look::Resolve { how, .. }) = look;
    let mut operator = how.connect().await?;
    Ok(match look {
        Look::List { how, newest } => operator.list(None, *newest, how.json).await?,
        Look::Suspects { how } => operator.list(Some(WithdrawalState::Suspect), None, how.json).await?,
        Look::Resolve { id, confirm, reason, .. } => operator.resolve(id, *confirm, reason).await?,
        Look::Show { id, how } => operator.show(id, how.json).await?,
        Look::Evidence { id, out, .. } => {
            let document = operator.evidence(id).await?;
            match out {
                None => document,
                Some(file) => written(file, &document)?,
            }
        }
    })
}

/// Evidence is not written over other evidence.
fn written(file: &Path, document: &str) -> Result<String, Failure> {
    let mut open = std::fs::OpenOptions::new();
    let mut created =
        open.write(true).create_new(true).open(file).map_err(|error| format!("{}: {error}", file.display()))?;
    created.write_all(document.as_bytes()).and_then(|()| created.sync_all())?;
    Ok(format!("written to {}", file.display()))
}
