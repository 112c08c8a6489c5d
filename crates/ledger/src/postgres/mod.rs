//! The ledger on PostgreSQL.

use std::time::Duration;

use cashgate_withdrawal::ids::{AtmId, WithdrawalId};

use crate::error::{LedgerOpenError, ReplicaError, StorageError};
use crate::ledger::Ledger;
use crate::options::PostgresOptions;
use crate::replicas::{Epoch, Incarnation, LaneOwner, ReplicaId, ReplicaRow};
use crate::sqlite::SqliteReader;

/// What [`migrate`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The version that it found; 0 for a database without a ledger.
    pub from: i64,
    /// The version that the database has now.
    pub to: i64,
}

/// Brings the database to this program's schema; one process at a time, the others wait. Blocking.
///
/// # Errors
///
/// [`LedgerOpenError`]; the database is at the last version that was reached.
pub fn migrate(options: &PostgresOptions) -> Result<Migrated, LedgerOpenError> {
    Err(not_yet(options))
}

pub(crate) fn ledger(options: &PostgresOptions) -> Result<Ledger, LedgerOpenError> {
    Err(not_yet(options))
}

fn not_yet(options: &PostgresOptions) -> LedgerOpenError {
    let source = StorageError::said("this build has no PostgreSQL");
    LedgerOpenError::Database { dsn_file: options.dsn_file.clone(), doing: "connecting", source }
}

pub(crate) struct PostgresReader;

impl PostgresReader {
    pub(crate) fn connect(options: &PostgresOptions) -> Result<SqliteReader, LedgerOpenError> {
        Err(not_yet(options))
    }
}

#[derive(Clone)]
pub(crate) enum Seat {}

impl Seat {
    pub(crate) fn id(&self) -> ReplicaId {
        match *self {}
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        match *self {}
    }

    pub(crate) async fn heartbeat(&self, _draining: bool) -> Result<(), ReplicaError> {
        match *self {}
    }

    pub(crate) async fn list(&self) -> Result<Vec<ReplicaRow>, ReplicaError> {
        match *self {}
    }

    pub(crate) async fn claim_lane(&self, _atm: &AtmId) -> Result<(Epoch, Option<LaneOwner>), ReplicaError> {
        match *self {}
    }

    pub(crate) async fn release_lane(&self, _atm: &AtmId, _epoch: Epoch) -> Result<bool, ReplicaError> {
        match *self {}
    }

    pub(crate) async fn owner_of_lane(&self, _atm: &AtmId) -> Result<Option<LaneOwner>, ReplicaError> {
        match *self {}
    }

    pub(crate) async fn owner_of_withdrawal(
        &self,
        _withdrawal: WithdrawalId,
    ) -> Result<Option<(AtmId, Option<LaneOwner>)>, ReplicaError> {
        match *self {}
    }

    pub(crate) async fn orphaned_lanes(&self, _dead_after: Duration) -> Result<Vec<AtmId>, ReplicaError> {
        match *self {}
    }
}
