//! Three gateways on a real PostgreSQL: the main job while one of them is killed, and every fault in turn under load.

// Milliseconds that were measured; no money here.
#![allow(clippy::float_arithmetic)]

pub(crate) mod configuring;
mod faults;
pub(crate) mod group;
mod hogging;
mod steps;
mod table;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use faults::{Fault, Striking};
use group::Group;
use table::Row;

use crate::books::{Books, Sides};
use crate::command::Build;
use crate::crashes::load::{Load, Machine, Seen, locked};
use crate::crashes::{self, ATMS, counts, heal, phones, start_core_bank};
use crate::dice::Dice;
use crate::figures::grouped;
use crate::parties::phone::Phone;
use crate::process::Process;
use crate::site::{INSTITUTIONS, Site};
use crate::{clock, command, interrupt, packages};

/// How long customers come before and after what strikes.
const QUIET: Duration = Duration::from_secs(6);
const STOPPING: Duration = Duration::from_secs(60);

/// The main job on three replicas, of which one is killed in the middle; an error if the books do not balance.
pub(crate) fn demo() -> Result<(), String> {
    run("cashgate-replicas", clock::nanoseconds(), &mut |running| {
        running.customers_for(QUIET)?;
        running.strike(Fault::ReplicaKilled)?;
        running.customers_for(QUIET)
    })
    .map(drop)
}

/// What strikes how often, and what becomes of what was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order<'a> {
    /// How often every fault strikes.
    pub(crate) rounds: u32,
    /// Only those whose names begin so.
    pub(crate) only: Option<&'a str>,
    /// Chooses order, victims and moments.
    pub(crate) seed: Option<u64>,
    /// Puts the table into its document.
    pub(crate) write: bool,
}

/// Every fault so many times, in an order that the seed chooses; prints what was seen of each, and writes it down if wanted.
pub(crate) fn crashes(Order { rounds, only, seed, write }: Order<'_>) -> Result<(), String> {
    let faults = Fault::named(only.unwrap_or_default())?;
    let seed = seed.unwrap_or_else(clock::nanoseconds);
    println!("seed {seed}");
    let rows = run("cashgate-replicas-crashes", seed, &mut |running| {
        running.customers_for(QUIET)?;
        for _ in 0..rounds {
            for fault in running.dice.shuffled(&faults) {
                running.strike(fault)?;
            }
        }
        running.customers_for(QUIET)
    })?;
    let text = table::markdown(&rows);
    println!("\n{text}");
    if write { table::write(&text) } else { Ok(()) }
}

/// What a run is made of, while it runs.
struct Running<'a> {
    group: Group,
    seen: &'a Mutex<Seen>,
    machines: &'a [Machine],
    dice: Dice,
    rows: BTreeMap<Fault, Row>,
}

impl Running<'_> {
    fn customers_for(&mut self, time: Duration) -> Result<(), String> {
        let ends = clock::now() + time;
        while clock::now() < ends {
            interrupt::check()?;
            self.group.check_runs()?;
            std::thread::sleep(Duration::from_millis(200));
        }
        let approved = locked(self.seen).approved.len();
        println!("{approved} withdrawals approved so far");
        Ok(())
    }

    /// One fault; then waits until every machine has had another approval.
    fn strike(&mut self, fault: Fault) -> Result<(), String> {
        let before = self.visits();
        let struck_at = clock::now();
        let striking = Striking { group: &mut self.group, dice: &mut self.dice };
        let from = striking.strike(fault)?.unwrap_or(struck_at);
        let (first, all) = self.served_after(from)?;
        let after = self.visits();
        let row = self.rows.entry(fault).or_default();
        row.add(first, all, &before, &after);
        println!(
            "{:<60} first approval after {:>5.2} s, every machine after {:>5.2} s",
            fault.meaning(),
            first.as_secs_f32(),
            all.as_secs_f32()
        );
        self.group.check_runs()
    }

    /// How long after a moment the first approval was accepted anywhere, and until every machine had one.
    fn served_after(&self, from: Instant) -> Result<(Duration, Duration), String> {
        let deadline = clock::Deadline::after(Duration::from_secs(90));
        loop {
            interrupt::check()?;
            let mut firsts: BTreeMap<String, Instant> = BTreeMap::new();
            for (at, machine) in locked(self.seen).approved.iter().rev().take_while(|(at, _)| *at >= from) {
                firsts.insert(machine.clone(), *at);
            }
            if firsts.len() == self.machines.len() || deadline.has_passed() {
                let since = |at: &Instant| at.saturating_duration_since(from);
                let missing = self.machines.len() - firsts.len();
                if missing > 0 {
                    return Err(format!("{missing} machines had no approval for 90 s after a fault"));
                }
                let all = firsts.values().map(since).max().unwrap_or_default();
                return Ok((firsts.values().map(since).min().unwrap_or_default(), all));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn visits(&self) -> BTreeMap<String, u32> {
        locked(self.seen).visits.clone()
    }
}

/// What a replica exports, for the check that alerts name what there is.
pub(crate) fn metrics() -> Result<String, String> {
    packages::ensure(&[packages::POSTGRESQL])?;
    let site = Site::new(command::build_programs(Build::Debug)?, "cashgate-alerts-replicas")?;
    let group = Group::start(&site)?;
    let page = group.metrics()?;
    group.stop()?;
    site.remove()?;
    Ok(page)
}

/// Starts everything, lets `job` do what it wants under load, heals, and compares the books and every fact.
fn run(
    name: &str,
    seed: u64,
    job: &mut dyn FnMut(&mut Running<'_>) -> Result<(), String>,
) -> Result<BTreeMap<Fault, Row>, String> {
    interrupt::watch()?;
    packages::ensure(&[packages::C_COMPILER, packages::SOFTHSM, packages::POSTGRESQL])?;
    let site = Site::new(command::build_programs(Build::Debug)?, name)?;
    println!("folder: {}", site.folder().display());
    match at(&site, seed, job) {
        Ok(rows) => site.remove().map(|()| rows),
        Err(problem) => Err(format!("{problem}\n\nseed {seed}; everything is kept in {}", site.folder().display())),
    }
}

fn at(
    site: &Site,
    seed: u64,
    job: &mut dyn FnMut(&mut Running<'_>) -> Result<(), String>,
) -> Result<BTreeMap<Fault, Row>, String> {
    let began = clock::now();
    let mut dice = Dice::seeded(seed);
    crashes::configure(site)?;
    let mut core_banks: BTreeMap<&str, Process> = BTreeMap::new();
    for institution in INSTITUTIONS {
        site.issue_certificate(&format!("institution/{institution}"))?;
        site.issue_certificate(&format!("corebank/{institution}"))?;
        core_banks.insert(institution, start_core_bank(site, institution)?);
    }
    let group = Group::start(site)?;
    let mut machines = Vec::new();
    for id in (1..=ATMS).map(|number| format!("A{number}")) {
        site.issue_certificate(&format!("atm/{id}"))?;
        machines.push(Machine::start(site, id)?);
    }
    let phones = machines.iter().enumerate().map(|(index, machine)| phones(site, index, &machine.id));
    let phones = phones.collect::<Result<Vec<Vec<Phone>>, _>>()?;
    println!("3 gateways, PostgreSQL with a standby, {ATMS} ATMs run after {:.1} s", began.elapsed().as_secs_f32());

    let (seen, closing) = (Mutex::new(Seen::default()), AtomicBool::new(false));
    let dice_of_strikes = Dice::seeded(dice.below(u64::MAX));
    let mut running = Running { group, seen: &seen, machines: &machines, dice: dice_of_strikes, rows: BTreeMap::new() };
    let done = std::thread::scope(|scope| {
        for (machine, phones) in machines.iter().zip(&phones) {
            let (load, dice) = (Load { seen: &seen, closing: &closing }, Dice::seeded(dice.below(u64::MAX)));
            scope.spawn(move || load.serve(machine, phones, dice));
        }
        let done = job(&mut running);
        closing.store(true, Ordering::Relaxed);
        done
    });
    let Running { group, rows, .. } = running;
    done?;
    println!("healing: no more faults, no more customers");
    let by_hand = heal(site, &machines)?;
    let ids: Vec<&str> = machines.iter().map(|machine| machine.id.as_str()).collect();
    let sides = Sides::read(site, &ids)?;
    tell(&group);
    for machine in &machines {
        machine.switch_off(STOPPING)?;
    }
    let mut seen = seen.into_inner().unwrap_or_default();
    for id in &ids {
        seen.facts.read_atm(site, id)?;
    }
    group.stop()?;
    judge(&sides, &seen, by_hand, began.elapsed().as_secs_f32())?;
    Ok(rows)
}

/// What the replicas counted.
fn tell(group: &Group) {
    for (what, series) in [
        ("requests forwarded", "cashgate_replica_forwarded_total"),
        ("lanes taken over", "cashgate_replica_lanes_adopted_total"),
        ("approvals computed again", "cashgate_replica_limits_moved_total"),
    ] {
        println!("{what}: {} (of the processes that run now)", group.counted(series));
    }
}

/// Whether the books of all sides agree, and somebody was paid.
fn judge(sides: &Sides, seen: &Seen, by_hand: usize, seconds: f32) -> Result<(), String> {
    let books = Books::of(sides);
    books.print();
    let problems: Vec<String> = books.problems.iter().cloned().chain(seen.facts.problems(sides)).collect();
    println!("visits as customers saw them: {}", counts(&seen.visits));
    println!(
        "{} withdrawals, {} facts checked, {} yen left the machines, {by_hand} by hand, {} problems, {seconds:.0} s",
        sides.gateway.len(),
        seen.facts.count(),
        grouped(sides.cash.values().sum()),
        problems.len(),
    );
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    if sides.gateway.iter().all(|listed| listed.state != "confirmed") {
        return Err("nobody was paid: this run shows nothing".to_owned());
    }
    Ok(())
}
