//! How a ledger on PostgreSQL is reached.

use std::path::PathBuf;
use std::time::Duration;

use crate::replicas::ReplicaIdentity;

/// How a ledger on PostgreSQL is reached, and how long is waited for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresOptions {
    /// The file that holds the connection string and nothing else, a URL (`postgresql://user:password@host1,host2/database`) or pairs
    /// (`host=... user=...`). Read again for each new connection, so that a rotated password is taken up. Several hosts are tried in turn,
    /// and only one that takes writes is used.
    pub dsn_file: PathBuf,
    /// The authorities of the server's certificate, PEM. `None`: TLS only if the connection string asks for it, which then fails.
    pub ca_file: Option<PathBuf>,
    /// The certificate and key that this client shows, PEM.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// How many reads run at once; more wait for their turn. At least 1. Beside them a ledger keeps two connections.
    pub readers: usize,
    /// How many writes may wait; whoever comes then waits for room. At least 1.
    pub queue_length_max: usize,
    /// How many steps and notices one commit takes (it may go over by one append). At least 1.
    pub group_steps_max: usize,
    /// How long making a connection may take.
    pub connect_timeout: Duration,
    /// How long the server may work on a statement before it gives up and undoes it. A connection that is silent for twice as long is
    /// given up.
    pub statement_timeout: Duration,
    /// How often is looked what other replicas wrote, beside the hints that the server gives.
    pub look_every: Duration,
    /// Who writes. A process that only reads needs none.
    pub replica: ReplicaIdentity,
}

impl PostgresOptions {
    /// The usual values around a file with the connection string.
    #[must_use]
    pub fn new(dsn_file: impl Into<PathBuf>, replica: ReplicaIdentity) -> Self {
        Self {
            dsn_file: dsn_file.into(),
            ca_file: None,
            client_certificate: None,
            readers: 4,
            queue_length_max: 1024,
            group_steps_max: 512,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(5),
            look_every: Duration::from_millis(250),
            replica,
        }
    }
}
