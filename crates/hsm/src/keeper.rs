//! Keeps one PKCS#11 module alive: opens it, watches its workers, and when the HSM fails them cures it without a restart.
//!
//! The cures, from the cheapest: a worker that failed is replaced by one with a new HSM session; a slot whose replacement fails too is taken
//! out, entered again after a pause, and works on with the others meanwhile; a module whose slots are all out is finalised and
//! initialised again. A call that does not return cannot be ended from outside: its worker is given up and replaced, and the
//! module is not finalised before such a call is back, because PKCS#11 leaves undefined what happens then.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::backend::Backend;
use crate::batcher::Batcher;
use crate::error::{HsmModuleError, HsmSlotError};
use crate::kept_slot::{KeptSlot, WorkerId};
use crate::pause::{Beat, Pause};
use crate::signing_key::SigningPublicKey;
use crate::worker::Ended;
use crate::workshop::Workshop;

/// What a keeper hears.
pub(crate) enum Report {
    /// A worker ended; its HSM session is closed.
    Ended { slot: usize, worker: WorkerId, ended: Ended },
    /// Somebody wants to know or make a key.
    Key(KeyCommand),
    /// The process has had enough.
    Close,
}

/// What is asked about keys. The answer has an entry for each slot.
pub(crate) struct KeyCommand {
    pub(crate) label: String,
    /// Whether to make the key where it is missing.
    pub(crate) create: bool,
    pub(crate) reply: oneshot::Sender<KeyAnswers>,
}

/// For each slot its HSM token and the key, or why there is none.
pub(crate) type KeyAnswers = Vec<(String, Result<SigningPublicKey, String>)>;

/// Collects what the slots say, in whatever order, and replies when the last has said it.
#[derive(Clone)]
pub(crate) struct Answers(Arc<Mutex<Collected>>);

struct Collected {
    said: BTreeMap<usize, (String, Result<SigningPublicKey, String>)>,
    slots: usize,
    reply: Option<oneshot::Sender<KeyAnswers>>,
}

impl Answers {
    fn new(slots: usize, reply: oneshot::Sender<KeyAnswers>) -> Self {
        Self(Arc::new(Mutex::new(Collected { said: BTreeMap::new(), slots, reply: Some(reply) })))
    }

    /// What one slot says.
    pub(crate) fn say(&self, slot: usize, token_label: String, key: Result<SigningPublicKey, String>) {
        let mut collected = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        collected.said.insert(slot, (token_label, key));
        if collected.said.len() == collected.slots
            && let Some(reply) = collected.reply.take()
        {
            // Whoever asked may have given up.
            let _ = reply.send(std::mem::take(&mut collected.said).into_values().collect());
        }
    }
}

/// How a keeper works.
#[derive(Clone, Copy)]
pub(crate) struct KeeperSettings {
    pub(crate) workers: usize,
    pub(crate) call_deadline: Duration,
    pub(crate) retry_first: Duration,
    pub(crate) retry_max: Duration,
}

pub(crate) struct Keeper<K: Backend, B: Batcher> {
    backend: K,
    slots: Vec<KeptSlot<B>>,
    workshop: Arc<Workshop<B>>,
    reports: Receiver<Report>,
    settings: KeeperSettings,
    /// Told once how the first attempt went.
    first: Option<Sender<Result<(), HsmModuleError>>>,
}

/// Why watching ended.
enum Watched {
    Closing,
    /// The module has to be opened again. `worked`: it had answered since it was opened.
    Broken {
        worked: bool,
    },
}

impl<K: Backend, B: Batcher> Keeper<K, B> {
    /// A keeper of slots that stand at `places` of the board. `to_keeper` is where its workers report.
    pub(crate) fn new(
        backend: K,
        places: &[usize],
        workshop: Arc<Workshop<B>>,
        (to_keeper, reports): (Sender<Report>, Receiver<Report>),
        settings: KeeperSettings,
        first: Sender<Result<(), HsmModuleError>>,
    ) -> Self {
        let slots = places.iter().enumerate();
        let slots = slots
            .map(|(index, &place)| KeptSlot::new(index, place, Arc::clone(&workshop), to_keeper.clone(), settings))
            .collect();
        Self { backend, slots, workshop, reports, settings, first: Some(first) }
    }

    /// Keeps the module until it is told to close.
    pub(crate) fn run(mut self) {
        let mut pause = Pause::new(self.settings.retry_first, self.settings.retry_max);
        loop {
            let watched = match self.open() {
                Ok(()) => self.watch(),
                Err(()) => Watched::Broken { worked: false },
            };
            let mut closing = matches!(watched, Watched::Closing);
            if matches!(watched, Watched::Broken { worked: true }) {
                pause.reset();
            }
            closing |= self.quiesce(closing);
            if self.is_quiet() {
                self.backend.finish();
            } else {
                // Finalising while a call runs is undefined in PKCS#11, so the module stays initialised and claimed.
                tracing::error!("an HSM call does not return: the PKCS#11 module is not finalised");
                self.backend.forget();
            }
            if closing || self.rest(pause.next()) {
                return;
            }
            self.workshop.counters.reopened();
        }
    }

    /// Opens the module and enters its slots, one at least. How they are is public before the first attempt counts as made.
    fn open(&mut self) -> Result<(), ()> {
        let started = self.backend.start();
        let opened = match &started {
            Err(error) => Err(self.say_of_all(error.to_string())),
            Ok(()) => self.enter_all(),
        };
        if let Err(reason) = &opened {
            self.lost(reason);
        }
        if let Some(first) = self.first.take() {
            // Nobody listens any more if opening took longer than the caller was patient.
            let _ = first.send(started);
        }
        opened.map_err(drop)
    }

    /// Enters every slot; one is enough.
    fn enter_all(&mut self) -> Result<(), String> {
        let mut reasons = Vec::new();
        for slot in &mut self.slots {
            if let Err(error) = slot.enter(&mut self.backend) {
                reasons.push(error.to_string());
            }
        }
        if self.slots.iter().any(KeptSlot::is_in) {
            self.publish();
            return Ok(());
        }
        Err(reasons.join("; "))
    }

    /// Watches over the workers until the module has to be opened again or closed.
    fn watch(&mut self) -> Watched {
        let mut beat = Beat::new(self.tick());
        loop {
            let mut reopen = false;
            match self.reports.recv_timeout(beat.wait()) {
                Ok(Report::Ended { slot, worker, ended }) => self.worker_ended(slot, worker, &ended),
                Ok(Report::Key(command)) => self.obey(command),
                Ok(Report::Close) | Err(RecvTimeoutError::Disconnected) => return Watched::Closing,
                Err(RecvTimeoutError::Timeout) => {}
            }
            // Not only when nothing else happens: workers that fail without end must not hide one that is stuck.
            if beat.is_due() {
                for slot in &mut self.slots {
                    slot.replace_stuck_workers(&self.backend);
                    reopen |= slot.enter_again(&mut self.backend) == Err(NeedsReopening);
                }
            }
            self.publish();
            let works = self.slots.iter().any(KeptSlot::is_in);
            // While a call is inside the module it cannot be opened anew: slots are entered again beside it.
            let is_stuck = self.slots.iter().any(|slot| slot.stuck() > 0);
            if !works && is_stuck {
                self.lost(&self.say_of_all(self.stuck_calls()));
            }
            if (reopen || !works) && !is_stuck {
                // Slots that work must not wait for the one that the module is opened again for.
                return Watched::Broken { worked: works || self.slots.iter().any(KeptSlot::has_worked) };
            }
        }
    }

    fn worker_ended(&mut self, slot: usize, worker: WorkerId, ended: &Ended) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.worker_ended(worker, ended, &self.backend);
        }
    }

    /// Has each slot that works look for a key, on a thread of its own: the keeper has to go on watching if that call hangs.
    fn obey(&mut self, command: KeyCommand) {
        let KeyCommand { label, create, reply } = command;
        let answers = Answers::new(self.slots.len(), reply);
        for slot in &mut self.slots {
            slot.look_for_key(&label, create, answers.clone(), &self.backend);
        }
    }

    /// Has all workers end and waits for them, for one call's time; then for those that are stuck for as long as it takes, unless
    /// the process is closing. Gives back whether it was told to close meanwhile.
    fn quiesce(&mut self, mut closing: bool) -> bool {
        for slot in &mut self.slots {
            slot.dismiss(closing);
        }
        self.publish();
        // On closing, workers first do what waits.
        let patience = 2 * TICKS_PER_DEADLINE;
        let (mut beat, mut ticks) = (Beat::new(self.tick()), 0);
        while !self.is_quiet() {
            match self.reports.recv_timeout(beat.wait()) {
                Ok(Report::Ended { slot, worker, .. }) => {
                    if let Some(slot) = self.slots.get_mut(slot) {
                        slot.forget(worker);
                    }
                }
                Ok(Report::Key(command)) => self.obey(command),
                Ok(Report::Close) | Err(RecvTimeoutError::Disconnected) => closing = true,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if beat.is_due() {
                ticks += 1;
                for slot in &mut self.slots {
                    slot.give_up_stuck_workers();
                }
                if ticks == patience {
                    self.lost(&self.say_of_all(self.stuck_calls()));
                }
            }
            if closing && ticks >= patience {
                break;
            }
        }
        closing
    }

    /// Puts a reason that concerns every slot on the board, and gives it back.
    fn say_of_all(&self, reason: String) -> String {
        for slot in &self.slots {
            slot.publish(Some(reason.clone()));
        }
        reason
    }

    fn stuck_calls(&self) -> String {
        let stuck: usize = self.slots.iter().map(KeptSlot::stuck).sum();
        format!(
            "{stuck} PKCS#11 calls do not return; the slots are tried again beside them, the module is opened anew when they do, and if \
             neither helps the gateway must be restarted"
        )
    }

    fn is_quiet(&self) -> bool {
        self.slots.iter().all(|slot| slot.threads() == 0)
    }

    /// Waits before the next attempt. Gives back whether it was told to close meanwhile.
    fn rest(&mut self, pause: Duration) -> bool {
        let mut over = Beat::new(pause);
        loop {
            match self.reports.recv_timeout(over.wait()) {
                Ok(Report::Key(command)) => self.obey(command),
                Ok(Report::Close) | Err(RecvTimeoutError::Disconnected) => return true,
                Ok(Report::Ended { .. }) | Err(RecvTimeoutError::Timeout) => {}
            }
            if over.is_due() {
                return false;
            }
        }
    }

    /// Nothing of this module works. If no other module does either, callers hear of it at once from now on.
    fn lost(&self, reason: &str) {
        if self.workshop.board.workers() == 0 {
            self.workshop.queue.lose(reason);
        }
    }

    fn publish(&self) {
        // First: whoever reads that it works and asks at once must not be refused.
        if self.slots.iter().any(KeptSlot::is_in) {
            self.workshop.queue.open();
        }
        for slot in &self.slots {
            slot.publish(None);
        }
        self.workshop.queue.workers_are(self.workshop.board.workers());
    }

    fn tick(&self) -> Duration {
        self.settings.call_deadline / TICKS_PER_DEADLINE
    }
}

/// A keeper looks so often within the time that one call may take.
pub(crate) const TICKS_PER_DEADLINE: u32 = 8;

/// Entering a slot again did not help often enough: perhaps a fresh module does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NeedsReopening;

/// Whether a module that is finalised and initialised again may cure this.
pub(crate) fn reopening_may_cure(error: &HsmSlotError) -> bool {
    use crate::error::{HsmKeyError, HsmTokenError};
    matches!(
        error,
        HsmSlotError::Token(HsmTokenError::Missing { .. } | HsmTokenError::Device { .. })
            | HsmSlotError::Key(HsmKeyError::Missing { .. } | HsmKeyError::Device { .. })
    )
}
