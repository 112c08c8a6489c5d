//! Phones: old ones, new ones, and how soon a new one is at a machine.

use std::time::Duration;

use cashgate_withdrawal::time::Timestamp;

use crate::attempt::{Attestation, Channel, Device, DeviceNo};
use crate::calendar::{DAY_MS, Day};
use crate::chance::{Chance, Purpose};
use crate::population::person;
use crate::world::World;

/// Of 100,000 customers and days, those who bind a new phone: 2.5% a month.
const NEW_PHONES_A_DAY_PER_100_000: u64 = 83;
/// Of 1,000 new phones, those that were bound because their owner needs cash at once.
const URGENT_PER_MILLE: u64 = 50;
/// Days that old phones have been bound for, at most.
const OLD_PHONE_DAYS_MAX: u64 = 900;

/// A phone with what its number says of it: how it was bound and what its maker said is drawn from the number alone.
pub(crate) fn device(number: DeviceNo, bound_at: Timestamp) -> Device {
    let chance = &mut Chance::of(u64::from(number.0), Purpose::Person, bound_at.unix_ms(), 3);
    let channels = [
        (600, Channel::Online),
        (150, Channel::Atm),
        (100, Channel::Video),
        (80, Channel::Branch),
        (70, Channel::Post),
    ];
    let attestations = [(880, Attestation::Passed), (115, Attestation::NotGiven), (5, Attestation::Failed)];
    Device {
        number,
        bound_at,
        channel: chance.weighted(&channels, Channel::Online),
        attestation: chance.weighted(&attestations, Attestation::NotGiven),
    }
}

/// The phone that a customer binds within the run, at most one.
pub(crate) fn new_phone(number: u32, world: &World, chance: &mut Chance) -> Option<Device> {
    let days = u64::from(world.warm_up_days) + 61;
    let binds = chance.below(100_000) < NEW_PHONES_A_DAY_PER_100_000 * days;
    let day = Day(world.first_day().0 + i32::try_from(chance.below(days)).unwrap_or(0));
    // Shops sell phones, and people set them up, in the daytime and the evening.
    let hours = [
        (40, 9),
        (90, 10),
        (120, 11),
        (110, 12),
        (100, 13),
        (90, 15),
        (100, 17),
        (110, 18),
        (110, 19),
        (80, 21),
        (50, 22),
    ];
    let at = day.at(chance.weighted(&hours, 12), 0).after(Duration::from_millis(chance.below(3_600_000)));
    binds.then(|| device(DeviceNo(world.customers + number), at))
}

/// When the phone from before the run was bound.
pub(crate) fn first_bound_at(world: &World, chance: &mut Chance) -> Timestamp {
    let days_ms = chance.below(OLD_PHONE_DAYS_MAX * DAY_MS) + 7 * DAY_MS;
    Timestamp::from_unix_ms(world.first_day().begins().unix_ms().saturating_sub(days_ms))
}

/// When a customer who bound the phone to get cash stands at a machine: 5 minutes to 3 hours later.
pub(crate) fn urgent_at(bound_at: Timestamp, chance: &mut Chance) -> Option<Timestamp> {
    let is_urgent = chance.per_mille(URGENT_PER_MILLE);
    let at = bound_at.after(person::soon(chance));
    is_urgent.then_some(at)
}
