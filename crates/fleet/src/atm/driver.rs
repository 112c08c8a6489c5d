//! Connects a machine to its record, its line and its operator.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tonic::transport::Endpoint;

use super::book::Book;
use super::command::Command;
use super::dispenser::{DispenseKey, SecureDispenser};
use super::link::{Link, LinkEvent};
use super::machine::{Input, Machine, Output, Plan};
use super::record_file::{RecordError, RecordFile};
use super::screen::ScreenEvent;
use super::trace::Trace;
use crate::clock::unix_ms;

/// The first pause before connecting again; it doubles up to the longest.
const BACK_OFF_MIN: Duration = Duration::from_millis(200);
const BACK_OFF_MAX: Duration = Duration::from_secs(10);
/// How often an outcome is repeated that the gateway has not acknowledged.
const REPEAT_EVERY: Duration = Duration::from_secs(5);
/// How long the line may take to drain when the machine is switched off.
const CLOSE_PATIENCE: Duration = Duration::from_millis(500);

/// A machine in its place: what it is, whom it calls, and where its record lies.
#[derive(Clone, Debug)]
pub struct Installation {
    /// What it is.
    pub plan: Plan,
    /// The gateway, with the machine's certificate: see [`crate::credentials::Credentials::endpoint`].
    pub gateway: Endpoint,
    /// The folder of its record.
    pub state_dir: PathBuf,
}

/// How a machine's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Switched off in order.
    SwitchedOff,
    /// A simulated power cut: nothing more was said or written.
    PowerCut,
}

/// Why a machine could not go on.
#[derive(Debug, thiserror::Error)]
pub enum AtmError {
    /// Its record. A machine that cannot record must not pay.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The thread that writes the record died.
    #[error("the record's writer died: {0}")]
    Writer(#[from] tokio::task::JoinError),
}

/// Runs a machine until it is told to quit, its commands end, `shutdown` completes, or a simulated power cut.
///
/// # Errors
/// The record cannot be read or written.
pub async fn run(
    installation: Installation,
    commands: mpsc::Receiver<Command>,
    screen: mpsc::UnboundedSender<ScreenEvent>,
    shutdown: impl Future<Output = ()>,
) -> Result<Ended, AtmError> {
    install(installation, None, screen).await?.run(commands, shutdown).await
}

/// As [`run`], for load: facts are kept in memory only, so that no disk is waited for and a process can hold thousands of machines. What the
/// machine knows at its end is its book; a power cut loses nothing, because nobody starts it again.
///
/// # Errors
/// None at present: only a record's disk can fail.
pub async fn run_in_memory(
    plan: Plan,
    gateway: Endpoint,
    commands: mpsc::Receiver<Command>,
    screen: mpsc::UnboundedSender<ScreenEvent>,
    shutdown: impl Future<Output = ()>,
) -> Result<Book, AtmError> {
    let mut driver = Driver::new(Machine::new(plan, &[]), gateway, None, screen);
    driver.run(commands, shutdown).await?;
    Ok(driver.machine.book().clone())
}

/// As [`run`], with a dispenser that demands XFS4IoT dispense tokens made with this key.
///
/// # Errors
/// As [`run`].
pub async fn run_secured(
    installation: Installation,
    key: DispenseKey,
    commands: mpsc::Receiver<Command>,
    screen: mpsc::UnboundedSender<ScreenEvent>,
    shutdown: impl Future<Output = ()>,
) -> Result<Ended, AtmError> {
    install(installation, Some(key), screen).await?.run(commands, shutdown).await
}

async fn install(
    installation: Installation,
    key: Option<DispenseKey>,
    screen: mpsc::UnboundedSender<ScreenEvent>,
) -> Result<Driver, AtmError> {
    let Installation { plan, gateway, state_dir } = installation;
    let (record, facts) = tokio::task::spawn_blocking(move || RecordFile::open(&state_dir)).await??;
    let dispenser = key.map(|key| SecureDispenser::recalled(key, &plan.currency, &facts));
    let machine = match dispenser {
        Some(dispenser) => Machine::secured(plan, &facts, dispenser),
        None => Machine::new(plan, &facts),
    };
    Ok(Driver::new(machine, gateway, Some(record), screen))
}

struct Driver {
    machine: Machine,
    gateway: Endpoint,
    /// `None` in a machine that keeps its facts in memory only.
    record: Option<Arc<Mutex<RecordFile>>>,
    screen: mpsc::UnboundedSender<ScreenEvent>,
    link: Option<Link>,
    presented_at: Option<Instant>,
    /// Attempts to connect since the gateway last said something.
    failures: u32,
    repeat: Interval,
    trace: Trace,
}

impl Driver {
    fn new(
        machine: Machine,
        gateway: Endpoint,
        record: Option<RecordFile>,
        screen: mpsc::UnboundedSender<ScreenEvent>,
    ) -> Self {
        let mut repeat = interval(REPEAT_EVERY);
        repeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let record = record.map(|record| Arc::new(Mutex::new(record)));
        Self {
            machine,
            gateway,
            record,
            screen,
            link: None,
            presented_at: None,
            failures: 0,
            repeat,
            trace: Trace::default(),
        }
    }

    async fn run(
        &mut self,
        mut commands: mpsc::Receiver<Command>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Ended, AtmError> {
        let mut shutdown = pin!(shutdown);
        let mut listening = true;
        let mut input = Input::PowerOn;
        loop {
            let outputs = self.machine.handle(input, unix_ms());
            if let Some(ended) = self.carry_out(outputs).await? {
                return Ok(ended);
            }
            input = tokio::select! {
                () = &mut shutdown, if listening => { listening = false; Input::Operator(Command::Quit) }
                command = commands.recv(), if listening => match command {
                    Some(command) => Input::Operator(command),
                    None => { listening = false; Input::Operator(Command::Quit) }
                },
                event = next_event(&mut self.link) => self.heard(event),
                () = until(self.presented_at) => { self.presented_at = None; Input::Presented }
                _ = self.repeat.tick() => Input::Repeat,
            };
        }
    }

    fn heard(&mut self, event: LinkEvent) -> Input {
        match event {
            LinkEvent::Open => Input::Connected,
            LinkEvent::Message(message) => {
                self.failures = 0;
                self.trace.follow(&message);
                Input::Gateway(message)
            }
            LinkEvent::Closed { why } => {
                self.link = None;
                Input::Disconnected { why }
            }
        }
    }

    /// Carries outputs out in their order; a fact is on the disk before the next output begins.
    async fn carry_out(&mut self, outputs: Vec<Output>) -> Result<Option<Ended>, AtmError> {
        for output in outputs {
            match output {
                Output::Record(fact) => {
                    if let Some(record) = self.record.clone() {
                        let append = move || record.lock().unwrap_or_else(PoisonError::into_inner).append(&fact);
                        tokio::task::spawn_blocking(append).await??;
                    }
                }
                Output::Send(message) => {
                    let traceparent = self.trace.of(&message);
                    let sent = self.link.as_ref().is_some_and(|link| link.send(message, traceparent));
                    if !sent {
                        tracing::warn!("the line does not take messages; what must arrive is repeated");
                    }
                }
                // Whoever drives the machine may not care what it shows.
                Output::Screen(event) => drop(self.screen.send(event)),
                Output::PresentAfter(delay) => self.presented_at = Some(Instant::now() + delay),
                Output::Dial(after) => {
                    let after = after.unwrap_or_else(|| back_off(self.failures));
                    self.failures = self.failures.saturating_add(1);
                    self.link = Some(Link::dial(self.gateway.clone(), after));
                }
                Output::HangUp => self.link = None,
                Output::PowerCut => return Ok(Some(Ended::PowerCut)),
                Output::SwitchOff => {
                    if let Some(link) = self.link.take() {
                        link.close(CLOSE_PATIENCE).await;
                    }
                    return Ok(Some(Ended::SwitchedOff));
                }
            }
        }
        Ok(None)
    }
}

/// The pause after so many failures, of which half is chance, so that machines do not come back all at once.
fn back_off(failures: u32) -> Duration {
    let full = BACK_OFF_MIN.saturating_mul(1_u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX)).min(BACK_OFF_MAX);
    let mut chance = [0_u8; 2];
    // Without chance the pause is merely longer.
    let chance = SystemRandom::new().fill(&mut chance).map_or(u16::MAX, |()| u16::from_be_bytes(chance));
    full / 2 + full / 2 * u32::from(chance) / u32::from(u16::MAX)
}

async fn next_event(link: &mut Option<Link>) -> LinkEvent {
    match link {
        Some(link) => link.event().await,
        None => std::future::pending().await,
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_to_a_limit_and_varies() {
        for failures in 0..40 {
            let pause = back_off(failures);
            assert!(pause >= BACK_OFF_MIN / 2 && pause <= BACK_OFF_MAX, "{failures}: {pause:?}");
        }
        let pauses: std::collections::BTreeSet<_> = (0..20).map(|_| back_off(20)).collect();
        assert!(pauses.len() > 10, "{pauses:?}");
    }
}
