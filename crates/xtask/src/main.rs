//! `cargo xtask`: the chores of this repository.
//!
//! It knows how to install what is missing, how to start the real programs as processes, and what every stage of the tests is. It
//! must never know how the gateway works inside: it sees the command lines, their output, and the files of the repository.

// It is a program for a terminal, and its tasks stand outside the worlds that are replayed from a seed.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod alerts;
mod bench;
mod books;
mod clock;
mod command;
mod crashes;
mod demo;
mod dice;
mod figures;
mod fuzz;
mod helm;
mod http;
mod interrupt;
mod ledger;
mod loadtest;
mod outside_client;
mod packages;
mod parties;
mod process;
mod python;
mod recovery;
mod relay;
mod replay;
mod replicas;
mod siege;
mod simulate;
mod site;
mod stages;
mod telemetry;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The chores of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Shows the main job with real parts: a SoftHSM2 token, SQLite or PostgreSQL, gRPC over mTLS, simulated ATMs, phones and core banking.
    Demo {
        /// Run the list of cases once, count the money, and exit with 1 if anything is not as it should be.
        #[arg(long)]
        once: bool,
        /// Where the gateway keeps its ledger.
        #[arg(long, value_enum, default_value_t, conflicts_with = "replicas")]
        ledger: ledger::LedgerKind,
        /// So many gateways on a real PostgreSQL instead, of which one is killed in the middle.
        #[arg(long, value_parser = clap::value_parser!(u64).range(3..=3), conflicts_with = "json")]
        replicas: Option<u64>,
        /// Also write the cases and the books to this file.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Kills gateway, core banks and ATMs at random moments while customers withdraw; then compares the books of the three sides.
    Crashes {
        /// How many processes are killed.
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
        kills: u32,
        /// End after this many minutes, with the kills that there were.
        #[arg(long)]
        minutes: Option<u64>,
        /// Chooses victims and moments; a fresh one if not given.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Three gateways on a real PostgreSQL with a synchronous standby, under load, with every fault in turn; prints what was seen of each.
    ReplicasCrashes {
        /// How often every fault strikes.
        #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// Chooses victims and moments; a fresh one if not given.
        #[arg(long)]
        seed: Option<u64>,
        /// Only faults whose name begins so, such as `cut-from`.
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
        /// Also puts the table into docs/replicas.md.
        #[arg(long, conflicts_with = "only")]
        write: bool,
    },
    /// Measures the design's figures as ratios, ours and the baseline in turn; writes target/bench/results.json.
    Bench {
        /// A few minutes, for a first look.
        #[arg(long)]
        quick: bool,
        /// Only rows whose name begins so.
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
    },
    /// Measures how long a gateway takes to be ready again when many withdrawals are open.
    Recovery {
        /// How many are open.
        #[arg(long, default_value_t = 100_000)]
        open: u64,
    },
    /// Lives through seeded worlds with faults, and judges the rules of the design in each.
    Simulate {
        /// Worlds with several replicas that share a database, instead of one gateway [default: 1000 of them].
        #[arg(long, conflicts_with = "crashes")]
        replicas: bool,
        /// How many worlds [default: 20000, or as many as --minutes allows].
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        worlds: Option<u64>,
        /// The first world's seed; the others follow. A fresh one if not given.
        #[arg(long)]
        seed: Option<u64>,
        /// End after this many minutes.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        minutes: Option<u64>,
        /// How many threads [default: one a core].
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        threads: Option<u64>,
        /// Instead of worlds: every scenario with a crash at every point of it and every effect done twice, as a table.
        #[arg(long, conflicts_with_all = ["worlds", "seed", "minutes", "threads"])]
        crashes: bool,
        /// Also list every run of the table.
        #[arg(long, requires = "crashes")]
        every_run: bool,
    },
    /// Loads a gateway of its own with a scenario (`cashgate-loadtest scenarios`), and says whether it passed; writes target/loadtest/.
    Loadtest {
        /// The scenario's name, or a TOML file.
        scenario: String,
        /// How many ATMs get certificates; no scenario may have more.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=99_999))]
        atms: u32,
        /// Debug builds: for a look at the report, not for figures.
        #[arg(long)]
        debug: bool,
        /// So many gateways on a real PostgreSQL with a standby instead of one.
        #[arg(long, value_parser = clap::value_parser!(u64).range(3..=3))]
        replicas: Option<u64>,
        /// What `cashgate-loadtest run` is told beside that, such as -- --rate-percent 50.
        #[arg(last = true, value_name = "OPTIONS")]
        options: Vec<std::ffi::OsString>,
    },
    /// Lives through June and July 2020 with the wave of thefts hidden in it, with and without each control; writes target/replay/.
    #[command(name = "replay-2020")]
    Replay {
        /// What `cashgate-replay` is told; `cargo xtask replay-2020 -- --help` lists it.
        #[arg(last = true, value_name = "OPTIONS")]
        options: Vec<std::ffi::OsString>,
    },
    /// Attacks a gateway while honest peers measure what they notice; prints a table and writes target/siege/attacks.json.
    Siege {
        /// Less than a minute.
        #[arg(long)]
        quick: bool,
        /// With release builds, whose latencies are those of life.
        #[arg(long)]
        release: bool,
        /// Only attacks whose name begins so.
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
        /// Attacks this gateway instead, from before there were revocation lists, and judges nothing; writes target/siege/before.json.
        #[arg(long, value_name = "CASHGATE")]
        before: Option<PathBuf>,
    },
    /// Gives nearly right bytes to everything that reads bytes from outside: tokens, messages, journal, log, configuration, certificates.
    Fuzz {
        /// How long each target runs.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
        seconds: u64,
    },
    /// Checks the Helm chart without a cluster: schemas, models, scanners, wrong values, and rendered pods as processes; then plants mistakes in it.
    Helm,
    /// Lets a real Prometheus watch a real gateway while faults are injected: each alert must fire, and the commands of its page must run.
    Telemetry {
        /// Only this alert.
        #[arg(long, value_name = "ALERT")]
        only: Option<String>,
    },
    /// Runs every check that a change must pass.
    Test {
        /// Run this stage alone.
        #[arg(long, value_name = "STAGE", value_parser = clap::builder::PossibleValuesParser::new(stages::names()))]
        only: Option<String>,
    },
    /// Checks lengths, names, documents and the direction of dependencies.
    Tidy,
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Demo { replicas: Some(_), .. } => replicas::demo(),
        Task::Demo { once, ledger, json, .. } => demo::run(once, ledger, json.as_deref()),
        Task::ReplicasCrashes { rounds, seed, only, write } => {
            replicas::crashes(replicas::Order { rounds, only: only.as_deref(), seed, write })
        }
        Task::Crashes { kills, minutes, seed } => crashes::run(crashes::Order { kills, minutes, seed }),
        Task::Bench { quick, only } => bench::run(bench::Order { quick, only: only.as_deref() }),
        Task::Recovery { open } => recovery::run(open),
        Task::Simulate { replicas, worlds, seed, minutes, threads, crashes, every_run } => {
            simulate::run(simulate::Order { replicas, worlds, seed, minutes, threads, crashes, every_run })
        }
        Task::Loadtest { scenario, atms, debug, replicas, options } => {
            let how = if debug { command::Build::Debug } else { command::Build::Release };
            let replicated = replicas.is_some();
            loadtest::run(&loadtest::Order { scenario: &scenario, atms, how, replicated, options: &options }).map(drop)
        }
        Task::Replay { options } => replay::run(&options),
        Task::Siege { quick, release, only, before } => siege::run(&siege::Order { quick, release, only, before }),
        Task::Fuzz { seconds } => fuzz::run(seconds),
        Task::Helm => helm::run(),
        Task::Telemetry { only } => telemetry::run(only.as_deref()),
        Task::Test { only } => stages::run(only.as_deref()),
        Task::Tidy => tidy::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
