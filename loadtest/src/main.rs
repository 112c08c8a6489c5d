//! `cashgate-loadtest`: load on a running Cashgate, with a verdict.
//!
//! It knows its command line and what to say on the terminal; the library does the rest. Exit code 0: passed; 1: a threshold or the books did not hold; 2: there
//! was no run to judge.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for a terminal")]

mod cli;

use std::process::ExitCode;

use cashgate_loadtest::report::{Report, load_font};
use cashgate_loadtest::scenario::Scenario;
use cashgate_loadtest::{certificates, register, run, verdict};
use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::cli::{CertificatesArguments, Cli, Failure, LoadArguments, RunArguments, Task};

/// There was no run to judge.
const NO_RUN: u8 = 2;

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let done = match Cli::parse().task {
        Task::Run(arguments) => run_scenario(&arguments),
        Task::Register(load) => register_phones(&load),
        Task::Scenarios => list_scenarios(),
        Task::Certificates(arguments) => issue(&arguments),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("{failure}");
        ExitCode::from(NO_RUN)
    })
}

fn run_scenario(arguments: &RunArguments) -> Result<ExitCode, Failure> {
    // Before the load, not after it.
    load_font(arguments.font.as_deref())?;
    let scenario = arguments.load.scenario()?;
    let out = arguments.out(&scenario.name);
    let target = arguments.load.target(&out.join("atm-records"));
    eprintln!("{}: {}", scenario.name, scenario.about);
    let outcome = runtime(arguments.load.threads())?.block_on(run(&scenario, &target))?;
    let judged = verdict::judge(&scenario, &outcome.recording, &outcome.books, &outcome.failures);
    let command = arguments.command.clone().unwrap_or_else(cli::own_command_line);
    let report = Report { scenario: &scenario, outcome: &outcome, judged: &judged, command, cores: cli::cores() };
    report.write(&out)?;
    println!("{}\nreport: {}", report.text(), out.join("report.html").display());
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn register_phones(load: &LoadArguments) -> Result<ExitCode, Failure> {
    if load.phones.is_none() {
        return Err("name the folder that keeps the phones' keys with --phones, and name it again for the run".into());
    }
    let scenario = load.scenario()?;
    let target = load.target(std::path::Path::new("."));
    let phones = runtime(load.threads())?.block_on(register(&scenario, &target))?;
    println!("{phones} phones are registered; their age counts from now");
    Ok(ExitCode::SUCCESS)
}

fn list_scenarios() -> Result<ExitCode, Failure> {
    for name in Scenario::built_in() {
        let scenario = Scenario::load(name)?;
        let hooks = scenario.hooks();
        let needs = if hooks.is_empty() { String::new() } else { format!(" Needs --hook for: {}.", hooks.join(", ")) };
        println!("{name:16} {}{needs}", scenario.about);
    }
    Ok(ExitCode::SUCCESS)
}

fn issue(arguments: &CertificatesArguments) -> Result<ExitCode, Failure> {
    let CertificatesArguments { site, trust_domain, institution, operator, atms } = arguments;
    let made = certificates::issue(site, trust_domain, institution, operator, *atms)?;
    println!("{made} certificates made in {}", site.join("certs").display());
    Ok(ExitCode::SUCCESS)
}

fn runtime(threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()
}
