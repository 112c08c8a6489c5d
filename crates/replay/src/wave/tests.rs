//! The wave is what the police counted, and thieves do what their behaviour says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::calendar::{Day, local_hour};

fn world(seed: u64, mix: behaviour::Mix) -> World {
    World { customers: 2_000, machines: 300, mix, ..World::of(seed) }
}

fn wave(world: &World) -> (Wave, Population) {
    let population = Population::new(world);
    (Wave::new(world, &population), population)
}

/// What every thief gets if nobody hinders him: the attempts in the order of time.
fn unhindered(world: &World) -> Vec<(usize, crate::attempt::Attempt)> {
    let (mut wave, population) = wave(world);
    let mut attempts = Vec::new();
    while let Some((now, case)) = wave.next() {
        let thief = wave.thief(case).unwrap();
        attempts.push((case, thief.attempt(now, population.geography())));
        thief.paid(now);
    }
    attempts
}

fn all_mixes() -> impl Iterator<Item = behaviour::Mix> {
    [behaviour::Mix::ASSUMED].into_iter().chain(Behaviour::ALL.map(behaviour::Mix::only))
}

#[test]
fn an_unhindered_wave_is_exactly_what_the_police_counted() {
    for mix in all_mixes() {
        for seed in [1, 2, 1_000, 1_001] {
            let world = world(seed, mix);
            let mut months: BTreeMap<u8, (BTreeSet<usize>, u64)> = BTreeMap::new();
            for (case, attempt) in unhindered(&world) {
                let (month, _) = Day::of(attempt.now).date();
                let (cases, yen) = months.entry(month).or_default();
                cases.insert(case);
                *yen += attempt.amount.minor_units();
            }
            let counted: Vec<_> = months.into_iter().map(|(month, (cases, yen))| (month, cases.len(), yen)).collect();
            assert_eq!(counted, [(6, 5, 600_000), (7, 27, 9_400_000)], "seed {seed}, {mix:?}");
        }
    }
}

#[test]
fn no_thief_draws_more_than_a_day_and_a_withdrawal_of_2020_allowed() {
    for mix in all_mixes() {
        let mut drawn: BTreeMap<(AccountNo, Day), u64> = BTreeMap::new();
        for (_, attempt) in unhindered(&world(7, mix)) {
            assert!(attempt.amount.minor_units() <= 200_000);
            *drawn.entry((attempt.account, Day::of(attempt.now))).or_default() += attempt.amount.minor_units();
        }
        assert!(drawn.values().all(|yen| *yen <= 500_000), "{mix:?}: {drawn:?}");
    }
}

#[test]
fn two_institutions_and_every_behaviour_are_in_a_few_waves() {
    let cases: Vec<Case> = (1_000..1_010)
        .flat_map(|seed| wave(&world(seed, behaviour::Mix::ASSUMED)).0.cases().copied().collect::<Vec<_>>())
        .collect();
    let behaviours: BTreeSet<_> = cases.iter().map(|case| case.behaviour).collect();
    assert_eq!(behaviours.len(), Behaviour::ALL.len());
    let of_larger = cases.iter().filter(|case| case.institution == InstitutionNo(0)).count();
    assert!((100..270).contains(&of_larger), "{of_larger} of 320");
    let with_app = cases.iter().filter(|case| case.account.0 < 2_000).count();
    assert!((40..130).contains(&with_app), "{with_app} of 320 use the app themselves");
}

#[test]
fn each_behaviour_waits_as_long_as_it_says() {
    let hours = Duration::from_hours;
    let table = [
        (Behaviour::AtOnce, Duration::ZERO, hours(1)),
        (Behaviour::NightOwl, hours(1), hours(6)),
        (Behaviour::ManyAccounts, Duration::ZERO, hours(1)),
        (Behaviour::Runners, hours(1), hours(5)),
        (Behaviour::WaitsTwelveHours, hours(12), hours(17)),
        (Behaviour::Salami, hours(12), hours(15)),
        (Behaviour::WaitsThreeDays, hours(72), hours(81)),
        (Behaviour::WaitsAWeek, hours(7 * 24), hours(8 * 24 + 1)),
        (Behaviour::Relay, hours(30 * 24), Duration::MAX),
    ];
    for (behaviour, least, most) in table {
        for case in wave(&world(3, behaviour::Mix::only(behaviour))).0.cases() {
            let age = case.device.age(case.first_at);
            assert!((least..most).contains(&age), "{behaviour:?}: {age:?}");
        }
    }
}

#[test]
fn groups_share_what_they_should() {
    let cases = |behaviour| wave(&world(4, behaviour::Mix::only(behaviour))).0.cases().copied().collect::<Vec<_>>();
    let many = cases(Behaviour::ManyAccounts);
    let phones: BTreeSet<_> = many.iter().map(|case| case.device.number).collect();
    let accounts: BTreeSet<_> = many.iter().map(|case| case.account).collect();
    assert!(phones.len() <= 12 && accounts.len() == 32, "{} phones", phones.len());

    let runners = cases(Behaviour::Runners);
    let groups: BTreeSet<_> = runners.iter().map(|case| case.atm).collect();
    let phones: BTreeSet<_> = runners.iter().map(|case| case.device.number).collect();
    assert!(groups.len() <= 12 && phones.len() == 32, "{} machines", groups.len());

    assert!(cases(Behaviour::NightOwl).iter().all(|case| local_hour(case.first_at) < 4));
    let away = cases(Behaviour::Relay).iter().filter(|case| matches!(case.phone, PhonePlace::Elsewhere(_))).count();
    assert!((22..=32).contains(&away), "{away} of 32");
}

#[test]
fn salami_is_thin() {
    let attempts = unhindered(&world(6, behaviour::Mix::only(Behaviour::Salami)));
    assert!(attempts.iter().all(|(_, attempt)| attempt.amount.minor_units() <= 30_000));
}

/// The amounts and hours since his first try of a thief whom nobody pays.
fn refused(behaviour: Behaviour, persistence: Persistence) -> Vec<(u64, u64)> {
    let mix = behaviour::Mix::only(behaviour);
    let world = World { persistence: Some(persistence), ..world(8, mix) };
    let (mut wave, population) = wave(&world);
    // The last one wants much.
    let case = wave.cases().max_by_key(|case| case.total_man).unwrap().number;
    let thief = wave.thief(case).unwrap();
    let mut tries = Vec::new();
    while let Some(now) = thief.next_at() {
        let attempt = thief.attempt(now, population.geography());
        tries.push((attempt.amount.minor_units(), now.since(thief.case().first_at).as_secs() / 3_600));
        thief.refused(now, population.geography());
    }
    tries
}

#[test]
fn a_refused_thief_asks_for_less_then_comes_back_then_gives_up() {
    let evening = refused(Behaviour::AtOnce, Persistence::OneEvening);
    let amounts: Vec<_> = evening.iter().map(|(yen, _)| *yen).collect();
    assert_eq!(amounts, [200_000, 100_000, 50_000, 200_000, 100_000, 50_000]);
    assert!(evening[2].1 == 0 && (1..=2).contains(&evening[3].1), "{evening:?}");

    let visits = |behaviour, persistence| refused(behaviour, persistence).len() / 3;
    assert_eq!(visits(Behaviour::AtOnce, Persistence::NextDay), 3);
    assert_eq!(visits(Behaviour::AtOnce, Persistence::SeveralDays), 7);
    assert_eq!(visits(Behaviour::Relay, Persistence::SeveralDays), 1, "the victim does not approve twice");
    let last = refused(Behaviour::AtOnce, Persistence::SeveralDays).last().unwrap().1;
    assert!((130..=176).contains(&last), "the last try after {last} hours");
}

#[test]
fn a_thief_who_gets_little_comes_back_for_more_but_not_for_ever() {
    let world = World { persistence: Some(Persistence::NextDay), ..world(9, behaviour::Mix::only(Behaviour::AtOnce)) };
    let (mut wave, population) = wave(&world);
    let case = wave.cases().max_by_key(|case| case.total_man).unwrap().number;
    let thief = wave.thief(case).unwrap();
    let wanted = thief.case().total_man * 10_000;
    let mut got: BTreeMap<Day, u64> = BTreeMap::new();
    let mut last = thief.case().first_at;
    while let Some(now) = thief.next_at() {
        last = now;
        let attempt = thief.attempt(now, population.geography());
        let drawn = got.entry(Day::of(now)).or_default();
        if *drawn + attempt.amount.minor_units() <= 50_000 {
            *drawn += attempt.amount.minor_units();
            thief.paid(now);
        } else {
            thief.refused(now, population.geography());
        }
    }
    let sum: u64 = got.values().sum();
    assert!(sum >= 150_000 && sum <= wanted, "{got:?}");
    assert!(last.since(thief.case().first_at) <= Duration::from_hours(240));
}
