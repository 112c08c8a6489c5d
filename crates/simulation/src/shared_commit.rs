//! From an intent to the database and on to its errands, where other replicas write too: an intent may be refused, and an answer may be lost.

use std::mem::take;
use std::sync::Arc;

use cashgate_gateway::lanes::Intent;
use cashgate_gateway::replica::append_of;
use cashgate_ledger::Epoch;
#[cfg(feature = "planted")]
use cashgate_withdrawal::planted::{Bug, is};
use cashgate_withdrawal::time::Timestamp;

use crate::books::number;
use crate::boundary::{Among, AtmNo};
use crate::database::{Commit, Entry, Verdict, Write};
use crate::event::Event;
use crate::faults::FaultKind;
use crate::names;
use crate::world::World;

/// How long a replica waits for the answer to a commit, before it looks what became of it over another connection.
const ANSWER_MS_MAX: u64 = 5_000;
/// How many batches of claims are under way at once.
const CLAIMS_AT_ONCE: usize = 2;
/// How often an approval is computed again.
const TRIES_MAX: u32 = 5;

impl World {
    /// Has an intent's records committed with whatever else waits.
    pub(crate) fn commit(&mut self, atm: AtmNo, intent: Intent) {
        let desk = Arc::clone(&self.gateway.desk);
        let Some(slot) = self.gateway.slot(atm) else { return };
        let (epoch, basis) = (slot.epoch, slot.attendant.basis(&intent));
        let append = append_of(intent.records(), (names::atm(atm), Epoch(epoch)), basis, &desk);
        let write = Write { atm, epoch, append };
        slot.waiting = Some(intent);
        self.gateway.to_commit.push(write);
        self.sends_what_waits();
    }

    /// Sends what waits: claims beside one another and beside all else, all else one after the other.
    pub(crate) fn sends_what_waits(&mut self) {
        if !self.gateway.up {
            return;
        }
        let sent = &self.database.sent;
        let of_claims = |commit: &&u64| sent.get(*commit).is_some_and(Commit::is_of_claims);
        let claims_sent = self.gateway.sent.keys().filter(of_claims).count();
        let others_sent = self.gateway.sent.len() - claims_sent;
        let (claims, others): (Vec<Write>, Vec<Write>) =
            take(&mut self.gateway.to_commit).into_iter().partition(|write| write.append.is_claim());
        if claims_sent < CLAIMS_AT_ONCE && !claims.is_empty() {
            if !self.gateway.sent.is_empty() {
                self.count("claims sent beside another commit");
            }
            let commit = self.database.send(claims, Vec::new());
            self.sends_again(commit, 0);
        } else {
            self.gateway.to_commit.extend(claims);
        }
        if others_sent == 0 && !(others.is_empty() && self.gateway.to_tell.is_empty()) {
            let notices = take(&mut self.gateway.to_tell);
            let commit = self.database.send(others, notices);
            self.sends_again(commit, 0);
        } else {
            self.gateway.to_commit.extend(others);
        }
    }

    fn sends_again(&mut self, commit: u64, tried: u32) {
        // Over a connection of its own: an answer on the one before is nobody's any more.
        self.gateway.sent.insert(commit, tried);
        let (life, replica) = (self.gateway.life, self.gateway.replica);
        if self.strikes(FaultKind::OutOfConnections, replica).is_none() {
            let after = self.database_takes();
            self.after(after, Event::DatabaseHears { life, commit, tried });
        }
        self.after(ANSWER_MS_MAX, Event::CommitTimesOut { life, commit, tried });
    }

    /// A commit comes to the database, whoever still waits for it.
    pub(crate) fn database_hears(&mut self, life: u32, commit: u64, tried: u32) {
        let replica = self.gateways().find(|gateway| gateway.life == life);
        let is_cut = replica.is_some_and(|sender| self.now < sender.members.database_cut_until_ms);
        let place = replica.map_or(0, |sender| sender.replica);
        if is_cut || self.now < self.database.down_until_ms {
            return;
        }
        if let Some(mut chance) = self.strikes(FaultKind::CommitLost, 0) {
            return self.database_goes(chance.between(1_000, 20_000), "database failovers");
        }
        let repeated = tried > 0;
        #[cfg(feature = "planted")]
        let repeated = repeated && !is(Bug::CommitRepeatedBlindly);
        let Commit { writes, notices, came } = self.database.sent.get(&commit).cloned().unwrap_or_default();
        #[cfg(feature = "planted")]
        let came = came && !is(Bug::NoticesRepeated);
        if !came {
            self.notices_become_durable(&notices);
        }
        let judged = writes.iter().map(|write| self.database.commit(&mut self.journal, life, write, repeated));
        let verdicts: Vec<Verdict> = judged.collect();
        if let Some(commit) = self.database.sent.get_mut(&commit) {
            commit.came = true;
        }
        self.writes_are_judged(life, &writes, &verdicts);
        if let Some(mut chance) = self.strikes(FaultKind::CommitAnswerLost, 0) {
            return self.database_goes(chance.between(1_000, 20_000), "database failovers");
        }
        if self.strikes(FaultKind::AnswerLost, place).is_some() {
            return;
        }
        let after = self.database_takes();
        self.after(after, Event::DatabaseAnswers { life, commit, tried, verdicts });
    }

    fn writes_are_judged(&mut self, life: u32, writes: &[Write], verdicts: &[Verdict]) {
        for (Write { atm, append, .. }, verdict) in writes.iter().zip(verdicts) {
            match verdict {
                Verdict::Done(Some(_)) => {
                    for step in append.steps.iter().filter(|step| step.number == 1) {
                        let sequence = self.journal.approved_as(step.withdrawal).unwrap_or_default();
                        let withdrawal = number(step.withdrawal);
                        self.crosses_among(Among::AttemptDurable { withdrawal, sequence });
                    }
                }
                Verdict::NotOwner if self.database.was_sent_elsewhere(*atm, life) => {
                    self.count("late writes refused after a machine was sent elsewhere");
                }
                _ => {}
            }
        }
    }

    /// The database is away for a while.
    pub(crate) fn database_goes(&mut self, for_ms: u64, how: &'static str) {
        self.count(how);
        self.note(|| format!("the database is away for {for_ms} ms"));
        self.database.down_until_ms = self.database.down_until_ms.max(self.now + for_ms);
    }

    pub(crate) fn commit_times_out(&mut self, commit: u64, tried: u32) {
        if self.gateway.sent.get(&commit) != Some(&tried) {
            return;
        }
        #[cfg(feature = "planted")]
        if is(Bug::LostAnswerIsRefusal) {
            let writes = self.database.sent.get(&commit).map_or(0, |commit| commit.writes.len());
            return self.database_answers(commit, tried, vec![Verdict::LimitsMoved; writes]);
        }
        self.count("commits repeated");
        self.sends_again(commit, tried + 1);
    }

    pub(crate) fn database_answers(&mut self, commit: u64, tried: u32, verdicts: Vec<Verdict>) {
        if self.gateway.sent.get(&commit) != Some(&tried) {
            return; // an answer that was given up and came all the same
        }
        self.gateway.sent.remove(&commit);
        let Commit { writes, .. } = self.database.sent.get(&commit).cloned().unwrap_or_default();
        let place = self.gateway.replica;
        if self.strikes(FaultKind::GatewayCrash, place).is_some() {
            return self.gateway_dies("after a commit", 3_000);
        }
        self.sends_what_waits();
        for (write, verdict) in writes.into_iter().zip(verdicts) {
            let is_present = self.gateway.slot(write.atm).is_some_and(|slot| slot.epoch == write.epoch);
            if is_present && self.gateway.up {
                self.judged(write.atm, verdict);
            }
        }
    }

    fn judged(&mut self, atm: AtmNo, verdict: Verdict) {
        match verdict {
            Verdict::Done(raised) => {
                if raised.is_none() {
                    self.count("commits found to have gone through");
                }
                if let Some(slot) = self.gateway.slot(atm) {
                    slot.attendant.raised(raised.as_deref());
                    (slot.is_durable, slot.tries) = (true, 0);
                }
                self.carries_out_what_is_durable(atm);
            }
            Verdict::LimitsMoved => self.takes_back(atm),
            Verdict::NotOwner => {
                #[cfg(feature = "planted")]
                if is(Bug::FencedCarriesOn) {
                    if let Some(slot) = self.gateway.slot(atm) {
                        slot.is_durable = true;
                    }
                    return self.carries_out_what_is_durable(atm);
                }
                self.lets_go(atm, "let go after a refused write");
            }
            Verdict::Refused(why) => self.broken(format!("the ledger refuses a step: {why}")),
        }
    }

    /// The limits had moved: as if the input had not come, and once more.
    fn takes_back(&mut self, atm: AtmNo) {
        self.count("approvals computed again");
        let Some(slot) = self.gateway.slot(atm) else { return };
        let Some(intent) = slot.waiting.take() else { return };
        let Some((input, pin_block)) = slot.attendant.take_back(intent) else {
            return self.broken("an intent that opens nothing was refused for its limits".to_owned());
        };
        slot.tries += 1;
        if slot.tries <= TRIES_MAX {
            slot.inbox.push_front((input, pin_block));
        } else {
            // Five others would have to be first, one after the other.
            return self.broken(format!("an approval at A{atm} was computed {TRIES_MAX} times in vain"));
        }
        self.work(atm);
    }

    /// Carries out what is durable, if the replica may act; else when it may again.
    pub(crate) fn carries_out_what_is_durable(&mut self, atm: AtmNo) {
        if !self.may_act() {
            return self.count("errands held back");
        }
        let Some(slot) = self.gateway.slot(atm).filter(|slot| slot.is_durable) else { return };
        slot.is_durable = false;
        let Some(intent) = slot.waiting.take() else { return };
        self.shows(atm, &intent);
        self.carry_out(atm, intent);
        self.work(atm);
    }

    /// Whether the present process may act on what it believes to be its own.
    pub(crate) fn may_act(&self) -> bool {
        !self.is_replicated() || self.gateway.members.pulse.may_act(Timestamp::from_unix_ms(self.now))
    }

    /// The replica may act again.
    pub(crate) fn wakes_what_waited(&mut self) {
        for atm in 0..self.plan.atms {
            if self.gateway.slot(atm).is_some_and(|slot| slot.is_durable) {
                self.carries_out_what_is_durable(atm);
            } else {
                self.work(atm);
            }
        }
    }

    /// An approval needs entries that are not known here: they are read, and the approval waits. Says whether it has to.
    pub(crate) fn reads_entries(&mut self, atm: AtmNo) -> bool {
        let Some(slot) = self.gateway.slot(atm) else { return false };
        let Some((input, _)) = slot.inbox.front() else { return false };
        let keys = slot.attendant.unread(input);
        if keys.is_empty() {
            return false;
        }
        slot.is_reading = true;
        let (life, after) = (self.gateway.life, self.database_takes());
        self.after(after, Event::ReadsEntries { life, atm, keys });
        true
    }

    pub(crate) fn entries_are_read(&mut self, atm: AtmNo, keys: Vec<cashgate_gateway::admission::LimitKey>) {
        let life = self.gateway.life;
        if !self.reaches_database() {
            return self.after(1_000, Event::ReadsEntries { life, atm, keys });
        }
        let now = Timestamp::from_unix_ms(self.now);
        let entries = keys.into_iter().map(|key| self.database.entry(&self.journal, key, now)).collect();
        let after = self.database_takes();
        self.after(after, Event::EntriesRead { life, atm, entries });
    }

    pub(crate) fn entries_read(&mut self, atm: AtmNo, entries: &[Entry]) {
        self.count("entries counted anew");
        for Entry { key, version, rows } in entries {
            self.gateway.desk.recount(key, *version, rows);
        }
        if let Some(slot) = self.gateway.slot(atm) {
            slot.is_reading = false;
        }
        self.work(atm);
    }
}
