//! A restart with a long history against one with none.

use super::Order;
use super::row::{Row, Target};
use crate::command::{self, Build};
use crate::recovery::{Filling, fill, restarts};
use crate::site::Site;

pub(super) const NAMES: [&str; 2] = ["recovery", "recovery_recent"];

/// Open in both cases, as core banking's bad minute leaves them.
const OPEN: u64 = 1_000;
/// A restart whose history lies in these days reads a part of it again: limits and patterns look back 29 days.
const DAYS: [(&str, u64); 2] = [("recovery", 365), ("recovery_recent", 30)];

pub(super) fn measure(order: Order<'_>) -> Result<Vec<Row>, String> {
    let closed = if order.quick { 100_000 } else { 1_000_000 };
    let without = site_with(&Filling { open: OPEN, ..Filling::default() })?;
    let mut rows = Vec::new();
    for (name, days) in DAYS.into_iter().filter(|(name, _)| order.wants(name)) {
        let with = site_with(&Filling { open: OPEN, closed, days })?;
        let mut rounds = Vec::new();
        for _ in 0..order.rounds().div_ceil(3) {
            let (ours, baseline) = (restarts(&with)?, restarts(&without)?);
            rounds.extend(ours.iter().zip(&baseline).map(|(ours, none)| (ms(*ours), ms(*none))));
        }
        for (round, (ours, none)) in (1..).zip(&rounds) {
            println!("{name} {round}/{}: {closed} closed {ours:.0} ms, none {none:.0} ms", rounds.len());
        }
        let target = if name == "recovery" { Target::RatioAtMost(1.5) } else { Target::None };
        rows.push(Row::median(name, &rounds, "ms", target)?);
        with.remove()?;
    }
    without.remove()?;
    Ok(rows)
}

fn site_with(filling: &Filling) -> Result<Site, String> {
    let site = Site::new(command::build_programs(Build::Release)?, "cashgate-bench")?;
    // Schema and keys are made by the first start, which is no restart.
    restarts(&site)?;
    fill(&site, filling)?;
    Ok(site)
}

fn ms(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
