//! What strikes, and how.

use std::time::{Duration, Instant};

use super::group::{Group, REPLICAS};
use super::hogging::Hogs;
use super::steps::Steps;
use crate::clock;
use crate::dice::Dice;

/// Longer than a replica may act on the ledger's last word (3 s), and than it takes to count as dead (5 s).
const PAST_THE_LEASE: Duration = Duration::from_secs(9);
/// How long who was killed stays away.
const AWAY: Duration = Duration::from_secs(2);
/// How much later everything of the database comes, each way.
const SLOW_BY: Duration = Duration::from_millis(150);

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    ReplicaKilled,
    /// The moment that it logs a step, which is durable then.
    ReplicaKilledAt(Step),
    ReplicaPaused,
    ReplicaReplaced,
    ReplicaCutFromDatabase,
    ReplicaCutFromPeers,
    ReplicaCutFromCoreBanks,
    DatabaseKilled,
    DatabaseFailsOver,
    DatabaseSlow,
    DatabaseFull,
}

/// Each step of a withdrawal that goes as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Approved,
    Held,
    Commanded,
    Reported,
    Confirmed,
}

impl Step {
    const ALL: [Self; 5] = [Self::Approved, Self::Held, Self::Commanded, Self::Reported, Self::Confirmed];

    /// As the gateway's log names it.
    pub(super) const fn event(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Held => "hold_granted",
            Self::Commanded => "dispense_commanded",
            Self::Reported => "outcome_reported",
            Self::Confirmed => "hold_confirmed",
        }
    }
}

impl Fault {
    /// Every kind.
    pub(super) fn all() -> Vec<Self> {
        let others = [
            Self::ReplicaKilled,
            Self::ReplicaPaused,
            Self::ReplicaReplaced,
            Self::ReplicaCutFromDatabase,
            Self::ReplicaCutFromPeers,
            Self::ReplicaCutFromCoreBanks,
            Self::DatabaseKilled,
            Self::DatabaseFailsOver,
            Self::DatabaseSlow,
            Self::DatabaseFull,
        ];
        others.into_iter().chain(Step::ALL.map(Self::ReplicaKilledAt)).collect()
    }

    /// Those whose names begin so; an error if none does.
    pub(super) fn named(beginning: &str) -> Result<Vec<Self>, String> {
        let chosen: Vec<Self> = Self::all().into_iter().filter(|fault| fault.name().starts_with(beginning)).collect();
        if chosen.is_empty() {
            let names: Vec<&str> = Self::all().into_iter().map(Self::name).collect();
            return Err(format!("nothing is called {beginning:?}; there are {}", names.join(", ")));
        }
        Ok(chosen)
    }

    /// By what `--only` chooses it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ReplicaKilled => "replica-killed",
            Self::ReplicaKilledAt(Step::Approved) => "replica-killed-at-approved",
            Self::ReplicaKilledAt(Step::Held) => "replica-killed-at-held",
            Self::ReplicaKilledAt(Step::Commanded) => "replica-killed-at-commanded",
            Self::ReplicaKilledAt(Step::Reported) => "replica-killed-at-reported",
            Self::ReplicaKilledAt(Step::Confirmed) => "replica-killed-at-confirmed",
            Self::ReplicaPaused => "replica-paused",
            Self::ReplicaReplaced => "replica-replaced",
            Self::ReplicaCutFromDatabase => "cut-from-database",
            Self::ReplicaCutFromPeers => "cut-from-peers",
            Self::ReplicaCutFromCoreBanks => "cut-from-core-banks",
            Self::DatabaseKilled => "database-killed",
            Self::DatabaseFailsOver => "database-fails-over",
            Self::DatabaseSlow => "database-slow",
            Self::DatabaseFull => "database-full",
        }
    }

    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::ReplicaKilled => "a replica is killed (SIGKILL), and starts again after 2 s",
            Self::ReplicaKilledAt(Step::Approved) => "the same, in the moment that an approval is durable",
            Self::ReplicaKilledAt(Step::Held) => "the same, when the money is held",
            Self::ReplicaKilledAt(Step::Commanded) => "the same, when a dispense is commanded",
            Self::ReplicaKilledAt(Step::Reported) => "the same, when an outcome is recorded",
            Self::ReplicaKilledAt(Step::Confirmed) => "the same, when a hold is confirmed",
            Self::ReplicaPaused => "a replica stands still for 9 s (SIGSTOP), and goes on",
            Self::ReplicaReplaced => "a replica is stopped (SIGTERM), and starts again",
            Self::ReplicaCutFromDatabase => "a replica is cut off from PostgreSQL for 9 s",
            Self::ReplicaCutFromPeers => "a replica is cut off from its peers for 9 s",
            Self::ReplicaCutFromCoreBanks => "a replica is cut off from core banking for 9 s",
            Self::DatabaseKilled => "PostgreSQL is killed, and starts again after 2 s",
            Self::DatabaseFailsOver => "PostgreSQL is killed, and the synchronous standby is promoted",
            Self::DatabaseSlow => "PostgreSQL answers 0.3 s later for 9 s",
            Self::DatabaseFull => "PostgreSQL loses all connections of gateways and has no room for new ones for 9 s",
        }
    }

    /// From which moment on the recovery is counted.
    pub(super) const fn counted_from(self) -> &'static str {
        match self {
            Self::ReplicaKilled | Self::ReplicaKilledAt(_) | Self::ReplicaReplaced => "the signal",
            Self::ReplicaPaused
            | Self::ReplicaCutFromDatabase
            | Self::ReplicaCutFromPeers
            | Self::ReplicaCutFromCoreBanks
            | Self::DatabaseSlow => "the beginning of the fault",
            Self::DatabaseKilled => "PostgreSQL answering again",
            Self::DatabaseFailsOver => "the new primary taking writes",
            Self::DatabaseFull => "there being room again",
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
        // One without ATMs would bear it without anybody noticing.
        let victim = group.busiest().unwrap_or_else(|| dice.index(REPLICAS));
        match fault {
            Fault::ReplicaKilled => {
                group.kill(victim)?;
                std::thread::sleep(AWAY);
                group.start_again(victim).map(|()| None)
            }
            Fault::ReplicaKilledAt(step) => {
                let (victim, killed_at) = Steps::of(group).kill_at(group, step)?;
                std::thread::sleep(AWAY);
                group.start_again(victim).map(|()| Some(killed_at))
            }
            Fault::ReplicaPaused => {
                let killer = group.killer(victim)?;
                killer.signal("STOP");
                std::thread::sleep(PAST_THE_LEASE);
                killer.signal("CONT");
                group.wait_until_ready(victim).map(|()| None)
            }
            Fault::ReplicaReplaced => group.replace(victim).map(|_| None),
            Fault::ReplicaCutFromDatabase => {
                cut(group, victim, Group::cut_from_database)?;
                group.wait_until_ready(victim).map(|()| None)
            }
            Fault::ReplicaCutFromPeers => cut(group, victim, Group::cut_from_peers).map(|()| None),
            Fault::ReplicaCutFromCoreBanks => cut(group, victim, Group::cut_from_core_banks).map(|()| None),
            Fault::DatabaseKilled | Fault::DatabaseFailsOver | Fault::DatabaseSlow | Fault::DatabaseFull => {
                strike_database(group, fault)
            }
        }
    }
}

/// Takes a way from a replica for a while.
fn cut(group: &mut Group, victim: usize, way: fn(&mut Group, usize, bool) -> Result<(), String>) -> Result<(), String> {
    way(group, victim, true)?;
    std::thread::sleep(PAST_THE_LEASE);
    way(group, victim, false)
}

fn strike_database(group: &mut Group, fault: Fault) -> Result<Option<Instant>, String> {
    match fault {
        Fault::DatabaseFailsOver => {
            let accepts_writes = group.fail_over()?;
            std::thread::sleep(AWAY);
            group.follow_again();
            Ok(Some(accepts_writes))
        }
        Fault::DatabaseSlow => {
            group.slow_down_database(SLOW_BY);
            std::thread::sleep(PAST_THE_LEASE);
            group.slow_down_database(Duration::ZERO);
            Ok(None)
        }
        Fault::DatabaseFull => {
            let hogs = Hogs::fill(group.database())?;
            std::thread::sleep(PAST_THE_LEASE);
            drop(hogs);
            Ok(Some(clock::now()))
        }
        _ => {
            group.kill_database(AWAY);
            Ok(Some(clock::now()))
        }
    }
}
