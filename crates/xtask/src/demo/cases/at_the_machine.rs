//! Customers who get, or could have got, what they came for.

use super::super::report::Told;
use super::super::world::World;
use crate::figures::yen;
use crate::parties::phone::Phone;
use crate::parties::{SOON, approved_id, ends, is_about, minor_units, text};

pub(super) fn plain_success(world: &mut World, phone: &Phone) -> Result<Told, String> {
    let code = world.show_code("A1", None)?;
    let scan = phone.scan(&code.text)?.field("scan")?;
    if text(&scan, "atm_id") != "A1" || text(&scan, "atm_name") != "ATM A1" {
        return Err(format!("the app does not name the machine in front of the customer: {scan}"));
    }
    let id = world.answer("A1", &phone.approve(&code.text, 30_000, &[])?.field("approved")?)?;
    phone.watch_to_end(&id)?.is("confirmed", 30_000)?;
    let atm = world.atm("A1")?;
    atm.wait_for("acknowledgement of the outcome", SOON, |event| is_about(event, "outcome_recorded", &id))?;
    let ended = atm.wait_for("end of the QR session", SOON, |event| ends(event, &code.qr_session))?;
    if text(&ended, "end") != "finished" {
        return Err(format!("the screen ended as {ended}"));
    }
    Ok(Told::about(&id, format!("{} scanned, approved, paid out, confirmed", yen(30_000))))
}

pub(super) fn amount_chosen_at_atm(world: &mut World, phone: &Phone) -> Result<Told, String> {
    let code = world.show_code("A1", Some(20_000))?;
    let scan = phone.scan(&code.text)?.field("scan")?;
    let shown = minor_units(scan.get("amount"));
    if shown != 20_000 {
        return Err(format!("the app was told {shown} instead of 20000: {scan}"));
    }
    let reason = phone.approve(&code.text, 10_000, &[])?.refused_as(&["AMOUNT_DIFFERS"])?;
    let id = world.answer("A1", &phone.approve(&code.text, 20_000, &[])?.field("approved")?)?;
    phone.watch_to_end(&id)?.is("confirmed", 20_000)?;
    Ok(Told::about(&id, format!("{} is in the code; {} was {reason}", yen(20_000), yen(10_000))))
}

/// Far from A1, as a phone is to which a code was relayed.
const OSAKA: &str = "34.7025,135.4959";

pub(super) fn step_up_code(world: &mut World, phone: &Phone) -> Result<Told, String> {
    let code = world.show_code("A1", None)?;
    phone.scan(&code.text)?.field("scan")?;
    let approved = phone.approve(&code.text, 20_000, &["--location", OSAKA])?.field("approved")?;
    let (id, confirm_code) = (approved_id(&approved)?, text(&approved, "confirm_code"));
    if confirm_code.len() != 4 {
        return Err(format!("a phone in Osaka drew {} in Shibuya without a code: {approved}", yen(20_000)));
    }
    let shown = text(&approved, "shown");
    if !shown.contains(&confirm_code) || !shown.contains("nobody") {
        return Err(format!("the app does not say that the code is for this machine and for nobody else: {shown}"));
    }
    let atm = world.atm("A1")?;
    let first = atm.wait_for("ask_confirm_code", SOON, |event| is_about(event, "ask_confirm_code", &id))?;
    let wrong = if confirm_code == "0000" { "1111" } else { "0000" };
    atm.forget_events();
    atm.tell(&format!("code {wrong}"))?;
    let again = atm.wait_for("second ask_confirm_code", SOON, |event| is_about(event, "ask_confirm_code", &id))?;
    if minor_units(again.get("tries_left")) + 1 != minor_units(first.get("tries_left")) {
        return Err(format!("a wrong code did not cost one try: {first} then {again}"));
    }
    atm.tell(&format!("code {confirm_code}"))?;
    phone.watch_to_end(&id)?.is("confirmed", 20_000)?;
    Ok(Told::about(&id, format!("{} by a phone far away: a wrong code, then the right one", yen(20_000))))
}

pub(super) fn cancelled_after_scan(world: &mut World, phone: &Phone) -> Result<Told, String> {
    let code = world.show_code("A1", None)?;
    phone.scan(&code.text)?.field("scan")?;
    phone.cancel_qr_session(&code.qr_session)?.accepted()?;
    let ended = world.atm("A1")?.wait_for("end", SOON, |event| ends(event, &code.qr_session))?;
    if text(&ended, "end") != "cancelled" {
        return Err(format!("the screen ended as {ended}"));
    }
    let reason = phone.approve(&code.text, 10_000, &[])?.refused_as(&["QR_SESSION_ENDED"])?;
    Ok(Told::without_withdrawal(format!("the screen is free again; a late approval is {reason}")))
}
