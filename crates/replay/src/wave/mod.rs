//! The wave of 2020, as the National Police Agency counted it, and the thieves in it.
//!
//! A *case* is one account that money is stolen from. If nobody hinders them, the thieves of a wave take exactly the police's sums.

pub mod behaviour;
mod plan;
pub mod thief;

use cashgate_withdrawal::time::Timestamp;

use crate::attempt::{AccountNo, AtmNo, Device, InstitutionNo, Registration};
use crate::chance::{Chance, Purpose};
use crate::geography::Place;
use crate::population::Population;
use crate::world::World;
use behaviour::{Behaviour, Persistence};
use thief::Thief;

/// What the police counted in a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The month's first day, counted from 1 June.
    pub first_day: i32,
    /// And its last.
    pub last_day: i32,
    /// Cases.
    pub cases: usize,
    /// Yen, in steps of 10,000.
    pub total_man: u64,
}

/// 5 cases and about 600,000 yen in June; 27 cases and about 9.4 million in July.
pub const COUNTED: [Counted; 2] = [
    Counted { first_day: 0, last_day: 29, cases: 5, total_man: 60 },
    Counted { first_day: 30, last_day: 60, cases: 27, total_man: 940 },
];

/// One account that somebody steals from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Counted from 0 through the wave.
    pub number: usize,
    /// How.
    pub behaviour: Behaviour,
    /// How long he goes on.
    pub persistence: Persistence,
    /// The victim's bank.
    pub institution: InstitutionNo,
    /// The victim's account.
    pub account: AccountNo,
    /// The thief's phone; the victim's own for a relay.
    pub device: Device,
    /// Where the phone says it is; at the machine for all but a relay.
    pub phone: PhonePlace,
    /// The machine of the first visit.
    pub atm: AtmNo,
    /// When he first stands at a machine.
    pub first_at: Timestamp,
    /// What he wants, in steps of 10,000 yen.
    pub total_man: u64,
}

/// What a phone says about its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhonePlace {
    /// Nothing.
    Silent,
    /// The truth: it is at the machine.
    AtMachine,
    /// The truth: it is somewhere else.
    Elsewhere(Place),
}

/// The thieves of a run.
#[derive(Debug)]
pub struct Wave {
    thieves: Vec<Thief>,
}

impl Wave {
    /// The wave of a world, hidden among its population.
    #[must_use]
    pub fn new(world: &World, population: &Population) -> Self {
        let cases = if world.has_wave { plan::cases(world, population) } else { Vec::new() };
        let thief = |case: Case| Thief::new(case, Chance::of(world.seed, Purpose::Thief, case.number as u64, 0));
        Self { thieves: cases.into_iter().map(thief).collect() }
    }

    /// The cases, in the order of their numbers.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.thieves.iter().map(Thief::case)
    }

    /// The activations, in the order of time. A relay needs none.
    #[must_use]
    pub fn registrations(&self) -> Vec<Registration> {
        let of =
            |case: &Case| Registration { institution: case.institution, account: case.account, device: case.device };
        let activated = self.cases().filter(|case| case.behaviour.is_at_the_machine());
        let mut registrations: Vec<_> = activated.map(of).collect();
        registrations.sort_by_key(|registration| registration.device.bound_at);
        registrations
    }

    /// Who acts next, and when. None when the last has given up or has what he wanted.
    #[must_use]
    pub fn next(&self) -> Option<(Timestamp, usize)> {
        let due = self.thieves.iter().filter_map(|thief| Some((thief.next_at()?, thief.case().number)));
        due.min()
    }

    /// A thief, by his case.
    pub fn thief(&mut self, case: usize) -> Option<&mut Thief> {
        self.thieves.get_mut(case)
    }
}

#[cfg(test)]
mod tests;
