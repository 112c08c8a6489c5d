//! Honest customers: who they are, and what they do day by day.
//!
//! A population is a stream in the order of time that holds one day. What a customer does depends on the seed, the customer and the day alone, never on what
//! a bank answered.

pub(crate) mod habits;
pub(crate) mod person;
mod phones;

use std::collections::VecDeque;
use std::time::Duration;

use cashgate_withdrawal::time::Timestamp;

use crate::attempt::{AccountNo, Attempt, Device, InstitutionNo, Registration, yen};
use crate::calendar::{DAYS, Day};
use crate::chance::{Chance, Purpose};
use crate::geography::{Geography, Place};
use crate::world::World;
use habits::MAN_YEN;
use person::{Kind, Person};

/// Phones that say where they are are this far off at most, by satellite or by nothing but a cell (3 in 100, under roofs).
const FIX_ERROR_M: u32 = 80;
const CELL_ERROR_M: u32 = 2_500;

/// Something in an honest life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A phone was bound.
    Registered(Registration),
    /// A customer stands at a machine.
    Visits(Visit),
}

/// A customer who wants cash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// What is asked.
    pub attempt: Attempt,
    /// Whom the bank disturbs if it does not simply pay.
    pub group: Group,
    /// Codes or PINs mistyped just before.
    pub mistyped: u8,
}

/// Groups of honest customers, by what is most unusual about the withdrawal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Their phone was bound less than 72 hours ago.
    NewPhone,
    /// In another city than their own.
    Travelling,
    /// A phone with several accounts.
    Family,
    /// The second holder of an account, with a phone of their own.
    Joint,
    /// Rarely, much, at the same machine.
    Elderly,
    /// Everyone else.
    Ordinary,
}

impl Group {
    /// A stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NewPhone => "new_phone",
            Self::Travelling => "travelling",
            Self::Family => "family",
            Self::Joint => "joint",
            Self::Elderly => "elderly",
            Self::Ordinary => "ordinary",
        }
    }
}

impl Happening {
    /// When.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Registered(registration) => registration.device.bound_at,
            Self::Visits(visit) => visit.attempt.now,
        }
    }
}

/// The customers of a world and their days.
#[derive(Debug)]
pub struct Population {
    seed: u64,
    geography: Geography,
    people: Vec<Person>,
    next_day: Day,
    today: VecDeque<Happening>,
}

impl Population {
    /// The population of a world, at its first midnight.
    #[must_use]
    pub fn new(world: &World) -> Self {
        let geography = Geography::new(world.seed, world.machines);
        let people = (0..world.customers).map(|number| Person::new(number, world, &geography)).collect();
        Self { seed: world.seed, geography, people, next_day: world.first_day(), today: VecDeque::new() }
    }

    /// The machines.
    #[must_use]
    pub const fn geography(&self) -> &Geography {
        &self.geography
    }

    /// Phones that were bound before the first day, with their accounts.
    pub fn earlier_phones(&self) -> impl Iterator<Item = Registration> {
        self.people.iter().flat_map(|person| person.registrations(person.old_phone()))
    }

    /// The account, institution, phone and home of a customer, for thieves to choose.
    pub(crate) fn victim(&self, number: u64, now: Timestamp) -> Option<(InstitutionNo, AccountNo, Device, Place)> {
        let person = self.people.get(usize::try_from(number).ok()?)?;
        Some((person.institution, person.account, person.phone(now), person.home))
    }

    fn live_through(&mut self, day: Day) {
        let mut happenings = Vec::with_capacity(self.today.capacity());
        for person in &self.people {
            happenings.extend(
                person
                    .new_phone
                    .filter(|new| Day::of(new.bound_at) == day)
                    .into_iter()
                    .flat_map(|new| person.registrations(new).map(Happening::Registered)),
            );
            let mut chance = Chance::of(self.seed, Purpose::Day, u64::from(person.number), moment(day));
            if chance.per_million(habits::visits_per_million(person, day)) {
                happenings.push(Happening::Visits(self.visit(
                    person,
                    habits::hour(person, &mut chance),
                    day,
                    &mut chance,
                )));
                if chance.per_mille(habits::SECOND_VISIT_PER_MILLE) {
                    happenings.push(Happening::Visits(self.visit(person, 20, day, &mut chance)));
                }
            }
            if let Some(at) = person.urgent_at.filter(|at| Day::of(*at) == day) {
                happenings.push(Happening::Visits(self.visit_at(person, at, day, &mut chance)));
            }
        }
        // A stable sort by time; who comes in the same millisecond comes in the order of numbers.
        happenings.sort_by_key(Happening::at);
        self.today = happenings.into();
    }

    fn visit(&self, person: &Person, hour: u64, day: Day, chance: &mut Chance) -> Visit {
        let at = day.at(hour, 0).after(Duration::from_millis(chance.below(3_600_000)));
        self.visit_at(person, at, day, chance)
    }

    fn visit_at(&self, person: &Person, now: Timestamp, day: Day, chance: &mut Chance) -> Visit {
        let away = person.trip_city(day).filter(|_| person.urgent_at != Some(now));
        let atm = match away {
            Some(city) => self.geography.some_machine(city, chance),
            None => person.some_machine(chance),
        };
        let atm_place = self.geography.place(atm);
        let device = person.phone(now);
        let account = person.some_account(chance);
        let amount = yen(habits::amount_man(person, chance) * MAN_YEN);
        let phone_place = person.tells_place.then(|| seen_from(atm_place, chance));
        let attempt =
            Attempt { institution: person.institution, account, device, atm, atm_place, phone_place, amount, now };
        let group = match person.kind {
            _ if device.age(now) < Duration::from_hours(72) => Group::NewPhone,
            _ if away.is_some() => Group::Travelling,
            Kind::Family { .. } => Group::Family,
            Kind::Joint => Group::Joint,
            Kind::Elderly => Group::Elderly,
            Kind::Ordinary | Kind::NightWorker => Group::Ordinary,
        };
        Visit { attempt, group, mistyped: habits::mistyped(chance) }
    }
}

impl Iterator for Population {
    type Item = Happening;

    fn next(&mut self) -> Option<Happening> {
        while self.today.is_empty() && self.next_day.0 < DAYS {
            let day = self.next_day;
            self.next_day = Day(day.0 + 1);
            self.live_through(day);
        }
        self.today.pop_front()
    }
}

/// Where a phone that stands here says it is.
pub(crate) fn seen_from(place: Place, chance: &mut Chance) -> Place {
    let error_m = if chance.per_mille(30) { CELL_ERROR_M } else { FIX_ERROR_M };
    place.moved(chance.around_zero(error_m), chance.around_zero(error_m))
}

/// A day as a place in a stream of draws.
fn moment(day: Day) -> u64 {
    u64::try_from(day.since_1970()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
