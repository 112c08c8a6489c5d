//! Real processes under load, killed with SIGKILL at random moments; then the books of the three sides and every acknowledged fact are
//! compared.

pub(crate) mod facts;
mod killing;
pub(crate) mod load;
mod token;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use facts::{Facts, has_ended};
pub(crate) use killing::start_core_bank;
use killing::{ACCOUNTS, Killing, accounts};
use load::{Load, Machine, Seen, locked};

use crate::books::{self, Books, Sides};
use crate::clock::Deadline;
use crate::command::Build;
use crate::dice::Dice;
use crate::figures::grouped;
use crate::parties::phone::Phone;
use crate::parties::text;
use crate::process::Process;
use crate::site::{INSTITUTIONS, Site};
use crate::{clock, command, interrupt, packages};

pub(crate) const ATMS: usize = 8;
/// A line of progress every so many kills, where a line cannot be written over.
const PROGRESS_EVERY: u32 = 25;
/// How long an ATM may stay without a clear outcome here, so that what a kill leaves unknown becomes a suspect within the run.
pub(crate) const OUTCOME_DEADLINE: Duration = Duration::from_secs(10);
const STOPPING: Duration = Duration::from_secs(60);
/// A run with fewer kills is too short to have met everybody.
const KILLS_THAT_MEET_ALL: u32 = 30;

/// What to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    /// How many processes are killed.
    pub(crate) kills: u32,
    /// Ends earlier, with the kills that there were.
    pub(crate) minutes: Option<u64>,
    /// Chooses victims and moments; what the operating system does in between it cannot choose.
    pub(crate) seed: Option<u64>,
}

/// Kills, heals, and compares; an error if anything is lost or the books do not balance.
pub(crate) fn run(order: Order) -> Result<(), String> {
    interrupt::watch()?;
    packages::ensure(&[packages::C_COMPILER, packages::SOFTHSM])?;
    let site = Site::new(command::build_programs(Build::Debug)?, "cashgate-crashes")?;
    let seed = order.seed.unwrap_or_else(clock::nanoseconds);
    println!("seed {seed}, folder {}", site.folder().display());
    match strike_and_compare(&site, order, seed) {
        Ok(()) => site.remove(),
        Err(problem) => Err(format!(
            "{problem}\n\nthe gateway's last lines:\n{}\n\nseed {seed}; everything is kept in {}",
            site.last_words_of_gateway(),
            site.folder().display()
        )),
    }
}

fn strike_and_compare(site: &Site, order: Order, seed: u64) -> Result<(), String> {
    let began = clock::now();
    let mut dice = Dice::seeded(seed);
    let Opened { gateway, core_banks, machines } = Opened::at(site)?;
    let phones = machines.iter().enumerate().map(|(index, machine)| phones(site, index, &machine.id));
    let phones = phones.collect::<Result<Vec<_>, _>>()?;
    let mut killing = Killing::new(site, &machines, gateway, core_banks, Dice::seeded(dice.below(u64::MAX)))?;
    let (seen, closing) = (Mutex::new(Seen::default()), AtomicBool::new(false));
    println!("gateway, {} core banks, {ATMS} ATMs and their customers run", INSTITUTIONS.len());

    let struck = std::thread::scope(|scope| {
        for (machine, phones) in machines.iter().zip(&phones) {
            let (load, dice) = (Load { seen: &seen, closing: &closing }, Dice::seeded(dice.below(u64::MAX)));
            scope.spawn(move || load.serve(machine, phones, dice));
        }
        let struck = strike(&mut killing, order, &seen);
        closing.store(true, Ordering::Relaxed);
        struck
    });
    struck?;
    println!("healing: no more kills, no more customers");
    let by_hand = heal(site, &machines)?;
    let sides = Sides::read(site, &ids(&machines))?;
    let (kills, pairs, starts) = (killing.kills.clone(), killing.pairs, killing.starts.clone());
    let mended = killing.mended;
    let facts = gather(site, &machines, killing, seen.into_inner().unwrap_or_default())?;

    let books = Books::of(&sides);
    let problems: Vec<String> = books.problems.iter().cloned().chain(facts.facts.problems(&sides)).collect();
    Report { kills: &kills, pairs, mended, starts, seen: &facts, sides: &sides, by_hand }.print();
    println!("{} problems, {:.0} s", problems.len(), began.elapsed().as_secs_f32());
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    proves_something(&kills, &sides)
}

/// Short deadlines, and limits that customers without a pause do not reach.
pub(crate) fn configure(site: &Site) -> Result<(), String> {
    site.edit_configuration(|text| {
        text.replace("outcome_deadline_s = 900", &format!("outcome_deadline_s = {}", OUTCOME_DEADLINE.as_secs()))
            .replace("per_day = 500000", "per_day = 100000000")
            .replace("withdrawals_per_day = 10", "withdrawals_per_day = 255")
            .replace("burst = 5 ", "burst = 1000 ")
            .replace("burst_every_s = 10", "burst_every_s = 0")
    })
}

/// Everything running.
struct Opened {
    gateway: Process,
    core_banks: BTreeMap<&'static str, Process>,
    machines: Vec<Machine>,
}

impl Opened {
    fn at(site: &Site) -> Result<Self, String> {
        configure(site)?;
        let mut core_banks = BTreeMap::new();
        for institution in INSTITUTIONS {
            site.issue_certificate(&format!("institution/{institution}"))?;
            site.issue_certificate(&format!("corebank/{institution}"))?;
            core_banks.insert(institution, start_core_bank(site, institution)?);
        }
        let gateway = site.start_gateway()?;
        let mut machines = Vec::new();
        for id in (1..=ATMS).map(|number| format!("A{number}")) {
            site.issue_certificate(&format!("atm/{id}"))?;
            machines.push(Machine::start(site, id)?);
        }
        Ok(Self { gateway, core_banks, machines })
    }
}

/// The phones of an ATM's customers. Their accounts are shared with those of the next ATM, so that limits are contended.
pub(crate) fn phones(site: &Site, index: usize, atm: &str) -> Result<Vec<Phone>, String> {
    let mut phones = Vec::new();
    for institution in INSTITUTIONS {
        for account in accounts().cycle().skip(index * ACCOUNTS / ATMS).take(ACCOUNTS / ATMS + 2) {
            phones.push(Phone::register(site, institution, &format!("{atm}-{account}"), &account, 100)?);
        }
    }
    Ok(phones)
}

/// Kills until the order is fulfilled, and shows how far it is.
fn strike(killing: &mut Killing<'_>, order: Order, seen: &Mutex<Seen>) -> Result<(), String> {
    let began = clock::now();
    let deadline = order.minutes.map(|minutes| Deadline::after(Duration::from_secs(minutes * 60)));
    let in_place = std::io::stdout().is_terminal();
    let mut shown = 0;
    while killing.killed() < order.kills && deadline.is_none_or(|deadline| !deadline.has_passed()) {
        interrupt::check()?;
        killing.strike()?;
        let killed = killing.killed();
        if in_place || killed >= shown + PROGRESS_EVERY {
            shown = killed;
            let approved = locked(seen).facts.approvals.len();
            let line = format!(
                "{killed} of {} kills, {approved} withdrawals approved, {:.0} s",
                order.kills,
                began.elapsed().as_secs_f32()
            );
            if in_place {
                print!("\r{line}")
            } else {
                println!("{line}")
            }
            let _ = std::io::stdout().flush(); // progress only
        }
    }
    if in_place {
        println!();
    }
    Ok(())
}

/// Waits until every withdrawal has ended. What a kill left unknown becomes a suspect, and a person counts the machine. Returns how many
/// of those there were.
pub(crate) fn heal(site: &Site, machines: &[Machine]) -> Result<usize, String> {
    books::wait_until_settled(site)?;
    let deadline = Deadline::after(OUTCOME_DEADLINE * 3);
    loop {
        interrupt::check()?;
        let states: Vec<String> = site.withdrawals()?.iter().map(|one| text(one, "state")).collect();
        if states.iter().all(|state| has_ended(state) || state == "suspect") || deadline.has_passed() {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    let sides = Sides::read(site, &ids(machines))?;
    let suspects: Vec<_> = sides.gateway.iter().filter(|listed| listed.state == "suspect").collect();
    for suspect in &suspects {
        let counted = sides.cash.get(&suspect.id).copied().unwrap_or_default();
        let amount = counted.to_string();
        let decision: &[&str] = if counted == 0 { &["--reverse"] } else { &["--confirm", &amount] };
        let resolve = ["withdrawals", "resolve", &suspect.id, "--reason", "the machine was counted"];
        site.ask_gateway(&[&resolve, decision].concat())?;
    }
    books::wait_until_settled(site)?;
    Ok(suspects.len())
}

/// Switches everything off and adds what ATMs and core banks have to tell.
fn gather(site: &Site, machines: &[Machine], killing: Killing<'_>, mut seen: Seen) -> Result<Seen, String> {
    for machine in machines {
        machine.switch_off(STOPPING)?;
        seen.facts.read_atm(site, &machine.id)?;
    }
    let (settlements, mut gateway) = killing.end();
    seen.facts.settlements.extend(settlements);
    gateway.terminate()?;
    let (status, _) = gateway.wait_for_end(STOPPING)?;
    if status.success() { Ok(seen) } else { Err(format!("asked to stop, the gateway ended with {status}")) }
}

fn ids(machines: &[Machine]) -> Vec<&str> {
    machines.iter().map(|machine| machine.id.as_str()).collect()
}

/// A run in which somebody was never killed, or nobody was paid, shows nothing.
fn proves_something(kills: &BTreeMap<&'static str, u32>, sides: &Sides) -> Result<(), String> {
    let killed: u32 = kills.values().sum();
    let paid = sides.gateway.iter().filter(|listed| listed.state == "confirmed").count();
    if paid == 0 {
        return Err("nobody was paid: this run shows nothing".to_owned());
    }
    if killed >= KILLS_THAT_MEET_ALL && kills.len() < 4 {
        return Err(format!("in {killed} kills somebody was never killed ({kills:?}): this run shows too little"));
    }
    Ok(())
}

/// The figures of a run.
struct Report<'a> {
    kills: &'a BTreeMap<&'static str, u32>,
    pairs: u32,
    mended: u32,
    starts: Vec<Duration>,
    seen: &'a Seen,
    sides: &'a Sides,
    by_hand: usize,
}

impl Report<'_> {
    fn print(mut self) {
        let killed: u32 = self.kills.values().sum();
        println!("\n{killed} kills: {}; {} times two at once", counts(self.kills), self.pairs);
        self.starts.sort();
        let middle = self.starts.get(self.starts.len() / 2).copied().unwrap_or_default();
        let last = self.starts.last().copied().unwrap_or_default();
        println!("the gateway was ready again after {middle:.2?} (median), {last:.2?} (longest)");
        if self.mended > 0 {
            println!("{} times SoftHSM's token file was cut off by a kill, and put back", self.mended);
        }
        let mut states: BTreeMap<&str, u32> = BTreeMap::new();
        for listed in &self.sides.gateway {
            *states.entry(&listed.state).or_default() += 1;
        }
        println!("{} withdrawals: {}; {} by hand", self.sides.gateway.len(), counts(&states), self.by_hand);
        println!("visits as customers saw them: {}", counts(&self.seen.visits));
        let paid: i64 = self.sides.cash.values().sum();
        let Facts { approvals, ends, reports, dispenses, settlements } = &self.seen.facts;
        println!(
            "{} facts checked: {} approvals and {} ends that phones were told, {} outcomes that ATMs reported, {} dispenses, {} \
             calls that settle; {} yen left the machines",
            self.seen.facts.count(),
            approvals.len(),
            ends.len(),
            reports.len(),
            dispenses.len(),
            settlements.len(),
            grouped(paid)
        );
    }
}

pub(crate) fn counts<K: std::fmt::Display>(counted: &BTreeMap<K, u32>) -> String {
    counted.iter().map(|(what, count)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
}
