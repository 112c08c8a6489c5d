//! The figures of one trial: sums over its worlds, and the worst world where a sum would hide it.

use std::collections::BTreeMap;

use super::share::Share;
use crate::population::Group;
use crate::tally::{FirstAlarm, GroupPrice, Tally};
use crate::trials::Trial;
use crate::wave::behaviour::{Behaviour, Persistence};

/// Of the wave's yen, how many percent must stay.
pub const NOT_PAID_PERCENT_MIN: u64 = 95;
/// Cases that may have begun when the first true alarm rings, that one included.
pub const CASES_AT_ALARM_MAX: u64 = 5;
/// Honest withdrawals that may be refused, in 10,000.
pub const REFUSED_PER_10_000_MAX: u64 = 20;
/// Honest withdrawals for which the code may be asked, in 10,000.
pub const STEPPED_UP_PER_10_000_MAX: u64 = 100;

/// What a trial comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Worlds.
    pub worlds: u64,
    /// What the thieves got, over all worlds.
    pub stolen: Stolen,
    /// In the world in which they got most.
    pub worst: Stolen,
    /// Honest withdrawals refused.
    pub refused: Share,
    /// Honest withdrawals for which the code was asked.
    pub stepped_up: Share,
    /// Honest withdrawals that the code cost the customer.
    pub not_typed: Share,
    /// The world whose first true alarm rang after the most cases; none if in some world none rang.
    pub latest_alarm: Option<FirstAlarm>,
    /// Worlds in which no true alarm rang.
    pub worlds_without_alarm: u64,
    /// The median (the later of two) of the hours from the first case to the first true alarm, over worlds in which one rang.
    pub median_alarm_hours: Option<u64>,
    /// Alarms that rang for honest customers, over all worlds: two months each.
    pub false_alarms: u64,
}

/// What thieves got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stolen {
    /// Cases.
    pub cases: u64,
    /// Of those, without any yen stolen.
    pub stopped: u64,
    /// Yen that they were after.
    pub wanted_yen: u64,
    /// Yen that they got.
    pub stolen_yen: u64,
}

impl Stolen {
    /// The part of the yen that stayed.
    #[must_use]
    pub const fn not_paid(&self) -> Share {
        Share { part: self.wanted_yen - self.stolen_yen, whole: self.wanted_yen }
    }

    fn of(tally: &Tally) -> Self {
        Self {
            cases: tally.cases.len() as u64,
            stopped: tally.stopped(),
            wanted_yen: tally.wanted_yen(),
            stolen_yen: tally.stolen_yen(),
        }
    }

    const fn add(&mut self, other: &Self) {
        self.cases += other.cases;
        self.stopped += other.stopped;
        self.wanted_yen += other.wanted_yen;
        self.stolen_yen += other.stolen_yen;
    }
}

impl Figures {
    /// The figures of a trial.
    #[must_use]
    pub fn of(trial: &Trial) -> Self {
        let tallies = &trial.tallies;
        let mut stolen = Stolen::default();
        tallies.iter().for_each(|tally| stolen.add(&Stolen::of(tally)));
        let share = |part: fn(&Tally) -> u64| Share {
            part: tallies.iter().map(part).sum(),
            whole: tallies.iter().map(|tally| tally.honest.withdrawals).sum(),
        };
        let alarms: Vec<&FirstAlarm> = tallies.iter().filter_map(|tally| tally.first_alarm.as_ref()).collect();
        let mut hours: Vec<u64> = alarms.iter().map(|alarm| alarm.after.as_secs() / 3_600).collect();
        hours.sort_unstable();
        Self {
            worlds: tallies.len() as u64,
            stolen,
            worst: tallies.iter().map(Stolen::of).max_by_key(|one| one.stolen_yen).unwrap_or_default(),
            refused: share(|tally| tally.honest.refused_total()),
            stepped_up: share(|tally| tally.honest.stepped_up_total()),
            not_typed: share(|tally| tally.honest.not_typed),
            latest_alarm: alarms
                .iter()
                .max_by_key(|alarm| alarm.cases)
                .copied()
                .filter(|_| alarms.len() == tallies.len())
                .cloned(),
            worlds_without_alarm: (tallies.len() - alarms.len()) as u64,
            median_alarm_hours: hours.get(hours.len() / 2).copied(),
            false_alarms: tallies.iter().map(|tally| tally.false_alarms).sum(),
        }
    }

    /// What must hold, what was found, and whether it does.
    #[must_use]
    pub fn targets(&self) -> [(&'static str, bool); 4] {
        let alarm_in_time = self.latest_alarm.as_ref().is_some_and(|alarm| alarm.cases <= CASES_AT_ALARM_MAX);
        [
            (
                "at least 95% of the wave's yen not paid",
                self.stolen.not_paid().is_at_least_percent(NOT_PAID_PERCENT_MIN),
            ),
            ("a true alarm before the sixth case, in every world", alarm_in_time),
            (
                "at most 20 in 10,000 honest withdrawals refused",
                self.refused.is_at_most_per_10_000(REFUSED_PER_10_000_MAX),
            ),
            (
                "at most 100 in 10,000 honest withdrawals stepped up",
                self.stepped_up.is_at_most_per_10_000(STEPPED_UP_PER_10_000_MAX),
            ),
        ]
    }
}

/// What each kind of thief got.
#[must_use]
pub fn by_behaviour(trial: &Trial) -> BTreeMap<Behaviour, Stolen> {
    stolen_by(trial, |outcome| outcome.case.behaviour)
}

/// What thieves got, by how long they go on.
#[must_use]
pub fn by_persistence(trial: &Trial) -> BTreeMap<Persistence, Stolen> {
    stolen_by(trial, |outcome| outcome.case.persistence)
}

fn stolen_by<K: Ord>(trial: &Trial, key: impl Fn(&crate::tally::Outcome) -> K) -> BTreeMap<K, Stolen> {
    let mut groups: BTreeMap<K, Stolen> = BTreeMap::new();
    for outcome in trial.tallies.iter().flat_map(|tally| &tally.cases) {
        let one = Stolen {
            cases: 1,
            stopped: u64::from(outcome.paid_yen == 0),
            wanted_yen: outcome.wanted_yen(),
            stolen_yen: outcome.paid_yen,
        };
        groups.entry(key(outcome)).or_default().add(&one);
    }
    groups
}

/// The price by group of honest customers.
#[must_use]
pub fn by_group(trial: &Trial) -> BTreeMap<Group, GroupPrice> {
    let mut groups: BTreeMap<Group, GroupPrice> = BTreeMap::new();
    for (group, price) in trial.tallies.iter().flat_map(|tally| &tally.honest.groups) {
        groups.entry(*group).or_default().add(price);
    }
    groups
}

/// A reason, and whom it met how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reason {
    /// Honest withdrawals refused.
    pub honest_refused: u64,
    /// Honest withdrawals for which the code was asked.
    pub honest_stepped_up: u64,
    /// Attempts of thieves that failed.
    pub thieves: u64,
}

/// Whom each reason met, by its word.
#[must_use]
pub fn by_reason(trial: &Trial) -> BTreeMap<&str, Reason> {
    let mut reasons: BTreeMap<&str, Reason> = BTreeMap::new();
    for tally in &trial.tallies {
        for (reason, count) in &tally.honest.refused {
            reasons.entry(reason).or_default().honest_refused += count;
        }
        for (reason, count) in &tally.honest.stepped_up {
            reasons.entry(reason).or_default().honest_stepped_up += count;
        }
        for (reason, count) in tally.cases.iter().flat_map(|outcome| &outcome.refused) {
            reasons.entry(reason).or_default().thieves += count;
        }
    }
    reasons
}
