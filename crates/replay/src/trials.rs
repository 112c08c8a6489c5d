//! Many runs, on every core.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::bank::Bank;
use crate::controls::{Control, Controls};
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

/// Lets a fresh bank with each set of controls live through each world, and one with all controls through each world without thieves, to see which alarms
/// ring anyway. The result depends on neither the threads nor their number.
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
    // Patterns see what is wanted, so which alarms ring in peace hardly depends on the controls, and one run a world tells it.
    let peace =
        worlds.iter().map(|world| (Controls::ALL.without(Control::Analyst), World { has_wave: false, ..*world }));
    let lives = compared.iter().flat_map(|controls| worlds.iter().map(|world| (*controls, *world)));
    let jobs: Vec<(Controls, World)> = peace.chain(lives).collect();
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
    let in_peace: Vec<Tally> = tallies.by_ref().take(worlds.len()).collect();
    let trial = |controls: &Controls| {
        let mut tallies: Vec<Tally> = tallies.by_ref().take(worlds.len()).collect();
        tallies.iter_mut().zip(&in_peace).for_each(|(tally, peace)| tally.judge(&peace.rung));
        Trial { controls: *controls, tallies }
    };
    compared.iter().map(trial).collect()
}

/// How many runs that is.
#[must_use]
pub const fn runs(worlds: usize, compared: usize) -> usize {
    worlds * (compared + 1)
}
