//! `cashgate policy`.

use std::path::PathBuf;
use std::process::ExitCode;

use cashgate_gateway::config::{Config, LedgerSection};
use cashgate_gateway::rehearsing;
use cashgate_policy::{Checked, PolicySet};
use clap::{Args, Subcommand};

use super::Failure;
use super::output::say;

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Reads a folder of rules as the gateway would, and runs the cases beside them. Exit code 0: fit to decide, 1: not, with everything
    /// that is wrong.
    Check {
        /// The folder; the rules that are built in if left out.
        folder: Option<PathBuf>,
    },
    /// Asks a draft about the approvals that a ledger has recorded, accepted and refused: what would have come out differently, by reason, with
    /// examples. Only reads, also while the gateway runs.
    Rehearse(Rehearse),
}

#[derive(Debug, Args)]
pub(crate) struct Rehearse {
    /// The draft's folder.
    draft: PathBuf,
    /// The gateway's configuration, which names the ledger.
    #[arg(long, required_unless_present = "ledger")]
    config: Option<PathBuf>,
    /// The ledger file, in place of the configuration's.
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// Only approvals of the last so many days.
    #[arg(long, default_value_t = 28, value_parser = clap::value_parser!(u32).range(1..=3_660))]
    days: u32,
    /// Compares with what this folder's rules say of the same facts, in place of what was decided then.
    #[arg(long, value_name = "FOLDER")]
    against: Option<PathBuf>,
}

pub(super) fn run(task: &Task) -> Result<ExitCode, Failure> {
    match task {
        Task::Check { folder } => {
            let checked = match folder {
                Some(folder) => PolicySet::check_dir(folder)?,
                None => PolicySet::check_builtin()?,
            };
            let Checked { version, rules, cases, unmet, ignored } = checked;
            say(&format!("{version}: {rules} rules, {cases} cases, all as they should be"))?;
            for rule in unmet {
                say(&format!("warning: no case meets {rule}: write one that it speaks in, or it may never speak"))?;
            }
            for file in ignored {
                say(&format!("warning: {file} is not read: rules end in .cedar, cases in .cases.toml"))?;
            }
        }
        Task::Rehearse(arguments) => {
            let config = arguments.config.as_deref().map(Config::load).transpose()?;
            let ledger = arguments.ledger.clone().map(LedgerSection::File).or(config.map(|config| config.ledger));
            let ledger = ledger.ok_or("name the ledger with --ledger, or the configuration")?;
            let draft = PolicySet::from_dir(&arguments.draft)?;
            let current = arguments.against.as_ref().map(PolicySet::from_dir).transpose()?;
            let rehearsed = rehearsing::rehearse(ledger.reader()?, current.as_ref(), &draft, arguments.days)?;
            say(rehearsed.to_string().trim_end())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
