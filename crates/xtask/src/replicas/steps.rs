//! The steps of withdrawals as replicas log them, followed closely enough to kill one in that moment.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::time::{Duration, Instant};

use super::faults::Step;
use super::group::Group;
use crate::clock::{self, Deadline};
use crate::interrupt;

const LOOK_EVERY: Duration = Duration::from_micros(500);
const PATIENCE: Duration = Duration::from_secs(60);

/// What every replica logs from now on.
pub(super) struct Steps {
    logs: Vec<BufReader<File>>,
}

impl Steps {
    pub(super) fn of(group: &Group) -> Self {
        let logs = group.logs().into_iter().filter_map(|log| {
            let mut file = File::open(log).ok()?;
            file.seek(SeekFrom::End(0)).ok()?;
            Some(BufReader::new(file))
        });
        Self { logs: logs.collect() }
    }

    /// Kills the first replica that logs a step. Gives which, and when.
    pub(super) fn kill_at(mut self, group: &mut Group, step: Step) -> Result<(usize, Instant), String> {
        let wanted = format!("\"event\":\"{}\"", step.event());
        let deadline = Deadline::after(PATIENCE);
        while !deadline.has_passed() {
            interrupt::check()?;
            for (number, log) in self.logs.iter_mut().enumerate() {
                if logs(log, &wanted) {
                    group.kill(number)?;
                    return Ok((number, clock::now()));
                }
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Err(format!("no replica logged {wanted} for {PATIENCE:?}"))
    }
}

/// Whether one of the lines that came since the last look has it. One that is read while it is being written may be missed; others come.
fn logs(log: &mut BufReader<File>, wanted: &str) -> bool {
    let mut line = String::new();
    let mut found = false;
    while log.read_line(&mut line).is_ok_and(|read| read > 0) {
        found |= line.contains(wanted);
        line.clear();
    }
    found
}
