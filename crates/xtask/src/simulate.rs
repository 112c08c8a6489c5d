//! Builds the simulation and runs worlds in it.

use std::process::Command;

use crate::command::{self, Build};
use crate::packages;

/// What the simulation is told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Order {
    /// Worlds with several replicas.
    pub(crate) replicas: bool,
    /// How many worlds.
    pub(crate) worlds: Option<u64>,
    /// The first world's seed.
    pub(crate) seed: Option<u64>,
    /// Ends after so many minutes.
    pub(crate) minutes: Option<u64>,
    /// How many threads.
    pub(crate) threads: Option<u64>,
    /// The table of enumerated crashes instead.
    pub(crate) crashes: bool,
    /// With every run of it.
    pub(crate) every_run: bool,
}

/// An error if a rule was broken, or if a long run left something uncovered.
pub(crate) fn run(order: Order) -> Result<(), String> {
    packages::ensure(&[packages::C_COMPILER])?;
    println!("building cashgate-simulation (the first time takes minutes)");
    // The worlds' crates are optimised in development builds too: a release build takes longer than it saves.
    let how = Build::Debug;
    command::run(command::cargo().args(["build", "--quiet", "-p", "cashgate-simulation", "--bins"]).args(how.flags()))?;
    let mut simulation = Command::new(command::target_folder()?.join(how.folder()).join("cashgate-simulation"));
    let numbers = [
        ("--worlds", order.worlds),
        ("--seed", order.seed),
        ("--minutes", order.minutes),
        ("--threads", order.threads),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            simulation.args([name, &number.to_string()]);
        }
    }
    for (name, wanted) in [("--replicas", order.replicas), ("crashes", order.crashes), ("--every-run", order.every_run)]
    {
        if wanted {
            simulation.arg(name);
        }
    }
    command::run(&mut simulation)
}
