//! The group commit against the bare disk.

use std::process::Command;

use serde_json::Value;

use super::Order;
use super::program::{bench_program, figures, in_turn, series};
use super::row::{Row, Target};
use crate::command;

pub(super) const NAMES: [&str; 1] = ["durable_steps"];

pub(super) fn measure(order: Order<'_>) -> Result<Vec<Row>, String> {
    let figures = measured(order, order.rounds())?;
    let rounds = in_turn(&figures)?;
    for (round, ((ours, baseline), group)) in (1..).zip(rounds.iter().zip(series(&figures, "group")?)) {
        println!("durable_steps {round}/{}: ours {ours:.0}, baseline {baseline:.0}, {group:.0} a sync", rounds.len());
    }
    Ok(vec![Row::median("durable_steps", &rounds, "/s", Target::RatioAtLeast(0.25))?])
}

/// Processor time of one durable step in a full group commit, in us.
pub(super) fn step_cpu_us(order: Order<'_>) -> Result<f64, String> {
    let figures = measured(order, 1)?;
    series(&figures, "cpu_us")?.first().copied().ok_or_else(|| "no round was measured".to_owned())
}

fn measured(order: Order<'_>, rounds: usize) -> Result<Value, String> {
    println!("building the bench of the ledger (release; the first time takes minutes)");
    let program = bench_program("cashgate-ledger", "durable_steps")?;
    // Beside the build's files: a temporary folder may be memory, whose syncs cost nothing.
    let folder = command::target_folder()?.join("bench");
    std::fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let mut run = Command::new(program);
    run.arg("--folder").arg(&folder);
    run.args(["--seconds", &order.seconds().to_string(), "--rounds", &rounds.to_string()]);
    figures(&mut run)
}
