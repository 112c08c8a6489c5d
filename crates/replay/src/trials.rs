//! Many runs, on every core.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::bank::Bank;
use crate::controls::Controls;
use crate::life;
use crate::reaction::Reaction;
use crate::tally::Tally;
use crate::world::World;

/// One set of controls over several worlds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Which controls.
    pub controls: Controls,
    /// What each world counted, in the order of the worlds.
    pub tallies: Vec<Tally>,
}

/// Lets a fresh bank with each set of controls live through each world. The result depends on neither the threads nor their number.
///
/// `open` makes a bank that has seen nothing; `done` is told of each run that ended.
pub fn run<B: Bank>(
    worlds: &[World],
    compared: &[Controls],
    reaction: Reaction,
    threads: usize,
    open: &(impl Fn(&World, Controls) -> B + Sync),
    done: &(impl Fn(Controls, u64) + Sync),
) -> Vec<Trial> {
    let jobs: Vec<(Controls, &World)> =
        compared.iter().flat_map(|controls| worlds.iter().map(move |world| (*controls, world))).collect();
    let next = AtomicUsize::new(0);
    let ended: Mutex<Vec<(usize, Tally)>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, jobs.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((controls, world)) = jobs.get(at) else { break };
                    let tally = life::live(world, *controls, reaction, &mut open(world, *controls));
                    if let Ok(mut ended) = ended.lock() {
                        ended.push((at, tally));
                    }
                    done(*controls, world.seed);
                }
            });
        }
    });
    let mut ended = ended.into_inner().unwrap_or_default();
    ended.sort_by_key(|(at, _)| *at);
    let mut tallies = ended.into_iter().map(|(_, tally)| tally);
    let trial =
        |controls: &Controls| Trial { controls: *controls, tallies: tallies.by_ref().take(worlds.len()).collect() };
    compared.iter().map(trial).collect()
}
