//! Three gateways on a real PostgreSQL with a synchronous standby, behind a balancer that sends nobody to a replica that is not ready.

// Milliseconds that were measured; no money here.
#![allow(clippy::float_arithmetic)]

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cashgate_postgres_server::Server;

use super::proxy::Proxy;
use crate::clock::Deadline;
use crate::process::{Killer, Process};
use crate::site::{Site, free_port};
use crate::{command, http, interrupt};

pub(super) const REPLICAS: usize = 3;
const DATABASE: &str = "cashgate";
/// The standby's name for the primary.
const STANDBY: &str = "standby";
const READY: Duration = Duration::from_secs(60);
/// How often the balancer asks who is ready.
const PROBE_EVERY: Duration = Duration::from_millis(200);

/// One gateway.
pub(super) struct Replica {
    name: String,
    config: std::path::PathBuf,
    pub(super) http: u16,
    atm: u16,
    api: u16,
    /// Its lines to the primary and to the standby.
    database: [Proxy; 2],
    /// What its peers reach it by.
    pub(super) peers: Proxy,
    process: Process,
}

/// All of it.
pub(super) struct Group {
    site: Site,
    primary: Server,
    standby: Option<Server>,
    pub(super) replicas: Vec<Replica>,
    probing: Arc<AtomicBool>,
}

impl Group {
    /// Starts database, standby, gateways and balancers. The site's own ports are the balancers'.
    pub(super) fn start(site: &Site) -> Result<Self, String> {
        let primary = Server::start_new();
        let _ = primary.sql("postgres", &format!("CREATE DATABASE {DATABASE}"));
        let standby = follow(&primary);
        let lines =
            (0..REPLICAS).map(|_| Ok([Proxy::listen(0)?, Proxy::listen(0)?])).collect::<Result<Vec<_>, String>>()?;
        let mut replicas = Vec::new();
        for (number, database) in lines.into_iter().enumerate() {
            database[0].send_to(vec![primary.port()]);
            database[1].send_to(vec![standby.port()]);
            let prepared = prepare(site, number, &database)?;
            if number == 0 {
                let mut migrate = Command::new(site.programs_folder().join("cashgate"));
                println!("{}", command::output(migrate.args(["migrate", "--config"]).arg(&prepared.config))?.trim());
            }
            let process = spawn(site, &prepared.name, &prepared.config)?;
            let Prepared { name, config, http, atm, api, peers } = prepared;
            replicas.push(Replica { name, config, http, atm, api, database, peers, process });
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
        let (atm, api) = (Proxy::listen(ports.atm)?, Proxy::listen(ports.api)?);
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

    pub(super) fn wait_until_ready(&mut self, number: usize) -> Result<(), String> {
        let deadline = Deadline::after(READY);
        let replica = self.replica(number)?;
        while !is_ready(replica.http) {
            interrupt::check()?;
            if !replica.process.runs() {
                return Err(format!("{} ended before it was ready: {}", replica.name, replica.process.last_words(10)));
            }
            if deadline.has_passed() {
                return Err(format!("{} was not ready after {READY:?}", replica.name));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    pub(super) fn kill(&mut self, number: usize) -> Result<(), String> {
        self.replica(number)?.process.kill();
        Ok(())
    }

    pub(super) fn start_again(&mut self, number: usize) -> Result<(), String> {
        let site = self.site.clone();
        let replica = self.replica(number)?;
        replica.process = spawn(&site, &replica.name, &replica.config)?;
        self.wait_until_ready(number)
    }

    /// Asks one to stop, as an upgrade does, waits until it has, and starts it again.
    pub(super) fn replace(&mut self, number: usize) -> Result<Duration, String> {
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

    pub(super) fn killer(&mut self, number: usize) -> Result<Killer, String> {
        Ok(self.replica(number)?.process.killer())
    }

    pub(super) fn cut_from_database(&mut self, number: usize, cut: bool) -> Result<(), String> {
        self.replica(number)?.database.iter().for_each(|line| line.cut(cut));
        Ok(())
    }

    pub(super) fn cut_from_peers(&mut self, number: usize, cut: bool) -> Result<(), String> {
        self.replica(number)?.peers.cut(cut);
        Ok(())
    }

    /// Kills the database's server and starts it again after a moment.
    pub(super) fn kill_database(&mut self, away: Duration) {
        self.primary.kill();
        std::thread::sleep(away);
        self.primary.start();
    }

    /// Kills the primary and promotes the synchronous standby; then a new standby follows. Gives the moment from which the new primary took writes.
    pub(super) fn fail_over(&mut self) -> Result<std::time::Instant, String> {
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
    pub(super) fn follow_again(&mut self) {
        let standby = follow(&self.primary);
        for replica in &self.replicas {
            replica.database[1].send_to(vec![standby.port()]);
        }
        self.standby = Some(standby);
    }

    /// Whether every replica runs; the first that does not, with its last words.
    pub(super) fn check_runs(&mut self) -> Result<(), String> {
        match self.replicas.iter_mut().find_map(|one| (!one.process.runs()).then(|| one.process.last_words(15))) {
            None => Ok(()),
            Some(words) => Err(format!("a replica has ended by itself: {words}")),
        }
    }

    /// The sum of a counter over all replicas, as their metrics tell it.
    pub(super) fn counted(&self, series: &str) -> f64 {
        let of = |replica: &Replica| {
            let page = http::page(replica.http, "/metrics").map(|(_, page)| page).unwrap_or_default();
            let lines = page.lines().filter(|line| line.starts_with(series));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
        };
        self.replicas.iter().map(of).sum()
    }

    /// What the first one exports.
    pub(super) fn metrics(&self) -> Result<String, String> {
        http::metrics(self.replicas.first().ok_or("there is no replica")?.http)
    }

    /// Every replica stops in order.
    pub(super) fn stop(mut self) -> Result<(), String> {
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

struct Prepared {
    name: String,
    config: std::path::PathBuf,
    http: u16,
    atm: u16,
    api: u16,
    peers: Proxy,
}

fn prepare(site: &Site, number: usize, database: &[Proxy; 2]) -> Result<Prepared, String> {
    let [first, second] = database;
    let dsn = format!(
        "host=127.0.0.1,127.0.0.1 port={},{} user=postgres dbname={DATABASE} target_session_attrs=read-write",
        first.port(),
        second.port()
    );
    let peers = Proxy::listen(0)?;
    let Configured { config, http, atm, api, listen } = configured(site, number, &dsn, Some(peers.port()))?;
    peers.send_to(vec![listen]);
    Ok(Prepared { name: format!("replica-{number}"), config, http, atm, api, peers })
}

/// A replica's configuration, and where it will listen.
pub(crate) struct Configured {
    pub(crate) config: std::path::PathBuf,
    pub(crate) http: u16,
    pub(crate) atm: u16,
    pub(crate) api: u16,
    pub(crate) listen: u16,
}

/// Writes a replica's configuration: the site's, with ports, certificate, ledger and number of its own. `reached_at`: the port at which its peers
/// reach it, if that is not its own.
pub(crate) fn configured(site: &Site, number: usize, dsn: &str, reached_at: Option<u16>) -> Result<Configured, String> {
    site.issue_certificate(&format!("replica/{number}"))?;
    let (atm, api, http, listen) = (free_port()?, free_port()?, free_port()?, free_port()?);
    let dsn_file = site.dir().join(format!("dsn-{number}"));
    fs::write(&dsn_file, dsn).map_err(|error| format!("cannot write {}: {error}", dsn_file.display()))?;
    let before =
        fs::read_to_string(site.config()).map_err(|error| format!("cannot read the configuration: {error}"))?;
    let ports = site.ports();
    let after = before
        .replace(
            &format!("atm = \"127.0.0.1:{}\"", ports.atm),
            &format!("replica = \"127.0.0.1:{listen}\"\natm = \"127.0.0.1:{atm}\""),
        )
        .replace(&format!("api = \"127.0.0.1:{}\"", ports.api), &format!("api = \"127.0.0.1:{api}\""))
        .replace(&format!("http = \"127.0.0.1:{}\"", ports.http), &format!("http = \"127.0.0.1:{http}\""))
        .replace("path = \"ledger.db\"", &format!("postgres = {{ dsn_file = \"dsn-{number}\" }}"))
        + &format!(
            "\n[replica]\nid = {number}\naddress = \"127.0.0.1:{}\"\nserver_name = \"localhost\"\ncertificate = \"certs/replica-{number}.pem\"\nkey = \"certs/replica-{number}-key.pem\"\n",
            reached_at.unwrap_or(listen)
        );
    let config = site.dir().join(format!("replica-{number}.toml"));
    fs::write(&config, after).map_err(|error| format!("cannot write {}: {error}", config.display()))?;
    Ok(Configured { config, http, atm, api, listen })
}

pub(crate) fn spawn(site: &Site, name: &str, config: &std::path::Path) -> Result<Process, String> {
    let mut serve = Command::new(site.programs_folder().join("cashgate"));
    serve.args(["serve", "--config"]).arg(config);
    Process::start(name, &mut serve, &site.log(name))
}

/// A standby that every commit waits for.
fn follow(primary: &Server) -> Server {
    let standby = Server::standby_of(primary, STANDBY);
    let _ = primary.sql("postgres", &format!("ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'"));
    let _ = primary.sql("postgres", "SELECT pg_reload_conf()");
    standby
}

pub(crate) fn is_ready(port: u16) -> bool {
    http::page(port, "/readyz").is_some_and(|(status, _)| status == 200)
}
