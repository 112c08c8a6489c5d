//! The running parts: one gateway, two core banks, three ATMs, and three institutions that listen to the event feed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::cases;
use super::live;
use crate::clock::Deadline;
use crate::interrupt;
use crate::parties::atm::ShownCode;
use crate::parties::phone::Phone;
use crate::parties::{SOON, atm, core_bank, ends, institution, text};
use crate::process::Process;
use crate::site::{INSTITUTIONS, Site};

/// The ATMs of the demo, and where they stand.
pub(crate) const ATMS: [(&str, &str); 3] = [("A1", "Shibuya, Tokyo"), ("A2", "Gion, Kyoto"), ("A3", "Umeda, Osaka")];

/// A third bank, with the limits that hold where nothing else is said. No new phone gets past them, so its core bank is never asked and does not run.
pub(crate) const STRICT: &str = "wakaba";

/// The machine whose dispenser pays only against a token that the HSM made.
const WITH_DISPENSE_KEY: &str = "A1";

/// Every account begins with a million yen.
const OPENING_BALANCE: u64 = 1_000_000;
/// How many notes of each kind an ATM was filled with.
const NOTES_EACH: u32 = 1_000;

/// The running parts. Dropped, it kills them.
pub(crate) struct World {
    site: Site,
    gateway: Process,
    corebanks: BTreeMap<&'static str, Process>,
    /// Each institution's consumer of the event feed.
    consumers: BTreeMap<&'static str, Process>,
    pub(crate) atms: BTreeMap<&'static str, Process>,
}

impl World {
    /// Issues the certificates and starts everything.
    pub(crate) fn start(site: Site) -> Result<Self, String> {
        for institution in INSTITUTIONS {
            site.issue_certificate(&format!("institution/{institution}"))?;
            site.issue_certificate(&format!("corebank/{institution}"))?;
        }
        let mut corebanks = BTreeMap::new();
        for institution in INSTITUTIONS {
            corebanks.insert(institution, start_core_bank(&site, institution)?);
        }
        site.make_dispense_key(WITH_DISPENSE_KEY)?;
        site.issue_certificate(&format!("institution/{STRICT}"))?;
        site.edit_configuration(with_built_in_rules)?;
        site.edit_configuration(with_strict_institution)?;
        let gateway = site.start_gateway()?;
        let mut consumers = BTreeMap::new();
        for institution in INSTITUTIONS.into_iter().chain([STRICT]) {
            consumers.insert(institution, institution::listen(&site, institution)?);
        }
        let mut atms = BTreeMap::new();
        for (id, _) in ATMS {
            site.issue_certificate(&format!("atm/{id}"))?;
            atms.insert(id, start_atm(&site, id)?);
        }
        Ok(Self { site, gateway, corebanks, consumers, atms })
    }

    pub(crate) const fn site(&self) -> &Site {
        &self.site
    }

    pub(crate) fn atm(&mut self, id: &str) -> Result<&mut Process, String> {
        self.atms.get_mut(id).ok_or_else(|| format!("there is no ATM {id}"))
    }

    /// Starts an ATM again after it has ended, with the record that it kept.
    pub(crate) fn restart_atm(&mut self, id: &'static str) -> Result<(), String> {
        self.atms.remove(id); // killed first, should it still run: never two of one machine
        let atm = start_atm(&self.site, id)?;
        self.atms.insert(id, atm);
        Ok(())
    }

    /// Tells an institution's core bank how to misbehave.
    pub(crate) fn tell_corebank(&mut self, institution: &str, line: &str) -> Result<(), String> {
        let corebank = self.corebanks.get_mut(institution).ok_or_else(|| format!("no core bank {institution}"))?;
        corebank.tell(line)
    }

    /// Waits for what the phone's institution says to `whom` about it.
    pub(crate) fn alert(&mut self, phone: &Phone, whom: &str, about: &str) -> Result<Value, String> {
        let consumer = self.consumers.get_mut(phone.institution());
        let consumer = consumer.ok_or_else(|| format!("{} does not listen", phone.institution()))?;
        institution::wait_for(consumer, whom, about, phone.device())
    }

    /// Ends the gateway with SIGKILL.
    pub(crate) fn kill_gateway(&mut self) {
        self.gateway.kill();
    }

    /// Starts the gateway again on the same ledger and waits until the ATMs that still run are back.
    pub(crate) fn restart_gateway(&mut self) -> Result<(), String> {
        for atm in self.atms.values_mut() {
            atm.forget_events();
        }
        self.gateway = self.site.start_gateway()?;
        for atm in self.atms.values_mut().filter_map(|atm| atm.runs().then_some(atm)) {
            atm::wait_until_connected(atm, SOON * 3)?;
        }
        Ok(())
    }

    pub(crate) fn check_gateway_runs(&mut self) -> Result<(), String> {
        if self.gateway.runs() { Ok(()) } else { Err("the gateway has ended by itself".to_owned()) }
    }

    /// Touches "cardless cash" at an ATM and reads its screen.
    pub(crate) fn show_code(&mut self, atm: &str, amount: Option<i64>) -> Result<ShownCode, String> {
        atm::show_code(self.atm(atm)?, amount)
    }

    /// Presses cancel at an ATM.
    pub(crate) fn leave(&mut self, atm: &str, code: &ShownCode) -> Result<(), String> {
        let atm = self.atm(atm)?;
        atm.tell("end")?;
        atm.wait_for("end of the QR session", SOON, |event| ends(event, &code.qr_session)).map(drop)
    }

    /// A customer at an ATM: touch, scan, approve. Gives the withdrawal's id.
    pub(crate) fn approve_at(&mut self, atm: &str, phone: &Phone, amount: i64) -> Result<String, String> {
        atm::approve_at(self.atm(atm)?, phone, amount)
    }

    /// The customer at the ATM types the code, if the approval asked for one. Gives the withdrawal's id.
    pub(crate) fn answer(&mut self, atm: &str, approved: &Value) -> Result<String, String> {
        atm::answer(self.atm(atm)?, approved)
    }

    /// The withdrawal's state in the gateway's list, once it is `state`.
    pub(crate) fn wait_for_state(&self, withdrawal: &str, state: &str) -> Result<(), String> {
        let deadline = Deadline::after(SOON);
        loop {
            interrupt::check()?;
            let all = self.site.withdrawals()?;
            let its = all.iter().find(|one| text(one, "withdrawal_id") == withdrawal).map(|one| text(one, "state"));
            match its {
                Some(its) if its == state => return Ok(()),
                _ if deadline.has_passed() => {
                    return Err(format!("withdrawal {withdrawal} is {its:?} instead of {state}"));
                }
                _ => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// Stops everything in order: ATMs, the institutions' consumers, gateway (gracefully), core banks.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        for atm in self.atms.values_mut() {
            atm.close_stdin();
        }
        for atm in self.atms.values_mut() {
            atm.wait_for_end(SOON)?;
        }
        for consumer in self.consumers.values_mut() {
            consumer.terminate()?;
            let (status, _) = consumer.wait_for_end(SOON)?;
            if !status.success() {
                return Err(format!("asked to stop, an institution's consumer ended with {status}"));
            }
        }
        self.gateway.terminate()?;
        let (status, _) = self.gateway.wait_for_end(SOON * 2)?;
        if status.success() { Ok(()) } else { Err(format!("asked to stop, the gateway ended with {status}")) }
    }
}

/// `cashgate init` puts mild rules beside the configuration for trials; what is shown here are those that hold where nothing else is said.
fn with_built_in_rules(configuration: &str) -> String {
    let lines = configuration.lines().filter(|line| !line.starts_with("folder = \"policies\""));
    lines.fold(String::new(), |kept, line| kept + line + "\n")
}

/// It lifts the limits of new phones as well; this institution keeps them.
fn with_strict_institution(configuration: &str) -> String {
    format!(
        r#"{configuration}
[[institution]]
id = "{STRICT}"
currency = "JPY"
time_zone = "Asia/Tokyo"

[institution.core_banking]
endpoint = "https://127.0.0.1:9"
server_name = "localhost"
"#
    )
}

fn start_core_bank(site: &Site, institution: &'static str) -> Result<Process, String> {
    let of_cases = cases::ALL.iter().filter(|case| case.institution == institution).map(cases::Case::account);
    core_bank::start(site, institution, of_cases.chain(live::accounts()), OPENING_BALANCE)
}

fn start_atm(site: &Site, id: &str) -> Result<Process, String> {
    let place = ATMS.iter().find(|(atm, _)| *atm == id).map_or("", |(_, place)| place);
    let mut atm = atm::start(site, id, place, NOTES_EACH)?;
    atm::wait_until_connected(&mut atm, SOON)?;
    Ok(atm)
}
