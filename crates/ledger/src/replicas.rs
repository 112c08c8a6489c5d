//! Several gateways on one ledger: which there are, which of them live, and who owns which lane.
//!
//! A replica is known by a small number that it is configured with, and each start of it by an incarnation, which the ledger counts. Writes
//! of an earlier incarnation are refused from the moment on in which a later one registered. A lane belongs to one replica in one epoch;
//! whoever claims it raises the epoch, and writes of an earlier epoch are refused from that moment on. Life is judged by the database's
//! clock alone.

use std::fmt;
use std::time::Duration;

use cashgate_withdrawal::ids::{AtmId, WithdrawalId};

use crate::error::ReplicaError;
use crate::postgres::Seat;

/// The number of a replica: small, configured, and in each QR token that it mints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicaId(pub u16);

impl ReplicaId {
    /// The highest there may be.
    pub const MAX: Self = Self(i16::MAX.unsigned_abs());
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Which start of a replica: 1, 2, 3 ...
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incarnation(pub u64);

/// How often a lane has been claimed: 1, 2, 3 ...
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// Who a replica is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaIdentity {
    /// Its number. Two processes with one number put each other out.
    pub id: ReplicaId,
    /// A name for people: the pod's, say.
    pub name: String,
    /// Where the other replicas reach it, `host:port`; empty if they do not.
    pub address: String,
}

/// A replica as the ledger knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaRow {
    /// Who it is.
    pub identity: ReplicaIdentity,
    /// Its latest start.
    pub incarnation: Incarnation,
    /// How long ago it was heard of, by the database's clock; `None`: it said that it is gone.
    pub heard_ago: Option<Duration>,
    /// Whether it takes no new customers, because it is about to stop.
    pub draining: bool,
}

impl ReplicaRow {
    /// Whether it was heard of within `dead_after`.
    #[must_use]
    pub fn lives(&self, dead_after: Duration) -> bool {
        self.heard_ago.is_some_and(|ago| ago <= dead_after)
    }
}

/// Who owns a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneOwner {
    /// The replica; `None`: its last owner let go of it.
    pub replica: Option<(ReplicaId, Incarnation)>,
    /// In which epoch.
    pub epoch: Epoch,
}

/// The registry of replicas and lanes, as this replica may use it. Every call waits for the database, as long as [`crate::PostgresOptions`]
/// says at most.
#[derive(Clone)]
pub struct Replicas {
    pub(crate) seat: Seat,
}

impl fmt::Debug for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicas").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl Replicas {
    /// This replica's number.
    #[must_use]
    pub fn id(&self) -> ReplicaId {
        self.seat.id()
    }

    /// This start of it.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.seat.incarnation()
    }

    /// Says that this replica lives. Call it several times within the time after which the others take it for dead.
    ///
    /// # Errors
    ///
    /// [`ReplicaError::PutOut`]: another process registered under its number, and this one must stop.
    pub async fn heartbeat(&self, draining: bool) -> Result<(), ReplicaError> {
        self.seat.heartbeat(draining).await
    }

    /// All replicas that ever registered, by number.
    ///
    /// # Errors
    ///
    /// [`ReplicaError`], as for every call here.
    pub async fn list(&self) -> Result<Vec<ReplicaRow>, ReplicaError> {
        self.seat.list().await
    }

    /// Makes this replica the owner of a lane in a new epoch, whoever had it before, and says who that was. Commits that are under way are
    /// waited for: what is read of the lane afterwards is all that its earlier owner will ever have written.
    ///
    /// # Errors
    ///
    /// [`ReplicaError::PutOut`] and the others.
    pub async fn claim_lane(&self, atm: &AtmId) -> Result<(Epoch, Option<LaneOwner>), ReplicaError> {
        self.seat.claim_lane(atm).await
    }

    /// Lets go of a lane, if this replica still owns it in that epoch: from then on its writes in that epoch are refused. `false` if it was
    /// another's already.
    ///
    /// # Errors
    ///
    /// [`ReplicaError`], as for every call here.
    pub async fn release_lane(&self, atm: &AtmId, epoch: Epoch) -> Result<bool, ReplicaError> {
        self.seat.release_lane(atm, epoch).await
    }

    /// Who owns a lane; `None` if nobody ever did.
    ///
    /// # Errors
    ///
    /// [`ReplicaError`], as for every call here.
    pub async fn owner_of_lane(&self, atm: &AtmId) -> Result<Option<LaneOwner>, ReplicaError> {
        self.seat.owner_of_lane(atm).await
    }

    /// Of these lanes, with the epochs in which they were this replica's, those that have another epoch by now.
    ///
    /// # Errors
    ///
    /// [`ReplicaError`], as for every call here.
    pub async fn lost_lanes(&self, held: &[(AtmId, Epoch)]) -> Result<Vec<AtmId>, ReplicaError> {
        self.seat.lost_lanes(held).await
    }

    /// The ATM of a withdrawal and who owns its lane; `None` if there is no such withdrawal.
    ///
    /// # Errors
    ///
    /// [`ReplicaError`], as for every call here.
    pub async fn owner_of_withdrawal(
        &self,
        withdrawal: WithdrawalId,
    ) -> Result<Option<(AtmId, Option<LaneOwner>)>, ReplicaError> {
        self.seat.owner_of_withdrawal(withdrawal).await
    }

    /// The ATMs that have open withdrawals and whose lane nobody alive owns: never claimed, let go, of a replica that was not heard of for
    /// `dead_after`, or of an earlier start of one.
    ///
    /// # Errors
    ///
    /// [`ReplicaError`], as for every call here.
    pub async fn orphaned_lanes(&self, dead_after: Duration) -> Result<Vec<AtmId>, ReplicaError> {
        self.seat.orphaned_lanes(dead_after).await
    }
}
