//! ATMs: each a stream of its own over mTLS, with a certificate of its own. A customer takes one and gives it back.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cashgate_fleet::atm::{self, AtmError, Book, Command, Installation, Notes, Plan, ScreenEvent};
use cashgate_fleet::place::Place;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::Endpoint;

use crate::recording::{Recorder, Step};

/// More notes of each kind than the longest run pays out.
const FILLED: [Notes; 2] =
    [Notes { denomination: 10_000, count: 1_000_000 }, Notes { denomination: 1_000, count: 1_000_000 }];
/// Commands that may wait for a machine.
const COMMANDS_MAX: usize = 8;
/// ATMs that dial for the first time in one second; a storm is a scenario of its own.
const FIRST_DIALS_A_SECOND: u32 = 400;

/// Something that a machine showed, and when.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) at: Instant,
    pub(crate) event: ScreenEvent,
}

/// A machine as a customer has it in front of him.
#[derive(Debug)]
pub(crate) struct Machine {
    commands: mpsc::Sender<Command>,
    screen: mpsc::UnboundedReceiver<Shown>,
    connected: bool,
}

/// All of them.
pub(crate) struct Machines {
    idle: Mutex<VecDeque<Machine>>,
    free: Semaphore,
    commands: Vec<mpsc::Sender<Command>>,
    lines: Arc<Lines>,
    running: tokio::sync::Mutex<JoinSet<(String, Result<Book, AtmError>)>>,
}

/// What all ATMs have in common.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) present: Duration,
    pub(crate) point: Place,
    /// The folder of the machines' records, or none if they keep them in memory.
    pub(crate) records: Option<PathBuf>,
}

/// How many lines are open, and a clock for each that is not.
#[derive(Debug)]
struct Lines {
    open: AtomicU64,
    /// Set once the load begins; first connections are not what is measured.
    recorder: std::sync::OnceLock<Arc<Recorder>>,
}

impl Machines {
    /// Switches ATMs on, some hundred a second.
    pub(crate) fn switch_on(atms: Vec<(String, Endpoint)>, model: &Model) -> Self {
        let lines = Arc::new(Lines { open: AtomicU64::new(0), recorder: std::sync::OnceLock::new() });
        let (mut idle, mut all, mut running) = (VecDeque::new(), Vec::new(), JoinSet::new());
        let pause = Duration::from_secs(1) / FIRST_DIALS_A_SECOND;
        let mut first_dial = Duration::ZERO;
        for (id, gateway) in atms {
            let (commands, orders) = mpsc::channel(COMMANDS_MAX);
            let (show, screen) = mpsc::unbounded_channel();
            let (plan, record) = (plan(&id, model), model.records.as_ref().map(|folder| folder.join(&id)));
            let lines = Arc::clone(&lines);
            running.spawn(async move {
                tokio::time::sleep(first_dial).await;
                let (raw, events) = mpsc::unbounded_channel();
                let standing = stand(plan, gateway, record, orders, raw);
                let (ended, ()) = tokio::join!(standing, lines.watch(events, show));
                (id, ended)
            });
            all.push(commands.clone());
            idle.push_back(Machine { commands, screen, connected: false });
            first_dial += pause;
        }
        let free = Semaphore::new(idle.len());
        Self { idle: Mutex::new(idle), free, commands: all, lines, running: tokio::sync::Mutex::new(running) }
    }

    /// How many lines are open.
    pub(crate) fn connected(&self) -> u64 {
        self.lines.open.load(Ordering::Relaxed)
    }

    /// How many machines nobody stands at.
    pub(crate) fn idle(&self) -> usize {
        self.free.available_permits()
    }

    pub(crate) fn count(&self) -> usize {
        self.commands.len()
    }

    /// From now on lost lines are timed.
    pub(crate) fn time_lines(&self, recorder: Arc<Recorder>) {
        // Set once a run; a second one would change nothing.
        let _ = self.lines.recorder.set(recorder);
    }

    /// The machine that has been free for longest; nothing if none is until the deadline.
    pub(crate) async fn take(&self, deadline: Instant) -> Option<Machine> {
        let permit = tokio::time::timeout_at(deadline, self.free.acquire()).await.ok()?.ok()?;
        permit.forget();
        let machine = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        machine.map(|mut machine| {
            machine.catch_up();
            machine
        })
    }

    pub(crate) fn give_back(&self, machine: Machine) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push_back(machine);
        self.free.add_permits(1);
    }

    /// Has every machine hang up and dial again.
    pub(crate) async fn reconnect_all(&self) {
        for commands in &self.commands {
            // A machine that has ended is noticed at the end.
            let _ = commands.send(Command::Disconnect).await;
            let _ = commands.send(Command::Connect).await;
        }
    }

    /// Switches all of them off and gives their books by ATM.
    pub(crate) async fn switch_off(&self) -> Result<Vec<(String, Book)>, (String, AtmError)> {
        for commands in &self.commands {
            let _ = commands.send(Command::Quit).await;
        }
        let mut books = Vec::new();
        let mut running = self.running.lock().await;
        while let Some(ended) = running.join_next().await {
            // A task that panicked has said so; its machine's book is missing, and the books will not balance.
            let Ok((id, ended)) = ended else { continue };
            match ended {
                Ok(book) => books.push((id, book)),
                Err(error) => return Err((id, error)),
            }
        }
        books.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(books)
    }
}

impl Machine {
    pub(crate) const fn connected(&self) -> bool {
        self.connected
    }

    /// Tells the machine what somebody does in front of it.
    pub(crate) async fn tell(&self, command: Command) {
        // A machine that has ended shows nothing any more, which the customer notices.
        let _ = self.commands.send(command).await;
    }

    /// What it shows next; nothing if that is not before the deadline.
    pub(crate) async fn shown(&mut self, deadline: Instant) -> Option<Shown> {
        let shown = tokio::time::timeout_at(deadline, self.screen.recv()).await.ok()??;
        self.note(&shown.event);
        Some(shown)
    }

    /// Lets pass what it showed while nobody looked.
    pub(crate) fn catch_up(&mut self) {
        while let Ok(shown) = self.screen.try_recv() {
            self.note(&shown.event);
        }
    }

    const fn note(&mut self, event: &ScreenEvent) {
        match event {
            ScreenEvent::Connected { .. } => self.connected = true,
            ScreenEvent::Disconnected { .. } | ScreenEvent::Reconnect { .. } => self.connected = false,
            _ => {}
        }
    }
}

impl Lines {
    /// Passes on what a machine shows, with its time, and times its line.
    async fn watch(&self, mut events: mpsc::UnboundedReceiver<ScreenEvent>, show: mpsc::UnboundedSender<Shown>) {
        let mut open = false;
        let mut lost_at = None;
        while let Some(event) = events.recv().await {
            let at = Instant::now();
            match &event {
                ScreenEvent::Connected { .. } => {
                    if !std::mem::replace(&mut open, true) {
                        self.open.fetch_add(1, Ordering::Relaxed);
                    }
                    if let (Some(lost_at), Some(recorder)) = (lost_at.take(), self.recorder.get()) {
                        recorder.took(Step::Connect, lost_at, at.saturating_duration_since(lost_at));
                    }
                }
                ScreenEvent::Disconnected { .. } | ScreenEvent::Reconnect { .. } => {
                    if std::mem::replace(&mut open, false) {
                        self.open.fetch_sub(1, Ordering::Relaxed);
                    }
                    lost_at.get_or_insert(at);
                }
                _ => {}
            }
            // After the run nobody looks any more.
            let _ = show.send(Shown { at, event });
        }
    }
}

async fn stand(
    plan: Plan,
    gateway: Endpoint,
    record: Option<PathBuf>,
    orders: mpsc::Receiver<Command>,
    screen: mpsc::UnboundedSender<ScreenEvent>,
) -> Result<Book, AtmError> {
    let forever = std::future::pending();
    let Some(state_dir) = record else {
        return atm::run_in_memory(plan, gateway, orders, screen, forever).await;
    };
    atm::run(Installation { plan, gateway, state_dir: state_dir.clone() }, orders, screen, forever).await?;
    Ok(Book::of(&read_record(&state_dir).await?))
}

async fn read_record(state_dir: &Path) -> Result<Vec<atm::Fact>, AtmError> {
    let state_dir = state_dir.to_owned();
    Ok(tokio::task::spawn_blocking(move || atm::read_facts(&state_dir)).await??)
}

fn plan(id: &str, model: &Model) -> Plan {
    Plan {
        name: format!("ATM {id}"),
        place: "load test".to_owned(),
        filled: FILLED.to_vec(),
        currency: "JPY".to_owned(),
        notes_per_dispense_max: 60,
        present_delay: model.present,
        point: Some(model.point),
        bare_word: false,
    }
}
