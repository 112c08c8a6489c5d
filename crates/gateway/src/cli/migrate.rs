//! `cashgate migrate`.

use std::path::PathBuf;
use std::process::ExitCode;

use cashgate_gateway::config::{Config, LedgerSection};
use clap::Args;

use super::Failure;
use super::output::say;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The configuration of the replicas; its `ledger.dsn_file` must name a user who may change the schema.
    #[arg(long)]
    config: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let config = Config::load(&arguments.config)?;
    let LedgerSection::Database(database) = &config.ledger else {
        return Err("the ledger is a file, which brings itself up to date when the gateway opens it".into());
    };
    let migrated = cashgate_ledger::migrate(&database.options(config.replica.as_ref()))?;
    say(&format!("schema version {} (was {})", migrated.to, migrated.from))?;
    Ok(ExitCode::SUCCESS)
}
