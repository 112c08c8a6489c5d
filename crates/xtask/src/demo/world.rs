//! The running parts: one gateway, two core banks, three ATMs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::cases;
use super::live;
use super::phone::Phone;
use crate::clock::Deadline;
use crate::interrupt;
use crate::process::Process;
use crate::site::{INSTITUTIONS, Site};

/// The ATMs of the demo, and where they stand.
pub(crate) const ATMS: [(&str, &str); 3] = [("A1", "Shibuya, Tokyo"), ("A2", "Gion, Kyoto"), ("A3", "Umeda, Osaka")];

/// Every account begins with a million yen.
const OPENING_BALANCE: u32 = 1_000_000;
const SOON: Duration = Duration::from_secs(20);

/// The running parts. Dropped, it kills them.
pub(crate) struct World {
    site: Site,
    gateway: Process,
    corebanks: BTreeMap<&'static str, Process>,
    pub(crate) atms: BTreeMap<&'static str, Process>,
}

/// A code on an ATM's screen.
#[derive(Clone)]
pub(crate) struct ShownCode {
    pub(crate) qr_session: String,
    pub(crate) text: String,
}

impl World {
    /// Issues the certificates and starts everything.
    pub(crate) fn start(site: Site) -> Result<Self, String> {
        for institution in INSTITUTIONS {
            site.issue_certificate(&format!("institution/{institution}"))?;
            site.issue_certificate(&format!("corebank/{institution}"))?;
        }
        let mut corebanks = BTreeMap::new();
        for (institution, port) in INSTITUTIONS.into_iter().zip(site.ports().corebanks) {
            corebanks.insert(institution, start_corebank(&site, institution, port)?);
        }
        let gateway = site.start_gateway()?;
        let mut atms = BTreeMap::new();
        for (id, _) in ATMS {
            site.issue_certificate(&format!("atm/{id}"))?;
            atms.insert(id, start_atm(&site, id)?);
        }
        Ok(Self { site, gateway, corebanks, atms })
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
            atm.wait_for("connected (again)", SOON * 3, |event| is(event, "connected"))?;
        }
        Ok(())
    }

    pub(crate) fn check_gateway_runs(&mut self) -> Result<(), String> {
        if self.gateway.runs() { Ok(()) } else { Err("the gateway has ended by itself".to_owned()) }
    }

    /// Touches "cardless cash" at an ATM and reads its screen.
    pub(crate) fn show_code(&mut self, atm: &str, amount: Option<i64>) -> Result<ShownCode, String> {
        show_code(self.atm(atm)?, amount)
    }

    /// Presses cancel at an ATM.
    pub(crate) fn leave(&mut self, atm: &str, code: &ShownCode) -> Result<(), String> {
        let atm = self.atm(atm)?;
        atm.tell("end")?;
        atm.wait_for("end of the QR session", SOON, |event| ends(event, &code.qr_session)).map(drop)
    }

    /// A customer at an ATM: touch, scan, approve. Gives the withdrawal's id.
    pub(crate) fn approve_at(&mut self, atm: &str, phone: &Phone, amount: i64) -> Result<String, String> {
        approve_at(self.atm(atm)?, phone, amount)
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

    /// Stops everything in order: ATMs, gateway (gracefully), core banks.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        for atm in self.atms.values_mut() {
            atm.close_stdin();
        }
        for atm in self.atms.values_mut() {
            atm.wait_for_end(SOON)?;
        }
        self.gateway.terminate()?;
        let (status, _) = self.gateway.wait_for_end(SOON * 2)?;
        if status.success() { Ok(()) } else { Err(format!("asked to stop, the gateway ended with {status}")) }
    }
}

/// Touches "cardless cash". A customer before may still be leaving: then it waits and touches again.
pub(crate) fn show_code(atm: &mut Process, amount: Option<i64>) -> Result<ShownCode, String> {
    let deadline = Deadline::after(SOON);
    let touch = amount.map_or_else(|| "start".to_owned(), |amount| format!("start {amount}"));
    loop {
        atm.forget_events();
        atm.tell(&touch)?;
        let answer = atm.wait_for("show_qr", SOON, |event| {
            ["show_qr", "try_later", "refused", "bad_command"].iter().any(|name| is(event, name))
        })?;
        if is(&answer, "show_qr") {
            return Ok(ShownCode { qr_session: text(&answer, "qr_session_id"), text: text(&answer, "qr_text") });
        }
        let may_wait = is(&answer, "try_later") || text(&answer, "reason") == "ATM_BUSY";
        if !may_wait || deadline.has_passed() {
            return Err(format!("the ATM shows no code: {answer}"));
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// A customer at an ATM: touch, scan, approve. Gives the withdrawal's id.
pub(crate) fn approve_at(atm: &mut Process, phone: &Phone, amount: i64) -> Result<String, String> {
    let code = show_code(atm, None)?;
    phone.scan(&code.text)?.field("scan")?;
    approved_id(&phone.approve(&code.text, amount, &[])?.field("approved")?)
}

/// The withdrawal's id in the answer to an approval.
pub(crate) fn approved_id(approved: &Value) -> Result<String, String> {
    Some(text(approved, "withdrawal_id")).filter(|id| !id.is_empty()).ok_or(format!("no withdrawal id in {approved}"))
}

/// Whether an event has this name.
pub(crate) fn is(event: &Value, name: &str) -> bool {
    event.get("event").and_then(Value::as_str) == Some(name)
}

/// Whether an event has this name and is about this withdrawal.
pub(crate) fn is_about(event: &Value, name: &str, withdrawal: &str) -> bool {
    is(event, name) && text(event, "withdrawal_id") == withdrawal
}

/// Whether an event says that a QR session is over.
pub(crate) fn ends(event: &Value, qr_session: &str) -> bool {
    is(event, "qr_session_ended") && text(event, "qr_session_id") == qr_session
}

/// A text field, or nothing.
pub(crate) fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn start_corebank(site: &Site, institution: &'static str, port: u16) -> Result<Process, String> {
    let mut command = site.fleet("corebank");
    command.args(["--institution", institution, "--listen", &format!("127.0.0.1:{port}")]);
    site.identify(&mut command, &format!("corebank-{institution}"));
    command.arg("--db").arg(site.folder().join(format!("corebank-{institution}.db")));
    let of_cases = cases::ALL.iter().filter(|case| case.institution == institution).map(cases::Case::account);
    for account in of_cases.chain(live::accounts()) {
        command.args(["--account", &format!("{account}={OPENING_BALANCE}")]);
    }
    let name = format!("corebank-{institution}");
    let mut corebank = Process::start(&name, &mut command, &site.log(&name))?;
    corebank.wait_for("listening", SOON, |event| is(event, "listening"))?;
    Ok(corebank)
}

fn start_atm(site: &Site, id: &str) -> Result<Process, String> {
    let place = ATMS.iter().find(|(atm, _)| *atm == id).map_or("", |(_, place)| place);
    let mut command = site.fleet("atm");
    command.args(["--id", id, "--gateway", &format!("https://127.0.0.1:{}", site.ports().atm)]);
    site.identify(&mut command, &format!("atm-{id}"));
    command.arg("--state").arg(site.folder().join(format!("atm-{id}")));
    command.args(["--name", &format!("ATM {id}"), "--place", place]);
    command.args(["--cassette", "10000x1000", "--cassette", "1000x1000"]);
    let name = format!("atm-{id}");
    let mut atm = Process::start(&name, &mut command, &site.log(&name))?;
    atm.wait_for("connected", SOON, |event| is(event, "connected"))?;
    Ok(atm)
}
