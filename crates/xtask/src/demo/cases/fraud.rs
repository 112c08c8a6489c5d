//! What would have stopped the wave of 2020, and who hears of it.

use std::time::Duration;

use serde_json::Value;

use super::super::report::Told;
use super::super::world::World;
use super::refusals::refused_at_approval;
use crate::figures::yen;
use crate::parties::atm::ShownCode;
use crate::parties::institution::{CUSTOMER, FRAUD_DESK};
use crate::parties::phone::Phone;
use crate::parties::{SOON, ends, is, text};

/// How long a stop may take to reach a screen.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Under the limits that hold where nothing else is said. The bank says that it bound the app days ago; the gateway sees it for the first time.
pub(super) fn new_phone(world: &mut World, phone: &Phone) -> Result<Told, String> {
    world.alert(phone, CUSTOMER, "device_registered")?;
    refused_at_approval(world, phone, 10_000, &[], "LIMIT_EXCEEDED")?;
    refusal_told(world, phone, "new_device_wait")?;
    Ok(Told::without_withdrawal(format!("{} refused for 12 h; its bank alerts the customer and its desk", yen(10_000))))
}

pub(super) fn above_habit(world: &mut World, phone: &Phone) -> Result<Told, String> {
    refused_at_approval(world, phone, 300_000, &[], "NOT_ALLOWED")?;
    refusal_told(world, phone, "new_device_above_habit")?;
    Ok(Told::without_withdrawal(format!("{} is NOT_ALLOWED; why, only the fraud desk reads", yen(300_000))))
}

pub(super) fn kill_switch(world: &mut World, phone: &Phone) -> Result<Told, String> {
    let code = world.show_code("A2", None)?;
    phone.scan(&code.text)?.field("scan")?;
    throw(world, "stop", "a skimmer was found")?;
    let stopped = is_stopped(world, phone, &code);
    // Whatever was seen: the cases that follow need the machine.
    throw(world, "release", "it was none")?;
    stopped?;
    let id = world.approve_at("A2", phone, 10_000)?;
    phone.watch_to_end(&id)?.is("confirmed", 10_000)?;
    Ok(Told::about(&id, "stopped, A2 shows \"try later\" within a second; released, it pays".to_owned()))
}

/// The customer who has scanned is sent away, the next one is shown no code, and nothing can be approved.
fn is_stopped(world: &mut World, phone: &Phone, code: &ShownCode) -> Result<(), String> {
    world.atm("A2")?.wait_for("end of the QR session", AT_ONCE, |event| ends(event, &code.qr_session))?;
    world.atm("A2")?.tell("start")?;
    let later = world.atm("A2")?.wait_for("try_later", AT_ONCE, |event| is(event, "try_later"))?;
    if text(&later, "reason") != "STOPPED" {
        return Err(format!("A2 is stopped and shows {later}"));
    }
    phone.approve(&code.text, 10_000, &[])?.refused_as(&["STOPPED"]).map(drop)
}

fn throw(world: &mut World, what: &str, reason: &str) -> Result<(), String> {
    world.site().ask_gateway(&[what, "atm", "A2", "--reason", reason]).map(drop)
}

pub(super) fn five_failures(world: &mut World, phone: &Phone) -> Result<Told, String> {
    for failures in [3, 2] {
        let code = world.show_code("A1", None)?;
        phone.scan(&code.text)?.field("scan")?;
        for _ in 0..failures {
            phone.approve(&code.text, 10_000, &["--wrong-signature"])?.refused_as(&["NOT_ALLOWED"])?;
        }
        if failures == 3 {
            world.atm("A1")?.wait_for("end of the QR session", SOON, |event| ends(event, &code.qr_session))?;
        } else {
            world.leave("A1", &code)?;
        }
    }
    let code = world.show_code("A1", None)?;
    phone.scan(&code.text)?.refused_as(&["NOT_ALLOWED"])?;
    world.leave("A1", &code)?;
    for whom in [CUSTOMER, FRAUD_DESK] {
        world.alert(phone, whom, "device_locked")?;
    }
    world.site().ask_as_institution(
        phone.institution(),
        &["devices", "release", phone.institution(), phone.device(), "--reason", "the customer came to the branch"],
    )?;
    world.alert(phone, CUSTOMER, "device_released")?;
    let id = world.approve_at("A1", phone, 10_000)?;
    phone.watch_to_end(&id)?.is("confirmed", 10_000)?;
    Ok(Told::about(&id, "locked after five false signatures; its bank releases it, and it is paid".to_owned()))
}

pub(super) fn key_changed(world: &mut World, phone: &Phone) -> Result<Told, String> {
    let code = world.show_code("A1", None)?;
    phone.scan(&code.text)?.field("scan")?;
    phone.change_key()?;
    world.atm("A1")?.wait_for("end of the QR session", SOON, |event| ends(event, &code.qr_session))?;
    let reason = phone.approve(&code.text, 10_000, &[])?.refused_as(&["QR_SESSION_ENDED"])?;
    world.alert(phone, CUSTOMER, "device_key_changed")?;
    Ok(Told::without_withdrawal(format!("another key ends what was scanned: {reason}; the customer hears of it")))
}

/// The customer hears that a withdrawal was refused, the fraud desk why.
fn refusal_told(world: &mut World, phone: &Phone, reason: &str) -> Result<(), String> {
    let told = world.alert(phone, CUSTOMER, "refused")?;
    if told.to_string().contains(reason) {
        return Err(format!("the customer must not learn the reason: {told}"));
    }
    let told = world.alert(phone, FRAUD_DESK, "refused")?;
    let reasons = told.get("notice").and_then(|notice| notice.get("reasons")).and_then(Value::as_array);
    match reasons {
        Some(reasons) if reasons.iter().any(|one| one == reason) => Ok(()),
        _ => Err(format!("the fraud desk must learn {reason}: {told}")),
    }
}
