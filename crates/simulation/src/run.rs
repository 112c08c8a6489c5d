//! Many worlds, on every core.
//!
//! Seeds are taken in chunks, in order. What a run finds is put together in the order of the chunks, and a run that stops at a failure stops
//! after the first chunk with one, so neither depends on the number of threads.

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use crate::checker::{Rule, Violation};
use crate::coverage::Coverage;
use crate::faults::{Allowed, FaultId, FaultKind, Faults};
use crate::plan::Shape;
use crate::world::{Ended, World};

/// Worlds that a thread lives through before it takes the next.
const CHUNK: u64 = 32;
/// How often the run says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// No world has faults at higher places, or more opportunities of one kind at one place that matter.
const PLACES_MAX: u16 = 8;
const OPPORTUNITIES_MAX: u32 = 400;

/// Which worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// What kind of worlds.
    pub shape: Shape,
    /// The first world's seed; the others follow, wrapping around.
    pub seed: u64,
    /// How many worlds; without a number, until [`run`] is told to stop.
    pub worlds: Option<u64>,
    /// How many threads; none counts as one.
    pub threads: usize,
    /// Whether a failure lets the remaining worlds be.
    pub stop_at_failure: bool,
}

/// How far a run is. The numbers run ahead of what is reported in the end, if it stops early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Worlds that ended.
    pub worlds: u64,
    /// Of those, worlds that broke a rule or panicked.
    pub failures: u64,
}

/// What a run found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What was covered; also how many worlds there were.
    pub coverage: Coverage,
    /// Worlds that failed, by seed's place in the order.
    pub failures: Vec<Failure>,
}

/// A world that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of world it was.
    pub shape: Shape,
    /// Its seed.
    pub seed: u64,
    /// What was wrong first.
    pub wrong: Wrong,
}

/// What was wrong with a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A rule was broken.
    Broken(Violation),
    /// It panicked, with this message.
    Panicked(String),
}

/// What two failures must have in common to be of one cause, as far as anyone can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Symptom {
    /// The same rule.
    Rule(Rule),
    /// The same message.
    Panic(String),
}

impl Wrong {
    /// What another failure must show to count as the same.
    #[must_use]
    pub fn symptom(&self) -> Symptom {
        match self {
            Self::Broken(violation) => Symptom::Rule(violation.rule),
            Self::Panicked(message) => Symptom::Panic(message.clone()),
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(violation) => write!(f, "{violation}"),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
        }
    }
}

/// Lives through the worlds of an order. `carries_on` hears every 100 ms how far it is, and ends the run by saying no.
pub fn run(order: Order, carries_on: &mut dyn FnMut(Progress) -> bool) -> Found {
    let chunks = order.worlds.map_or(u64::MAX, |worlds| worlds.div_ceil(CHUNK));
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut found = Collected { stop_at_failure: order.stop_at_failure, ..Collected::default() };
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..order.threads.max(1) {
            let (sender, next, stop) = (sender.clone(), &next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // A chunk that was taken is finished, so the chunks of a run have no gap.
                    let chunk = next.fetch_add(1, Ordering::Relaxed);
                    if chunk >= chunks || sender.send((chunk, lived_through(order, chunk))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        loop {
            match receiver.recv_timeout(PROGRESS_EVERY) {
                Ok((chunk, one)) => found.take(chunk, one),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            let has_failed = order.stop_at_failure && found.progress.failures > 0;
            if !carries_on(found.progress) || has_failed {
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
    found.whole
}

/// One world under its own mix. An error is a panic's message; what the world had written down is lost with it.
pub fn world(shape: Shape, seed: u64, allowed: Allowed, timeline: bool) -> Result<Ended, String> {
    let lived = std::panic::catch_unwind(AssertUnwindSafe(|| World::new(shape.plan(seed), allowed, timeline).run()));
    lived.map_err(|payload| message(payload.as_ref()))
}

/// What is wrong with a world, if anything is.
#[must_use]
pub fn wrong(lived: &Result<Ended, String>) -> Option<Wrong> {
    match lived {
        Ok(ended) => ended.violations.first().map(|violation| Wrong::Broken(violation.clone())),
        Err(message) => Some(Wrong::Panicked(message.clone())),
    }
}

/// The faults that may have struck in a world of which nothing is left but its seed.
#[must_use]
pub fn faults_of(shape: Shape, seed: u64) -> BTreeSet<FaultId> {
    let mut faults = match shape {
        Shape::OneGateway => Faults::of(seed, Allowed::Mix),
        Shape::Replicas => Faults::over_replicas(seed, Allowed::Mix),
    };
    for kind in FaultKind::ALL.iter().chain(FaultKind::OVER_REPLICAS) {
        for place in 0..PLACES_MAX {
            for _ in 0..OPPORTUNITIES_MAX {
                let _ = faults.strikes(*kind, place, 0); // it is remembered
            }
        }
    }
    faults.struck().iter().map(|(_, id)| *id).collect()
}

/// Has panics of worlds remembered with their place instead of printed. For a program that reports them itself.
pub fn keep_panics_quiet() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|at| format!(" ({}:{})", at.file(), at.line())).unwrap_or_default();
        let text = format!("{}{place}", said(panic.payload()));
        LAST_PANIC.with(|last| *last.borrow_mut() = Some(text));
    }));
}

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

fn message(payload: &(dyn Any + Send)) -> String {
    LAST_PANIC.with(|last| last.borrow_mut().take()).unwrap_or_else(|| said(payload))
}

fn said(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message").to_owned()
}

fn lived_through(order: Order, chunk: u64) -> Found {
    let from = chunk * CHUNK;
    let to = order.worlds.map_or(from + CHUNK, |worlds| worlds.min(from + CHUNK));
    let mut found = Found::default();
    for number in from..to {
        let seed = order.seed.wrapping_add(number);
        let lived = world(order.shape, seed, Allowed::Mix, false);
        match &lived {
            Ok(ended) => found.coverage.add(&ended.coverage),
            Err(_) => found.coverage.worlds += 1,
        }
        if let Some(wrong) = wrong(&lived) {
            found.failures.push(Failure { shape: order.shape, seed, wrong });
        }
    }
    found
}

/// Puts chunks together in their order.
#[derive(Default)]
struct Collected {
    stop_at_failure: bool,
    whole: Found,
    next: u64,
    early: BTreeMap<u64, Found>,
    progress: Progress,
}

impl Collected {
    fn take(&mut self, chunk: u64, one: Found) {
        self.progress.worlds += one.coverage.worlds;
        self.progress.failures += one.failures.len() as u64;
        self.early.insert(chunk, one);
        while let Some(one) = self.early.remove(&self.next) {
            self.next += 1;
            if self.stop_at_failure && !self.whole.failures.is_empty() {
                continue; // another thread was ahead
            }
            self.whole.coverage.add(&one.coverage);
            self.whole.failures.extend(one.failures);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(failing: &[u64]) -> Found {
        let failure = |seed: &u64| Failure {
            shape: Shape::OneGateway,
            seed: *seed,
            wrong: Wrong::Panicked("planted".to_owned()),
        };
        let coverage = Coverage { worlds: CHUNK, ..Coverage::default() };
        Found { coverage, failures: failing.iter().map(failure).collect() }
    }

    #[test]
    fn a_run_stops_after_the_first_chunk_with_a_failure_whoever_is_ahead() {
        let mut in_order = Collected { stop_at_failure: true, ..Collected::default() };
        in_order.take(0, chunk(&[]));
        in_order.take(1, chunk(&[40]));
        let mut ahead = Collected { stop_at_failure: true, ..Collected::default() };
        ahead.take(3, chunk(&[99]));
        ahead.take(2, chunk(&[70]));
        ahead.take(1, chunk(&[40]));
        ahead.take(0, chunk(&[]));
        assert_eq!(in_order.whole, ahead.whole);
        assert_eq!(ahead.whole.failures.iter().map(|failure| failure.seed).collect::<Vec<_>>(), [40]);
        assert_eq!(ahead.whole.coverage.worlds, 2 * CHUNK);
    }

    #[test]
    fn a_run_that_goes_on_has_every_failure() {
        let mut all = Collected::default();
        all.take(1, chunk(&[40, 41]));
        all.take(0, chunk(&[7]));
        assert_eq!(all.whole.failures.iter().map(|failure| failure.seed).collect::<Vec<_>>(), [7, 40, 41]);
    }

    #[test]
    fn the_same_order_finds_the_same_on_one_thread_and_on_two() {
        let order = Order { shape: Shape::OneGateway, seed: 7, worlds: Some(100), threads: 1, stop_at_failure: false };
        let one = run(order, &mut |_| true);
        let two = run(Order { threads: 2, ..order }, &mut |_| true);
        assert_eq!(one, two);
        assert_eq!(one.coverage.worlds, 100);
    }

    #[test]
    fn a_run_without_a_number_goes_on_until_it_is_told_to_stop() {
        let order = Order { shape: Shape::OneGateway, seed: 7, worlds: None, threads: 2, stop_at_failure: true };
        let found = run(order, &mut |progress| progress.worlds < 64);
        assert!(found.coverage.worlds >= 64);
    }

    #[test]
    fn a_panic_in_a_world_is_a_failure_with_its_message() {
        let lived = std::panic::catch_unwind(|| -> Ended { panic!("planted {}", 7) });
        let lived = lived.map_err(|payload| message(payload.as_ref()));
        assert_eq!(wrong(&lived), Some(Wrong::Panicked("planted 7".to_owned())));
    }

    #[test]
    fn the_faults_of_a_seed_are_found_without_its_world() {
        let seed = (0..)
            .find(|seed| world(Shape::OneGateway, *seed, Allowed::Mix, false).is_ok_and(|ended| ended.struck.len() > 5))
            .unwrap();
        let struck: BTreeSet<FaultId> =
            world(Shape::OneGateway, seed, Allowed::Mix, false).unwrap().struck.into_iter().map(|(_, id)| id).collect();
        assert!(struck.is_subset(&faults_of(Shape::OneGateway, seed)));
    }
}
