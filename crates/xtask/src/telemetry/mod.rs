//! `cargo xtask telemetry`: a real Prometheus and a real collector before a real gateway, and a real fault for each alert.
//!
//! The rules are the very ones of the chart but for their patience: a copy fires at once and looks back seconds where they look back minutes. While an
//! alert fires, the three commands of its page are run as they stand there.

mod certificate;
mod dashboard;
mod faults;
mod over_replicas;
mod page;
mod prometheus;
mod world;

use std::time::Duration;

use faults::FAULTS;
use page::Watched;
use prometheus::Prometheus;
use world::World;

use crate::alerts::rules;
use crate::clock::Deadline;
use crate::command::Build;
use crate::site::Site;
use crate::{clock, command, interrupt, packages};

/// How long an alert may take to fire. What takes longest is a gateway that finds its HSM gone.
const FIRES_WITHIN: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);
/// How long everything must be quiet before a fault counts.
const QUIET: Duration = Duration::from_secs(10);

/// Runs everything, or the faults of one alert; the error lists what did not fire.
pub(crate) fn run(only: Option<&str>) -> Result<(), String> {
    interrupt::watch()?;
    packages::ensure(&[
        packages::C_COMPILER,
        packages::SOFTHSM,
        packages::PROMETHEUS,
        packages::STRACE,
        packages::CURL,
        packages::OPENSSL,
        packages::POSTGRESQL,
    ])?;
    let rules_text = std::fs::read_to_string(rules::rules_file(&command::root()))
        .map_err(|error| format!("cannot read the alert rules: {error}"))?;
    let alerts = rules::alerts(&rules_text);
    let lacking: Vec<&&str> = alerts
        .iter()
        .filter(|name| !over_replicas::ALERTS.contains(name) && !FAULTS.iter().any(|fault| fault.alert == **name))
        .collect();
    if !lacking.is_empty() {
        return Err(format!("no fault makes these alerts fire: {lacking:?}; add one to telemetry/faults.rs"));
    }
    let site = Site::new(command::build_programs(Build::Debug)?, "cashgate-telemetry")?;
    let over_replicas = |name: &str| over_replicas::ALERTS.contains(&name);
    let mut problems = Vec::new();
    if only.is_none_or(|name| !over_replicas(name)) {
        problems.extend(in_turn(&site, &rules_text, only).err());
    }
    if only.is_none_or(over_replicas) {
        problems.extend(over_replicas::in_turn(&site, &rules_text, only).err());
    }
    if problems.is_empty() {
        return site.remove();
    }
    Err(format!("{}\neverything is kept in {}", problems.join("\n"), site.folder().display()))
}

fn in_turn(site: &Site, rules_text: &str, only: Option<&str>) -> Result<(), String> {
    let prometheus = Prometheus::start(site, rules_text, &[site.ports().http])?;
    let mut world = World::start(site.clone())?;
    world.withdraw(10_000)?;
    faults::approve(&mut world, 10_000, &["--wrong-signature"])?;
    is_quiet(&prometheus)?;
    println!("{} queries of the dashboard, each with an answer", dashboard::check(&prometheus)?);
    println!("\n{:<28} {:<62} {:>10}   its page's commands", "alert", "fault", "fires");
    let mut problems = Vec::new();
    for fault in FAULTS.iter().filter(|fault| only.is_none_or(|name| fault.alert == name)) {
        if !fault.what.starts_with("the same") {
            is_over(&prometheus, fault.alert)?;
        }
        let began = clock::now();
        let fired = (fault.inject)(&mut world).and_then(|()| wait_until_it_fires(&prometheus, &mut world, fault));
        let took = began.elapsed();
        let commands = fired.and_then(|()| page::run_commands(site, &Watched::alone(site), fault.alert));
        let (fires, said) = match &commands {
            Ok(count) => (format!("{:.0} s", took.as_secs_f32()), format!("{count} run")),
            Err(problem) => ("-".to_owned(), problem.clone()),
        };
        println!("{:<28} {:<62} {fires:>10}   {said}", fault.alert, fault.what);
        if let Err(problem) = commands {
            problems.push(format!("{}: {problem}", fault.alert));
        }
        if let Err(problem) = (fault.heal)(&mut world) {
            problems.push(format!("{}: could not be healed: {problem}", fault.alert));
        }
    }
    let batches = world.collected();
    println!(
        "\nthe collector (rotel) received {} batches; the last: {}",
        batches.len(),
        batches.last().map_or("-", String::as_str)
    );
    if batches.is_empty() {
        problems.push("the collector received no traces".to_owned());
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

/// Nothing fires while nothing is wrong, or the rest would show nothing.
fn is_quiet(prometheus: &Prometheus) -> Result<(), String> {
    prometheus.wait_until_it_scrapes()?;
    let quiet_until = Deadline::after(QUIET);
    while !quiet_until.has_passed() {
        interrupt::check()?;
        std::thread::sleep(PAUSE);
        let firing = prometheus.firing()?;
        if !firing.is_empty() {
            return Err(format!("{firing:?} fire although nothing is wrong"));
        }
    }
    println!("a withdrawal, a refusal, and {} s in which no alert fires", QUIET.as_secs());
    Ok(())
}

/// An alert that still fires for an earlier fault would show nothing.
fn is_over(prometheus: &Prometheus, alert: &str) -> Result<(), String> {
    let deadline = Deadline::after(FIRES_WITHIN);
    while prometheus.firing()?.iter().any(|name| name == alert) {
        interrupt::check()?;
        if deadline.has_passed() {
            return Err(format!("{alert} fires before its fault"));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

fn wait_until_it_fires(prometheus: &Prometheus, world: &mut World, fault: &faults::Fault) -> Result<(), String> {
    let deadline = Deadline::after(FIRES_WITHIN);
    loop {
        interrupt::check()?;
        if prometheus.firing()?.iter().any(|name| name == fault.alert) {
            return Ok(());
        }
        if deadline.has_passed() {
            return Err(format!("it did not fire within {} s", FIRES_WITHIN.as_secs()));
        }
        (fault.meanwhile)(world)?;
        std::thread::sleep(PAUSE);
    }
}
