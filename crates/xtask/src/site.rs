//! One folder with everything that a running Cashgate needs: configuration, certificates, token, ledger, logs.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::clock::Deadline;
use crate::command::Programs;
use crate::process::{Process, tail};
use crate::{clock, command, http, interrupt};

/// The banks of the demo.
pub(crate) const INSTITUTIONS: [&str; 2] = ["sakura", "momiji"];

const GATEWAY_READY: Duration = Duration::from_secs(60);

/// A folder that `cashgate init` has filled, and the ports in it.
#[derive(Clone)]
pub(crate) struct Site {
    programs: Programs,
    folder: PathBuf,
    ports: Ports,
}

/// Free ports of the loopback interface.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) atm: u16,
    pub(crate) api: u16,
    pub(crate) http: u16,
    /// In the order of [`INSTITUTIONS`].
    pub(crate) corebanks: [u16; 2],
}

impl Site {
    /// A fresh site in a new temporary folder whose name begins with `name`.
    pub(crate) fn new(programs: Programs, name: &str) -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("{name}-{}-{:x}", std::process::id(), clock::nanoseconds()));
        fs::create_dir_all(folder.join("logs"))
            .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        let site = Self { programs, folder, ports: free_ports()? };
        let mut init = Command::new(&site.programs.cashgate);
        init.arg("init").arg(site.dir());
        for (option, port) in
            [("--atm-port", site.ports.atm), ("--api-port", site.ports.api), ("--http-port", site.ports.http)]
        {
            init.args([option, &port.to_string()]);
        }
        for (institution, port) in INSTITUTIONS.iter().zip(site.ports.corebanks) {
            init.args(["--institution", &format!("{institution}={port}")]);
        }
        command::output(&mut init)?;
        Ok(site)
    }

    /// Makes a certificate such as `atm/A1`.
    pub(crate) fn issue_certificate(&self, whose: &str) -> Result<(), String> {
        command::output(Command::new(&self.programs.cashgate).arg("issue-cert").arg(self.dir()).arg(whose)).map(drop)
    }

    /// Makes an ATM's dispense key, in the HSM and in a file: its dispenser demands end-to-end security from then on.
    pub(crate) fn make_dispense_key(&self, atm: &str) -> Result<(), String> {
        command::output(Command::new(&self.programs.cashgate).arg("dispense-key").arg(self.dir()).arg(atm)).map(drop)
    }

    /// The file of an ATM's dispense key, if one was made.
    pub(crate) fn dispense_key(&self, atm: &str) -> Option<PathBuf> {
        Some(self.dir().join("certs").join(format!("atm-{atm}-dispense-key"))).filter(|file| file.exists())
    }

    /// Changes the configuration for every later start. An edit that changes nothing is a mistake.
    pub(crate) fn edit_configuration(&self, edit: impl FnOnce(&str) -> String) -> Result<(), String> {
        let file = self.config();
        let cannot = |error| format!("cannot edit {}: {error}", file.display());
        let before = fs::read_to_string(&file).map_err(cannot)?;
        let after = edit(&before);
        if after == before {
            return Err(format!("the edit of {} found nothing to change", file.display()));
        }
        fs::write(&file, after).map_err(cannot)
    }

    /// Starts the gateway and waits until it says that it is ready.
    pub(crate) fn start_gateway(&self) -> Result<Process, String> {
        let mut gateway = self.spawn_gateway()?;
        self.wait_until_ready(&mut gateway, Duration::from_millis(50))?;
        Ok(gateway)
    }

    /// Starts the gateway and does not wait.
    pub(crate) fn spawn_gateway(&self) -> Result<Process, String> {
        self.spawn_gateway_with("gateway", &self.config())
    }

    /// The same with another configuration, for one gateway of several.
    pub(crate) fn spawn_gateway_with(&self, name: &str, config: &Path) -> Result<Process, String> {
        let mut serve = Command::new(&self.programs.cashgate);
        serve.args(["serve", "--config"]).arg(config);
        Process::start(name, &mut serve, &self.log(name))
    }

    /// Waits until the gateway says that it is ready; asks again after each pause.
    pub(crate) fn wait_until_ready(&self, gateway: &mut Process, pause: Duration) -> Result<(), String> {
        wait_until_ready(gateway, self.ports().http, pause)
    }

    /// Runs a subcommand of `cashgate` that wants the configuration, and gives what it prints.
    pub(crate) fn ask_gateway(&self, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&self.programs.cashgate);
        command.args(args).arg("--config").arg(self.config());
        command::output(&mut command)
    }

    /// The same with an institution's certificate instead of an operator's.
    pub(crate) fn ask_as_institution(&self, institution: &str, args: &[&str]) -> Result<String, String> {
        let pem = |ending: &str| self.dir().join("certs").join(format!("institution-{institution}{ending}.pem"));
        let mut command = Command::new(&self.programs.cashgate);
        command.args(args).arg("--config").arg(self.config());
        command.arg("--certificate").arg(pem("")).arg("--key").arg(pem("-key"));
        command::output(&mut command)
    }

    /// A subcommand of `cashgate-fleet`.
    pub(crate) fn fleet(&self, subcommand: &str) -> Command {
        let mut fleet = Command::new(&self.programs.fleet);
        fleet.arg(subcommand);
        fleet
    }

    /// Adds the certificate of `whose`, such as `atm-A1`, to a command of the fleet.
    pub(crate) fn identify(&self, command: &mut Command, whose: &str) {
        let certificates = self.dir().join("certs");
        command.arg("--ca").arg(self.dir().join("ca.pem"));
        command.arg("--cert").arg(certificates.join(format!("{whose}.pem")));
        command.arg("--key").arg(certificates.join(format!("{whose}-key.pem")));
    }

    /// Every withdrawal that the gateway knows, as its command line tells it.
    pub(crate) fn withdrawals(&self) -> Result<Vec<Value>, String> {
        json_lines(&self.ask_gateway(&["withdrawals", "list", "--json"])?)
    }

    /// The programs that it runs.
    pub(crate) fn programs(&self) -> Programs {
        self.programs.clone()
    }

    /// Where the programs are.
    pub(crate) fn programs_folder(&self) -> &Path {
        self.programs.cashgate.parent().unwrap_or(Path::new("."))
    }

    /// The folder of this site.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What `cashgate init` made.
    pub(crate) fn dir(&self) -> PathBuf {
        self.folder.join("cashgate")
    }

    pub(crate) const fn ports(&self) -> Ports {
        self.ports
    }

    /// Where a child writes its standard error.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.log"))
    }

    pub(crate) fn last_words_of_gateway(&self) -> String {
        tail(&self.log("gateway"), 30)
    }

    /// Deletes the folder.
    pub(crate) fn remove(&self) -> Result<(), String> {
        fs::remove_dir_all(&self.folder).map_err(|error| format!("cannot delete {}: {error}", self.folder.display()))
    }

    /// The configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir().join("cashgate.toml")
    }
}

/// One JSON value a line.
pub(crate) fn json_lines(text: &str) -> Result<Vec<Value>, String> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| serde_json::from_str(line).map_err(|error| format!("not a line of JSON ({error}): {line}")))
        .collect()
}

/// A port for one more process.
pub(crate) fn free_port() -> Result<u16, String> {
    free_ports().map(|ports| ports.http)
}

/// Ports below those that the system gives to outgoing connections: while a killed gateway is away, nobody else may take its port.
fn free_ports() -> Result<Ports, String> {
    const FIRST: u64 = 10_000;
    const COUNT: u64 = 20_000;
    let start = clock::nanoseconds() / 1_000 + u64::from(std::process::id()) * 37;
    let candidates = (0..COUNT).filter_map(|offset| u16::try_from(FIRST + (start + offset) % COUNT).ok());
    // All are held until all are known, so that none is given twice.
    let held = candidates.filter_map(|port| Some((TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?, port)));
    let held: Vec<(TcpListener, u16)> = held.take(5).collect();
    match held.iter().map(|(_, port)| *port).collect::<Vec<_>>().as_slice() {
        [atm, api, http, sakura, momiji] => {
            Ok(Ports { atm: *atm, api: *api, http: *http, corebanks: [*sakura, *momiji] })
        }
        other => Err(format!("{} free ports on 127.0.0.1 instead of 5", other.len())),
    }
}

/// Waits until the gateway behind an HTTP port says that it is ready; asks again after each pause.
pub(crate) fn wait_until_ready(gateway: &mut Process, http: u16, pause: Duration) -> Result<(), String> {
    let deadline = Deadline::after(GATEWAY_READY);
    while !is_ready(http) {
        interrupt::check()?;
        if !gateway.runs() {
            return Err(format!("{} ended before it was ready: {}", gateway.name(), gateway.last_words(10)));
        }
        if deadline.has_passed() {
            return Err(format!("{} was not ready after {GATEWAY_READY:?}", gateway.name()));
        }
        std::thread::sleep(pause);
    }
    Ok(())
}

/// Whether the gateway behind an HTTP port says that it is ready.
pub(crate) fn is_ready(port: u16) -> bool {
    http::page(port, "/readyz").is_some_and(|(status, _)| status == 200)
}
