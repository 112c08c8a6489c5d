//! Bugs that it takes several replicas for, planted one at a time: the worlds with replicas must find every one of them.
//!
//! `cargo test -p cashgate-simulation --features planted --test mutants_over_replicas -- --nocapture` prints after how many worlds.

#![cfg(feature = "planted")]
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a test, and the table is what one wants to see")]

use std::sync::atomic::{AtomicUsize, Ordering};

use cashgate_simulation::faults::Allowed;
use cashgate_simulation::plan::Shape;
use cashgate_simulation::planted::{Bug, plant};
use cashgate_simulation::world::World;

/// A bug that survives so many worlds is not found.
const WORLDS_MAX: u64 = 8_000;

/// The first world in which a rule is broken, and what broke.
fn first_failure(bug: Option<Bug>, worlds: u64) -> Option<(u64, String)> {
    plant(bug);
    let failing = |seed| {
        let ended = World::new(Shape::Replicas.plan(seed), Allowed::Mix, false).run();
        ended.violations.first().map(|violation| (seed, violation.to_string()))
    };
    let found = (1..=worlds).find_map(failing);
    plant(None);
    found
}

#[test]
fn every_bug_of_replicas_is_found() {
    let next = AtomicUsize::new(0);
    let hunt = || {
        let mut found = Vec::new();
        while let Some(bug) = Bug::OVER_REPLICAS.get(next.fetch_add(1, Ordering::Relaxed)) {
            found.push((*bug, first_failure(Some(*bug), WORLDS_MAX)));
        }
        found
    };
    let rows: Vec<(Bug, Option<(u64, String)>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(hunt)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    for (bug, found) in &rows {
        match found {
            Some((worlds, violation)) => println!("{:<24} {worlds:>6}  {violation}", format!("{bug:?}")),
            None => println!("{:<24}      -  SURVIVES: {}", format!("{bug:?}"), bug.meaning()),
        }
    }
    let survivors: Vec<Bug> = rows.iter().filter(|(_, found)| found.is_none()).map(|(bug, _)| *bug).collect();
    assert!(survivors.is_empty(), "not found within {WORLDS_MAX} worlds: {survivors:?}");
}

#[test]
fn without_a_bug_nothing_is_found_over_replicas() {
    assert_eq!(first_failure(None, 2_000), None);
}
