//! `cashgate migrate` and `cashgate archive`: chores of a ledger on PostgreSQL.

use std::path::PathBuf;
use std::process::ExitCode;

use cashgate_gateway::clock;
use cashgate_gateway::config::{Config, LedgerSection};
use cashgate_ledger::{PostgresOptions, archive as archived, migrate as migrated, migrate_and_grant};
use cashgate_withdrawal::time::Timestamp;
use clap::Args;

use super::Failure;
use super::output::say;

const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// What a start reads of the past, and some days more: nothing younger is archived.
const DAYS_MIN: u32 = 35;

#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// The gateway's configuration, which names the ledger. Nothing else that it names is looked at.
    #[arg(long)]
    config: PathBuf,
    /// A file with another connection string than the configuration's: of a user that owns the schema, where the gateway's own may not.
    #[arg(long)]
    dsn_file: Option<PathBuf>,
    /// The role that gateways connect as, if it is not the owner of the schema: granted what a gateway needs and no more, old and new.
    #[arg(long, value_name = "ROLE")]
    grant_to: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Archive {
    /// The gateway's configuration, which names the ledger. Nothing else that it names is looked at.
    #[arg(long)]
    config: PathBuf,
    /// A file with another connection string than the configuration's: of a user that may archive.
    #[arg(long)]
    dsn_file: Option<PathBuf>,
    /// Move what was approved, and ended, more than so many days ago; at least 35.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(i64::from(DAYS_MIN)..))]
    older_than: u32,
}

pub(super) fn migrate(arguments: &Migrate) -> Result<ExitCode, Failure> {
    let Some(options) = postgres(&arguments.config, arguments.dsn_file.as_ref())? else {
        say("the ledger is a file: a gateway brings it up to date by itself when it starts")?;
        return Ok(ExitCode::SUCCESS);
    };
    let done = match &arguments.grant_to {
        None => migrated(&options)?,
        Some(role) => migrate_and_grant(&options, role)?,
    };
    say(&match done.from == done.to {
        true => format!("the ledger has schema version {}: there is nothing to do", done.to),
        false => format!("the ledger was brought from schema version {} to {}", done.from, done.to),
    })?;
    if let Some(role) = &arguments.grant_to {
        say(&format!("{role} may read it, and call its functions"))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn archive(arguments: &Archive) -> Result<ExitCode, Failure> {
    let Some(options) = postgres(&arguments.config, arguments.dsn_file.as_ref())? else {
        return Err(Failure::unusable(
            "the ledger is a file, which has no archive: a start and the claims of new withdrawals read what is open and recent there, \
             whatever the history",
        ));
    };
    let before = clock::now().unix_ms().saturating_sub(u64::from(arguments.older_than) * DAY_MS);
    let moved = archived(&options, Timestamp::from_unix_ms(before), &mut |moved| {
        tracing::info!(moved, "archiving");
    })?;
    say(&format!("{moved} withdrawals were archived"))?;
    Ok(ExitCode::SUCCESS)
}

fn postgres(config: &std::path::Path, dsn_file: Option<&PathBuf>) -> Result<Option<PostgresOptions>, Failure> {
    match Config::load_elsewhere(config).map_err(Failure::unusable)?.ledger {
        LedgerSection::File(_) => Ok(None),
        LedgerSection::Postgres(options) => {
            let dsn_file = dsn_file.cloned().unwrap_or_else(|| options.dsn_file.clone());
            Ok(Some(PostgresOptions { dsn_file, ..*options }))
        }
    }
}
