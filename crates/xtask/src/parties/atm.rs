//! Simulated ATMs: started, and used as a customer uses them.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::phone::Phone;
use super::{SOON, approved_id, is, is_about, text};
use crate::clock::Deadline;
use crate::process::Process;
use crate::site::Site;

/// Where the places are, in decimal degrees: rules about distances see them.
const POINTS: [(&str, &str); 3] =
    [("Shibuya, Tokyo", "35.6595,139.7005"), ("Gion, Kyoto", "35.0037,135.7788"), ("Umeda, Osaka", "34.7025,135.4959")];

/// A code on an ATM's screen.
#[derive(Clone)]
pub(crate) struct ShownCode {
    pub(crate) qr_session: String,
    pub(crate) text: String,
}

/// Starts an ATM with the record that it kept. Whether it reaches the gateway is another matter.
pub(crate) fn start(site: &Site, id: &str, place: &str, notes_each: u32) -> Result<Process, String> {
    let mut command = site.fleet("atm");
    command.args(["--id", id, "--gateway", &format!("https://127.0.0.1:{}", site.ports().atm)]);
    site.identify(&mut command, &format!("atm-{id}"));
    command.arg("--state").arg(state_folder(site, id));
    command.args(["--name", &format!("ATM {id}"), "--place", place]);
    if let Some((_, point)) = POINTS.iter().find(|(known, _)| *known == place) {
        command.args(["--location", point]);
    }
    for denomination in [10_000, 1_000] {
        command.args(["--cassette", &format!("{denomination}x{notes_each}")]);
    }
    if let Some(key) = site.dispense_key(id) {
        command.arg("--dispense-key").arg(key);
    }
    let name = format!("atm-{id}");
    Process::start(&name, &mut command, &site.log(&name))
}

/// The folder of an ATM's durable record.
pub(crate) fn state_folder(site: &Site, id: &str) -> PathBuf {
    site.folder().join(format!("atm-{id}"))
}

/// Waits until the gateway has welcomed an ATM.
pub(crate) fn wait_until_connected(atm: &mut Process, timeout: Duration) -> Result<(), String> {
    atm.wait_for("connected", timeout, |event| is(event, "connected")).map(drop)
}

/// Touches "cardless cash". A customer before may still be leaving: then it waits and touches again.
pub(crate) fn show_code(atm: &mut Process, amount: Option<i64>) -> Result<ShownCode, String> {
    let deadline = Deadline::after(SOON);
    let touch = amount.map_or_else(|| "start".to_owned(), |amount| format!("start {amount}"));
    loop {
        atm.forget_events();
        atm.tell(&touch)?;
        let answer = atm.wait_for("show_qr", SOON, |event| {
            ["show_qr", "try_later", "refused", "bad_command", "disconnected", "reconnect"]
                .iter()
                .any(|name| is(event, name))
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
    answer(atm, &phone.approve(&code.text, amount, &[])?.field("approved")?)
}

/// What a customer does at the ATM after an approval was accepted: types the code, if one was asked for. Gives the withdrawal's id.
pub(crate) fn answer(atm: &mut Process, approved: &Value) -> Result<String, String> {
    let (id, code) = (approved_id(approved)?, text(approved, "confirm_code"));
    if code.is_empty() {
        return Ok(id);
    }
    // It is asked for once the money is held. A bank that does not hold it ends the visit instead.
    let asked = atm.wait_for("ask_confirm_code", SOON, |event| {
        is_about(event, "ask_confirm_code", &id) || is(event, "qr_session_ended")
    })?;
    if is(&asked, "ask_confirm_code") {
        atm.tell(&format!("code {code}"))?;
    }
    Ok(id)
}
