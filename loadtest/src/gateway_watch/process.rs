//! CPU time and memory of a process, out of `/proc`.

#![allow(clippy::float_arithmetic, reason = "shares of time; no money")]

use std::time::Duration;

/// Linux counts CPU time for programs in hundredths of a second on every machine that Cashgate runs on (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// What a process has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    cpu: Duration,
    pub(super) rss_kib: u64,
}

impl Usage {
    /// Of a process by its id, or of this one (`self`); nothing if there is no such process.
    pub(super) fn of(pid: &str) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Some(Self { cpu: cpu_time(&stat)?, rss_kib: resident(&status)? })
    }

    pub(super) fn cpu_percent_since(self, before: Self, passed: Duration) -> Option<f64> {
        let used = self.cpu.checked_sub(before.cpu)?;
        (!passed.is_zero()).then(|| 100.0 * used.as_secs_f64() / passed.as_secs_f64())
    }
}

/// User and system time: the 14th and 15th field, counted behind the name in parentheses, which may hold blanks.
fn cpu_time(stat: &str) -> Option<Duration> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    TICK.checked_mul(user.checked_add(system)?)
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_proc_are_read_whatever_the_name() {
        let stat = "7 (cash) gate) S 1 7 7 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 9 0 12 1000 300";
        assert_eq!(cpu_time(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu_time("7 cashgate S 1"), None);
        assert_eq!(resident("Name:\tx\nVmRSS:\t   5120 kB\n"), Some(5_120));
    }

    #[test]
    fn this_process_is_there_and_one_that_is_not_is_nothing() {
        let usage = Usage::of("self").unwrap();
        assert!(usage.rss_kib > 0);
        assert_eq!(usage.cpu_percent_since(usage, Duration::from_secs(1)), Some(0.0));
        assert_eq!(Usage::of("0"), None);
    }
}
