//! Machines and banks that do not do as they should.

use super::super::report::Told;
use super::super::world::World;
use crate::figures::yen;
use crate::parties::phone::Phone;

pub(super) fn partial_dispense(world: &mut World, phone: &Phone) -> Result<Told, String> {
    world.atm("A2")?.tell("fault jam 20000")?;
    let id = world.approve_at("A2", phone, 30_000)?;
    phone.watch_to_end(&id)?.is("confirmed", 20_000)?;
    Ok(Told::about(&id, format!("{} approved, {} left the machine and was confirmed", yen(30_000), yen(20_000))))
}

/// A1's dispenser signs what it did, asked with a nonce that it could not know before.
pub(super) fn proven_partial(world: &mut World, phone: &Phone) -> Result<Told, String> {
    world.atm("A1")?.tell("fault jam 10000")?;
    let id = world.approve_at("A1", phone, 30_000)?;
    phone.watch_to_end(&id)?.is("confirmed", 10_000)?;
    Ok(Told::about(&id, format!("{} left, proven by the dispenser's own token: confirmed", yen(10_000))))
}

/// The notes are gone, the machine says that they are not, and shows no token that would prove it.
pub(super) fn lying_machine(world: &mut World, phone: &Phone) -> Result<Told, String> {
    world.atm("A1")?.tell("fault lie")?;
    let id = world.approve_at("A1", phone, 20_000)?;
    world.wait_for_state(&id, "outcome_unknown")?;
    Ok(Told::about(
        &id,
        "\"not dispensed\" without the dispenser's token gives nothing back: the hold stays".to_owned(),
    ))
}

pub(super) fn notes_taken_back(world: &mut World, phone: &Phone) -> Result<Told, String> {
    world.atm("A2")?.tell("fault retract")?;
    let id = world.approve_at("A2", phone, 20_000)?;
    let end = phone.watch_to_end(&id)?.is("reversed", 0)?;
    Ok(Told::about(&id, format!("presented, all taken back and counted: reversed ({})", end.reason)))
}

pub(super) fn uncounted_retract(world: &mut World, phone: &Phone) -> Result<Told, String> {
    world.atm("A2")?.tell("fault retract-uncounted")?;
    let id = world.approve_at("A2", phone, 20_000)?;
    world.wait_for_state(&id, "outcome_unknown")?;
    Ok(Told::about(&id, "taken back without a count proves nothing: the hold stays".to_owned()))
}

pub(super) fn hold_unanswered(world: &mut World, phone: &Phone) -> Result<Told, String> {
    world.tell_corebank(phone.institution(), "stall 1")?;
    let id = world.approve_at("A2", phone, 10_000)?;
    let end = phone.watch_to_end(&id)?.is("reversed", 0)?;
    Ok(Told::about(&id, format!("the bank held the money and never said so: reversed ({})", end.reason)))
}
