//! Those who get nothing.

use std::time::Duration;

use super::super::report::Told;
use super::super::world::World;
use crate::figures::yen;
use crate::parties::phone::Phone;
use crate::parties::text;

/// What every further user of a code is told, by how far its first user is.
const USED: [&str; 2] = ["QR_TOKEN_CLAIMED", "QR_SESSION_ENDED"];

pub(super) fn declined_by_bank(world: &mut World, phone: &Phone) -> Result<Told, String> {
    world.tell_corebank(phone.institution(), "decline 1 insufficient_funds")?;
    let id = world.approve_at("A1", phone, 10_000)?;
    let end = phone.watch_to_end(&id)?.is("declined", 0)?;
    if end.reason != "insufficient_funds" {
        return Err(format!("the bank's reason did not arrive: {}", end.reason));
    }
    Ok(Told::about(&id, format!("declined: {}", end.reason)))
}

pub(super) fn not_dispensable(world: &mut World, phone: &Phone) -> Result<Told, String> {
    refused_at_approval(world, phone, 12_345, &[], "AMOUNT_NOT_DISPENSABLE")
}

pub(super) fn wrong_signature(world: &mut World, phone: &Phone) -> Result<Told, String> {
    refused_at_approval(world, phone, 10_000, &["--wrong-signature"], "NOT_ALLOWED")
}

pub(super) fn replayed_code(world: &mut World, phone: &Phone) -> Result<Told, String> {
    let code = world.show_code("A1", None)?;
    phone.scan(&code.text)?.field("scan")?;
    let id = world.answer("A1", &phone.approve(&code.text, 10_000, &[])?.field("approved")?)?;
    phone.watch_to_end(&id)?.is("confirmed", 10_000)?;
    let second = phone.another("phone-replay")?;
    second.scan(&code.text)?.refused_as(&USED)?;
    let reason = second.approve(&code.text, 10_000, &[])?.refused_as(&USED)?;
    phone.approve(&code.text, 20_000, &[])?.refused_as(&USED)?;
    Ok(Told::about(&id, format!("paid once; the used code is {reason} for another phone and for the same")))
}

pub(super) fn photographed_code(world: &mut World, phone: &Phone) -> Result<Told, String> {
    let code = world.show_code("A1", None)?;
    phone.scan(&code.text)?.field("scan")?;
    let thief = phone.another("phone-photograph")?;
    let reason = thief.scan(&code.text)?.refused_as(&["QR_TOKEN_CLAIMED"])?;
    thief.approve(&code.text, 30_000, &[])?.refused_as(&["QR_TOKEN_CLAIMED"])?;
    let id = world.answer("A1", &phone.approve(&code.text, 10_000, &[])?.field("approved")?)?;
    phone.watch_to_end(&id)?.is("confirmed", 10_000)?;
    Ok(Told::about(&id, format!("the copy is {reason}; the first phone is served")))
}

pub(super) fn code_of_another_atm(world: &mut World, phone: &Phone) -> Result<Told, String> {
    let shown_to_victim = world.show_code("A2", None)?;
    let brought_along = world.show_code("A1", None)?;
    // The customer stands at A2 and scans what a thief holds up: the code of A1, where an accomplice waits for the notes.
    let scan = phone.scan(&brought_along.text)?.field("scan")?;
    if text(&scan, "atm_id") != "A1" || text(&scan, "atm_place") != "Shibuya, Tokyo" {
        return Err(format!("the app must name the machine that would pay out, A1 in Shibuya: {scan}"));
    }
    world.leave("A1", &brought_along)?;
    let reason = phone.approve(&brought_along.text, 10_000, &[])?.refused_as(&["QR_SESSION_ENDED"])?;
    world.leave("A2", &shown_to_victim)?;
    phone.scan(&shown_to_victim.text)?.refused_as(&["QR_SESSION_ENDED"])?;
    Ok(Told::without_withdrawal(format!("in front of A2 the app names ATM A1, Shibuya; after the end {reason}")))
}

pub(super) fn changed_code(world: &mut World, phone: &Phone) -> Result<Told, String> {
    let code = world.show_code("A1", None)?;
    // In the middle, where the claims are; and among the last, where the signature is.
    for place in [code.text.len() / 2, code.text.len().saturating_sub(6)] {
        phone.scan(&flipped(&code.text, place))?.refused_as(&["QR_TOKEN_INVALID"])?;
    }
    phone.scan(&code.text)?.field("scan")?;
    world.leave("A1", &code)?;
    Ok(Told::without_withdrawal("one changed character: QR_TOKEN_INVALID; unchanged it is accepted".to_owned()))
}

pub(super) fn refused_at_approval(
    world: &mut World,
    phone: &Phone,
    amount: i64,
    further: &[&str],
    reason: &str,
) -> Result<Told, String> {
    let code = world.show_code("A1", None)?;
    phone.scan(&code.text)?.field("scan")?;
    phone.approve(&code.text, amount, further)?.refused_as(&[reason])?;
    world.leave("A1", &code)?;
    // Nothing may come after a refusal.
    let dispensed =
        world.atm("A1")?.wait_for("dispense", Duration::from_millis(200), |event| text(event, "event") == "dispense");
    match dispensed {
        Err(_) => Ok(Told::without_withdrawal(format!("{} is {reason}", yen(amount)))),
        Ok(event) => Err(format!("refused as {reason}, and commanded all the same: {event}")),
    }
}

/// The text with another digit at `place`, or at the nearest place before it that holds a letter or digit.
fn flipped(text: &str, place: usize) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    if let Some(character) = characters.get_mut(..=place).unwrap_or_default().iter_mut().rfind(|c| c.is_alphanumeric())
    {
        *character = if *character == '0' { '1' } else { '0' };
    }
    characters.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_character_differs() {
        assert_eq!(flipped("CG1:AB0D", 6), "CG1:AB1D");
        assert_eq!(flipped("CG1:AB/D", 6), "CG1:A0/D");
    }
}
