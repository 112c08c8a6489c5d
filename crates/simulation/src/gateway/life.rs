//! A gateway starts, works off its inboxes, and dies.

use std::sync::Arc;

use cashgate_gateway::admission::Desk;
use cashgate_gateway::lanes::{Recovered, recover};
use cashgate_gateway::replica::Attempts;
use cashgate_gateway::stops::Stops;
use cashgate_ledger::{ReplicaId, Sequence};
use cashgate_limits::Limits;
use cashgate_wire::customer::PinBlock;
use cashgate_withdrawal::lane::Input;
use cashgate_withdrawal::time::Timestamp;

use super::{Gateway, SHARDS, Slot, desk};
use crate::boundary::{Among, AtmNo, What};
use crate::crash_plan::Tail;
use crate::event::Event;
use crate::faults::FaultKind;
use crate::journal::NotAppended;
use crate::names;
use crate::replicas::{Membership, among_others};
use crate::world::World;

impl World {
    /// A process starts from what is on the disk, or says that the disk is damaged, and a person restores it.
    pub(crate) fn gateway_starts(&mut self) {
        if self.gateway.up {
            return;
        }
        if self.is_replicated() {
            return self.replica_starts();
        }
        let Gateway { institutions, settings, .. } = &self.gateway;
        let (institutions, settings) = (Arc::clone(institutions), Arc::clone(settings));
        let now = Timestamp::from_unix_ms(self.now);
        let limits = Arc::new(Limits::with_shards(SHARDS));
        let desk = Arc::new(desk(&self.plan, &limits, &institutions));
        let spent = desk.recall(&self.journal, now).map_err(|error| error.to_string());
        let recovered =
            spent.and_then(|_| recover(&self.journal, &desk, &settings, now).map_err(|error| error.to_string()));
        match recovered {
            Err(why) if self.journal.is_damaged() => {
                self.note(|| format!("the gateway does not start: {why}; a person restores the ledger"));
                self.coverage.damage_found += 1;
                self.journal.restore();
                let replica = self.gateway.replica;
                self.after(60_000, Event::GatewayStarts { replica });
            }
            Err(why) => self.broken(format!("the gateway does not start from a ledger without damage: {why}")),
            Ok(recovered) => self.gateway_is_up(limits, desk, recovered),
        }
    }

    fn gateway_is_up(&mut self, limits: Arc<Limits>, desk: Arc<Desk>, recovered: Vec<Recovered>) {
        desk.ledger_has_room(!self.journal.full);
        let gateway = &mut self.gateway;
        (gateway.up, gateway.limits, gateway.desk) = (true, limits, desk);
        self.lives += 1;
        self.gateway.life = self.lives;
        let life = self.lives;
        self.crosses(What::GatewayStarted);
        if self.journal.full {
            self.after(10_000, Event::LooksForSpace { life });
        }
        for Recovered { attendant, first, open } in recovered {
            let atm = names::atm_number(attendant.atm());
            let mut slot = Slot::over(attendant);
            slot.states = open.iter().map(|w| (w.terms.withdrawal, w.state.name())).collect();
            self.gateway.slots.insert(atm, slot);
            self.complete(atm, first);
            self.work(atm);
            if !self.gateway.up {
                return;
            }
        }
    }

    /// A replica's process begins: it looks how far the ledger goes, and then reads it. What others write meanwhile it reads again.
    fn replica_starts(&mut self) {
        let (replica, mark) = (self.gateway.replica, self.journal.last());
        if self.now < self.database.down_until_ms {
            return self.after(1_000, Event::GatewayStarts { replica });
        }
        let after = self.network.between(1, 1_500);
        self.after(after, Event::ReplicaRecalls { replica, mark });
    }

    /// The process is up: a new member, with the lanes that its predecessor left.
    pub(crate) fn replica_recalls(&mut self, mark: u64) {
        let replica = self.gateway.replica;
        if self.now < self.database.down_until_ms {
            return self.after(1_000, Event::GatewayStarts { replica });
        }
        let institutions = Arc::clone(&self.gateway.institutions);
        let now = Timestamp::from_unix_ms(self.now);
        let mut members = Membership::new(Arc::<Stops>::default());
        let limits = Arc::new(Limits::with_shards(SHARDS));
        let desk = Arc::new(among_others(desk(&self.plan, &limits, &institutions), &members));
        if let Err(error) = desk.recall(&self.journal, now) {
            return self.broken(format!("replica {replica} does not start: {error}"));
        }
        self.database.is_gone(self.gateway.life);
        self.lives += 1;
        let life = self.lives;
        let before = &self.gateway.members;
        (members.database_cut_until_ms, members.peers_cut_until_ms) =
            (before.database_cut_until_ms, before.peers_cut_until_ms);
        members.attempts = Some(Attempts::behind(Sequence(mark), ReplicaId(replica), Arc::clone(&desk)));
        members.recalled = self.journal.last();
        desk.ledger_is_followed(false);
        let gateway = &mut self.gateway;
        (gateway.up, gateway.life, gateway.limits, gateway.desk) = (true, life, limits, desk);
        gateway.members = members;
        self.crosses(What::GatewayStarted);
        let until_ms = self.gateway.members.peers_cut_until_ms;
        self.crosses_among(Among::CutFromPeers { until_ms });
        self.polls();
        self.begins_to_look();
    }

    /// The process is gone, and with it all that it had in memory.
    pub(crate) fn gateway_dies(&mut self, why: &str, back_after_ms: u64) {
        if !self.gateway.up {
            return;
        }
        self.note(|| format!("the gateway is gone: {why}"));
        if self.journal.has_unsynced() {
            self.lose_tail();
        }
        for atm in 0..self.plan.atms {
            if !self.is_replicated() || self.gateway.link(atm).is_some() {
                self.break_link(atm, 1_000);
            }
        }
        self.count("replica kills");
        let gateway = &mut self.gateway;
        gateway.up = false;
        gateway.slots.clear();
        gateway.queued.clear();
        gateway.committing.clear();
        gateway.callers.clear();
        gateway.calls.clear();
        gateway.adopting.clear();
        gateway.to_commit.clear();
        gateway.to_tell.clear();
        gateway.sent.clear();
        let replica = gateway.replica;
        // Reservations of a process that is gone must not reach into the next one's limits; those are made anew at its start.
        self.crosses(What::GatewayStopped);
        self.after(back_after_ms, Event::GatewayStarts { replica });
    }

    fn lose_tail(&mut self) {
        // What a disk makes of a write that was not synced is nobody's choice, so no mix leaves it out.
        let drawn = self.network.pick(&[Tail::Lost, Tail::Torn, Tail::Kept]).unwrap_or(Tail::Lost);
        let tail = self.crash_plan.tail.unwrap_or(drawn);
        match tail {
            Tail::Lost => {
                self.coverage.struck(FaultKind::LostTail);
                self.journal.drop_unsynced();
            }
            // A torn group's checksum does not fit, so it is cut: nothing of it counts.
            Tail::Torn => {
                self.coverage.struck(FaultKind::TornBlock);
                self.journal.drop_unsynced();
            }
            Tail::Kept => {
                if let Err(NotAppended::Refused(why)) = self.journal.sync() {
                    self.broken(why);
                }
            }
        }
    }

    /// An input for a lane, with the PIN block of an approval.
    pub(crate) fn put(&mut self, atm: AtmNo, input: Input, pin_block: Option<PinBlock>) {
        let Some(slot) = self.gateway.slot(atm) else { return };
        slot.inbox.push_back((input, pin_block));
        self.work(atm);
    }

    /// Takes inputs one after the other, as long as nothing has to be waited for.
    pub(crate) fn work(&mut self, atm: AtmNo) {
        let now = Timestamp::from_unix_ms(self.now);
        while self.gateway.up {
            let Some(slot) = self.gateway.slot(atm) else { return };
            if slot.waiting.is_some() || slot.is_reading {
                return;
            }
            if self.is_replicated() && (!self.may_act() || self.reads_entries(atm)) {
                return;
            }
            let Some(slot) = self.gateway.slot(atm) else { return };
            let Some((input, pin_block)) = slot.inbox.pop_front() else { break };
            let intent = slot.attendant.take(input, pin_block, now);
            if self.is_replicated() {
                self.was_asked(&intent);
                self.tells();
            }
            self.complete(atm, intent);
            self.sends_what_waits();
        }
        self.set_alarm(atm);
    }

    fn set_alarm(&mut self, atm: AtmNo) {
        let (life, now) = (self.gateway.life, self.now);
        let Some(slot) = self.gateway.slot(atm).filter(|slot| slot.waiting.is_none()) else { return };
        let Some(at) = slot.attendant.next_deadline().map(Timestamp::unix_ms) else { return };
        if slot.wakes_at.is_none_or(|known| at < known) {
            let at = at.max(now);
            slot.wakes_at = Some(at);
            self.schedule(at, Event::Wakes { life, atm });
        }
    }

    pub(crate) fn wakes(&mut self, life: u32, atm: AtmNo) {
        if !self.gateway.up || life != self.gateway.life {
            return;
        }
        let now = self.now;
        // An alarm that was set anew does not ring at its old time.
        let Some(slot) = self.gateway.slot(atm).filter(|slot| slot.wakes_at.is_some_and(|at| at <= now)) else {
            return;
        };
        slot.wakes_at = None;
        let due = slot.attendant.next_deadline().is_some_and(|at| at.unix_ms() <= self.now);
        if due && slot.inbox.is_empty() {
            slot.inbox.push_back((Input::TimePassed, None));
        }
        self.work(atm);
    }

    /// What limits hold in reserve, by account.
    pub(crate) fn reserved(&mut self) -> Vec<(u16, u64)> {
        if self.is_replicated() {
            return self.reserved_by_replicas();
        }
        let institution = names::institution();
        let of = |account: u16| (account, self.gateway.limits.open(&institution, &names::account(account)).1);
        (0..self.plan.accounts).map(of).collect()
    }
}
