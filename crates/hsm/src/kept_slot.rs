//! One slot under its keeper: its workers, those that are stuck, and when to enter it again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::thread::Builder;

use crate::backend::Backend;
use crate::batcher::Batcher;
use crate::card::Card;
use crate::error::{HsmError, HsmSlotError};
use crate::keeper::{Answers, KeeperSettings, NeedsReopening, Report, TICKS_PER_DEADLINE, reopening_may_cure};
use crate::pause::Pause;
use crate::worker::{Ended, Failure, Worker};
use crate::workshop::Workshop;

/// Numbers the workers of a slot.
pub(crate) type WorkerId = u64;

/// Replacements that may fail one after the other without having done anything, before the slot is taken out.
const REPLACEMENTS_MAX: u32 = 2;

/// How long it takes before a worker that was one too many for the HSM is tried again: four call deadlines.
const HOLD_OFF_TICKS: u32 = 4 * TICKS_PER_DEADLINE;

const STUCK: &str = "a PKCS#11 call did not return within hsm.call_deadline_ms";

/// After this many vain attempts to enter a slot its module is opened anew, and again after twice as many, and so on: the others pause for it.
const ENTRIES_BEFORE_REOPENING: u32 = 4;

pub(crate) struct KeptSlot<B: Batcher> {
    /// Among the slots of its module.
    index: usize,
    /// On the board.
    place: usize,
    workshop: Arc<Workshop<B>>,
    to_keeper: Sender<Report>,
    settings: KeeperSettings,
    /// Workers that take work.
    workers: BTreeMap<WorkerId, Watched<B>>,
    /// Workers that were told to end and have not yet; some are stuck in a call.
    leaving: BTreeMap<WorkerId, Leaving<B>>,
    next_worker: WorkerId,
    /// Replacements in a row that did nothing.
    vain: u32,
    /// Ticks until a worker that was one too many is tried again.
    hold_off: u32,
    has_worked: bool,
    out: Option<Out>,
    pause: Pause,
}

struct Watched<B: Batcher> {
    card: Arc<Card<B>>,
    /// The call that it was last seen in, and how often in a row.
    seen: Option<(u64, u32)>,
}

impl<B: Batcher> Watched<B> {
    /// To be asked once a tick: whether it has been in one call for as long as a call may take.
    fn is_stuck(&mut self) -> bool {
        self.seen = self.card.call_under_way().map(|call| match self.seen {
            Some((seen, times)) if seen == call => (call, times + 1),
            _ => (call, 0),
        });
        self.seen.is_some_and(|(_, times)| times >= TICKS_PER_DEADLINE)
    }
}

enum Leaving<B: Batcher> {
    Told(Watched<B>),
    Stuck,
}

/// Why a slot takes no work, and how many ticks until it is entered again.
struct Out {
    reason: String,
    ticks: u32,
}

impl<B: Batcher> KeptSlot<B> {
    pub(crate) fn new(
        index: usize,
        place: usize,
        workshop: Arc<Workshop<B>>,
        to_keeper: Sender<Report>,
        settings: KeeperSettings,
    ) -> Self {
        Self {
            index,
            place,
            workshop,
            to_keeper,
            settings,
            workers: BTreeMap::new(),
            leaving: BTreeMap::new(),
            next_worker: 0,
            vain: 0,
            hold_off: 0,
            has_worked: false,
            out: None,
            pause: Pause::new(settings.retry_first, settings.retry_max),
        }
    }

    pub(crate) fn token_label(&self) -> String {
        self.workshop.board.statuses().get(self.place).map(|slot| slot.token_label.clone()).unwrap_or_default()
    }

    /// Whether it takes work.
    pub(crate) fn is_in(&self) -> bool {
        !self.workers.is_empty()
    }

    /// Whether the HSM answered a worker since the slot was entered.
    pub(crate) fn has_worked(&self) -> bool {
        self.has_worked || self.workers.values().any(|worker| worker.card.was_answered())
    }

    /// Threads that may be inside the module.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + self.leaving.len()
    }

    /// Enters the slot and starts its workers.
    pub(crate) fn enter(&mut self, backend: &mut impl Backend) -> Result<(), HsmSlotError> {
        self.has_worked = false;
        if let Err(error) = backend.enter(self.index, &self.workshop.signing_key_label()) {
            backend.leave(self.index);
            self.publish(Some(error.to_string()));
            self.out_for_a_while(error.to_string());
            return Err(error);
        }
        (self.out, self.vain, self.hold_off) = (None, 0, 0);
        self.start_missing_workers(backend);
        Ok(())
    }

    /// Enters a slot that is out, when its pause is over.
    pub(crate) fn enter_again(&mut self, backend: &mut impl Backend) -> Result<(), NeedsReopening> {
        // Those that were told come back first. Those that are stuck may never: others work beside them, in HSM sessions of their own.
        let may_start = self.leaving.len() == self.stuck() && self.has_room();
        match &mut self.out {
            None => return Ok(()),
            Some(out) if out.ticks > 0 => {
                out.ticks -= 1;
                return Ok(());
            }
            Some(_) if !may_start => return Ok(()),
            Some(_) => {}
        }
        match self.enter(backend) {
            Err(error) if reopening_may_cure(&error) => {
                let attempts = self.pause.attempts();
                let is_due = attempts >= ENTRIES_BEFORE_REOPENING && attempts.is_power_of_two();
                if is_due { Err(NeedsReopening) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    fn out_for_a_while(&mut self, reason: String) {
        let tick = self.settings.call_deadline / TICKS_PER_DEADLINE;
        let ticks = self.pause.next().as_micros() / tick.as_micros().max(1);
        self.out = Some(Out { reason, ticks: u32::try_from(ticks).unwrap_or(u32::MAX) });
    }

    /// Takes the slot out: its workers end when they are back from the HSM.
    fn take_out(&mut self, reason: String) {
        if self.has_worked() {
            self.pause.reset();
        }
        tracing::warn!(token = self.token_label(), reason, "the HSM slot is taken out");
        self.dismiss(false);
        self.out_for_a_while(reason);
    }

    /// Has all workers end; those that are `finishing` may first do what waits.
    ///
    /// Asks nothing of the HSM, which may not answer: the login is let go of when the slot is entered again or the module finished.
    pub(crate) fn dismiss(&mut self, finishing: bool) {
        for (id, worker) in std::mem::take(&mut self.workers) {
            self.has_worked |= worker.card.was_answered();
            if !finishing {
                worker.card.revoke();
            }
            self.leaving.insert(id, Leaving::Told(worker));
        }
        self.workshop.queue.wake_all();
    }

    fn start_worker(&mut self, backend: &impl Backend) {
        let id = self.next_worker;
        self.next_worker += 1;
        let card = Arc::new(Card::new(Arc::clone(self.workshop.key_epoch())));
        let (their_card, workshop, open) = (Arc::clone(&card), Arc::clone(&self.workshop), backend.opener(self.index));
        let report = ReportOnDrop { slot: self.index, worker: id, ended: None, to_keeper: self.to_keeper.clone() };
        let run = move || {
            let mut report = report;
            let epoch = workshop.key_epoch().load(Ordering::Acquire);
            let label = workshop.signing_key_label();
            let opened = their_card.inside(|| open(&label));
            report.ended = Some(match opened {
                Ok(device) => Worker::new(device, epoch, their_card, workshop).run(),
                Err(error) => Ended::Failed(Failure::Opening(error)),
            });
        };
        match Builder::new().name(format!("hsm-{}-{id}", self.place)).spawn(run) {
            Ok(_) => drop(self.workers.insert(id, Watched { card, seen: None })),
            Err(error) => {
                tracing::error!(%error, "no thread for an HSM worker: lower hsm.workers or raise the limit on threads")
            }
        }
    }

    /// Looks for a key on a thread of its own, which is watched like a worker that was told to end.
    pub(crate) fn look_for_key(&mut self, label: &str, create: bool, answers: Answers, backend: &impl Backend) {
        let (index, token_label) = (self.index, self.token_label());
        if !self.is_in() || !self.has_room() {
            return answers.say(index, token_label, Err("the slot is out, or too many of its calls hang".to_owned()));
        }
        let (id, card) = (self.next_worker, Arc::new(Card::new(Arc::clone(self.workshop.key_epoch()))));
        self.next_worker += 1;
        let (label, find, their_card) = (label.to_owned(), backend.key_finder(index), Arc::clone(&card));
        let report =
            ReportOnDrop { slot: index, worker: id, ended: Some(Ended::Told), to_keeper: self.to_keeper.clone() };
        let (their_answers, their_label) = (answers.clone(), token_label.clone());
        let run = move || {
            let found = their_card.inside(|| find(&label, create));
            // Before the answer: whoever asks again at once must not find this thread still counted.
            drop(report);
            their_answers.say(index, their_label, found.map_err(|error| error.to_string()));
        };
        match Builder::new().name(format!("hsm-{}-key", self.place)).spawn(run) {
            Ok(_) => drop(self.leaving.insert(id, Leaving::Told(Watched { card, seen: None }))),
            Err(error) => answers.say(index, token_label, Err(format!("no thread: {error}"))),
        }
    }

    /// Replaces a worker that failed, or takes the slot out.
    pub(crate) fn worker_ended(&mut self, id: WorkerId, ended: &Ended, backend: &impl Backend) {
        self.forget(id);
        let Some(worker) = self.workers.remove(&id) else { return };
        let Ended::Failed(failure) = ended else { return };
        let answered = worker.card.was_answered();
        self.has_worked |= answered;
        self.vain = if answered { 1 } else { self.vain + 1 };
        let reason = failure.to_string();
        if let Failure::Opening(error) = failure {
            if self.is_in() && error.is_session_limit() {
                tracing::warn!(
                    token = self.token_label(),
                    reason,
                    "hsm.workers is more than the HSM allows; the others go on"
                );
                self.hold_off = HOLD_OFF_TICKS;
                return self.publish(Some(reason));
            }
            return self.take_out(reason);
        }
        if self.vain > REPLACEMENTS_MAX {
            return self.take_out(reason);
        }
        tracing::warn!(token = self.token_label(), reason, "an HSM worker failed and is replaced");
        self.publish(Some(reason));
        self.start_worker(backend);
    }

    /// A worker that had been told to end has ended.
    pub(crate) fn forget(&mut self, id: WorkerId) {
        self.leaving.remove(&id);
    }

    /// Gives up workers whose call takes too long, and starts others in their place.
    pub(crate) fn replace_stuck_workers(&mut self, backend: &impl Backend) {
        self.give_up_stuck_workers();
        self.hold_off = self.hold_off.saturating_sub(1);
        if self.out.is_none() && self.hold_off == 0 {
            // Also those that could not be started before, because too many were stuck.
            self.start_missing_workers(backend);
        }
        if self.out.is_none() && !self.is_in() {
            self.take_out(STUCK.to_owned());
        }
    }

    fn start_missing_workers(&mut self, backend: &impl Backend) {
        while self.workers.len() < self.settings.workers && self.has_room() {
            let before = self.workers.len();
            self.start_worker(backend);
            if self.workers.len() == before {
                return;
            }
        }
    }

    /// Whether another thread may be started: no more than as many again, since each stuck one keeps a thread and an HSM session.
    fn has_room(&self) -> bool {
        self.threads() < 2 * self.settings.workers
    }

    /// Gives up workers whose call takes too long, also of those that were told to end; what they held goes to others.
    pub(crate) fn give_up_stuck_workers(&mut self) {
        let working = self.workers.iter_mut().filter_map(|(&id, worker)| worker.is_stuck().then_some(id));
        let told = self.leaving.iter_mut().filter_map(|(&id, leaving)| match leaving {
            Leaving::Told(worker) => worker.is_stuck().then_some(id),
            Leaving::Stuck => None,
        });
        let stuck: Vec<WorkerId> = working.chain(told).collect();
        for id in stuck {
            let told = self.leaving.insert(id, Leaving::Stuck);
            let worker = match told {
                Some(Leaving::Told(worker)) => Some(worker),
                _ => self.workers.remove(&id),
            };
            if let Some(worker) = worker {
                self.give_up(&worker);
            }
        }
    }

    fn give_up(&mut self, worker: &Watched<B>) {
        self.has_worked |= worker.card.was_answered();
        worker.card.revoke();
        if let Some(work) = worker.card.take_work() {
            self.workshop.queue.put_back(work, || HsmError::TimedOut);
        }
        self.workshop.counters.stuck();
        tracing::error!(token = self.token_label(), "{STUCK}: its worker is given up");
        self.publish(Some(STUCK.to_owned()));
    }

    /// Workers whose call does not return.
    pub(crate) fn stuck(&self) -> usize {
        self.leaving.values().filter(|leaving| matches!(leaving, Leaving::Stuck)).count()
    }

    /// Puts how it is on the board. `reason` is what was wrong last.
    pub(crate) fn publish(&self, reason: Option<String>) {
        let reason = reason.or_else(|| self.out.as_ref().map(|out| out.reason.clone()));
        let counts = (self.workers.len(), self.signers(), self.stuck());
        self.workshop.board.slot_is(self.place, counts, reason);
    }

    /// Workers whose key may sign, and those that have not found their key yet.
    fn signers(&self) -> usize {
        let may_sign = |worker: &&Watched<B>| worker.card.key().is_none_or(|key| self.workshop.batcher.may_sign(&key));
        self.workers.values().filter(may_sign).count()
    }
}

/// Reports the end of a worker even if it panics.
struct ReportOnDrop {
    slot: usize,
    worker: WorkerId,
    ended: Option<Ended>,
    to_keeper: Sender<Report>,
}

impl Drop for ReportOnDrop {
    fn drop(&mut self) {
        let ended = self.ended.take().unwrap_or(Ended::Failed(Failure::Panicked));
        // The keeper is gone only if it did not wait for a stuck worker, this one.
        let _ = self.to_keeper.send(Report::Ended { slot: self.slot, worker: self.worker, ended });
    }
}
