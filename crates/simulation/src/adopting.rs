//! How a machine's lane goes from one replica to another.

use std::sync::Arc;

use cashgate_gateway::lanes::{Recovered, adopt};
use cashgate_ledger::{StoredStep, WithdrawalSummary};
use cashgate_withdrawal::dispense::OutcomeReport;
use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::lane::{AtmFacts, Input, LinkId};
#[cfg(feature = "planted")]
use cashgate_withdrawal::planted::{Bug, is};
use cashgate_withdrawal::time::Timestamp;

use crate::boundary::{AtmNo, What};
use crate::database::{Database, Owner};
use crate::event::Event;
use crate::faults::FaultKind;
use crate::gateway::Slot;
use crate::names;
use crate::replicas::DEAD_AFTER;
use crate::world::World;

/// How long a replica waits for another to let a lane go.
const LETTING_GO_MS: u64 = 500;

/// A machine that has said who it is and waits for its lane.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) link: u64,
    pub(crate) facts: AtmFacts,
    pub(crate) unresolved: Vec<(WithdrawalId, OutcomeReport)>,
}

/// A lane that the database gave.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) owner: Owner,
    pub(crate) open: Vec<(WithdrawalSummary, Vec<StoredStep>)>,
}

impl World {
    /// A machine came whose lane is not here: whoever has it is asked to let it go, and then it is taken.
    pub(crate) fn begins_adoption(&mut self, atm: AtmNo, waiting: Waiting) {
        let is_under_way = self.gateway.adopting.insert(atm, waiting).is_some();
        if is_under_way {
            return;
        }
        let life = self.gateway.life;
        let owner = self.database.owner(atm).filter(|owner| owner.life != life);
        let mut after = 2;
        if let Some(owner) = owner
            && self.database.is_alive(owner.life, self.now, dead_after_ms())
        {
            #[cfg(feature = "planted")]
            if is(Bug::AdoptsOnlyFromTheDead) {
                self.gateway.adopting.remove(&atm);
                return self.break_link(atm, 100);
            }
            let is_heard = self.now >= self.gateway.members.peers_cut_until_ms
                && self.gateways().any(|peer| peer.life == owner.life && self.now >= peer.members.peers_cut_until_ms);
            let is_heard = is_heard && self.strikes(FaultKind::LettingGoLost, 0).is_none();
            if is_heard {
                let hears = self.network.between(2, 20);
                self.after(hears, Event::LetsGo { life: owner.life, atm });
                after = hears + self.network.between(2, 20);
            } else {
                self.count("not asked to let go");
                after = LETTING_GO_MS;
            }
        }
        self.after(after, Event::Claims { life, atm, expected: None });
    }

    /// Asks the database for a lane.
    pub(crate) fn claims(&mut self, atm: AtmNo, expected: Option<Owner>) {
        let life = self.gateway.life;
        if !self.reaches_database() {
            // The machine is sent away, and tries another replica.
            self.gateway.adopting.remove(&atm);
            return self.break_link(atm, 100);
        }
        let Some(owner) = self.database.claim(atm, life, expected) else {
            self.gateway.adopting.remove(&atm);
            return;
        };
        self.crosses(What::LaneTaken { atm });
        let open = Database::open_at(&self.journal, atm);
        let after = self.network.between(1, 4);
        self.after(after, Event::Claimed { life, atm, claimed: Box::new(Claimed { owner, open }) });
    }

    pub(crate) fn claimed(&mut self, atm: AtmNo, claimed: Claimed) {
        let Claimed { owner, open } = claimed;
        if self.gateway.slot(atm).is_some_and(|slot| slot.epoch >= owner.epoch) {
            return;
        }
        let now = Timestamp::from_unix_ms(self.now);
        let (desk, settings) = (Arc::clone(&self.gateway.desk), Arc::clone(self.gateway.settings()));
        let Recovered { attendant, first, open } = match adopt(names::atm(atm), open, &desk, &settings, now) {
            Ok(recovered) => recovered,
            Err(why) => return self.broken(format!("A{atm} cannot be taken over: {why}")),
        };
        self.count(if open.is_empty() { "lanes taken over" } else { "lanes taken over with open withdrawals" });
        let mut slot = Slot::over(attendant);
        slot.epoch = owner.epoch;
        slot.states = open.iter().map(|w| (w.terms.withdrawal, w.state.name())).collect();
        self.gateway.insert_slot(atm, slot);
        self.complete(atm, first);
        if let Some(Waiting { link, facts, unresolved }) = self.gateway.adopting.remove(&atm) {
            self.perhaps_was_sent_here(atm);
            self.connects(atm, link, facts, unresolved);
        }
        self.work(atm);
    }

    /// The machine is there, and its lane too.
    pub(crate) fn connects(
        &mut self,
        atm: AtmNo,
        link: u64,
        facts: AtmFacts,
        unresolved: Vec<(WithdrawalId, OutcomeReport)>,
    ) {
        if let Some(slot) = self.gateway.slot(atm) {
            slot.link = Some(link);
        }
        self.put(atm, Input::AtmConnected { link: LinkId(link), facts, unresolved }, None);
    }

    /// Lets a lane go: what is durable is the truth, and what is not never was.
    pub(crate) fn lets_go(&mut self, atm: AtmNo, why: &'static str) {
        let Some(mut slot) = self.gateway.remove_slot(atm) else { return };
        self.note(|| format!("A{atm}'s lane is let go: {why}"));
        self.count(why);
        slot.attendant.let_go();
        if let Some(link) = slot.link {
            // The machine is told to connect anew.
            let after = self.network.between(5, 60);
            self.after(after, Event::AtmLosesLink { atm, link });
        }
        self.gateway.queued.retain(|(queued, _)| *queued != atm);
        self.gateway.callers.retain(|(of, _), _| *of != atm);
        self.gateway.calls.retain(|_, (of, _)| *of != atm);
    }

    /// The database said whose lanes are whose.
    pub(crate) fn let_go_what_is_lost(&mut self, owners: &std::collections::BTreeMap<AtmNo, Owner>) {
        #[cfg(feature = "planted")]
        if is(Bug::LostLaneKept) {
            return;
        }
        for atm in 0..self.plan.atms {
            let Some(epoch) = self.gateway.slot(atm).map(|slot| slot.epoch) else { continue };
            if owners.get(&atm).is_some_and(|owner| owner.epoch > epoch) {
                self.lets_go(atm, "let go after hearing of another owner");
            }
        }
    }

    /// Takes the lanes with open withdrawals of replicas that are dead.
    pub(crate) fn sweeps(&mut self) {
        if !self.reaches_database() {
            return;
        }
        for (atm, owner) in self.database.abandoned(&self.journal, self.now, dead_after_ms()) {
            if self.gateway.slot(atm).is_none() && !self.gateway.adopting.contains_key(&atm) {
                self.count("lanes swept up");
                self.claims(atm, Some(owner));
            }
        }
    }
}

fn dead_after_ms() -> u64 {
    u64::try_from(DEAD_AFTER.as_millis()).unwrap_or(u64::MAX)
}
