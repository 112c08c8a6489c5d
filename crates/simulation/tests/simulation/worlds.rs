//! Worlds with fresh seeds, and those that once failed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may stop loudly")]

use std::time::{SystemTime, UNIX_EPOCH};

use cashgate_simulation::faults::{Allowed, FaultKind};
use cashgate_simulation::plan::Shape;
use cashgate_simulation::run::{self, Order, Wrong};

/// About two seconds on one core.
const WORLDS: u64 = 4_000;

/// Seeds that found something once, and what it was. A seed that fails goes in here with the cure.
///
/// A seed means the same world only until the world changes; what it found is worth a test of its own as well.
const SEEDS: &[(u64, &str)] = &[
    (3, "nothing yet: a world without faults"),
    (7, "nothing yet: lines and disk fail one after the other"),
    (106_404, "as the next; the world has changed since"),
    (211_563, "the checker forgot a person whose answer was lost in a crash"),
    (410_144, "a suspect's \"not known\" hid the outcome that had been recorded before, and it was asked for again"),
    (1_795_380_758_441_376, "a gateway that died under an operator's first decision was asked for the second"),
];

#[test]
fn no_rule_is_broken_in_fresh_worlds() {
    #[allow(clippy::disallowed_methods, reason = "fresh seeds come from outside the worlds")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = u64::try_from(since.as_micros()).unwrap();
    println!("seeds {seed} to {}", seed + WORLDS - 1);
    let order = Order { shape: Shape::OneGateway, seed, worlds: Some(WORLDS), threads: 1, stop_at_failure: true };
    let found = run::run(order, &mut |_| true);
    if let Some(failure) = found.failures.first() {
        panic!(
            "of seeds {seed} to {}, {} failed: {}\nrepeat it with: cargo xtask simulate --seed {} --worlds 1",
            seed + WORLDS - 1,
            failure.seed,
            failure.wrong,
            failure.seed
        );
    }
    assert_eq!(found.coverage.worlds, WORLDS);
    assert!(found.coverage.withdrawals() > WORLDS, "these worlds are empty");
}

#[test]
fn no_seed_that_failed_once_fails_again() {
    for (seed, what) in SEEDS {
        let wrong = run::wrong(&run::world(Shape::OneGateway, *seed, Allowed::Mix, false));
        assert_eq!(wrong, None::<Wrong>, "seed {seed} ({what})");
    }
}

#[test]
fn a_world_in_which_faults_are_only_allowed_that_struck_anyway_is_the_same_world() {
    for seed in 0..200 {
        let mixed = run::world(Shape::OneGateway, seed, Allowed::Mix, true).unwrap();
        let struck = mixed.struck.iter().map(|(_, id)| *id).collect();
        let narrowed = run::world(Shape::OneGateway, seed, Allowed::Only(struck), true).unwrap();
        assert_eq!(mixed.timeline, narrowed.timeline, "seed {seed}");
    }
}

#[test]
fn a_world_with_fewer_faults_has_no_others_instead() {
    for seed in 0..200 {
        let mixed = run::world(Shape::OneGateway, seed, Allowed::Mix, false).unwrap();
        let fewer = mixed.struck.iter().map(|(_, id)| *id).filter(|id| id.kind > FaultKind::LineCut).collect();
        let narrowed = run::world(Shape::OneGateway, seed, Allowed::Only(fewer), false).unwrap();
        assert!(narrowed.struck.iter().all(|(_, id)| id.kind > FaultKind::LineCut), "seed {seed}");
        assert_eq!(run::wrong(&Ok(narrowed)), None, "seed {seed}");
    }
}
