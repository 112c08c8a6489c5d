//! Three gateways on a real PostgreSQL with a synchronous standby, behind a balancer that sends nobody to a replica that is not ready.

// Milliseconds that were measured; no money here.
#![allow(clippy::float_arithmetic)]

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cashgate_postgres_server::Server;

use super::configuring::{Prepared, prepare};
use super::hogging::HOG;
use crate::process::{Killer, Process};
use crate::relay::Relay;
use crate::site::{Site, is_ready, wait_until_ready};
use crate::{command, http};

pub(crate) const REPLICAS: usize = 3;
pub(crate) const DATABASE: &str = "cashgate";
/// Whom gateways connect as: the owner of the tables, and no superuser, for whom PostgreSQL keeps connections back.
pub(crate) const ROLE: &str = "cashgate";
/// The standby's name for the primary.
const STANDBY: &str = "standby";
const READY_PAUSE: Duration = Duration::from_millis(50);
/// How often the balancer asks who is ready.
const PROBE_EVERY: Duration = Duration::from_millis(200);

/// One gateway.
pub(crate) struct Replica {
    name: String,
    config: PathBuf,
    pub(crate) http: u16,
    atm: u16,
    api: u16,
    /// Its lines to the primary and to the standby.
    database: [Relay; 2],
    /// What its peers reach it by.
    peers: Relay,
    /// Its lines to core banking.
    core_banks: Vec<Relay>,
    process: Process,
}

/// All of it.
pub(crate) struct Group {
    site: Site,
    primary: Server,
    standby: Option<Server>,
    pub(crate) replicas: Vec<Replica>,
    probing: Arc<AtomicBool>,
}

impl Group {
    /// Starts database, standby, gateways and balancers. The site's own ports are the balancers'.
    pub(crate) fn start(site: &Site) -> Result<Self, String> {
        let primary = Server::start_new();
        for sql in [
            format!("CREATE ROLE {ROLE} LOGIN"),
            format!("CREATE ROLE {HOG} LOGIN"),
            format!("CREATE DATABASE {DATABASE} OWNER {ROLE}"),
        ] {
            let _ = primary.sql("postgres", &sql);
        }
        let standby = follow(&primary);
        let lines =
            (0..REPLICAS).map(|_| Ok([Relay::listen(0)?, Relay::listen(0)?])).collect::<Result<Vec<_>, String>>()?;
        let mut replicas = Vec::new();
        for (number, database) in lines.into_iter().enumerate() {
            database[0].send_to(vec![primary.port()]);
            database[1].send_to(vec![standby.port()]);
            let prepared = prepare(site, number, &database)?;
            if number == 0 {
                let mut migrate = Command::new(site.programs_folder().join("cashgate"));
                println!("{}", command::output(migrate.args(["migrate", "--config"]).arg(&prepared.config))?.trim());
            }
            let process = site.spawn_gateway_with(&prepared.name, &prepared.config)?;
            let Prepared { name, config, http, atm, api, peers, core_banks } = prepared;
            replicas.push(Replica { name, config, http, atm, api, database, peers, core_banks, process });
        }
        let probing = Arc::new(AtomicBool::new(true));
        let mut group = Self { site: site.clone(), primary, standby: Some(standby), replicas, probing };
        group.balance()?;
        for number in 0..REPLICAS {
            group.wait_until_ready(number)?;
        }
        Ok(group)
    }

    /// Sends machines and apps to replicas that say that they are ready.
    fn balance(&self) -> Result<(), String> {
        let ports = self.site.ports();
        let (atm, api) = (Relay::listen(ports.atm)?, Relay::listen(ports.api)?);
        let targets: Vec<[u16; 3]> = self.replicas.iter().map(|one| [one.http, one.atm, one.api]).collect();
        let probing = Arc::clone(&self.probing);
        std::thread::spawn(move || {
            while probing.load(Ordering::Relaxed) {
                let ready: Vec<&[u16; 3]> = targets.iter().filter(|[http, ..]| is_ready(*http)).collect();
                atm.send_to(ready.iter().map(|[_, atm, _]| *atm).collect());
                api.send_to(ready.iter().map(|[_, _, api]| *api).collect());
                std::thread::sleep(PROBE_EVERY);
            }
        });
        Ok(())
    }

    pub(crate) fn wait_until_ready(&mut self, number: usize) -> Result<(), String> {
        let replica = self.replica(number)?;
        wait_until_ready(&mut replica.process, replica.http, READY_PAUSE)
    }

    pub(crate) fn kill(&mut self, number: usize) -> Result<(), String> {
        self.replica(number)?.process.kill();
        Ok(())
    }

    pub(crate) fn start_again(&mut self, number: usize) -> Result<(), String> {
        let site = self.site.clone();
        let replica = self.replica(number)?;
        replica.process = site.spawn_gateway_with(&replica.name, &replica.config)?;
        self.wait_until_ready(number)
    }

    /// Asks one to stop, as an upgrade does, waits until it has, and starts it again.
    pub(crate) fn replace(&mut self, number: usize) -> Result<Duration, String> {
        let began = crate::clock::now();
        let replica = self.replica(number)?;
        replica.process.terminate()?;
        let (status, _) = replica.process.wait_for_end(Duration::from_secs(90))?;
        let took = began.elapsed();
        if !status.success() {
            return Err(format!(
                "asked to stop, {} ended with {status}: {}",
                replica.name,
                replica.process.last_words(10)
            ));
        }
        self.start_again(number)?;
        Ok(took)
    }

    pub(crate) fn killer(&mut self, number: usize) -> Result<Killer, String> {
        Ok(self.replica(number)?.process.killer())
    }

    pub(crate) fn cut_from_database(&mut self, number: usize, cut: bool) -> Result<(), String> {
        self.replica(number)?.database.iter().for_each(|line| line.cut(cut));
        Ok(())
    }

    pub(crate) fn cut_from_peers(&mut self, number: usize, cut: bool) -> Result<(), String> {
        self.replica(number)?.peers.cut(cut);
        Ok(())
    }

    pub(crate) fn cut_from_core_banks(&mut self, number: usize, cut: bool) -> Result<(), String> {
        self.replica(number)?.core_banks.iter().for_each(|line| line.cut(cut));
        Ok(())
    }

    /// Everything of the database comes so much later at every replica, each way.
    pub(crate) fn slow_down_database(&self, delay: Duration) {
        self.replicas.iter().flat_map(|replica| &replica.database).for_each(|line| line.slow_down(delay));
    }

    /// The server that takes writes.
    pub(crate) const fn database(&self) -> &Server {
        &self.primary
    }

    /// The replicas' logs, in their order.
    pub(crate) fn logs(&self) -> Vec<PathBuf> {
        self.replicas.iter().map(|replica| self.site.log(&replica.name)).collect()
    }

    /// The processes.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.replicas.iter().map(|replica| replica.process.id()).collect()
    }

    /// Kills the database's server and starts it again after a moment.
    pub(crate) fn kill_database(&mut self, away: Duration) {
        self.primary.kill();
        std::thread::sleep(away);
        self.primary.start();
    }

    /// Kills the primary and promotes the synchronous standby; then a new standby follows. Gives the moment from which the new primary took writes.
    pub(crate) fn fail_over(&mut self) -> Result<std::time::Instant, String> {
        let standby = self.standby.take().ok_or("there is no standby")?;
        self.primary.kill();
        standby.promote();
        let accepts_writes = crate::clock::now();
        self.primary = standby;
        for replica in &self.replicas {
            // The second line goes where the new primary is already; the first learns of it here, as a service's endpoints would.
            replica.database[0].send_to(vec![self.primary.port()]);
        }
        Ok(accepts_writes)
    }

    /// A new standby follows the primary that there is.
    pub(crate) fn follow_again(&mut self) {
        let standby = follow(&self.primary);
        for replica in &self.replicas {
            replica.database[1].send_to(vec![standby.port()]);
        }
        self.standby = Some(standby);
    }

    /// Whether every replica runs; the first that does not, with its last words.
    pub(crate) fn check_runs(&mut self) -> Result<(), String> {
        match self.replicas.iter_mut().find_map(|one| (!one.process.runs()).then(|| one.process.last_words(15))) {
            None => Ok(()),
            Some(words) => Err(format!("a replica has ended by itself: {words}")),
        }
    }

    /// The sum of a counter over all replicas, as their metrics tell it.
    pub(crate) fn counted(&self, series: &str) -> f64 {
        let of = |replica: &Replica| {
            let page = http::metrics(replica.http).unwrap_or_default();
            let lines = page.lines().filter(|line| line.starts_with(series));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
        };
        self.replicas.iter().map(of).sum()
    }

    /// The replica with the most ATMs, if any says how many it has.
    pub(crate) fn busiest(&self) -> Option<usize> {
        let atms = |(number, replica): (usize, &Replica)| {
            let page = http::metrics(replica.http).ok()?;
            let count = page.lines().find_map(|line| line.strip_prefix("cashgate_atms_connected "))?;
            Some((count.parse::<u64>().ok()?, number))
        };
        self.replicas.iter().enumerate().filter_map(atms).max().map(|(_, number)| number)
    }

    /// Where each exports its metrics.
    pub(crate) fn http_ports(&self) -> Vec<u16> {
        self.replicas.iter().map(|replica| replica.http).collect()
    }

    /// A replica's configuration.
    pub(crate) fn config(&self, number: usize) -> Result<PathBuf, String> {
        self.replicas.get(number).map(|one| one.config.clone()).ok_or_else(|| format!("there is no replica {number}"))
    }

    /// What the first one exports.
    pub(crate) fn metrics(&self) -> Result<String, String> {
        http::metrics(self.replicas.first().ok_or("there is no replica")?.http)
    }

    /// Every replica stops in order.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        for replica in &mut self.replicas {
            replica.process.terminate()?;
        }
        for replica in &mut self.replicas {
            let (status, _) = replica.process.wait_for_end(Duration::from_secs(90))?;
            if !status.success() {
                return Err(format!("asked to stop, {} ended with {status}", replica.name));
            }
        }
        self.probing.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn replica(&mut self, number: usize) -> Result<&mut Replica, String> {
        self.replicas.get_mut(number).ok_or_else(|| format!("there is no replica {number}"))
    }
}

/// A standby that every commit waits for.
fn follow(primary: &Server) -> Server {
    let standby = Server::standby_of(primary, STANDBY);
    let _ = primary.sql("postgres", &format!("ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'"));
    let _ = primary.sql("postgres", "SELECT pg_reload_conf()");
    standby
}
