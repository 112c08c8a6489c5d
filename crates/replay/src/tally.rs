//! What one run counted. Sums are plain numbers of yen: they are for a report, and nobody is paid by them.

use std::collections::BTreeMap;
use std::time::Duration;

use cashgate_withdrawal::time::Timestamp;

use crate::attempt::{AtmNo, Attempt, InstitutionNo};
use crate::bank::Alarm;
use crate::calendar::Day;
use crate::population::{Group, Visit};
use crate::wave::Case;

/// Everything a run counted. Two runs of one world, bank and controls are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Honest customers in June and July.
    pub honest: Honest,
    /// The cases, in the order of their numbers.
    pub cases: Vec<Outcome>,
    /// Each theft: when, and how many yen.
    pub thefts: Vec<(Timestamp, u64)>,
    /// Every alarm from 1 June on, in the order of time.
    pub rung: Vec<Rung>,
    /// Alarms that rang because of thieves: with an attempt of theirs in the window, and not rung in the same world without thieves.
    pub true_alarms: u64,
    /// Alarms that rang for honest customers.
    pub false_alarms: u64,
    /// The first true alarm.
    pub first_alarm: Option<FirstAlarm>,
    pub(crate) attempts: Vec<(Timestamp, InstitutionNo, AtmNo)>,
}

/// The price for honest customers. Each withdrawal that a customer wants counts once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Honest {
    /// Withdrawals that they wanted.
    pub withdrawals: u64,
    /// Refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Asked for the code, by reason.
    pub stepped_up: BTreeMap<String, u64>,
    /// Of those, without notes in the end: walked away, or mistyped the code three times.
    pub not_typed: u64,
    /// By group of customers.
    pub groups: BTreeMap<Group, GroupPrice>,
    /// By day, from 1 June.
    pub days: BTreeMap<i32, GroupPrice>,
}

/// The price for some customers or some days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupPrice {
    /// Withdrawals that they wanted.
    pub withdrawals: u64,
    /// Of those, refused.
    pub refused: u64,
    /// Of those, asked for the code.
    pub stepped_up: u64,
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was planned.
    pub case: Case,
    /// When he first stood at a machine, if he did.
    pub began_at: Option<Timestamp>,
    /// Approvals he tried.
    pub attempts: u64,
    /// Yen he got.
    pub paid_yen: u64,
    /// Why he did not get more, and how often.
    pub refused: BTreeMap<String, u64>,
}

/// An alarm, and whether thieves had part in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// What rang.
    pub alarm: Alarm,
    /// Whether a thief's attempt at that institution, and at that machine if the alarm names one, lies within its window.
    pub has_thief: bool,
}

/// The first alarm that was true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstAlarm {
    /// What it was about.
    pub pattern: String,
    /// When.
    pub at: Timestamp,
    /// Cases that had begun by then, at both institutions, this one included.
    pub cases: u64,
    /// Time since the first case began.
    pub after: Duration,
    /// Yen stolen by then.
    pub stolen_yen: u64,
}

impl Honest {
    /// Withdrawals refused, for whatever reason.
    #[must_use]
    pub fn refused_total(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Withdrawals for which the code was asked, for whatever reason.
    #[must_use]
    pub fn stepped_up_total(&self) -> u64 {
        self.stepped_up.values().sum()
    }
}

impl Tally {
    pub(crate) fn of<'a>(cases: impl Iterator<Item = &'a Case>) -> Self {
        let outcome =
            |case: &Case| Outcome { case: *case, began_at: None, attempts: 0, paid_yen: 0, refused: BTreeMap::new() };
        Self { cases: cases.map(outcome).collect(), ..Self::default() }
    }

    /// Yen stolen.
    #[must_use]
    pub fn stolen_yen(&self) -> u64 {
        self.cases.iter().map(|outcome| outcome.paid_yen).sum()
    }

    /// Yen that the thieves were after.
    #[must_use]
    pub fn wanted_yen(&self) -> u64 {
        self.cases.iter().map(Outcome::wanted_yen).sum()
    }

    /// Cases in which no yen was stolen.
    #[must_use]
    pub fn stopped(&self) -> u64 {
        self.cases.iter().filter(|outcome| outcome.paid_yen == 0).count() as u64
    }

    pub(crate) fn served(&mut self, visit: &Visit, stepped_up: Option<&str>, not_typed: bool) {
        let was_asked = u64::from(stepped_up.is_some());
        self.honest.not_typed += u64::from(not_typed);
        if let Some(reason) = stepped_up {
            *self.honest.stepped_up.entry(reason.to_owned()).or_default() += 1;
        }
        self.counted(visit, GroupPrice { withdrawals: 1, refused: 0, stepped_up: was_asked });
    }

    pub(crate) fn turned_away(&mut self, visit: &Visit, reason: &str) {
        *self.honest.refused.entry(reason.to_owned()).or_default() += 1;
        self.counted(visit, GroupPrice { withdrawals: 1, refused: 1, stepped_up: 0 });
    }

    fn counted(&mut self, visit: &Visit, price: GroupPrice) {
        self.honest.withdrawals += price.withdrawals;
        self.honest.groups.entry(visit.group).or_default().add(&price);
        self.honest.days.entry(Day::of(visit.attempt.now).0).or_default().add(&price);
    }

    pub(crate) fn tried(&mut self, case: usize, attempt: &Attempt, paid_yen: u64, refused: Option<String>) {
        self.attempts.push((attempt.now, attempt.institution, attempt.atm));
        if paid_yen > 0 {
            self.thefts.push((attempt.now, paid_yen));
        }
        let Some(outcome) = self.cases.get_mut(case) else { return };
        outcome.began_at.get_or_insert(attempt.now);
        outcome.attempts += 1;
        outcome.paid_yen += paid_yen;
        if let Some(reason) = refused {
            *outcome.refused.entry(reason).or_default() += 1;
        }
    }

    pub(crate) fn rang(&mut self, alarm: Alarm) {
        let begins = alarm.at.unix_ms().saturating_sub(u64::try_from(alarm.window.as_millis()).unwrap_or(u64::MAX));
        let is_meant = |(at, institution, atm): &(Timestamp, InstitutionNo, AtmNo)| {
            (begins..=alarm.at.unix_ms()).contains(&at.unix_ms())
                && *institution == alarm.institution
                && alarm.atm.is_none_or(|one| one == *atm)
        };
        let has_thief = self.attempts.iter().any(is_meant);
        self.rung.push(Rung { alarm, has_thief });
    }

    /// Tells true alarms from false ones. A true one has a thief in its window, and would not have rung without thieves: in the same world without a
    /// wave, the same pattern did not ring at the same place from a day before to an hour after.
    pub(crate) fn judge(&mut self, in_peace: &[Rung]) {
        let rings_anyway = |alarm: &Alarm| {
            let is_same = |other: &Alarm| {
                (&other.pattern, other.institution, other.atm) == (&alarm.pattern, alarm.institution, alarm.atm)
                    && alarm.at.since(other.at) <= Duration::from_hours(24)
                    && other.at.since(alarm.at) <= Duration::from_hours(1)
            };
            in_peace.iter().any(|rung| is_same(&rung.alarm))
        };
        let is_true = |rung: &&Rung| rung.has_thief && !rings_anyway(&rung.alarm);
        let first = self.rung.iter().find(is_true).map(|rung| rung.alarm.clone());
        self.true_alarms = self.rung.iter().filter(is_true).count() as u64;
        self.false_alarms = self.rung.len() as u64 - self.true_alarms;
        self.first_alarm = first.map(|alarm| self.first(alarm));
    }

    fn first(&self, alarm: Alarm) -> FirstAlarm {
        let began = self.cases.iter().filter_map(|outcome| outcome.began_at).filter(|at| *at <= alarm.at);
        let after = began.clone().min().map_or(Duration::ZERO, |first| alarm.at.since(first));
        let stolen = self.thefts.iter().filter(|(at, _)| *at <= alarm.at).map(|(_, yen)| yen).sum();
        FirstAlarm { cases: began.count() as u64, after, stolen_yen: stolen, at: alarm.at, pattern: alarm.pattern }
    }
}

impl Outcome {
    /// Yen he was after.
    #[must_use]
    pub const fn wanted_yen(&self) -> u64 {
        self.case.total_man * crate::population::habits::MAN_YEN
    }
}

impl GroupPrice {
    pub(crate) const fn add(&mut self, other: &Self) {
        self.withdrawals += other.withdrawals;
        self.refused += other.refused;
        self.stepped_up += other.stepped_up;
    }
}
