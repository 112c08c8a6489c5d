//! Claims through PostgreSQL against a statement written by hand.

use std::process::Command;

use super::Order;
use super::program::{bench_program, figure, figures, in_turn};
use super::row::{Row, Target};
use crate::packages;

pub(super) const NAMES: [&str; 1] = ["pg_claims"];

pub(super) fn measure(order: Order<'_>) -> Result<Vec<Row>, String> {
    packages::ensure(&[packages::POSTGRESQL])?;
    println!("building the bench of claims (release; the first time takes minutes)");
    let mut run = Command::new(bench_program("cashgate-ledger", "pg_claims")?);
    run.args(["--seconds", &order.seconds().to_string(), "--rounds", &order.rounds().to_string()]);
    let figures = figures(&mut run)?;
    let (rounds, group) = (in_turn(&figures)?, figure(&figures, "group")?);
    for (round, (ours, baseline)) in (1..).zip(&rounds) {
        println!("pg_claims {round}/{}: ours {ours:.0}, by hand {baseline:.0}, {group:.0} a commit", rounds.len());
    }
    Ok(vec![Row::median("pg_claims", &rounds, "/s", Target::RatioAtLeast(1.5))?])
}
