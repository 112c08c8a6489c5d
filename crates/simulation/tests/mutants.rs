//! Bugs that are planted one at a time: the simulation must find every one of them, and finds nothing where none is planted.
//!
//! `cargo test -p cashgate-simulation --features planted --test mutants -- --nocapture` prints after how many worlds.

#![cfg(feature = "planted")]
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a test, and the table is what one wants to see")]

use std::sync::atomic::{AtomicUsize, Ordering};

use cashgate_simulation::faults::Allowed;
use cashgate_simulation::plan::Plan;
use cashgate_simulation::planted::{Bug, plant};
use cashgate_simulation::world::World;

/// A bug that survives so many worlds is not found.
const WORLDS_MAX: u64 = 60_000;

/// A bug's number, the bug, and the first world that finds it with what it finds.
type Row = (usize, Bug, Option<(u64, String)>);

/// The first world in which a rule is broken, and what broke.
fn first_failure(bug: Option<Bug>, worlds: u64) -> Option<(u64, String)> {
    plant(bug);
    let failing = |seed| {
        let ended = World::new(Plan::of(seed), Allowed::Mix, false).run();
        ended.violations.first().map(|violation| (seed, violation.to_string()))
    };
    let found = (1..=worlds).find_map(failing);
    plant(None);
    found
}

#[test]
fn every_planted_bug_is_found() {
    assert!(Bug::ALL.len() >= 30);
    let next = AtomicUsize::new(0);
    let hunt = || {
        let mut found = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(bug) = Bug::ALL.get(at) else { return found };
            found.push((at, *bug, first_failure(Some(*bug), WORLDS_MAX)));
        }
    };
    let mut rows: Vec<Row> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(hunt)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    rows.sort_by_key(|(at, ..)| *at);
    println!("{:<30} {:>6}  found as", "planted bug", "worlds");
    for (_, bug, found) in &rows {
        match found {
            Some((worlds, violation)) => println!("{:<30} {worlds:>6}  {violation}", format!("{bug:?}")),
            None => println!("{:<30}      -  SURVIVES: {}", format!("{bug:?}"), bug.meaning()),
        }
    }
    let survivors: Vec<Bug> = rows.iter().filter(|(.., found)| found.is_none()).map(|(_, bug, _)| *bug).collect();
    assert!(survivors.is_empty(), "not found within {WORLDS_MAX} worlds: {survivors:?}");
}

#[test]
fn without_a_bug_nothing_is_found() {
    assert_eq!(first_failure(None, 3_000), None);
}
