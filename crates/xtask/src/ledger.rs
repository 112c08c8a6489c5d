//! Where a site's ledger is: in a file beside its configuration, or in a database on a real PostgreSQL.

use std::fs;

use cashgate_postgres_server::Server;

use crate::packages::{self, Package};
use crate::site::Site;

/// The two ledgers, as a command line names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LedgerKind {
    /// In a file.
    #[default]
    Sqlite,
    /// In a database of a server that is installed if need be, started, and ended with this program.
    Postgresql,
}

const DATABASE: &str = "cashgate";
/// What `cashgate init` writes, and what takes its place.
const IN_A_FILE: &str = "path = \"ledger.db\"";
const IN_A_DATABASE: &str = "postgres.dsn_file = \"ledger-dsn\"";

impl LedgerKind {
    /// The packages that it needs.
    pub(crate) fn packages(self) -> Vec<Package> {
        match self {
            Self::Sqlite => Vec::new(),
            Self::Postgresql => vec![packages::POSTGRESQL],
        }
    }

    /// Makes it the ledger of a fresh site. The server lives as long as what is given back.
    pub(crate) fn prepare(self, site: &Site) -> Result<Option<Server>, String> {
        if self == Self::Sqlite {
            return Ok(None);
        }
        let server = Server::start_new();
        server.try_sql("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
        let dsn_file = site.dir().join("ledger-dsn");
        fs::write(&dsn_file, server.dsn(DATABASE))
            .map_err(|error| format!("cannot write {}: {error}", dsn_file.display()))?;
        site.edit_configuration(|text| text.replace(IN_A_FILE, IN_A_DATABASE))?;
        println!("PostgreSQL on port {}: {}", server.port(), site.ask_gateway(&["migrate"])?.trim());
        Ok(Some(server))
    }
}
