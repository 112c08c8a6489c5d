//! One customer: everything about them that does not change with the day.

use std::time::Duration;

use cashgate_withdrawal::time::Timestamp;

use crate::attempt::{AccountNo, AtmNo, Device, DeviceNo, InstitutionNo, Registration};
use crate::calendar::Day;
use crate::chance::{Chance, Purpose};
use crate::geography::{CityNo, Geography, Place};
use crate::population::{habits, phones};
use crate::world::World;

/// Of 1,000 customers, those of the larger of the two institutions.
const LARGER_INSTITUTION_PER_MILLE: u64 = 600;
/// Of 1,000 phones, those that never say where they are.
const SILENT_PHONES_PER_MILLE: u64 = 120;
/// Of 1,000 customers, those who travel to another city once in the time of a run.
const TRAVELLERS_PER_MILLE: u64 = 160;

/// What is unusual about a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    Ordinary,
    /// Rarely, much, always at the same machine.
    Elderly,
    /// Works at night.
    NightWorker,
    /// Shares the account of the customer before, who is its other holder.
    Joint,
    /// Has so many other accounts on the phone: a parent's, a child's, a shop's.
    Family {
        /// 1 or 2.
        others: u8,
    },
}

/// A customer.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) number: u32,
    pub(crate) institution: InstitutionNo,
    pub(crate) account: AccountNo,
    pub(crate) kind: Kind,
    pub(crate) home: Place,
    /// In units of 10,000 yen.
    pub(crate) usual_amount_man: u8,
    /// In thousandths.
    pub(crate) visits_a_month_milli: u32,
    pub(crate) tells_place: bool,
    machines: [AtmNo; 3],
    trip: Option<Trip>,
    phone_bound_at: Timestamp,
    /// The phone that replaces the first one within the run.
    pub(crate) new_phone: Option<Device>,
    /// When a customer needs cash at once who bound the new phone for that.
    pub(crate) urgent_at: Option<Timestamp>,
    customers: u32,
}

#[derive(Clone, Copy, Debug)]
struct Trip {
    city: CityNo,
    first: Day,
    last: Day,
}

impl Person {
    pub(crate) fn new(number: u32, world: &World, geography: &Geography) -> Self {
        let chance = &mut Chance::of(world.seed, Purpose::Person, u64::from(number), 0);
        let kind = kind(world.seed, number);
        // The two holders of an account live at one place; their streams begin alike.
        let household = if kind == Kind::Joint { number - 1 } else { number };
        let shared = &mut Chance::of(world.seed, Purpose::Person, u64::from(household), 1);
        let institution = InstitutionNo(u8::from(!shared.per_mille(LARGER_INSTITUTION_PER_MILLE)));
        let city = Geography::some_city(shared);
        let home = Geography::somewhere(city, shared);
        let near = geography.machine_near(city, home, shared);
        let machines = match kind {
            Kind::Elderly => [near; 3],
            _ => [near, geography.machine_near(city, home, chance), geography.some_machine(city, chance)],
        };
        let new_phone = phones::new_phone(number, world, chance);
        Self {
            number,
            institution,
            account: AccountNo(household),
            kind,
            home,
            usual_amount_man: habits::usual_amount_man(kind, chance),
            visits_a_month_milli: habits::visits_a_month_milli(kind, chance),
            tells_place: !chance.per_mille(SILENT_PHONES_PER_MILLE),
            machines,
            trip: trip(world, chance),
            phone_bound_at: phones::first_bound_at(world, chance),
            new_phone,
            urgent_at: new_phone.and_then(|new| phones::urgent_at(new.bound_at, chance)),
            customers: world.customers,
        }
    }

    /// The phone from before the run.
    pub(crate) fn old_phone(&self) -> Device {
        phones::device(DeviceNo(self.number), self.phone_bound_at)
    }

    /// The phone in the customer's hand.
    pub(crate) fn phone(&self, now: Timestamp) -> Device {
        self.new_phone.filter(|new| new.bound_at <= now).unwrap_or_else(|| self.old_phone())
    }

    /// A phone is bound to every account it is used for.
    pub(crate) fn registrations(&self, device: Device) -> impl Iterator<Item = Registration> + use<> {
        let institution = self.institution;
        self.accounts().into_iter().flatten().map(move |account| Registration { institution, account, device })
    }

    /// One of the accounts on the phone, mostly the customer's own.
    pub(crate) fn some_account(&self, chance: &mut Chance) -> AccountNo {
        let [_, second, third] = self.accounts();
        let other = if chance.per_mille(500) { second } else { third };
        other.or(second).filter(|_| chance.per_mille(300)).unwrap_or(self.account)
    }

    fn accounts(&self) -> [Option<AccountNo>; 3] {
        let others = if let Kind::Family { others } = self.kind { others } else { 0 };
        // Beyond the customers' own accounts: nobody but this customer's phone has them.
        let other =
            |number: u8| (number <= others).then(|| AccountNo(self.customers * u32::from(number) + self.number));
        [Some(self.account), other(1), other(2)]
    }

    pub(crate) fn some_machine(&self, chance: &mut Chance) -> AtmNo {
        let [usual, second, any] = self.machines;
        chance.weighted(&[(650, usual), (250, second), (100, any)], usual)
    }

    /// Where the customer is that day, if not at home.
    pub(crate) fn trip_city(&self, day: Day) -> Option<CityNo> {
        self.trip.filter(|trip| (trip.first..=trip.last).contains(&day)).map(|trip| trip.city)
    }
}

/// Of 1,000: 150 elderly, 60 who work at night, 60 who share an account with their neighbour in number, 30 with accounts of their family on the phone.
fn kind(seed: u64, number: u32) -> Kind {
    let of = |number: u32| {
        let table = [
            (150, Kind::Elderly),
            (60, Kind::NightWorker),
            (60, Kind::Joint),
            (26, Kind::Family { others: 1 }),
            (4, Kind::Family { others: 2 }),
            (700, Kind::Ordinary),
        ];
        Chance::of(seed, Purpose::Person, u64::from(number), 2).weighted(&table, Kind::Ordinary)
    };
    // The first holder of a joint account must own it.
    match of(number) {
        Kind::Joint if number == 0 || of(number - 1) == Kind::Joint => Kind::Ordinary,
        kind => kind,
    }
}

fn trip(world: &World, chance: &mut Chance) -> Option<Trip> {
    let goes = chance.per_mille(TRAVELLERS_PER_MILLE);
    let city = Geography::some_city(chance);
    let days = u64::from(world.warm_up_days) + 61;
    let first = Day(world.first_day().0 + i32::try_from(chance.below(days)).unwrap_or(0));
    let last = Day(first.0 + i32::try_from(chance.between(1, 3)).unwrap_or(1));
    goes.then_some(Trip { city, first, last })
}

/// How long after its binding a phone bound for cash is at the machine.
pub(crate) fn soon(chance: &mut Chance) -> Duration {
    Duration::from_secs(chance.weighted(&[(500, 60), (300, 120), (200, 180)], 60) * chance.between(5, 60))
}
