//! `cashgate-replay`: lives through June and July 2020 with each set of controls, and says what they stop and what they cost.
//!
//! The report goes to standard output and is the same for the same seeds; how far it is goes to standard error.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cashgate_replay::controls::{Control, Controls};
use cashgate_replay::gateway_bank::{self, GatewayBank, Setting, SettingError};
use cashgate_replay::plot;
use cashgate_replay::reaction::Reaction;
use cashgate_replay::report::Report;
use cashgate_replay::seeds::{self, Use};
use cashgate_replay::trials;
use cashgate_replay::wave::behaviour::{Behaviour, Mix, Persistence};
use cashgate_replay::world::World;
use clap::builder::PossibleValuesParser;
use clap::{Parser, ValueEnum};

/// As many as the targets are about.
const CUSTOMERS: u32 = 200_000;

/// Two months of a bank's life in 2020 with the wave of thefts hidden in it, with and without each control.
#[derive(Parser)]
#[command(name = "cashgate-replay")]
struct Cli {
    /// How many worlds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    seeds: u64,
    /// The first world's seed; the others follow [default: 1005, with --tuning 1].
    #[arg(long)]
    first_seed: Option<u64>,
    /// Takes seeds that rules may be tuned on; what it prints is not to be quoted.
    #[arg(long)]
    tuning: bool,
    /// 20,000 customers, two worlds, and no control by itself: a minute or so.
    #[arg(long, conflicts_with_all = ["seeds", "customers", "compare"])]
    quick: bool,
    /// Customers of both institutions.
    #[arg(long, default_value_t = CUSTOMERS, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    customers: u32,
    /// Which sets of controls are compared.
    #[arg(long, value_enum, default_value_t = Compared::Each)]
    compare: Compared,
    /// All thieves behave like this.
    #[arg(long, value_parser = PossibleValuesParser::new(Behaviour::ALL.map(Behaviour::as_str)))]
    behaviour: Option<String>,
    /// All thieves go on like this when they are refused.
    #[arg(long, value_parser = PossibleValuesParser::new(Persistence::ALL.map(Persistence::as_str)))]
    persistence: Option<String>,
    /// Working hours from an alarm to the analyst's stop.
    #[arg(long, default_value_t = Reaction::ASSUMED.working_hours)]
    reaction_hours: u64,
    /// Hours that the analyst's stop lasts.
    #[arg(long, default_value_t = Reaction::ASSUMED.lasts.as_secs() / 3_600)]
    stop_hours: u64,
    /// How many threads [default: one a core].
    #[arg(long)]
    threads: Option<usize>,
    /// Also writes the report as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also draws it, to FILE.png and FILE.svg.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// The picture's TrueType font [default: DejaVu Sans, where Debian's fonts-dejavu-core puts it].
    #[arg(long, value_name = "FILE")]
    font: Option<PathBuf>,
}

/// Which sets of controls are compared.
#[derive(Clone, Copy, ValueEnum)]
enum Compared {
    /// None, and all with and without an analyst.
    Main,
    /// None, each alone, all, all but each.
    Each,
}

impl Compared {
    fn sets(self) -> Vec<Controls> {
        match self {
            Self::Main => vec![Controls::NONE, Controls::ALL, Controls::ALL.without(Control::Analyst)],
            Self::Each => Controls::compared(),
        }
    }
}

impl Cli {
    fn with_quick(self) -> Self {
        if self.quick { Self { seeds: 2, customers: 20_000, compare: Compared::Main, ..self } } else { self }
    }
}

fn main() -> ExitCode {
    match replay(&Cli::parse().with_quick()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            let _ = writeln!(io::stderr(), "{problem}"); // there is nowhere else to say it
            ExitCode::FAILURE
        }
    }
}

/// Whether every target holds; tuning runs, and others than the assumed wave and size of the banks, are not judged.
fn replay(cli: &Cli) -> Result<bool, Box<dyn std::error::Error>> {
    if cli.plot.is_some() {
        plot::load_font(cli.font.as_deref())?;
    }
    let purpose = if cli.tuning { Use::Tuning } else { Use::Reporting };
    let worlds: Vec<World> =
        seeds::chosen(purpose, cli.first_seed, cli.seeds)?.into_iter().map(|seed| world(cli, seed)).collect();
    let reaction = Reaction {
        working_hours: cli.reaction_hours,
        lasts: Duration::from_hours(cli.stop_hours),
        ..Reaction::ASSUMED
    };
    let compared = cli.compare.sets();
    let threads = cli.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let (ended, runs) = (AtomicUsize::new(0), trials::runs(worlds.len(), compared.len()));
    let done = |controls: Controls, seed| {
        let ended = ended.fetch_add(1, Ordering::Relaxed) + 1;
        let _ = writeln!(io::stderr(), "[{ended}/{runs}] {controls}, seed {seed}"); // progress that nobody reads is no loss
    };
    let settings: HashMap<Controls, Setting> = [Controls::ALL.without(Control::Analyst)]
        .iter()
        .chain(&compared)
        .map(|controls| Ok((*controls, Setting::new(*controls)?)))
        .collect::<Result<_, SettingError>>()?;
    #[expect(clippy::indexing_slicing, reason = "each set that is asked for has its setting, from the lines above")]
    let open = |_: &World, controls: Controls| GatewayBank::new(&settings[&controls]);
    let trials = trials::run(&worlds, &compared, reaction, threads, &open, &done);
    let report = Report { bank: gateway_bank::NAME, purpose, worlds, reaction, trials };
    io::stdout().write_all(report.text().as_bytes())?;
    if let Some(file) = &cli.json {
        std::fs::write(file, serde_json::to_string_pretty(&report.json())?)?;
    }
    if let Some(file) = &cli.plot {
        plot::draw(&report, &file.with_extension("png"))?;
        plot::draw(&report, &file.with_extension("svg"))?;
    }
    let as_assumed = cli.behaviour.is_none() && cli.persistence.is_none() && cli.customers == CUSTOMERS;
    let is_judged = purpose == Use::Reporting && as_assumed;
    Ok(!is_judged || report.holds())
}

fn world(cli: &Cli, seed: u64) -> World {
    let behaviour = Behaviour::ALL.into_iter().find(|one| cli.behaviour.as_deref() == Some(one.as_str()));
    let persistence = Persistence::ALL.into_iter().find(|one| cli.persistence.as_deref() == Some(one.as_str()));
    World { customers: cli.customers, mix: behaviour.map_or(Mix::ASSUMED, Mix::only), persistence, ..World::of(seed) }
}
