//! The database that replicas share: a model of what `ledger` promises over PostgreSQL.
//!
//! One commit after the other, each judged against all before it: who owns the lane, which step follows, which versions the limits' entries
//! have. What was acknowledged survives every failover; of what was not, nobody knows until somebody looks.

use std::collections::{BTreeMap, BTreeSet};

use cashgate_gateway::admission::{Desk, LimitKey};
use cashgate_gateway::lanes::History;
use cashgate_ledger::{Append, ApprovedRow, StoredStep, WithdrawalSummary};
use cashgate_withdrawal::notice::Notice;
#[cfg(feature = "planted")]
use cashgate_withdrawal::planted::{Bug, is};
use cashgate_withdrawal::time::Timestamp;

use crate::boundary::AtmNo;
use crate::journal::{Journal, NotAppended};
use crate::names;

/// A lane's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The process.
    pub(crate) life: u32,
    /// Higher with each owner.
    pub(crate) epoch: u64,
}

/// What one lane wants to have durable.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) atm: AtmNo,
    pub(crate) epoch: u64,
    pub(crate) append: Append,
}

/// What goes to the database together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commit {
    pub(crate) writes: Vec<Write>,
    pub(crate) notices: Vec<Notice>,
    /// Whether it came to the database: its notices are there once.
    pub(crate) came: bool,
}

impl Commit {
    /// Whether it is of nothing but claims.
    pub(crate) fn is_of_claims(&self) -> bool {
        self.notices.is_empty() && self.writes.iter().all(|write| write.append.is_claim())
    }
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is durable, and these entries came to these versions; `None` if it had been durable before, and they may have moved on.
    Done(Option<Vec<(LimitKey, u64)>>),
    /// The lane is another's.
    NotOwner,
    /// The limits have moved.
    LimitsMoved,
    /// It breaks the ledger's own rules.
    Refused(String),
}

/// A stop, or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StopNotice {
    pub(crate) sequence: u64,
    pub(crate) atm: AtmNo,
    pub(crate) thrown: bool,
    pub(crate) at_ms: u64,
}

/// What a replica hears at each heartbeat.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) owners: BTreeMap<AtmNo, Owner>,
    pub(crate) stops: Vec<StopNotice>,
    pub(crate) last: u64,
}

/// An entry of the limits as it was read: its version, and what it counts.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: LimitKey,
    pub(crate) version: u64,
    pub(crate) rows: Vec<ApprovedRow>,
}

/// The database, but for the ledger in it.
#[derive(Debug, Default)]
pub(crate) struct Database {
    owners: BTreeMap<AtmNo, Owner>,
    versions: BTreeMap<LimitKey, u64>,
    heartbeats: BTreeMap<u32, u64>,
    stops: Vec<StopNotice>,
    /// Commits that were sent, by number: what is on its way outlives its sender.
    pub(crate) sent: BTreeMap<u64, Commit>,
    /// Machines that were sent elsewhere, by which process, and whether another has served them since.
    pub(crate) sent_elsewhere: BTreeMap<AtmNo, (u32, bool)>,
    last_sent: u64,
    /// What all customers of the institution withdrew: the sum, and how many withdrawals.
    spent: (i64, i64),
    pub(crate) down_until_ms: u64,
    pub(crate) slow_until_ms: u64,
}

impl Database {
    pub(crate) fn send(&mut self, writes: Vec<Write>, notices: Vec<Notice>) -> u64 {
        self.last_sent += 1;
        self.sent.insert(self.last_sent, Commit { writes, notices, came: false });
        self.last_sent
    }

    pub(crate) fn heartbeat(&mut self, life: u32, now: u64) {
        self.heartbeats.insert(life, now);
    }

    /// A process that a later one of the same replica has taken the place of.
    pub(crate) fn is_gone(&mut self, life: u32) {
        self.heartbeats.remove(&life);
    }

    pub(crate) fn is_alive(&self, life: u32, now: u64, dead_after_ms: u64) -> bool {
        self.heartbeats.get(&life).is_some_and(|at| now.saturating_sub(*at) < dead_after_ms)
    }

    pub(crate) fn owner(&self, atm: AtmNo) -> Option<Owner> {
        self.owners.get(&atm).copied()
    }

    /// Gives a lane to a process; if it is still so, where `expected` says whose it is.
    pub(crate) fn claim(&mut self, atm: AtmNo, life: u32, expected: Option<Owner>) -> Option<Owner> {
        let before = self.owner(atm);
        if expected.is_some() && before != expected {
            return None;
        }
        let owner = Owner { life, epoch: before.map_or(1, |before| before.epoch + 1) };
        self.owners.insert(atm, owner);
        Some(owner)
    }

    /// The lanes with open withdrawals whose owner is gone.
    pub(crate) fn abandoned(&self, journal: &Journal, now: u64, dead_after_ms: u64) -> Vec<(AtmNo, Owner)> {
        let open: BTreeSet<AtmNo> = journal.open_atms().iter().map(names::atm_number).collect();
        let owned = open.into_iter().filter_map(|atm| Some((atm, self.owner(atm)?)));
        owned.filter(|(_, owner)| !self.is_alive(owner.life, now, dead_after_ms)).collect()
    }

    pub(crate) fn stop(&mut self, sequence: u64, atm: AtmNo, thrown: bool, at_ms: u64) {
        self.stops.push(StopNotice { sequence, atm, thrown, at_ms });
    }

    pub(crate) fn heard_after(&self, sequence: u64, last: u64) -> Heard {
        let stops = self.stops.iter().filter(|stop| stop.sequence > sequence).copied().collect();
        Heard { owners: self.owners.clone(), stops, last }
    }

    pub(crate) fn open_at(journal: &Journal, atm: AtmNo) -> Vec<(WithdrawalSummary, Vec<StoredStep>)> {
        journal.open_at(&names::atm(atm))
    }

    pub(crate) fn version(&self, key: &LimitKey) -> u64 {
        self.versions.get(key).copied().unwrap_or(0)
    }

    pub(crate) fn entry(&self, journal: &Journal, key: LimitKey, now: Timestamp) -> Entry {
        let mut rows = Vec::new();
        let since = Desk::counts_since(now);
        // A world keeps no damage in its database, so this does not fail.
        let _ = journal.for_each_approved_since(Timestamp::from_unix_ms(0), &mut |row| {
            let is_counted = match &key {
                LimitKey::Account(institution, account) => (&row.institution, &row.account) == (institution, account),
                LimitKey::Device(institution, device) => (&row.institution, &row.device) == (institution, device),
                LimitKey::Atm(atm) => row.atm == *atm,
            };
            if is_counted && (row.open || row.approved_at >= since) {
                rows.push(row);
            }
        });
        rows.sort_by_key(|row| row.approved_at);
        Entry { version: self.version(&key), key, rows }
    }

    /// Judges a write, and makes it durable if nothing is against it. `repeated`: its answer was lost, so it is looked whether it is there already.
    pub(crate) fn commit(&mut self, journal: &mut Journal, life: u32, write: &Write, repeated: bool) -> Verdict {
        let Write { atm, epoch, append } = write;
        if !self.owns(*atm, life, *epoch) {
            #[cfg(feature = "planted")]
            if is(Bug::RefusedWriteHeard) {
                append.steps.iter().for_each(|step| journal.haunt(step));
            }
            return Verdict::NotOwner;
        }
        if repeated && append.steps.iter().all(|step| journal.has(step)) {
            return Verdict::Done(None);
        }
        let is_latest =
            |key, computed_from: Option<u64>| computed_from.is_none_or(|version| self.is_latest(key, version));
        if !append.raises.iter().all(|raise| is_latest(&raise.key, raise.computed_from)) {
            return Verdict::LimitsMoved;
        }
        for step in &append.steps {
            match journal.append(step.clone()) {
                Ok(()) => {}
                Err(NotAppended::Refused(why) | NotAppended::Damaged(why)) => return Verdict::Refused(why),
            }
        }
        for spending in &append.spending {
            self.spent.0 += spending.amount;
            self.spent.1 += i64::from(spending.withdrawals);
        }
        let raise = |key: &LimitKey| {
            let version = self.versions.entry(key.clone()).or_default();
            *version += 1;
            (key.clone(), *version)
        };
        Verdict::Done(Some(append.raises.iter().map(|raise| &raise.key).map(raise).collect()))
    }

    /// What all customers of the institution withdrew, as approvals and ends have added it up.
    pub(crate) const fn spent(&self) -> (i64, i64) {
        self.spent
    }

    /// Whether this process was the last to send a machine elsewhere.
    pub(crate) fn was_sent_elsewhere(&self, atm: AtmNo, life: u32) -> bool {
        self.sent_elsewhere.get(&atm).is_some_and(|(by, _)| *by == life)
    }

    fn owns(&self, atm: AtmNo, life: u32, epoch: u64) -> bool {
        #[cfg(feature = "planted")]
        if is(Bug::EpochNotChecked) || is(Bug::LateWriteTaken) && self.was_sent_elsewhere(atm, life) {
            return true;
        }
        self.owner(atm) == Some(Owner { life, epoch })
    }

    fn is_latest(&self, key: &LimitKey, version: u64) -> bool {
        #[cfg(feature = "planted")]
        if is(Bug::VersionNotChecked) {
            return true;
        }
        self.version(key) == version
    }
}
