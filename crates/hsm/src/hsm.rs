//! The handle that the gateway holds.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::backend::Pkcs11Module;
use crate::batcher::Batcher;
use crate::config::{HsmConfig, HsmSlot};
use crate::error::{HsmError, HsmModuleError, HsmOpenError};
use crate::job::{MacJob, MacWanted, OrderJob};
use crate::keeper::{Keeper, KeeperSettings, KeyCommand, Report};
use crate::queue::Queue;
use crate::signing_key::SigningPublicKey;
use crate::state::{Board, HsmState, SlotStatus};
use crate::workshop::{HsmStats, Workshop};

/// How long opening waits for the first attempt; it goes on behind the scenes after that.
const OPENING_PATIENCE: Duration = Duration::from_secs(20);

/// How long closing waits beyond two call deadlines for a worker that is still inside the HSM.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// Open HSMs: one queue before all slots, kept alive by a thread for each PKCS#11 module. Cheap to clone; all clones are one.
pub struct Hsm<B: Batcher> {
    open: Arc<OpenHsm<B>>,
}

impl<B: Batcher> Clone for Hsm<B> {
    fn clone(&self) -> Self {
        Self { open: Arc::clone(&self.open) }
    }
}

/// A signing key as it was found in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotKey {
    /// The slot's HSM token.
    pub token_label: String,
    /// The key's public half, or one line that says why there is none.
    pub key: Result<SigningPublicKey, String>,
}

impl<B: Batcher> Hsm<B> {
    /// Loads the modules, logs in, finds the keys and starts the workers. An HSM that does not answer, a PIN that is refused and a key that
    /// is missing are no errors: the state says so, and it is tried again until it works (a PIN not before it changes).
    ///
    /// Blocks until every module was tried once, 20 seconds at most.
    ///
    /// # Errors
    /// What no waiting cures: figures out of range, a module that is not there or open already, no thread. Nothing stays open then.
    pub fn open(config: HsmConfig, batcher: B) -> Result<Self, HsmOpenError> {
        config.check()?;
        let labels = config.slots.iter().map(|slot| slot.token_label.clone());
        let board = Board::new(labels, config.workers);
        let workers = config.workers * config.slots.len();
        let queue = Queue::new(config.queue, config.batch_max, workers);
        let workshop = Arc::new(Workshop::new(queue, board, batcher, config.batch_max, config.signing_key_label));
        let settings = KeeperSettings {
            workers: config.workers,
            call_deadline: config.call_deadline,
            retry_first: config.retry_first,
            retry_max: config.retry_max,
        };
        let (opened, first_attempts) = mpsc::channel();
        let mut keepers = Vec::new();
        for (module, slots) in by_module(config.slots) {
            keepers
                .push(start_keeper(module, slots, &workshop, settings, opened.clone()).map_err(HsmOpenError::Thread)?);
        }
        let count = keepers.len();
        let open = OpenHsm {
            workshop,
            patience: config.patience,
            close_patience: config.call_deadline.saturating_mul(2).saturating_add(CLOSE_PATIENCE),
            keepers: Mutex::new(keepers),
        };
        for _ in 0..count {
            match first_attempts.recv_timeout(OPENING_PATIENCE) {
                Ok(Err(error @ (HsmModuleError::CannotLoad { .. } | HsmModuleError::AlreadyOpen { .. }))) => {
                    return Err(error.into());
                }
                Ok(_) => {}
                Err(_) => tracing::error!("an HSM takes long to open; the gateway goes on without it for now"),
            }
        }
        Ok(Self { open: Arc::new(open) })
    }

    /// Has an order signed, alone or together with others.
    ///
    /// Needs a tokio runtime with time enabled.
    ///
    /// # Errors
    /// [`HsmError`].
    pub async fn sign(&self, order: B::Order) -> Result<B::Signed, HsmError> {
        self.open.ask(|queue, reply| queue.put_order(OrderJob { order, reply, failures: 0 })).await
    }

    /// HMAC-SHA256 (FIPS 198-1) over a message, made in the HSM with the secret key of this label.
    ///
    /// # Errors
    /// [`HsmError`]; [`HsmError::MacKey`] if the key is missing or not one to use.
    pub async fn mac(&self, key_label: &str, message: Vec<u8>) -> Result<[u8; 32], HsmError> {
        let key_label = key_label.to_owned();
        let job = |reply| MacJob { key_label, message, wanted: MacWanted::Made(reply), failures: 0 };
        self.open.ask(|queue, reply| queue.put_mac(job(reply))).await
    }

    /// Whether an HMAC-SHA256 is right, compared inside the HSM.
    ///
    /// # Errors
    /// As [`Hsm::mac`].
    pub async fn mac_is_right(&self, key_label: &str, message: Vec<u8>, mac: [u8; 32]) -> Result<bool, HsmError> {
        let key_label = key_label.to_owned();
        let job = |reply| MacJob { key_label, message, wanted: MacWanted::Verified { mac, reply }, failures: 0 };
        self.open.ask(|queue, reply| queue.put_mac(job(reply))).await
    }

    /// The label of the key that signs now.
    #[must_use]
    pub fn signing_key_label(&self) -> String {
        self.open.workshop.signing_key_label()
    }

    /// Signs with another key from now on, without a pause: what is inside the HSM is still signed with the old one. A slot that does not
    /// have the key is lost until it does, so look with [`Hsm::find_key`] first.
    pub fn sign_with(&self, label: &str) {
        self.open.workshop.sign_with(label);
    }

    /// The signing key with a label, in each slot. Slots may hold copies of one key or keys of their own.
    ///
    /// # Errors
    /// [`HsmError::TimedOut`] if an HSM does not answer.
    pub async fn find_key(&self, label: &str) -> Result<Vec<SlotKey>, HsmError> {
        self.open.key(label, false).await
    }

    /// As [`Hsm::find_key`], but makes the key in each slot that answers and does not have it.
    ///
    /// # Errors
    /// As [`Hsm::find_key`].
    pub async fn create_key(&self, label: &str) -> Result<Vec<SlotKey>, HsmError> {
        self.open.key(label, true).await
    }

    /// How the HSMs are.
    #[must_use]
    pub fn state(&self) -> HsmState {
        self.open.workshop.board.overall()
    }

    /// How each slot is, in the order of the configuration.
    #[must_use]
    pub fn slots(&self) -> Vec<SlotStatus> {
        self.open.workshop.board.statuses()
    }

    /// Hears of every change of [`Hsm::state`].
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<HsmState> {
        self.open.workshop.board.subscribe()
    }

    /// What signs, as it was given to [`Hsm::open`].
    #[must_use]
    pub fn batcher(&self) -> &B {
        &self.open.workshop.batcher
    }

    /// Calls that wait for a worker now: 0 to the configured queue.
    #[must_use]
    pub fn queue_depth(&self) -> usize {
        self.open.workshop.queue.depth()
    }

    /// Counts for metrics.
    #[must_use]
    pub fn stats(&self) -> HsmStats {
        self.open.workshop.counters.read()
    }

    /// Answers what is queued, ends the workers, closes their HSM sessions and finalises the modules. Other clones then get
    /// [`HsmError::Closed`], and the HSMs can be opened again.
    ///
    /// Call it before the process exits: modules such as SoftHSM can crash on the way out otherwise. Dropping the last clone does
    /// the same. Blocks, for two call deadlines plus five seconds at most; an HSM that hangs longer is left as it is, with a log line.
    pub fn close(self) {
        self.open.close();
    }
}

struct OpenHsm<B: Batcher> {
    workshop: Arc<Workshop<B>>,
    patience: Duration,
    close_patience: Duration,
    keepers: Mutex<Vec<KeeperThread>>,
}

struct KeeperThread {
    to_keeper: Sender<Report>,
    thread: JoinHandle<()>,
    /// Never brings anything: it hangs up when the keeper has ended.
    ended: mpsc::Receiver<()>,
}

impl<B: Batcher> OpenHsm<B> {
    async fn ask<T>(
        &self,
        put: impl FnOnce(&Queue<B>, oneshot::Sender<Result<T, HsmError>>) -> Result<(), HsmError>,
    ) -> Result<T, HsmError> {
        let (reply, answer) = oneshot::channel();
        put(&self.workshop.queue, reply).inspect_err(|_| self.workshop.counters.refused())?;
        match tokio::time::timeout(self.patience, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_dropped)) => Err(HsmError::Closed),
            Err(_elapsed) => {
                self.workshop.counters.timed_out();
                Err(HsmError::TimedOut)
            }
        }
    }

    async fn key(&self, label: &str, create: bool) -> Result<Vec<SlotKey>, HsmError> {
        let mut answers = Vec::new();
        for keeper in self.keepers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let (reply, answer) = oneshot::channel();
            let command = KeyCommand { label: label.to_owned(), create, reply };
            keeper.to_keeper.send(Report::Key(command)).map_err(|_| HsmError::Closed)?;
            answers.push(answer);
        }
        let mut found = Vec::new();
        for answer in answers {
            // Making a key takes some HSMs seconds.
            let answer = tokio::time::timeout(OPENING_PATIENCE, answer).await.map_err(|_| HsmError::TimedOut)?;
            let slots = answer.map_err(|_| HsmError::Closed)?;
            found.extend(slots.into_iter().map(|(token_label, key)| SlotKey { token_label, key }));
        }
        Ok(found)
    }

    fn close(&self) {
        self.workshop.board.close();
        let keepers = std::mem::take(&mut *self.keepers.lock().unwrap_or_else(PoisonError::into_inner));
        for keeper in &keepers {
            // One that has ended already needs no telling.
            let _ = keeper.to_keeper.send(Report::Close);
        }
        // After the keepers know: they would take workers that end for a failure.
        self.workshop.queue.close();
        for keeper in keepers {
            if let Err(mpsc::RecvTimeoutError::Timeout) = keeper.ended.recv_timeout(self.close_patience) {
                tracing::error!("an HSM call does not return: the PKCS#11 module is left as it is");
            } else if keeper.thread.join().is_err() {
                tracing::error!("an HSM keeper panicked");
            }
        }
        self.workshop.queue.empty();
    }
}

impl<B: Batcher> Drop for OpenHsm<B> {
    fn drop(&mut self) {
        self.close();
    }
}

/// A module's slots with their places in the configuration.
type PlacedSlots = Vec<(usize, HsmSlot)>;

fn by_module(slots: Vec<HsmSlot>) -> BTreeMap<PathBuf, PlacedSlots> {
    let mut modules: BTreeMap<PathBuf, PlacedSlots> = BTreeMap::new();
    for (place, slot) in slots.into_iter().enumerate() {
        modules.entry(slot.module.clone()).or_default().push((place, slot));
    }
    modules
}

fn start_keeper<B: Batcher>(
    module: PathBuf,
    slots: PlacedSlots,
    workshop: &Arc<Workshop<B>>,
    settings: KeeperSettings,
    opened: Sender<Result<(), HsmModuleError>>,
) -> std::io::Result<KeeperThread> {
    let (to_keeper, reports) = mpsc::channel();
    let (running, ended) = mpsc::channel();
    let (places, slots): (Vec<usize>, Vec<HsmSlot>) = slots.into_iter().unzip();
    let backend = Pkcs11Module::new(module, slots);
    let keeper = Keeper::new(backend, &places, Arc::clone(workshop), (to_keeper.clone(), reports), settings, opened);
    let run = move || {
        let _running: Sender<()> = running;
        keeper.run();
    };
    let thread = Builder::new().name("hsm-keeper".to_owned()).spawn(run)?;
    Ok(KeeperThread { to_keeper, thread, ended })
}
