//! `cashgate policy`.

use std::path::PathBuf;
use std::process::ExitCode;

use cashgate_gateway::config::{Config, LedgerSection};
use cashgate_gateway::{publishing, rehearsing};
use cashgate_policy::{Checked, PolicySet};
use clap::{Args, Subcommand};

use super::Failure;
use super::operator::{How, say_answer};
use super::output::say;

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Reads a folder of rules as the gateway would, and runs the cases beside them. Exit code 0: fit to decide, 1: not, with everything
    /// that is wrong.
    Check {
        /// The folder; the rules that are built in if left out.
        folder: Option<PathBuf>,
        /// A gateway's configuration: checks the folder as a publication for it, its limits.toml included.
        #[arg(long, requires = "folder")]
        config: Option<PathBuf>,
    },
    /// Writes the rules and cases that are built in into a new folder, to begin one of your own with.
    Builtin {
        /// The folder; must be empty, or not there yet.
        folder: PathBuf,
    },
    /// Publishes a folder's rules, cases and limits.toml through the ledger of a running gateway, in place of what was published before: in force
    /// within a second at every gateway with policy.source = "ledger". What is not fit to hold is refused as a whole.
    Publish(Publish),
    /// Lists what was published: number, when, by whom, the version of the rules, why. `*` marks what is in force at the gateway that is asked.
    Published(Published),
    /// Asks a draft about the approvals that a ledger has recorded, accepted and refused: what would have come out differently, by reason, with
    /// examples. Only reads, also while the gateway runs.
    Rehearse(Rehearse),
}

#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The folder: *.cedar, *.cases.toml, and limits.toml with what a configuration has under `[atm_limits]` and, for each `[[institution]]`, its id,
    /// evidence_demanded and `[institution.limits]`.
    folder: PathBuf,
    /// Why, for the auditor.
    #[arg(long, default_value = "")]
    note: String,
    /// Only if this is the number of the latest publication, 0 for none: so that nobody's work is replaced unseen.
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(crate) struct Published {
    /// Writes a publication's files into this folder in place of listing; must be empty, or not there yet.
    #[arg(long, value_name = "FOLDER")]
    export: Option<PathBuf>,
    /// Which one to write; the latest if left out.
    #[arg(long, requires = "export")]
    number: Option<u64>,
    #[command(flatten)]
    how: How,
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
        Task::Check { folder, config } => {
            if let (Some(folder), Some(config)) = (folder, config) {
                publishing::check(&Config::load_elsewhere(config)?.institutions, 1, &publishing::read_folder(folder)?)?;
            }
            let checked = match folder {
                Some(folder) => PolicySet::check_dir(folder)?,
                None => PolicySet::check_builtin()?,
            };
            let Checked { version, rules, cases, unmet, ignored } = checked;
            say(&format!("{version}: {rules} rules, {cases} cases, all as they should be"))?;
            for rule in unmet {
                say(&format!("warning: no case meets {rule}: write one that it speaks in, or it may never speak"))?;
            }
            // As a publication the folder has its limits beside it.
            for file in ignored.into_iter().filter(|file| config.is_none() || file != publishing::LIMITS) {
                say(&format!("warning: {file} is not read: rules end in .cedar, cases in .cases.toml"))?;
            }
        }
        Task::Builtin { folder } => {
            let files: Vec<(String, String)> = PolicySet::builtin_files().collect();
            publishing::write_folder(folder, files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())))?;
            say(&format!("{} files in {}", files.len(), folder.display()))?;
        }
        Task::Publish(Publish { folder, note, after, how }) => {
            let files = publishing::read_folder(folder)?;
            // As the gateway will, which tells less of a long list.
            publishing::check(&how.config()?.institutions, 1, &files)?;
            return say_answer(async { Ok(how.connect().await?.publish(note, *after, &files).await?) });
        }
        Task::Published(Published { export: None, how, .. }) => {
            return say_answer(async { Ok(how.connect().await?.published(how.json).await?) });
        }
        Task::Published(Published { export: Some(folder), number, how }) => {
            return say_answer(async {
                let (number, files) = how.connect().await?.publication(*number).await?;
                publishing::write_folder(
                    folder,
                    files.iter().map(|(name, content)| (name.as_str(), content.as_slice())),
                )?;
                Ok(format!("publication {number}: {} files in {}", files.len(), folder.display()))
            });
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
