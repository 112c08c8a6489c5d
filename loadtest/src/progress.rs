//! How the run is going: one line that is written over in a terminal, plain lines every few seconds elsewhere.

#![allow(clippy::print_stderr, reason = "it is for whoever started the program; its report is in files")]

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::interval;

use crate::recording::Step;
use crate::verdict::milliseconds;
use crate::visit::Hall;

/// How often a plain line is written.
const PLAIN_EVERY: u64 = 5;
/// Wide enough to write over the longest line.
const WIDTH: usize = 118;

/// Shows progress until it is aborted.
pub(crate) async fn show(hall: Arc<Hall>, duration: Duration) {
    let in_place = std::io::stderr().is_terminal();
    let mut every = interval(Duration::from_secs(1));
    every.tick().await;
    let mut second = 0_u64;
    loop {
        every.tick().await;
        second += 1;
        let line = line(&hall, duration);
        if in_place {
            eprint!("\r{line:<WIDTH$}");
            // Progress only.
            let _ = std::io::stderr().flush();
        } else if second.is_multiple_of(PLAIN_EVERY) {
            eprintln!("{line}");
        }
    }
}

/// Leaves the line that is written over.
pub(crate) fn end() {
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
}

fn line(hall: &Hall, duration: Duration) -> String {
    let (ended, paid) = hall.recorder.counts();
    let busy = hall.machines.count().saturating_sub(hall.machines.idle());
    let recent = |step| hall.recorder.recent_p99(step, 3).map_or_else(|| "-".to_owned(), milliseconds);
    format!(
        "{:>3} of {} s, {paid} of {ended} visits paid, {busy} customers, {} of {} ATMs connected; p99 now: code {}, dispense {}",
        hall.recorder.elapsed().as_secs(),
        duration.as_secs(),
        hall.machines.connected(),
        hall.machines.count(),
        recent(Step::Code),
        recent(Step::Dispense),
    )
}
