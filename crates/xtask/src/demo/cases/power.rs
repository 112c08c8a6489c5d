//! What is lost when a machine goes dark in the worst moment: nothing.

use super::super::report::Told;
use super::super::world::World;
use crate::figures::yen;
use crate::parties::SOON;
use crate::parties::phone::Phone;

/// The exit code of an ATM that lost its power.
const POWER_CUT: i32 = 3;

pub(super) fn power_cut(world: &mut World, phone: &Phone) -> Result<Told, String> {
    let id = pay_out_into_the_dark(world, phone)?;
    world.restart_atm("A3")?;
    phone.watch_to_end(&id)?.is("confirmed", 30_000)?;
    Ok(Told::about(&id, format!("{} paid, report lost; confirmed when A3 came back", yen(30_000))))
}

pub(super) fn gateway_killed(world: &mut World, phone: &Phone) -> Result<Told, String> {
    let id = pay_out_into_the_dark(world, phone)?;
    world.kill_gateway();
    world.restart_gateway()?;
    world.wait_for_state(&id, "dispense_commanded")?;
    world.restart_atm("A3")?;
    phone.watch_to_end(&id)?.is("confirmed", 30_000)?;
    Ok(Told::about(&id, "kill -9 with the command outstanding; it was still known, then confirmed".to_owned()))
}

/// A3 pays 30,000 yen and loses its power before it can say so.
fn pay_out_into_the_dark(world: &mut World, phone: &Phone) -> Result<String, String> {
    world.atm("A3")?.tell("fault power-cut")?;
    let id = world.approve_at("A3", phone, 30_000)?;
    let (status, _) = world.atm("A3")?.wait_for_end(SOON)?;
    if status.code() != Some(POWER_CUT) {
        return Err(format!("A3 was to end with {POWER_CUT} as if its power were cut, not with {status}"));
    }
    world.wait_for_state(&id, "dispense_commanded")?;
    Ok(id)
}
