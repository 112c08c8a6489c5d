//! One run: a bank lives through a world, and everything that matters is counted.

use std::iter::Peekable;
use std::time::Duration;

use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::time::Timestamp;

use crate::attempt::{Attempt, Registration, yen};
use crate::bank::{Bank, Verdict};
use crate::calendar::{Day, MINUTE_MS};
use crate::chance::{Chance, Purpose};
use crate::controls::{Control, Controls};
use crate::population::habits::MAN_YEN;
use crate::population::{Happening, Population, Visit};
use crate::reaction::{ANALYST_STOP, Alerts, Analyst, REPORTED, Reaction};
use crate::tally::Tally;
use crate::wave::{Case, Wave};
use crate::world::World;

/// Tries to type a code at a machine.
const CODE_TRIES: u8 = 3;
/// Of 1,000 codes, those that an honest customer mistypes.
const MISTYPED_CODES_PER_MILLE: u64 = 30;
/// Of 1,000 honest refusals, those after which the customer asks once more, for half the amount.
const ASKS_FOR_LESS_PER_MILLE: u64 = 500;
/// Of 1,000 customers asked for a code, those who walk away.
const WALKS_AWAY_PER_MILLE: u64 = 10;

/// How an approval ended.
enum Ended {
    Paid {
        stepped_up: Option<String>,
    },
    Refused {
        reason: String,
    },
    /// Asked for the code, which was not typed.
    NotTyped {
        reason: String,
    },
}

struct Life<'a, B> {
    world: &'a World,
    controls: Controls,
    bank: &'a mut B,
    analyst: Analyst,
    tally: Tally,
    next_tick: Timestamp,
}

/// Lets a bank live through a world. Every alarm with a thief in its window counts as true; [`crate::trials`] judges more strictly.
pub fn live<B: Bank>(world: &World, controls: Controls, reaction: Reaction, bank: &mut B) -> Tally {
    let population = Population::new(world);
    let mut wave = Wave::new(world, &population);
    let begins = world.first_day().begins();
    let (earlier, later): (Vec<_>, Vec<_>) =
        wave.registrations().into_iter().partition(|registration| registration.device.bound_at < begins);
    population.earlier_phones().chain(earlier).for_each(|registration| bank.registered_device(&registration));

    let reaction = controls.has(Control::Analyst).then_some(reaction);
    let analyst = Analyst::new(reaction);
    let tally = Tally::of(wave.cases());
    let mut life = Life { world, controls, bank, analyst, tally, next_tick: begins };
    life.go_on(population.geography().clone(), population, later, &mut wave);
    life.tally.judge(&[]);
    life.tally
}

impl<B: Bank> Life<'_, B> {
    fn go_on(
        &mut self,
        geography: crate::geography::Geography,
        population: Population,
        activations: Vec<Registration>,
        wave: &mut Wave,
    ) {
        let mut honest = population.peekable();
        let mut activations = activations.into_iter().peekable();
        let mut theft = wave.next();
        loop {
            let honest_at = honest.peek().map(Happening::at);
            let activation_at = activations.peek().map(|registration| registration.device.bound_at);
            let theft_at = theft.map(|(at, _)| at);
            let Some(now) = [activation_at, honest_at, theft_at].into_iter().flatten().min() else { break };
            self.tick(now);
            if activation_at == Some(now) {
                next(&mut activations, |registration| self.bank.registered_device(&registration));
            } else if honest_at == Some(now) {
                next(&mut honest, |happening| self.happens(&happening));
            } else if let Some(thief) = theft.and_then(|(_, case)| wave.thief(case)) {
                let attempt = thief.attempt(now, &geography);
                match self.steals(thief.case(), &attempt) {
                    true => thief.paid(now),
                    false => thief.refused(now, &geography),
                }
                theft = wave.next();
            }
        }
        self.tick(Timestamp::from_unix_ms(self.next_tick.unix_ms() + MINUTE_MS));
    }

    fn tick(&mut self, now: Timestamp) {
        if now < self.next_tick {
            return;
        }
        self.next_tick = now.after(Duration::from_millis(MINUTE_MS));
        self.bank.advance(now);
        for alarm in self.bank.alarms() {
            self.analyst.hears(&alarm);
            if Day::of(alarm.at).0 >= 0 {
                self.tally.rang(alarm);
            }
        }
    }

    fn happens(&mut self, happening: &Happening) {
        match happening {
            Happening::Registered(registration) => self.bank.registered_device(registration),
            Happening::Visits(visit) => self.visited(visit),
        }
    }

    fn visited(&mut self, visit: &Visit) {
        for _ in 0..visit.mistyped {
            self.bank.mistyped(&visit.attempt);
        }
        let attempt = &visit.attempt;
        let mut chance =
            Chance::of(self.world.seed, Purpose::StepUp, u64::from(attempt.account.0), attempt.now.unix_ms());
        let mistyped = (0..CODE_TRIES).take_while(|_| chance.per_mille(MISTYPED_CODES_PER_MILLE)).count();
        let walks_away = chance.per_mille(WALKS_AWAY_PER_MILLE);
        let types_it = mistyped < usize::from(CODE_TRIES) && !walks_away;
        let ended = self.asked(attempt, mistyped, types_it);
        if matches!(ended, Ended::Refused { .. }) {
            self.asks_for_less(*attempt, &mut chance);
        }
        if Day::of(attempt.now).0 >= 0 {
            match ended {
                Ended::Paid { stepped_up } => self.tally.served(visit, stepped_up.as_deref(), false),
                Ended::NotTyped { reason } => self.tally.served(visit, Some(&reason), true),
                Ended::Refused { reason } => self.tally.turned_away(visit, &reason),
            }
        }
    }

    /// Refused, people try what else they may have. Whatever comes of it, the withdrawal that they wanted was refused.
    fn asks_for_less(&mut self, mut attempt: Attempt, chance: &mut Chance) {
        while attempt.amount.minor_units() >= 2 * MAN_YEN && chance.per_mille(ASKS_FOR_LESS_PER_MILLE) {
            attempt.amount = yen(attempt.amount.minor_units() / (2 * MAN_YEN) * MAN_YEN);
            if !matches!(self.asked(&attempt, 0, true), Ended::Refused { .. }) {
                return;
            }
        }
    }

    /// Whether he got the money.
    fn steals(&mut self, case: &Case, attempt: &Attempt) -> bool {
        // He holds the app that shows the code, and stands where it is typed: the code does not stop him.
        let types_it = case.behaviour.is_at_the_machine();
        let mistyped = if types_it { 0 } else { usize::from(CODE_TRIES) };
        let ended = if self.is_reported(case, attempt.now) {
            Ended::Refused { reason: REPORTED.to_owned() }
        } else {
            self.asked(attempt, mistyped, types_it)
        };
        let (paid, reason) = match ended {
            Ended::Paid { .. } => (attempt.amount.minor_units(), None),
            Ended::NotTyped { reason } | Ended::Refused { reason } => (0, Some(reason)),
        };
        self.tally.tried(case.number, attempt, paid, reason);
        paid > 0
    }

    /// Whether the victim has read that a phone was bound, and the bank has stopped it. A relay binds none.
    fn is_reported(&self, case: &Case, now: Timestamp) -> bool {
        let mut chance = Chance::of(self.world.seed, Purpose::Victim, case.number as u64, 0);
        let after = Alerts::ASSUMED.reported_after(&mut chance);
        let is_told = self.controls.has(Control::Notices) && case.behaviour.is_at_the_machine();
        is_told && after.is_some_and(|after| case.device.bound_at.after(after) <= now)
    }

    fn asked(&mut self, attempt: &Attempt, mistyped: usize, types_it: bool) -> Ended {
        let stepped_up = match self.bank.decide(attempt) {
            Verdict::Refuse { reason } => return Ended::Refused { reason },
            Verdict::StepUp { reason } if self.controls.has(Control::ConfirmCode) => Some(reason),
            Verdict::StepUp { .. } | Verdict::Permit => None,
        };
        // The bank was asked first, so that it sees what was wanted while the analyst's stop is on, and goes on ringing.
        if self.analyst.stops(attempt) {
            self.bank.settled(attempt, Money::zero(Currency::JPY));
            return Ended::Refused { reason: ANALYST_STOP.to_owned() };
        }
        if let Some(reason) = &stepped_up {
            for _ in 0..mistyped {
                self.bank.mistyped(attempt);
            }
            if !types_it {
                self.bank.settled(attempt, Money::zero(Currency::JPY));
                return Ended::NotTyped { reason: reason.clone() };
            }
        }
        self.bank.settled(attempt, attempt.amount);
        self.analyst.paid(attempt);
        Ended::Paid { stepped_up }
    }
}

fn next<I: Iterator>(stream: &mut Peekable<I>, each: impl FnOnce(I::Item)) {
    if let Some(one) = stream.next() {
        each(one);
    }
}
