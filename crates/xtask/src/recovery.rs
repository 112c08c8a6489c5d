//! How long a gateway takes from its start to its readiness when many withdrawals are open, or many have been closed.

use std::time::Duration;

use crate::command::Build;
use crate::figures::grouped;
use crate::site::Site;
use crate::{clock, command, interrupt, packages};

const ROUNDS: usize = 5;
/// The promise for 100,000 open withdrawals.
const PROMISED: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);
const OPEN_PER_ATM: u64 = 10;

/// Measures with release builds; an error if it takes longer than promised.
pub(crate) fn run(open: u64) -> Result<(), String> {
    interrupt::watch()?;
    packages::ensure(&[packages::C_COMPILER, packages::SOFTHSM])?;
    let site = Site::new(command::build_programs(Build::Release)?, "cashgate-recovery")?;
    let measured = measure(&site, open);
    match measured {
        Ok(median) if median <= PROMISED => site.remove(),
        Ok(median) => {
            site.remove()?;
            Err(format!("{median:.2?} is more than the promised {PROMISED:.2?}"))
        }
        Err(problem) => Err(format!("{problem}\neverything is kept in {}", site.folder().display())),
    }
}

fn measure(site: &Site, open: u64) -> Result<Duration, String> {
    let empty = restarts(site)?;
    println!(
        "from process start to /readyz 200, release build, core banks unreachable, {ROUNDS} times, SIGKILL in between"
    );
    println!("{:>10} open: {}", 0, in_words(&empty));
    fill(site, &Filling { open, ..Filling::default() })?;
    let full = restarts(site)?;
    println!("{:>10} open: {}", grouped(i64::try_from(open).unwrap_or(i64::MAX)), in_words(&full));
    Ok(median(&full))
}

/// What a ledger is filled with.
#[derive(Clone, Copy, Default)]
pub(crate) struct Filling {
    pub(crate) open: u64,
    pub(crate) closed: u64,
    /// The days before now over which the closed ones are spread.
    pub(crate) days: u64,
}

/// Fills the ledger of a site whose gateway does not run.
pub(crate) fn fill(site: &Site, filling: &Filling) -> Result<(), String> {
    println!("filling the ledger:");
    let Filling { open, closed, days } = *filling;
    let mut fill = command::cargo();
    fill.args(["run", "--quiet", "-p", "cashgate-gateway", "--example", "fill_ledger"]).args(Build::Release.flags());
    let atms = (open / OPEN_PER_ATM).max(1);
    fill.arg("--").arg(site.dir().join("ledger.db"));
    command::run(fill.args([open, atms, clock::unix_ms(), closed, days].map(|number| number.to_string())))
}

/// From the start to readiness, again and again, each time after a kill.
pub(crate) fn restarts(site: &Site) -> Result<Vec<Duration>, String> {
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let began = clock::now();
        let mut gateway = site.spawn_gateway()?;
        site.wait_until_ready(&mut gateway, PAUSE)?;
        took.push(began.elapsed());
        gateway.kill();
    }
    Ok(took)
}

fn in_words(took: &[Duration]) -> String {
    let each: Vec<String> = took.iter().map(|one| format!("{one:.2?}")).collect();
    format!("{}; median {:.2?}", each.join(", "), median(took))
}

fn median(took: &[Duration]) -> Duration {
    let mut sorted = took.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
