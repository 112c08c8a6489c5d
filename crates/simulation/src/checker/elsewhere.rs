//! A machine whose replica does not hear the database goes where it is heard, and nobody is sent round in circles.
//!
//! Written from what is documented: a replica may act for 3 s after it asked what was answered; another one takes machines once it has heard
//! for 5 s without a gap.

use std::collections::BTreeMap;

use super::Checker;
use super::verdict::{Judgement, Rule, broken_by_none};
use crate::boundary::{Among, AtmNo};

/// For so long the database's word is good.
const WORD_HOLDS_MS: u64 = 3_000;
/// For so long it must have been heard without a gap by whoever takes machines.
const STEADY_MS: u64 = 5_000;
/// The answer that another one takes machines may be so old when one is sent away.
const ANSWER_MS_MAX: u64 = 1_000;
/// A replica that could send a machine away has done so after this time, or the machine has found by itself that nobody answers.
const SENT_WITHIN_MS: u64 = 20_000;
/// Where nothing is wrong but the cut, a machine that was sent away is served after this time.
const SERVED_WITHIN_MS: u64 = 30_000;

/// Who hears the database, and where machines are.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    processes: BTreeMap<u32, Process>,
    /// The process that each machine is connected to, and since when.
    machines: BTreeMap<AtmNo, (u32, u64)>,
    /// Machines that were sent away and not yet served, by whom, and since when nothing else has been wrong.
    sent: BTreeMap<AtmNo, (u32, u64)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Process {
    is_up: bool,
    /// When its latest question was asked that was answered; before the first, when it started less the time that a word holds.
    asked_ms: u64,
    /// Since when no question went unanswered.
    steady_since_ms: u64,
    /// Since when its word has not run out.
    acts_since_ms: u64,
    /// When it would last have taken machines.
    took_ms: u64,
    /// Until when it stands still or is cut off from the others.
    out_until_ms: u64,
    /// Until when it stands still.
    still_until_ms: u64,
}

impl Process {
    const fn started(now_ms: u64) -> Self {
        let asked_ms = now_ms.saturating_sub(WORD_HOLDS_MS);
        Self {
            is_up: true,
            asked_ms,
            steady_since_ms: now_ms,
            acts_since_ms: u64::MAX,
            took_ms: 0,
            out_until_ms: 0,
            still_until_ms: 0,
        }
    }

    const fn word_ends_ms(self) -> u64 {
        self.asked_ms.saturating_add(WORD_HOLDS_MS)
    }

    const fn is_deaf(self, now_ms: u64) -> bool {
        now_ms >= self.word_ends_ms()
    }

    /// From when on it takes machines, if its word does not run out before.
    fn takes_from_ms(self) -> u64 {
        self.acts_since_ms.max(self.steady_since_ms.saturating_add(STEADY_MS))
    }

    fn takes(self, now_ms: u64) -> bool {
        self.is_up && !self.is_deaf(now_ms) && self.takes_from_ms() <= now_ms
    }

    /// When it would last have taken machines, up to now.
    fn took_ms(self, now_ms: u64) -> u64 {
        let last_ms = now_ms.min(self.word_ends_ms().saturating_sub(1));
        if self.is_up && self.takes_from_ms() <= last_ms { last_ms } else { self.took_ms }
    }

    fn heard(&mut self, asked_ms: u64, now_ms: u64) {
        self.took_ms = self.took_ms(now_ms);
        if self.is_deaf(now_ms) {
            self.acts_since_ms = now_ms;
        }
        if asked_ms > self.word_ends_ms() {
            self.steady_since_ms = asked_ms;
        }
        self.asked_ms = self.asked_ms.max(asked_ms);
    }
}

impl Elsewhere {
    pub(super) fn started(&mut self, process: u32, now_ms: u64) {
        self.processes.insert(process, Process::started(now_ms));
        self.disturbed(now_ms);
    }

    pub(super) fn stopped(&mut self, process: u32, now_ms: u64) {
        if let Some(one) = self.processes.get_mut(&process) {
            one.took_ms = one.took_ms(now_ms);
            one.is_up = false;
        }
        self.disturbed(now_ms);
    }

    pub(super) fn is_out(&mut self, process: u32, until_ms: u64) {
        if let Some(one) = self.processes.get_mut(&process) {
            one.out_until_ms = one.out_until_ms.max(until_ms);
        }
    }

    /// Something else is wrong, so whoever waits to be served may wait longer.
    fn disturbed(&mut self, now_ms: u64) {
        self.sent.values_mut().for_each(|(_, since_ms)| *since_ms = now_ms);
    }
}

impl Checker {
    pub(super) fn judge_elsewhere(&mut self, what: Among) -> Judgement {
        let (process, now_ms) = (self.life, self.now_ms);
        let elsewhere = &mut self.elsewhere;
        match what {
            Among::Heard { asked_at_ms } => {
                if let Some(one) = elsewhere.processes.get_mut(&process) {
                    one.heard(asked_at_ms, now_ms);
                }
                self.judge_machines()?;
                self.judge_served()?;
            }
            Among::CutFromPeers { until_ms } => elsewhere.is_out(process, until_ms),
            Among::StandsStill { until_ms } => {
                elsewhere.is_out(process, until_ms);
                if let Some(one) = elsewhere.processes.get_mut(&process) {
                    one.still_until_ms = one.still_until_ms.max(until_ms);
                }
            }
            Among::DatabaseStruck => elsewhere.disturbed(now_ms),
            Among::AtmConnected { atm } => {
                elsewhere.machines.insert(atm, (process, now_ms));
            }
            Among::AtmLostLink { atm } => {
                elsewhere.machines.remove(&atm);
            }
            Among::AtmSentElsewhere { atm } => {
                self.judge_sending(atm)?;
                // One that has left by itself, unheard, waits for nobody.
                if self.elsewhere.machines.get(&atm).is_some_and(|(kept_by, _)| *kept_by == process) {
                    self.elsewhere.sent.entry(atm).or_insert((process, now_ms));
                    // It is let go, also if a bad line keeps the machine from noticing.
                    self.elsewhere.machines.remove(&atm);
                }
            }
            Among::AtmWelcomed { atm } => {
                elsewhere.sent.remove(&atm);
            }
            _ => {}
        }
        Ok(())
    }

    /// A machine is sent away only by who does not hear, and only while another one hears.
    fn judge_sending(&self, atm: AtmNo) -> Judgement {
        let (process, now_ms) = (self.life, self.now_ms);
        let processes = &self.elsewhere.processes;
        if processes.get(&process).is_some_and(|one| !one.is_deaf(now_ms)) {
            return broken_by_none(Rule::Elsewhere, || {
                format!("process {process} sends machine {atm} away, although it hears the database")
            });
        }
        let took = |(other, one): (&u32, &Process)| *other != process && one.took_ms(now_ms) + ANSWER_MS_MAX >= now_ms;
        // Who wakes up finds an answer from before. What it may have cost, its machines' lanes, was lost while it stood still.
        let wakes =
            processes.get(&process).is_some_and(|one| one.still_until_ms.saturating_add(ANSWER_MS_MAX) >= now_ms);
        if wakes || processes.iter().any(took) {
            return Ok(());
        }
        broken_by_none(Rule::Elsewhere, || {
            format!(
                "process {process} sends machine {atm} away, although no other one has heard the database for long enough"
            )
        })
    }

    /// The present process hears: whoever does not has sent its machines away by now.
    fn judge_machines(&self) -> Judgement {
        let (process, now_ms) = (self.life, self.now_ms);
        let Some(hears) = self.elsewhere.processes.get(&process).filter(|one| one.takes(now_ms)) else { return Ok(()) };
        for (atm, (kept_by, since_ms)) in &self.elsewhere.machines {
            let Some(keeps) = self.elsewhere.processes.get(kept_by).filter(|one| one.is_up && one.is_deaf(now_ms))
            else {
                continue;
            };
            let both_ms = keeps.word_ends_ms().max(hears.takes_from_ms());
            let could_ms = both_ms.max(*since_ms).max(keeps.out_until_ms).max(hears.out_until_ms);
            if *kept_by != process && now_ms > could_ms.saturating_add(SENT_WITHIN_MS) {
                return broken_by_none(Rule::Elsewhere, || {
                    let for_ms = now_ms - could_ms;
                    format!(
                        "process {kept_by} has kept machine {atm} for {for_ms} ms, although process {process} hears the database"
                    )
                });
            }
        }
        Ok(())
    }

    /// Where lines are good, a machine that was sent away is served soon, unless something else goes wrong.
    fn judge_served(&mut self) -> Judgement {
        let now_ms = self.now_ms;
        if !self.setup.machines_reach_who_is_ready {
            return Ok(());
        }
        let processes = &self.elsewhere.processes;
        for (atm, (by, since_ms)) in &mut self.elsewhere.sent {
            let others = || processes.iter().filter(|(process, one)| one.is_up && *process != by);
            let is_calm = others().all(|(_, one)| one.takes(now_ms) && one.takes_from_ms() <= *since_ms)
                && processes.values().filter(|one| one.is_up).all(|one| one.out_until_ms <= *since_ms)
                && others().next().is_some();
            if !is_calm {
                *since_ms = now_ms;
            } else if now_ms > since_ms.saturating_add(SERVED_WITHIN_MS) {
                return broken_by_none(Rule::Elsewhere, || {
                    format!(
                        "machine {atm}, which process {by} sent away, is not served, although every other process hears the database"
                    )
                });
            }
        }
        Ok(())
    }
}
