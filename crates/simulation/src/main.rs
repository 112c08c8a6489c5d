//! `cashgate-simulation`: lives through many worlds and says what it found.
//!
//! What it says of the worlds goes to standard output and is the same for the same seeds; how far and how fast it is goes to standard error.
//! It ends with 1 if a rule was broken or, in a long run, if something was never covered.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cashgate_simulation::crash_table::{self, Detail};
use cashgate_simulation::faults::{Allowed, FaultId};
use cashgate_simulation::plan::Shape;
use cashgate_simulation::run::{self, Failure, Found, Order, Progress};
use cashgate_simulation::scenarios;
use cashgate_simulation::shrink;
use cashgate_simulation::summary;
use cashgate_simulation::timeline::{Reader, grouped};
use clap::{Parser, Subcommand};

const WORLDS: u64 = 20_000;
/// Worlds with several replicas are larger.
const WORLDS_OVER_REPLICAS: u64 = 1_000;
/// More failures than these are only counted.
const LISTED_MAX: usize = 10;
/// Where a line cannot be written over, progress is a line every so often.
const LINE_EVERY: Duration = Duration::from_secs(5);
const BAR_WIDTH: u64 = 30;

/// Lives through many seeded worlds with faults, and judges the rules of the design in each.
#[derive(Parser)]
#[command(name = "cashgate-simulation", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    instead: Option<Instead>,
    /// How many worlds [default: 20000, or as many as --minutes allows].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    worlds: Option<u64>,
    /// The first world's seed; the others follow. A fresh one if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Ends after so many minutes.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    minutes: Option<u64>,
    /// Worlds with several replicas that share a database, instead of one gateway.
    #[arg(long)]
    replicas: bool,
    /// How many threads [default: one a core].
    #[arg(long)]
    threads: Option<usize>,
    /// Neither shows nor judges what was covered.
    #[arg(long)]
    no_coverage: bool,
    /// Goes on after a failure and lists the first ten.
    #[arg(long)]
    keep_going: bool,
}

/// What to do instead of drawing worlds.
#[derive(Subcommand)]
enum Instead {
    /// Crashes the gateway at every point of every scenario, and prints the table.
    Crashes {
        /// Also writes a line for every run.
        #[arg(long)]
        every_run: bool,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let out = &mut io::stdout().lock();
    let done = match cli.instead {
        Some(Instead::Crashes { every_run }) => {
            let detail = if every_run { Detail::EveryRun } else { Detail::Table };
            crash_table::run(&scenarios::all().collect::<Vec<_>>(), detail, out)
        }
        None => simulate(&cli, out),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        // Whoever reads has had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "cannot write the report: {error}"); // there is nowhere else to say it
            ExitCode::FAILURE
        }
    }
}

/// Says whether all went well.
fn simulate(cli: &Cli, out: &mut dyn Write) -> io::Result<bool> {
    run::keep_panics_quiet();
    let shape = if cli.replicas { Shape::Replicas } else { Shape::OneGateway };
    let usual = if cli.replicas { WORLDS_OVER_REPLICAS } else { WORLDS };
    let order = Order {
        shape,
        seed: cli.seed.unwrap_or_else(clock::fresh_seed),
        worlds: cli.worlds.or(if cli.minutes.is_none() { Some(usual) } else { None }),
        threads: cli.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
        stop_at_failure: !cli.keep_going,
    };
    writeln!(out, "seed {}", order.seed)?;
    out.flush()?;
    let found = lived_through(order, cli.minutes);
    if order.worlds == Some(1) {
        tell_world(shape, order.seed, Allowed::Mix, out)?;
    }
    if !cli.no_coverage {
        summary::write(&found.coverage, shape, out)?;
    }
    if !found.failures.is_empty() {
        tell_failures(&found, out)?;
        return Ok(false);
    }
    let fails_for_gaps = !cli.no_coverage && summary::write_gaps(&found.coverage, shape, out)?;
    match found.coverage.worlds {
        1 => writeln!(out, "\nno rule was broken in the world of seed {}", order.seed)?,
        worlds => writeln!(out, "\nno rule was broken in {} worlds from seed {} on", grouped(worlds), order.seed)?,
    }
    Ok(!fails_for_gaps)
}

fn lived_through(order: Order, minutes: Option<u64>) -> Found {
    let began = clock::now();
    let mut bar = Bar { order, began, shown_at: began, in_place: io::stderr().is_terminal() };
    let ends_after = minutes.map(|minutes| Duration::from_secs(minutes * 60));
    let mut last = Progress::default();
    let found = run::run(order, &mut |progress| {
        bar.show(progress);
        last = progress;
        ends_after.is_none_or(|most| began.elapsed() < most)
    });
    bar.end(last);
    found
}

/// How far a run is.
struct Bar {
    order: Order,
    began: Instant,
    shown_at: Instant,
    in_place: bool,
}

impl Bar {
    fn show(&mut self, progress: Progress) {
        let pause = if self.in_place { Duration::from_millis(100) } else { LINE_EVERY };
        if self.shown_at.elapsed() < pause {
            return;
        }
        self.shown_at = clock::now();
        let bar = self.order.worlds.filter(|_| self.in_place).map_or_else(String::new, |worlds| {
            let full = (progress.worlds * BAR_WIDTH).checked_div(worlds).unwrap_or(0);
            (0..BAR_WIDTH).map(|at| if at < full { '#' } else { '.' }).chain([' ']).collect()
        });
        let (start, end) = if self.in_place { ("\r", "\x1b[K") } else { ("", "\n") };
        let line = format!("{start}{bar}{}{end}", self.line(progress));
        let _ = io::stderr().write_all(line.as_bytes()); // progress only
    }

    fn end(&self, progress: Progress) {
        let start = if self.in_place { "\r\x1b[K" } else { "" };
        let threads = self.order.threads.max(1);
        let _ = writeln!(io::stderr(), "{start}{}, {threads} threads", self.line(progress)); // progress only
    }

    fn line(&self, progress: Progress) -> String {
        let elapsed = self.began.elapsed();
        let of = self.order.worlds.map_or_else(String::new, |worlds| format!(" of {}", grouped(worlds)));
        let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let rate = (progress.worlds * 1_000).checked_div(ms).unwrap_or(0);
        format!(
            "{}{of} worlds, {} a second, {} failures, {} s",
            grouped(progress.worlds),
            grouped(rate),
            grouped(progress.failures),
            elapsed.as_secs()
        )
    }
}

fn tell_failures(found: &Found, out: &mut dyn Write) -> io::Result<()> {
    let (failures, worlds) = (found.failures.len() as u64, found.coverage.worlds);
    writeln!(out, "\n{} of {} worlds failed", grouped(failures), grouped(worlds))?;
    for failure in found.failures.iter().take(LISTED_MAX) {
        writeln!(out, "  seed {}: {}", failure.seed, in_world(failure, &failure.wrong.to_string()))?;
    }
    let Some(first) = found.failures.first() else { return Ok(()) };
    writeln!(out, "\nseed {}", first.seed)?;
    tell_shrunk(first, out)?;
    let replicas = if first.shape == Shape::Replicas { " --replicas" } else { "" };
    writeln!(out, "\nrepeat it with: cargo xtask simulate{replicas} --seed {} --worlds 1", first.seed)
}

fn tell_shrunk(failure: &Failure, out: &mut dyn Write) -> io::Result<()> {
    let Some(shrunk) = shrink::of_failure(failure) else {
        return writeln!(out, "it does not fail again: something in the world is not drawn from its seed");
    };
    let doubt = if shrunk.is_smallest { "" } else { "; fewer may do" };
    writeln!(out, "{} faults make it fail ({} worlds to find out{doubt}):", shrunk.faults.len(), shrunk.reruns)?;
    tell_world(failure.shape, failure.seed, Allowed::Only(shrunk.faults), out)
}

/// The faults and the timeline of one world, and what was wrong with it.
fn tell_world(shape: Shape, seed: u64, allowed: Allowed, out: &mut dyn Write) -> io::Result<()> {
    let lived = run::world(shape, seed, allowed.clone(), true);
    let begins_at_ms = shape.plan(seed).begins_at_ms;
    let mut reader = Reader::new(begins_at_ms);
    match &lived {
        Ok(ended) => {
            for (at, id) in &ended.struck {
                tell_fault(Some(at.saturating_sub(begins_at_ms)), id, out)?;
            }
            writeln!(out)?;
            for line in reader.read(&ended.timeline) {
                writeln!(out, "{}", line.trim_end())?;
            }
        }
        Err(_) => {
            if let Allowed::Only(faults) = &allowed {
                faults.iter().try_for_each(|id| tell_fault(None, id, out))?;
            }
            writeln!(out, "\nits timeline was lost in the panic")?;
        }
    }
    match run::wrong(&lived) {
        Some(wrong) => writeln!(out, "\n{}", reader.sentence(&wrong.to_string())),
        None => Ok(()),
    }
}

fn tell_fault(at_ms: Option<u64>, id: &FaultId, out: &mut dyn Write) -> io::Result<()> {
    let at = at_ms.map_or_else(String::new, |ms| format!("{:>7}.{:03} s", ms / 1_000, ms % 1_000));
    let FaultId { kind, place, number } = id;
    writeln!(out, "{at}  {:<22} place {place} number {number:<4} {}", kind.to_string(), kind.meaning())
}

fn in_world(failure: &Failure, text: &str) -> String {
    Reader::new(failure.shape.plan(failure.seed).begins_at_ms).sentence(text)
}

/// The one place of this program that reads the clock: for its pace and its end, never for a world.
#[allow(clippy::disallowed_methods, reason = "a run takes real time; the worlds in it have a clock of their own")]
mod clock {
    use std::time::{Instant, SystemTime, UNIX_EPOCH};

    pub(super) fn now() -> Instant {
        Instant::now()
    }

    /// Microseconds: a run takes longer than a microsecond a world, so the seeds of two runs are never the same.
    pub(super) fn fresh_seed() -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or_default()
    }
}
