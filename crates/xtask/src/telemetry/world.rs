//! A gateway that tells its traces, with its bank, three machines and a collector.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use crate::clock::Deadline;
use crate::parties::phone::Phone;
use crate::parties::{SOON, atm, core_bank, text};
use crate::process::Process;
use crate::python::Venv;
use crate::site::{INSTITUTIONS, Site, free_port};
use crate::{http, interrupt};

/// <https://pypi.org/project/rotel/>: a collector that is not ours.
const ROTEL: &str = "rotel==0.0.1a15\n";
const ACCOUNTS: usize = 64;
const OPENING_BALANCE: u64 = 10_000_000;
pub(super) const ATMS: [&str; 3] = ["A1", "A2", "A3"];

/// The running parts. Dropped, it kills them.
pub(super) struct World {
    pub(super) site: Site,
    pub(super) gateway: Option<Process>,
    pub(super) corebank: Option<Process>,
    pub(super) collector: Option<Process>,
    pub(super) atms: BTreeMap<&'static str, Process>,
    /// strace, while it injects something.
    pub(super) injecting: Option<Process>,
    pub(super) phone: Phone,
    phones: usize,
    collector_ports: (u16, u16),
    pub(super) suspect: Option<String>,
}

impl World {
    pub(super) fn start(site: Site) -> Result<Self, String> {
        let [institution, _] = INSTITUTIONS;
        for whose in ["institution/sakura", "corebank/sakura", "atm/A1", "atm/A2", "atm/A3"] {
            site.issue_certificate(whose)?;
        }
        let collector_ports = (free_port()?, free_port()?);
        site.edit_configuration(|text| configured(text, collector_ports.0))?;
        let collector = start_collector(&site, collector_ports)?;
        let corebank = start_bank(&site)?;
        let gateway = site.start_gateway()?;
        let mut atms = BTreeMap::new();
        for id in ATMS {
            atms.insert(id, start_atm(&site, id)?);
        }
        let phone = Phone::register(&site, institution, "phone-0", "acct-0", 1_000)?;
        Ok(Self {
            site,
            gateway: Some(gateway),
            corebank: Some(corebank),
            collector: Some(collector),
            atms,
            injecting: None,
            phone,
            phones: 1,
            collector_ports,
            suspect: None,
        })
    }

    /// One withdrawal that goes as it should.
    pub(super) fn withdraw(&mut self, amount: i64) -> Result<(), String> {
        let phone = self.phone.clone();
        let id = atm::approve_at(self.atm("A1")?, &phone, amount)?;
        phone.watch_to_end(&id)?.is("confirmed", amount).map(drop)
    }

    /// A phone that nobody has seen before, with an account of its own.
    pub(super) fn new_phone(&mut self) -> Result<Phone, String> {
        let [institution, _] = INSTITUTIONS;
        let number = self.phones;
        self.phones += 1;
        Phone::register(&self.site, institution, &format!("phone-{number}"), &format!("acct-{}", number % ACCOUNTS), 1)
    }

    pub(super) fn atm(&mut self, id: &str) -> Result<&mut Process, String> {
        self.atms.get_mut(id).ok_or_else(|| format!("{id} does not run"))
    }

    pub(super) fn restart_atm(&mut self, id: &'static str) -> Result<(), String> {
        self.atms.remove(id);
        let machine = start_atm(&self.site, id)?;
        self.atms.insert(id, machine);
        Ok(())
    }

    pub(super) fn tell_bank(&mut self, line: &str) -> Result<(), String> {
        self.corebank.as_mut().ok_or("the bank does not run")?.tell(line)
    }

    /// SIGKILL, and up again.
    pub(super) fn restart_gateway(&mut self) -> Result<(), String> {
        self.gateway = None;
        for machine in self.atms.values_mut() {
            machine.forget_events();
        }
        self.gateway = Some(self.site.start_gateway()?);
        Ok(())
    }

    pub(super) fn wait_for_atms(&mut self) -> Result<(), String> {
        self.atms.values_mut().try_for_each(|machine| atm::wait_until_connected(machine, SOON * 3))
    }

    pub(super) fn restart_collector(&mut self) -> Result<(), String> {
        self.collector = Some(start_collector(&self.site, self.collector_ports)?);
        Ok(())
    }

    /// Has system calls of the running gateway go wrong, as strace's `inject` says, on the files named.
    pub(super) fn inject(&mut self, injections: &[&str], files: &[&str]) -> Result<(), String> {
        let gateway = self.gateway.as_ref().ok_or("the gateway does not run")?;
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-p", &gateway.id().to_string()]);
        for injection in injections {
            strace.args(["-e", &format!("inject={injection}")]);
        }
        for file in files {
            strace.arg("-P").arg(self.site.dir().join(file));
        }
        self.injecting = Some(Process::start("strace", &mut strace, &self.site.log("strace"))?);
        Ok(())
    }

    /// Waits until the ledger has found room for its reserve again; it looks every ten seconds.
    pub(super) fn wait_for_room(&self) -> Result<(), String> {
        let deadline = Deadline::after(SOON * 2);
        loop {
            interrupt::check()?;
            let page = http::page(self.site.ports().http, "/metrics").map(|(_, page)| page).unwrap_or_default();
            let on_reserve = page.lines().find(|line| line.starts_with("cashgate_ledger_on_reserve"));
            if on_reserve.is_some_and(|line| line.ends_with(" 0")) {
                return Ok(());
            }
            if deadline.has_passed() {
                return Err("the ledger does not find room again".to_owned());
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Ends the collector, and gives what it said of the traces that it received.
    pub(super) fn collected(&mut self) -> Vec<String> {
        let Some(mut collector) = self.collector.take() else { return Vec::new() };
        collector.kill();
        let said = collector.last_events().into_iter().map(|line| text(&line, "not_json"));
        said.filter(|line| line.to_lowercase().contains("received traces")).collect()
    }
}

/// With traces told, a bank that may be slow, suspects after seconds, and rules that are read again at once.
fn configured(text: &str, collector: u16) -> String {
    let telemetry =
        format!("[telemetry]\nendpoint = \"http://127.0.0.1:{collector}\"\nsampled_of_1000 = 1000\n\n[timing]\n");
    text.replace("[timing]\n", &telemetry)
        .replace("outcome_deadline_s = 900", "outcome_deadline_s = 5")
        .replace("call_timeout_ms = 3000", "call_timeout_ms = 9000")
        .replace("folder = \"policies\"", "check_every_s = 1\nfolder = \"policies\"")
        .replace("per_day = 500000", "per_day = 5000000")
        .replace("withdrawals_per_day = 10", "withdrawals_per_day = 200")
        .replace("burst = 5 ", "burst = 200 ")
}

fn start_collector(site: &Site, (grpc, other): (u16, u16)) -> Result<Process, String> {
    let venv = Venv::with("rotel", ROTEL)?;
    let agent = "import os, rotel, sys; agent = os.path.join(os.path.dirname(rotel.__file__), 'rotel-agent'); \
                 os.execv(agent, [agent, *sys.argv[1:]])";
    let mut command = venv.program("python");
    command.args(["-c", agent, "start", "--exporter", "blackhole", "--debug-log", "traces"]);
    command.args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")]);
    command.args(["--otlp-http-endpoint", &format!("127.0.0.1:{other}")]);
    command.env("NO_COLOR", "1").arg("--pid-file").arg(site.folder().join("rotel.pid"));
    Process::start("rotel", &mut command, &site.log("rotel"))
}

pub(super) fn start_bank(site: &Site) -> Result<Process, String> {
    let [institution, _] = INSTITUTIONS;
    core_bank::start(site, institution, (0..ACCOUNTS).map(|number| format!("acct-{number}")), OPENING_BALANCE)
}

fn start_atm(site: &Site, id: &str) -> Result<Process, String> {
    let mut machine = atm::start(site, id, "Shibuya, Tokyo", 1_000)?;
    atm::wait_until_connected(&mut machine, SOON)?;
    Ok(machine)
}
