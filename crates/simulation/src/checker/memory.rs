//! Every replica remembers every attempt once, whoever decided on it, and what stands out is told, by one.
//!
//! What a process counted and what then did not become durable may stay in its own memory, and in no other.

use std::collections::{BTreeMap, BTreeSet};

use super::Checker;
use super::verdict::{Judgement, Rule, broken_by_none};
use crate::boundary::{Alarm, Among, AtmNo, Attempt, Memory, Pattern, WithdrawalNo};

const HOUR_MS: u64 = 3_600_000;

/// Who asked for money, and who knows of it.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    asked: BTreeMap<WithdrawalNo, Asked>,
    /// The last number that became durable.
    last: u64,
    processes: BTreeMap<u32, Process>,
    /// Alarms that were told and are not durable yet.
    told: Vec<Alarm>,
    /// Alarms that became durable, with their numbers.
    alarms: Vec<(u64, Alarm)>,
}

#[derive(Clone, Debug)]
struct Asked {
    attempt: Attempt,
    at_ms: u64,
    /// The processes that decided on it: more than one if it became durable in none before.
    by: BTreeSet<u32>,
    /// Whether it was granted by anybody, ever.
    was_granted: bool,
    sequence: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Process {
    is_up: bool,
    /// What was durable when it started, it knows from its start.
    started_at: u64,
    /// Up to where it has heard since.
    heard: u64,
}

impl Process {
    fn knows(self, sequence: u64) -> bool {
        sequence <= self.started_at.max(self.heard)
    }

    /// Whether it heard of an alarm with this number.
    fn was_told(self, sequence: u64) -> bool {
        sequence > self.started_at && sequence <= self.heard
    }
}

impl Attempts {
    pub(super) fn started(&mut self, process: u32) {
        self.processes.insert(process, Process { is_up: true, started_at: self.last, heard: 0 });
    }

    pub(super) fn stopped(&mut self, process: u32) {
        if let Some(one) = self.processes.get_mut(&process) {
            one.is_up = false;
        }
    }

    fn durable(&mut self, withdrawal: WithdrawalNo, sequence: u64) {
        self.last = self.last.max(sequence);
        if let Some(asked) = self.asked.get_mut(&withdrawal) {
            asked.sequence = Some(sequence);
        }
    }

    fn decided(&mut self, attempt: Attempt, process: u32, at_ms: u64) {
        let asked = self.asked.entry(attempt.withdrawal).or_insert_with(|| {
            let (by, was_granted, sequence) = (BTreeSet::new(), false, None);
            Asked { attempt, at_ms, by, was_granted, sequence }
        });
        asked.by.insert(process);
        asked.was_granted |= attempt.granted;
        (asked.attempt, asked.at_ms) = (attempt, at_ms);
    }
}

impl Checker {
    pub(super) fn judge_memory(&mut self, what: Among) -> Judgement {
        let (process, now_ms) = (self.life, self.now_ms);
        match what {
            Among::Asked(attempt) => self.attempts.decided(attempt, process, now_ms),
            Among::AttemptDurable { withdrawal, sequence } => self.attempts.durable(withdrawal, sequence),
            Among::AttemptsHeard { through } => {
                if let Some(one) = self.attempts.processes.get_mut(&process) {
                    one.heard = one.heard.max(through);
                }
            }
            Among::AlarmTold(alarm) => {
                self.attempts.told.push(alarm);
                self.judge_grounds(alarm)?;
                return self.judge_told_once(alarm);
            }
            Among::AlarmDurable { alarm, sequence } => return self.alarm_durable(alarm, sequence),
            _ => {}
        }
        Ok(())
    }

    fn alarm_durable(&mut self, alarm: Alarm, sequence: u64) -> Judgement {
        let attempts = &mut self.attempts;
        attempts.last = attempts.last.max(sequence);
        attempts.alarms.push((sequence, alarm));
        match attempts.told.iter().position(|told| *told == alarm) {
            Some(place) => {
                attempts.told.swap_remove(place);
                Ok(())
            }
            None => broken_by_none(Rule::Alarm, || format!("{alarm:?} became durable once more than it was told")),
        }
    }

    fn is_new(&self, attempt: &Attempt) -> bool {
        self.setup.new_phones.contains(&attempt.phone)
    }

    /// The attempts that an alarm may be about.
    fn of(&self, alarm: Alarm) -> impl Iterator<Item = &Asked> {
        let is_about = move |asked: &&Asked| {
            let attempt = &asked.attempt;
            let is_of_withdrawals = matches!(alarm.pattern, Pattern::AtmHour | Pattern::InstitutionHour);
            self.is_new(attempt)
                && alarm.atm.is_none_or(|atm| atm == attempt.atm)
                && alarm.phone.is_none_or(|phone| phone == attempt.phone)
                && (asked.was_granted || !is_of_withdrawals)
                && alarm.attempt_at_ms.saturating_sub(asked.at_ms) < HOUR_MS
        };
        self.attempts.asked.values().filter(is_about)
    }

    /// Nobody is alarmed for nothing: an attempt that is counted twice would do that.
    fn judge_grounds(&self, alarm: Alarm) -> Judgement {
        let found = match alarm.pattern {
            Pattern::AtmHour | Pattern::InstitutionHour => self.of(alarm).count() as u64,
            Pattern::StrangeDevicesDay | Pattern::StrangeDevicesWeek => {
                self.of(alarm).map(|asked| asked.attempt.phone).collect::<BTreeSet<_>>().len() as u64
            }
            Pattern::DeviceSum => self.of(alarm).map(|asked| asked.attempt.amount).sum(),
            Pattern::DeviceRefused => self.of(alarm).filter(|asked| asked.attempt.amount >= 40_000).count() as u64,
        };
        let least = least(alarm.pattern);
        if found >= least {
            return Ok(());
        }
        broken_by_none(Rule::Alarm, || format!("{alarm:?} was told: {found} were found, and it takes {least}"))
    }

    /// Who has heard of an alarm does not tell of it again, and whom a customer of his own has alarmed is not alarmed again by the next one.
    fn judge_told_once(&self, alarm: Alarm) -> Judgement {
        let Some(process) = self.attempts.processes.get(&self.life) else { return Ok(()) };
        let life = self.life;
        let is_now = |asked: &&Asked| asked.at_ms == self.now_ms && asked.by.contains(&life);
        if alarm.attempt_at_ms == self.now_ms {
            let is_counted = matches!(alarm.pattern, Pattern::AtmHour | Pattern::InstitutionHour);
            let knew = |asked: &&Asked| {
                let is_heard = asked.attempt.granted && asked.sequence.is_some_and(|at| process.knows(at));
                !is_now(asked) && (asked.by.contains(&life) || is_heard)
            };
            let before = self.of(alarm).filter(knew).count() as u64;
            if is_counted && before >= least(alarm.pattern) {
                return broken_by_none(Rule::Alarm, || {
                    format!("process {life} tells {alarm:?} although it knew of {before} before")
                });
            }
            return Ok(());
        }
        let is_same = |told: &Alarm| {
            (told.pattern, told.atm, told.phone) == (alarm.pattern, alarm.atm, alarm.phone)
                && told.attempt_at_ms.abs_diff(alarm.attempt_at_ms) < HOUR_MS
        };
        match self.attempts.alarms.iter().find(|(sequence, told)| is_same(told) && process.was_told(*sequence)) {
            None => Ok(()),
            Some((sequence, _)) => broken_by_none(Rule::Alarm, || {
                format!("process {life} tells {alarm:?} although it has heard it told as number {sequence}")
            }),
        }
    }

    /// What stood out for a process that still lives was told.
    pub(super) fn judge_alarms(&self, note: &mut impl FnMut(Judgement)) {
        let machines: BTreeSet<AtmNo> = self.attempts.asked.values().map(|asked| asked.attempt.atm).collect();
        let subjects = machines.into_iter().map(|atm| (Pattern::AtmHour, Some(atm)));
        for (pattern, atm) in subjects.chain([(Pattern::InstitutionHour, None)]) {
            let alarm = Alarm { pattern, atm, phone: None, attempt_at_ms: 0 };
            let durable = self.of(alarm).filter(|asked| asked.attempt.granted);
            let mut found: Vec<(u64, u64)> = durable.filter_map(|asked| Some((asked.sequence?, asked.at_ms))).collect();
            found.sort_unstable();
            let place = usize::try_from(least(pattern)).unwrap_or(usize::MAX) - 1;
            let Some((completed_by, _)) = found.get(place).copied() else { continue };
            let moments = || found.iter().take(place + 1).map(|(_, at_ms)| *at_ms);
            let is_dense = moments().max().unwrap_or(0) - moments().min().unwrap_or(0) < HOUR_MS;
            let has_seen = |one: &Process| one.is_up && one.started_at < completed_by;
            let is_told = self.attempts.alarms.iter().any(|(_, told)| (told.pattern, told.atm) == (pattern, atm));
            if is_dense && !is_told && self.attempts.processes.values().any(has_seen) {
                note(broken_by_none(Rule::Alarm, || format!("nobody tells {pattern:?} at {atm:?}")));
            }
        }
    }

    /// Each replica's memory has what became durable, once, and beside that at most what it decided on itself.
    pub(super) fn judge_memories(&self, memories: &[Memory], note: &mut impl FnMut(Judgement)) {
        for memory in memories {
            let process = memory.process;
            let least = |asked: &&Asked| asked.sequence.is_some();
            let most = |asked: &&Asked| asked.sequence.is_some() || asked.by.contains(&process);
            let granted = |asked: &&Asked| asked.attempt.granted && asked.sequence.is_some();
            let may_count = |asked: &&Asked| granted(asked) || asked.was_granted && asked.by.contains(&process);
            let all = || self.attempts.asked.values();
            for (account, counts) in &memory.withdrawals {
                let of = |asked: &&Asked| asked.attempt.account == *account;
                let bounds = (all().filter(of).filter(granted).count(), all().filter(of).filter(may_count).count());
                note(remembered(process, &format!("withdrawals of account {account}"), *counts, bounds));
            }
            for (atm, counts) in &memory.new_at_atm {
                let of = |asked: &&Asked| asked.attempt.atm == *atm && self.is_new(&asked.attempt);
                let bounds = (all().filter(of).filter(granted).count(), all().filter(of).filter(may_count).count());
                note(remembered(process, &format!("withdrawals by new phones at machine {atm}"), *counts, bounds));
            }
            for (phone, counts) in &memory.accounts {
                let of = |asked: &&Asked| asked.attempt.phone == *phone;
                let accounts = |asked: &Asked| asked.attempt.account;
                let at_least: BTreeSet<_> = all().filter(of).filter(least).map(accounts).collect();
                let at_most: BTreeSet<_> = all().filter(of).filter(most).map(accounts).collect();
                let bounds = (at_least.len(), at_most.len());
                note(remembered(process, &format!("accounts that phone {phone} asked for"), *counts, bounds));
            }
        }
    }
}

const fn least(pattern: Pattern) -> u64 {
    match pattern {
        Pattern::AtmHour | Pattern::StrangeDevicesDay | Pattern::StrangeDevicesWeek | Pattern::DeviceRefused => 4,
        Pattern::InstitutionHour => 8,
        Pattern::DeviceSum => 300_000,
    }
}

fn remembered(process: u32, what: &str, counts: u32, (least, most): (usize, usize)) -> Judgement {
    let counts = usize::try_from(counts).unwrap_or(usize::MAX);
    if (least..=most).contains(&counts) {
        return Ok(());
    }
    broken_by_none(Rule::Memory, || {
        format!(
            "process {process} remembers {counts} {what}, and there were {least}, with its own that came to nothing {most}"
        )
    })
}
