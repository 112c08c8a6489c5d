//! What strikes, and how.

use std::time::{Duration, Instant};

use super::group::{Group, REPLICAS};
use crate::clock;
use crate::dice::Dice;

/// Longer than a replica may act on the ledger's last word (3 s), and than it takes to count as dead (5 s).
const PAST_THE_LEASE: Duration = Duration::from_secs(9);

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    ReplicaKilled,
    ReplicaPaused,
    ReplicaCutFromDatabase,
    ReplicaCutFromPeers,
    ReplicaReplaced,
    DatabaseKilled,
    DatabaseFailsOver,
}

impl Fault {
    pub(super) const ALL: &[Self] = &[
        Self::ReplicaKilled,
        Self::ReplicaPaused,
        Self::ReplicaCutFromDatabase,
        Self::ReplicaCutFromPeers,
        Self::ReplicaReplaced,
        Self::DatabaseKilled,
        Self::DatabaseFailsOver,
    ];

    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::ReplicaKilled => "a replica is killed (SIGKILL), and starts again",
            Self::ReplicaPaused => "a replica stands still for 9 s (SIGSTOP), and goes on",
            Self::ReplicaCutFromDatabase => "a replica is cut off from PostgreSQL for 9 s",
            Self::ReplicaCutFromPeers => "a replica is cut off from its peers for 9 s",
            Self::ReplicaReplaced => "a replica is stopped (SIGTERM), and starts again",
            Self::DatabaseKilled => "PostgreSQL is killed, and starts again after 2 s",
            Self::DatabaseFailsOver => "PostgreSQL is killed, and the synchronous standby is promoted",
        }
    }

    /// From which moment on the recovery is counted.
    pub(super) const fn counted_from(self) -> &'static str {
        match self {
            Self::ReplicaKilled | Self::ReplicaReplaced => "the signal",
            Self::ReplicaPaused | Self::ReplicaCutFromDatabase | Self::ReplicaCutFromPeers => {
                "the beginning of the fault"
            }
            Self::DatabaseKilled => "PostgreSQL answering again",
            Self::DatabaseFailsOver => "the new primary taking writes",
        }
    }
}

/// The hand that strikes.
pub(super) struct Striking<'a> {
    pub(super) group: &'a mut Group,
    pub(super) dice: &'a mut Dice,
}

impl Striking<'_> {
    /// Strikes and mends. Gives the moment from which recovery counts, if it is not that of the strike.
    pub(super) fn strike(self, fault: Fault) -> Result<Option<Instant>, String> {
        let Self { group, dice } = self;
        let victim = dice.index(REPLICAS);
        match fault {
            Fault::ReplicaKilled => {
                group.kill(victim)?;
                std::thread::sleep(Duration::from_secs(2));
                group.start_again(victim)?;
                Ok(None)
            }
            Fault::ReplicaPaused => {
                let killer = group.killer(victim)?;
                killer.signal("STOP");
                std::thread::sleep(PAST_THE_LEASE);
                killer.signal("CONT");
                group.wait_until_ready(victim).map(|()| None)
            }
            Fault::ReplicaCutFromDatabase => {
                group.cut_from_database(victim, true)?;
                std::thread::sleep(PAST_THE_LEASE);
                group.cut_from_database(victim, false)?;
                group.wait_until_ready(victim).map(|()| None)
            }
            Fault::ReplicaCutFromPeers => {
                group.cut_from_peers(victim, true)?;
                std::thread::sleep(PAST_THE_LEASE);
                group.cut_from_peers(victim, false).map(|()| None)
            }
            Fault::ReplicaReplaced => group.replace(victim).map(|_| None),
            Fault::DatabaseKilled => {
                group.kill_database(Duration::from_secs(2));
                Ok(Some(clock::now()))
            }
            Fault::DatabaseFailsOver => {
                let accepts_writes = group.fail_over()?;
                std::thread::sleep(Duration::from_secs(2));
                group.follow_again();
                Ok(Some(accepts_writes))
            }
        }
    }
}
