//! The alerts that need several gateways, before three of them on a real PostgreSQL.

use std::time::Duration;

use super::page::{self, Watched};
use super::prometheus::Prometheus;
use super::{FIRES_WITHIN, PAUSE, is_over, is_quiet};
use crate::clock::Deadline;
use crate::parties::phone::Phone;
use crate::parties::{SOON, atm, core_bank};
use crate::process::Process;
use crate::replicas::group::{Group, REPLICAS};
use crate::site::{INSTITUTIONS, Site};
use crate::{clock, interrupt};

/// What fires here.
pub(super) const ALERTS: [&str; 2] = ["CashgateReplicaDeaf", "CashgateForwardsFail"];
const VICTIM: usize = 1;
/// Scans in a row, of which two in three reach a replica that did not show the code.
const SCANS: usize = 12;

/// Three gateways with a machine, a customer and a Prometheus.
struct World {
    group: Group,
    prometheus: Prometheus,
    _core_bank: Process,
    machine: Process,
    phone: Phone,
}

/// Each fault in turn; the error lists what did not fire.
pub(super) fn in_turn(beside: &Site, rules: &str, only: Option<&str>) -> Result<(), String> {
    let site = Site::new(beside.programs(), "cashgate-telemetry-replicas")?;
    let mut world = World::start(&site, rules)?;
    is_quiet(&world.prometheus)?;
    println!("\nof {REPLICAS} replicas:");
    let mut problems = Vec::new();
    for alert in ALERTS.iter().filter(|alert| only.is_none_or(|name| name == **alert)) {
        if let Err(problem) = world.strike(&site, alert) {
            problems.push(format!("{alert}: {problem}"));
        }
    }
    world.group.stop()?;
    if problems.is_empty() {
        site.remove()
    } else {
        Err(format!("{}\nthe replicas' logs are kept in {}", problems.join("\n"), site.folder().display()))
    }
}

impl World {
    fn start(site: &Site, rules: &str) -> Result<Self, String> {
        let [institution, _] = INSTITUTIONS;
        for whose in ["institution/sakura", "corebank/sakura", "atm/A1"] {
            site.issue_certificate(whose)?;
        }
        let core_bank = core_bank::start(site, institution, ["acct-0".to_owned()], 10_000_000)?;
        let group = Group::start(site)?;
        let mut machine = atm::start(site, "A1", "Shibuya, Tokyo", 1_000)?;
        atm::wait_until_connected(&mut machine, SOON)?;
        let phone = Phone::register(site, institution, "phone-0", "acct-0", 1_000)?;
        let prometheus = Prometheus::start(site, rules, &group.http_ports())?;
        Ok(Self { group, prometheus, _core_bank: core_bank, machine, phone })
    }

    /// The fault, until the alert fires; the commands of its page at the replica that it is about; and healed again.
    fn strike(&mut self, site: &Site, alert: &str) -> Result<(), String> {
        is_over(&self.prometheus, alert)?;
        let is_deaf = alert == "CashgateReplicaDeaf";
        let what = if is_deaf {
            "a replica is cut off from PostgreSQL"
        } else {
            "no replica reaches another, and customers scan"
        };
        let began = clock::now();
        if is_deaf {
            self.group.cut_from_database(VICTIM, true)?;
        } else {
            (0..REPLICAS).try_for_each(|number| self.group.cut_from_peers(number, true))?;
        }
        let fired = self.wait_until_it_fires(alert, is_deaf);
        let took = began.elapsed();
        let commands = fired.and_then(|number| page::run_commands(site, &self.watched(number)?, alert));
        if is_deaf {
            self.group.cut_from_database(VICTIM, false)?;
            self.group.wait_until_ready(VICTIM)?;
        } else {
            (0..REPLICAS).try_for_each(|number| self.group.cut_from_peers(number, false))?;
        }
        let commands = commands?;
        println!("{alert:<28} {what:<62} {:>9.0}s   {commands} run", took.as_secs_f32());
        Ok(())
    }

    /// Gives the replica that it is about.
    fn wait_until_it_fires(&mut self, alert: &str, is_deaf: bool) -> Result<usize, String> {
        let deadline = Deadline::after(FIRES_WITHIN);
        let ports = self.group.http_ports();
        while !deadline.has_passed() {
            interrupt::check()?;
            let firing = self.prometheus.firing_with_instance()?;
            let of = firing.iter().filter(|(name, _)| name == alert).filter_map(|(_, instance)| instance.as_deref());
            let numbers: Vec<usize> =
                of.filter_map(|at| ports.iter().position(|port| at.ends_with(&format!(":{port}")))).collect();
            match numbers.first() {
                Some(number) if !is_deaf || numbers == [VICTIM] => return Ok(*number),
                Some(_) => return Err(format!("it fires for {firing:?}, and replica {VICTIM} was cut off")),
                None if is_deaf => std::thread::sleep(PAUSE),
                None => self.scan()?,
            }
        }
        Err(format!("it did not fire within {} s", FIRES_WITHIN.as_secs()))
    }

    /// A customer scans again and again, and reaches another replica each time. What is not answered is what this is about.
    fn scan(&mut self) -> Result<(), String> {
        let code = atm::show_code(&mut self.machine, None)?;
        for _ in 0..SCANS {
            drop(self.phone.scan(&code.text)?);
        }
        self.machine.tell("end")?;
        std::thread::sleep(Duration::from_millis(200));
        Ok(())
    }

    fn watched(&self, number: usize) -> Result<Watched, String> {
        let nobody = || format!("there is no replica {number}");
        let log = self.group.logs().into_iter().nth(number).ok_or_else(nobody)?;
        let http = self.group.http_ports().into_iter().nth(number).ok_or_else(nobody)?;
        Ok(Watched { config: self.group.config(number)?, log, http })
    }
}
