//! The population is the same for the same seed, and as the assumptions say, within what chance allows at this seed.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::attempt::DeviceNo;
use crate::calendar::local_hour;

fn world(seed: u64, customers: u32) -> World {
    World { customers, machines: 300, ..World::of(seed) }
}

fn visits(world: &World) -> Vec<Visit> {
    let visit = |happening| match happening {
        Happening::Visits(visit) => Some(visit),
        Happening::Registered(_) => None,
    };
    Population::new(world).filter_map(visit).collect()
}

/// How many of 1,000 visits are so.
fn per_mille(visits: &[Visit], is_so: impl Fn(&&Visit) -> bool) -> u64 {
    visits.iter().filter(is_so).count() as u64 * 1_000 / visits.len() as u64
}

#[test]
fn the_same_seed_gives_the_same_life_and_another_seed_another() {
    let life = |seed| Population::new(&world(seed, 500)).map(|one| format!("{one:?}")).collect::<String>();
    assert_eq!(life(1), life(1));
    assert_ne!(life(1), life(2));
}

#[test]
fn time_never_runs_backwards_and_only_a_day_is_held() {
    let mut population = Population::new(&world(1, 500));
    let mut last = Timestamp::from_unix_ms(0);
    while let Some(happening) = population.next() {
        assert!(happening.at() >= last);
        last = happening.at();
        let today = Day::of(last);
        assert!(population.today.iter().all(|later| Day::of(later.at()) == today));
    }
    assert_eq!(Day::of(last), Day(60));
}

#[test]
fn withdrawals_are_as_assumed() {
    let world = world(1, 20_000);
    let visits: Vec<Visit> = visits(&world).into_iter().filter(|visit| Day::of(visit.attempt.now).0 >= 0).collect();
    let a_month = visits.len() as u64 * 1_000 / u64::from(world.customers) / 2;
    assert!((1_800..2_200).contains(&a_month), "{a_month} thousandths a customer and month");

    let yen = |visit: &Visit| visit.attempt.amount.minor_units();
    let at_night = |visit: &&Visit| local_hour(visit.attempt.now) < 6;
    let rates = [
        ("below 50,000 yen", per_mille(&visits, |visit| yen(visit) < 50_000), 780..850),
        ("100,000 yen and more", per_mille(&visits, |visit| yen(visit) >= 100_000), 40..90),
        ("at night", per_mille(&visits, at_night), 25..60),
        ("without place", per_mille(&visits, |visit| visit.attempt.phone_place.is_none()), 105..135),
        ("after a mistake", per_mille(&visits, |visit| visit.mistyped > 0), 11..17),
        ("travelling", per_mille(&visits, |visit| visit.group == Group::Travelling), 2..10),
        ("elderly", per_mille(&visits, |visit| visit.group == Group::Elderly), 45..90),
        ("on a new phone", per_mille(&visits, |visit| visit.group == Group::NewPhone), 2..6),
    ];
    for (name, found, expected) in rates {
        assert!(expected.contains(&found), "{name}: {found} of 1,000");
    }
    assert!(visits.iter().all(|visit| yen(visit) % 10_000 == 0 && (10_000..=200_000).contains(&yen(visit))));
}

#[test]
fn paydays_are_busy_and_sundays_are_not() {
    let mut days: HashMap<i32, u64> = HashMap::new();
    for visit in visits(&world(1, 20_000)) {
        *days.entry(Day::of(visit.attempt.now).0).or_default() += 1;
    }
    let on = |day: i32| days[&day];
    // 25 June and 22 July were paydays; 17 June an ordinary Wednesday, 14 June a Sunday, 15 June pension day, a Monday.
    assert!(on(24) > on(16) * 2 && on(51) > on(16) * 2);
    assert!(on(13) < on(16) && on(14) > on(7));
}

#[test]
fn new_phones_come_as_assumed_and_some_of_them_for_cash() {
    let world = world(1, 40_000);
    let mut bound: HashMap<DeviceNo, Timestamp> = HashMap::new();
    let mut first_used: HashMap<DeviceNo, Timestamp> = HashMap::new();
    for happening in Population::new(&world) {
        match happening {
            Happening::Registered(registration) => {
                bound.insert(registration.device.number, registration.device.bound_at);
            }
            Happening::Visits(visit) => {
                first_used.entry(visit.attempt.device.number).or_insert(visit.attempt.now);
            }
        }
    }
    // 89 days with the warm-up are 2.93 months.
    let a_month_per_mille = bound.len() as u64 * 1_000 * 100 / 293 / u64::from(world.customers);
    assert!((23..=27).contains(&a_month_per_mille), "{a_month_per_mille} of 1,000 a month");
    let used_within = |hours| {
        let soon = |(number, bound_at): &(&DeviceNo, &Timestamp)| {
            first_used.get(number).is_some_and(|at| at.since(**bound_at) < Duration::from_hours(hours))
        };
        bound.iter().filter(soon).count() * 1_000 / bound.len()
    };
    let (three_hours, twelve_hours) = (used_within(3), used_within(12));
    assert!((45..80).contains(&three_hours), "{three_hours} of 1,000 within 3 hours");
    assert!((65..110).contains(&twelve_hours), "{twelve_hours} of 1,000 within 12 hours");
}

#[test]
fn phones_are_bound_before_they_are_used() {
    let world = world(3, 4_000);
    let population = Population::new(&world);
    let mut bound: HashSet<_> =
        population.earlier_phones().map(|one| (one.institution, one.account, one.device)).collect();
    for happening in population {
        match happening {
            Happening::Registered(one) => assert!(bound.insert((one.institution, one.account, one.device))),
            Happening::Visits(Visit { attempt, .. }) => {
                assert!(bound.contains(&(attempt.institution, attempt.account, attempt.device)), "{attempt:?}");
                assert!(attempt.device.bound_at <= attempt.now);
            }
        }
    }
}

#[test]
fn accounts_and_phones_are_shared_as_assumed() {
    let world = world(1, 20_000);
    let mut accounts: HashMap<DeviceNo, u32> = HashMap::new();
    let mut phones: HashMap<AccountNo, u32> = HashMap::new();
    let mut larger = 0;
    for one in Population::new(&world).earlier_phones() {
        *accounts.entry(one.device.number).or_default() += 1;
        *phones.entry(one.account).or_default() += 1;
        larger += u32::from(one.institution == InstitutionNo(0));
    }
    let of_phones = |least: u32| accounts.values().filter(|count| **count >= least).count() * 1_000 / accounts.len();
    let joint = phones.values().filter(|count| **count == 2).count() * 1_000 / phones.len();
    assert!((25..36).contains(&of_phones(2)) && (2..8).contains(&of_phones(3)) && of_phones(4) == 0);
    assert!((48..66).contains(&joint), "{joint} of 1,000 accounts are joint");
    assert!(phones.values().all(|count| *count <= 2));
    assert!((11_800..13_000).contains(&larger), "{larger} at the larger bank");
}

#[test]
fn a_customer_is_where_a_customer_can_be() {
    let world = world(5, 3_000);
    let population = Population::new(&world);
    let geography = population.geography().clone();
    for visit in visits(&world).iter().filter(|visit| visit.group != Group::Travelling) {
        let attempt = &visit.attempt;
        assert_eq!(attempt.atm_place, geography.place(attempt.atm));
        if let Some(place) = attempt.phone_place {
            assert!(place.distance_m(attempt.atm_place) <= u64::from(CELL_ERROR_M) * 3 / 2);
        }
    }
}
