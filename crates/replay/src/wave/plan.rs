//! Who steals from whom, when and how much, if nobody hinders him.

use std::time::Duration;

use cashgate_withdrawal::time::Timestamp;

use super::behaviour::{Behaviour, Persistence};
use super::{COUNTED, Case, Counted, PhonePlace};
use crate::attempt::{AccountNo, Attestation, Channel, Device, DeviceNo, InstitutionNo};
use crate::calendar::{Day, MINUTE_MS};
use crate::chance::{Chance, Purpose};
use crate::geography::Geography;
use crate::population::{self, Population};
use crate::world::World;

/// Of 1,000 victims, those who use the app themselves. The others have an account and never had the app.
const VICTIMS_WITH_APP_PER_MILLE: u64 = 400;
/// Of 1,000 thieves' phones, those that do not say where they are.
const SILENT_PHONES_PER_MILLE: u64 = 300;
/// Steps of 10,000 yen in which sums are shared out among cases.
const SHARE_MAN: u64 = 4;
/// Tries to find a customer whose phone a relay can use.
const VICTIMS_LOOKED_AT: u32 = 64;

/// Cases that belong together.
struct Group {
    behaviour: Behaviour,
    totals_man: Vec<u64>,
}

struct Planner<'a> {
    world: &'a World,
    population: &'a Population,
    chance: Chance,
    cases: Vec<Case>,
}

pub(super) fn cases(world: &World, population: &Population) -> Vec<Case> {
    let chance = Chance::of(world.seed, Purpose::Wave, 0, 0);
    let mut planner = Planner { world, population, chance, cases: Vec::new() };
    for month in COUNTED {
        for group in planner.groups(&month) {
            planner.plan(&month, &group);
        }
    }
    planner.cases
}

impl Planner<'_> {
    fn groups(&mut self, month: &Counted) -> Vec<Group> {
        let mut groups = Vec::new();
        let mut left = month.cases;
        while left > 0 {
            let behaviour = self.world.mix.drawn(&mut self.chance);
            let size = behaviour.group_size(&mut self.chance).min(left);
            left -= size;
            groups.push(Group { behaviour, totals_man: vec![1; size] });
        }
        self.share_out(month.total_man - month.cases as u64, &mut groups);
        groups
    }

    /// Shares a sum out among cases, unevenly, each at most what its behaviour allows.
    fn share_out(&mut self, mut left_man: u64, groups: &mut [Group]) {
        let mut open: Vec<(u64, (usize, usize))> = Vec::new();
        for (at, group) in groups.iter().enumerate() {
            open.extend(
                (0..group.totals_man.len())
                    .map(|inside| (self.chance.weighted(&[(1, 1), (1, 2), (1, 4)], 1), (at, inside))),
            );
        }
        while left_man > 0 && !open.is_empty() {
            let (group_at, inside) = self.chance.weighted(&open, (0, 0));
            let Some(group) = groups.get_mut(group_at) else { return };
            let total_max = group.behaviour.total_max_man();
            let Some(total) = group.totals_man.get_mut(inside) else { return };
            let share = SHARE_MAN.min(left_man).min(total_max - *total);
            *total += share;
            left_man -= share;
            if *total == total_max {
                open.retain(|(_, place)| *place != (group_at, inside));
            }
        }
    }

    fn plan(&mut self, month: &Counted, group: &Group) {
        let behaviour = group.behaviour;
        let longest = group.totals_man.iter().max().copied().unwrap_or(0);
        // One more than the days it takes, because a thief's next day is not to the minute.
        let days = i32::try_from(longest.div_ceil(behaviour.day_max_man())).unwrap_or(1) + 1;
        let room = u64::try_from(month.last_day - month.first_day + 1 - days).unwrap_or(0);
        let day = Day(month.first_day + i32::try_from(self.chance.below(room + 1)).unwrap_or(0));
        let (begins, apart_minutes) = self.begins(behaviour, day);

        let city = Geography::some_city(&mut self.chance);
        let atm = self.population.geography().some_machine(city, &mut self.chance);
        let first_device = DeviceNo(self.world.customers * 2 + u32::try_from(self.cases.len()).unwrap_or(0));
        let institution = InstitutionNo(u8::from(self.chance.per_mille(400)));
        let persistence = Persistence::drawn(&mut self.chance);
        for (inside, total_man) in group.totals_man.iter().enumerate() {
            let minutes = apart_minutes * inside as u64 + self.chance.below(3);
            let first_at = begins.after(Duration::from_millis(minutes * MINUTE_MS));
            let is_shared = behaviour == Behaviour::ManyAccounts;
            let own = if is_shared { 0 } else { u32::try_from(inside).unwrap_or(0) };
            let number = self.cases.len();
            let draft = Case {
                number,
                behaviour,
                persistence: self.world.persistence.unwrap_or(persistence),
                institution,
                account: AccountNo(self.world.customers * 3 + u32::try_from(number).unwrap_or(0)),
                device: self.fresh(behaviour, DeviceNo(first_device.0 + own), first_at),
                phone: PhonePlace::AtMachine,
                atm,
                first_at,
                total_man: *total_man,
            };
            let case = self.with_victim(draft);
            self.cases.push(case);
        }
    }

    /// The group's first moment at a machine, and the minutes between its cases.
    fn begins(&mut self, behaviour: Behaviour, day: Day) -> (Timestamp, u64) {
        let chance = &mut self.chance;
        let at_night = match behaviour {
            Behaviour::NightOwl => true,
            Behaviour::Runners => chance.per_mille(500),
            _ => false,
        };
        let hour = if at_night { chance.between(0, 2) } else { chance.between(9, 20) };
        let apart = match behaviour {
            // Within an hour, or within a night.
            Behaviour::Runners => chance.weighted(&[(500, 8), (500, 45)], 8),
            _ => chance.between(10, 40),
        };
        (day.at(hour, chance.between(5, 59)), apart)
    }

    fn fresh(&mut self, behaviour: Behaviour, number: DeviceNo, first_at: Timestamp) -> Device {
        let wait_ms = behaviour.wait_minutes(&mut self.chance) * MINUTE_MS;
        let attestations = [(700, Attestation::Passed), (200, Attestation::NotGiven), (100, Attestation::Failed)];
        Device {
            number,
            bound_at: Timestamp::from_unix_ms(first_at.unix_ms() - wait_ms),
            channel: Channel::Online,
            attestation: self.chance.weighted(&attestations, Attestation::Passed),
        }
    }

    /// Gives the case a victim: somebody who has the app, or the account of somebody who never had it.
    fn with_victim(&mut self, case: Case) -> Case {
        let has_app = self.chance.per_mille(VICTIMS_WITH_APP_PER_MILLE);
        let is_silent = self.chance.per_mille(SILENT_PHONES_PER_MILLE);
        if case.behaviour == Behaviour::Relay {
            return self.relayed(case);
        }
        let number = self.chance.below(u64::from(self.world.customers));
        let victim = self.population.victim(number, case.first_at).filter(|_| has_app);
        let phone = if is_silent { PhonePlace::Silent } else { PhonePlace::AtMachine };
        match victim {
            // A group works through one bank's data.
            Some((institution, account, ..)) if institution == case.institution && !self.is_robbed(account) => {
                Case { account, phone, ..case }
            }
            _ => Case { phone, ..case },
        }
    }

    /// A relay uses a customer's own phone, at home.
    fn relayed(&mut self, case: Case) -> Case {
        let is_silent = self.chance.per_mille(120);
        for _ in 0..VICTIMS_LOOKED_AT {
            let number = self.chance.below(u64::from(self.world.customers));
            let Some((institution, account, device, home)) = self.population.victim(number, case.first_at) else {
                continue;
            };
            if self.is_robbed(account) || device.age(case.first_at) < Duration::from_hours(24 * 30) {
                continue;
            }
            let place = population::seen_from(home, &mut self.chance);
            let phone = if is_silent { PhonePlace::Silent } else { PhonePlace::Elsewhere(place) };
            return Case { institution, account, device, phone, ..case };
        }
        // A world with too few customers: the phone is a stranger's, long known.
        let bound_at = case.first_at.unix_ms().saturating_sub(180 * crate::calendar::DAY_MS);
        Case {
            device: Device { bound_at: Timestamp::from_unix_ms(bound_at), ..case.device },
            phone: PhonePlace::Silent,
            ..case
        }
    }

    fn is_robbed(&self, account: AccountNo) -> bool {
        self.cases.iter().any(|case| case.account == account)
    }
}
