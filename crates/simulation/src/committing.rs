//! From an intent to the disk and on to its errands: the one rule, with a crash or a failing disk possible at every point of it.

use cashgate_gateway::lanes::{Intent, step_record};
use cashgate_ledger::StepRecord;

use crate::boundary::{AtmNo, What};
use crate::crash_plan::Point;
use crate::event::Event;
use crate::faults::FaultKind;
use crate::journal::{NotAppended, Written};
use crate::world::World;

impl World {
    pub(crate) fn complete(&mut self, atm: AtmNo, intent: Intent) {
        #[cfg(feature = "planted")]
        let intent = self.sends_too_early(atm, intent);
        if intent.records().is_empty() {
            return self.carry_out(atm, intent);
        }
        let names = || intent.records().iter().map(|record| record.name()).collect::<Vec<_>>().join(", ");
        if self.crash_plan.passes(Point::BeforeWrite, names) || self.strikes(FaultKind::GatewayCrash, 0).is_some() {
            return self.gateway_dies("before a write", 3_000);
        }
        if self.is_replicated() {
            return self.commit(atm, intent);
        }
        let steps: Vec<StepRecord> = intent.records().iter().map(step_record).collect();
        if let Some(slot) = self.gateway.slot(atm) {
            slot.waiting = Some(intent);
        }
        self.gateway.queued.push((atm, steps));
        if self.gateway.committing.is_empty() {
            self.write_group();
        } else {
            self.note(|| format!("A{atm}: records wait for the group that is being synced"));
        }
    }

    #[cfg(feature = "planted")]
    fn sends_too_early(&mut self, atm: AtmNo, mut intent: Intent) -> Intent {
        let early = self.gateway.slot(atm).map(|slot| slot.attendant.too_early(&mut intent)).unwrap_or_default();
        for errand in early {
            self.run_errand(atm, errand);
        }
        intent
    }

    /// All that waits goes to the disk together.
    fn write_group(&mut self) {
        let queued = std::mem::take(&mut self.gateway.queued);
        if queued.is_empty() {
            return;
        }
        self.gateway.committing = queued.iter().map(|(atm, _)| *atm).collect();
        let group: Vec<StepRecord> = queued.into_iter().flat_map(|(_, steps)| steps).collect();
        let life = self.gateway.life;
        match self.journal.write(group) {
            Written::Ample => {}
            Written::Reserve => {
                self.gateway.desk.ledger_has_room(false);
                self.coverage.reserve_used += 1;
                self.after(10_000, Event::LooksForSpace { life });
            }
            Written::NoRoom => return self.gateway_dies("the disk is full and the reserve used up", 60_000),
        }
        self.after(1, Event::Written { life });
    }

    pub(crate) fn looks_for_space(&mut self, life: u32) {
        if !self.gateway.up || life != self.gateway.life {
            return;
        }
        self.gateway.desk.ledger_has_room(!self.journal.full);
        if self.journal.full {
            self.after(10_000, Event::LooksForSpace { life });
        }
    }

    pub(crate) fn written(&mut self, life: u32) {
        if !self.gateway.up || life != self.gateway.life {
            return;
        }
        if self.crash_plan.passes(Point::Written, String::new) || self.strikes(FaultKind::GatewayCrash, 1).is_some() {
            return self.gateway_dies("between a write and its sync", 3_000);
        }
        let slow = self.strikes(FaultKind::SlowSync, 0).map_or(0, |mut chance| chance.between(500, 20_000));
        self.after(1 + slow, Event::Synced { life });
    }

    pub(crate) fn synced(&mut self, life: u32) {
        if !self.gateway.up || life != self.gateway.life {
            return;
        }
        if self.strikes(FaultKind::SyncFails, 0).is_some() {
            // Whether the pages are there is not known; here they are not. The process must not try again.
            self.journal.drop_unsynced();
            return self.gateway_dies("a sync failed", 3_000);
        }
        match self.journal.sync() {
            Ok(()) => {}
            Err(NotAppended::Damaged(why)) => return self.gateway_dies(&why, 3_000),
            Err(NotAppended::Refused(why)) => return self.broken(format!("the ledger refuses a step: {why}")),
        }
        if self.crash_plan.passes(Point::Synced, String::new) || self.strikes(FaultKind::GatewayCrash, 2).is_some() {
            return self.gateway_dies("after a sync", 3_000);
        }
        let committed = std::mem::take(&mut self.gateway.committing);
        self.write_group();
        for atm in committed {
            let Some(intent) = self.gateway.slot(atm).and_then(|slot| slot.waiting.take()) else { continue };
            self.shows(atm, &intent);
            self.carry_out(atm, intent);
            self.work(atm);
        }
    }

    /// The feed shows what has become durable.
    pub(crate) fn shows(&mut self, atm: AtmNo, intent: &Intent) {
        for record in intent.records() {
            let (id, state) = (record.after.terms.withdrawal, record.after.state.name());
            let before = self.gateway.slot(atm).and_then(|slot| slot.states.insert(id, state)).unwrap_or("none");
            self.coverage.stepped(before, record.name(), state);
            let reason = record.after.state.reason().unwrap_or_default().to_owned();
            self.note(|| format!("   {id} {} -> {state} {reason}", record.name()));
            let book = crate::books::book(&record.after);
            self.crosses(What::Shown { book });
        }
    }
}
