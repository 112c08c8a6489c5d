//! Banks whose answers are simple enough to say beforehand what a run must count.

use std::time::Duration;

use cashgate_replay::attempt::{AtmNo, Attempt, InstitutionNo, Registration};
use cashgate_replay::bank::{Alarm, Bank, Verdict};
use cashgate_replay::calendar::Day;
use cashgate_replay::controls::{Control, Controls};
use cashgate_replay::life::live;
use cashgate_replay::plain::PlainBank;
use cashgate_replay::population::{Happening, Population};
use cashgate_replay::reaction::Reaction;
use cashgate_replay::tally::Tally;
use cashgate_replay::trials;
use cashgate_replay::wave::behaviour::{Behaviour, Mix};
use cashgate_replay::world::World;
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::Timestamp;

/// Gives every approval the same answer, and rings at the given ones.
struct Always {
    verdict: Verdict,
    rings_at: fn(u64) -> bool,
    wishes_of_young: u64,
    alarms: Vec<Alarm>,
    window: Duration,
    atm: Option<AtmNo>,
    paid_yen: u64,
    mistyped: u64,
}

impl Always {
    fn says(verdict: Verdict) -> Self {
        Self {
            verdict,
            rings_at: |_| false,
            wishes_of_young: 0,
            alarms: Vec::new(),
            window: Duration::from_hours(1),
            atm: None,
            paid_yen: 0,
            mistyped: 0,
        }
    }
}

impl Bank for Always {
    fn registered_device(&mut self, _: &Registration) {}

    fn decide(&mut self, attempt: &Attempt) -> Verdict {
        // Customers of these tests have no new phones before July that are as young as a thief's.
        if attempt.device.age(attempt.now) < Duration::from_mins(45) && Day::of(attempt.now).0 >= 0 {
            self.wishes_of_young += 1;
            if (self.rings_at)(self.wishes_of_young) {
                let (institution, pattern) = (attempt.institution, "young".to_owned());
                self.alarms.push(Alarm {
                    at: attempt.now,
                    institution,
                    atm: self.atm,
                    is_of_phone: false,
                    pattern,
                    window: self.window,
                });
            }
        }
        self.verdict.clone()
    }

    fn settled(&mut self, _: &Attempt, paid: Money) {
        self.paid_yen += paid.minor_units();
    }

    fn mistyped(&mut self, _: &Attempt) {
        self.mistyped += 1;
    }

    fn advance(&mut self, _: Timestamp) {}

    fn alarms(&mut self) -> Vec<Alarm> {
        std::mem::take(&mut self.alarms)
    }
}

fn refuse() -> Verdict {
    Verdict::Refuse { reason: "no".to_owned() }
}

fn step_up() -> Verdict {
    Verdict::StepUp { reason: "code".to_owned() }
}

fn world(mix: Mix) -> World {
    World { customers: 2_000, machines: 300, warm_up_days: 3, mix, ..World::of(1) }
}

fn lived(world: &World, controls: Controls, bank: &mut impl Bank) -> Tally {
    live(world, controls, Reaction::ASSUMED, bank)
}

#[test]
fn who_pays_everyone_loses_what_the_police_counted() {
    let world = world(Mix::ASSUMED);
    let mut bank = Always::says(Verdict::Permit);
    let tally = lived(&world, Controls::NONE, &mut bank);
    assert_eq!((tally.stolen_yen(), tally.wanted_yen()), (10_000_000, 10_000_000));
    assert_eq!((tally.cases.len(), tally.stopped()), (32, 0));
    assert_eq!((tally.honest.refused_total(), tally.honest.stepped_up_total(), tally.honest.not_typed), (0, 0, 0));

    let honest: Vec<_> = Population::new(&world)
        .filter_map(|one| if let Happening::Visits(visit) = one { Some(visit.attempt) } else { None })
        .collect();
    let counted = honest.iter().filter(|attempt| Day::of(attempt.now).0 >= 0).count() as u64;
    let honest_yen: u64 = honest.iter().map(|attempt| attempt.amount.minor_units()).sum();
    assert_eq!(tally.honest.withdrawals, counted, "the days before June are not counted");
    assert_eq!(bank.paid_yen, honest_yen + 10_000_000, "and every yen that left went to somebody");
    assert_eq!(tally.honest.groups.values().map(|group| group.withdrawals).sum::<u64>(), counted);
    assert_eq!(tally.honest.days.values().map(|day| day.withdrawals).sum::<u64>(), counted);
}

#[test]
fn who_pays_nobody_loses_nothing_and_turns_everyone_away() {
    let mut bank = Always::says(refuse());
    let tally = lived(&world(Mix::ASSUMED), Controls::NONE, &mut bank);
    assert_eq!((tally.stolen_yen(), tally.stopped(), bank.paid_yen), (0, 32, 0));
    assert_eq!(tally.honest.refused_total(), tally.honest.withdrawals);
    assert!(tally.cases.iter().all(|case| case.attempts > 0 && case.refused["no"] == case.attempts));
}

/// The checker is shown to fail: a control that a thief simply waits out is not counted as having stopped him.
#[test]
fn a_thief_who_cannot_be_stopped_shows_as_not_stopped() {
    let world = world(Mix::only(Behaviour::WaitsAWeek));
    let controls = Controls::only(Control::DeviceAge);
    let tally = lived(&world, controls, &mut PlainBank::new(controls));
    assert_eq!((tally.stolen_yen(), tally.stopped()), (10_000_000, 0));
}

#[test]
fn the_code_stops_the_relay_and_no_thief_at_the_machine() {
    let code = Controls::NONE.with(Control::ConfirmCode);
    let stolen = |behaviour, controls| {
        let mut bank = Always::says(step_up());
        lived(&world(Mix::only(behaviour)), controls, &mut bank).stolen_yen()
    };
    for behaviour in Behaviour::ALL {
        let expected = if behaviour == Behaviour::Relay { 0 } else { 10_000_000 };
        assert_eq!(stolen(behaviour, code), expected, "{behaviour:?}");
    }
    assert_eq!(stolen(Behaviour::Relay, Controls::NONE), 10_000_000, "nobody was asked for the code");
}

#[test]
fn the_code_has_its_price() {
    let code = Controls::NONE.with(Control::ConfirmCode);
    let mut bank = Always::says(step_up());
    let tally = lived(&world(Mix::ASSUMED), code, &mut bank);
    let honest = &tally.honest;
    assert_eq!(honest.stepped_up_total(), honest.withdrawals);
    let lost_per_mille = honest.not_typed * 1_000 / honest.withdrawals;
    assert!((7..=13).contains(&lost_per_mille), "{lost_per_mille} of 1,000");
    assert!(bank.mistyped > honest.withdrawals * 30 / 1_000);
    let without = lived(&world(Mix::ASSUMED), Controls::NONE, &mut Always::says(step_up()));
    assert_eq!((without.honest.stepped_up_total(), without.honest.not_typed), (0, 0));
}

#[test]
fn the_first_alarm_is_the_first_true_one() {
    let world = world(Mix::only(Behaviour::AtOnce));
    let ringing = |rings_at: fn(u64) -> bool, window, atm| {
        let bank = Always { rings_at, window, atm, ..Always::says(refuse()) };
        lived(&world, Controls::NONE, &mut { bank })
    };
    let hour = Duration::from_hours(1);
    let tally = ringing(|wish| wish <= 3, hour, None);
    let first = tally.first_alarm.clone().unwrap();
    assert_eq!((first.cases, first.after, first.stolen_yen), (1, Duration::ZERO, 0));
    assert_eq!((tally.true_alarms, tally.false_alarms), (3, 0));

    // Counted again from the cases: how many had begun when it rang.
    let later = ringing(|wish| wish == 40, hour, None);
    let first = later.first_alarm.clone().unwrap();
    let begun: Vec<_> = later.cases.iter().filter_map(|case| case.began_at).filter(|at| *at <= first.at).collect();
    assert!(begun.len() > 2 && first.cases == begun.len() as u64);
    assert_eq!(first.after, first.at.since(*begun.iter().min().unwrap()));

    let elsewhere = ringing(|wish| wish <= 3, hour, Some(AtmNo(9_999)));
    assert_eq!((elsewhere.true_alarms, elsewhere.false_alarms, elsewhere.first_alarm), (0, 3, None));
}

#[test]
fn an_alarm_at_the_other_bank_is_false() {
    struct Other(Always);
    impl Bank for Other {
        fn registered_device(&mut self, _: &Registration) {}
        fn decide(&mut self, attempt: &Attempt) -> Verdict {
            self.0.decide(attempt)
        }
        fn settled(&mut self, _: &Attempt, _: Money) {}
        fn mistyped(&mut self, _: &Attempt) {}
        fn advance(&mut self, _: Timestamp) {}
        fn alarms(&mut self) -> Vec<Alarm> {
            let other = |alarm: Alarm| Alarm { institution: InstitutionNo(1 - alarm.institution.0), ..alarm };
            self.0.alarms().into_iter().map(other).collect()
        }
    }
    let mut bank = Other(Always { rings_at: |wish| wish == 1, ..Always::says(refuse()) });
    let tally = lived(&world(Mix::only(Behaviour::AtOnce)), Controls::NONE, &mut bank);
    assert_eq!((tally.true_alarms, tally.false_alarms), (0, 1));
}

/// The checker is shown to fail: a bell that rings all the time has a thief in its window now and then, and is no alarm.
#[test]
fn a_bell_that_rings_in_peace_too_is_never_true() {
    /// Rings on the hour if it is told to, and whenever a very young phone wants cash if it is told to.
    struct Bell {
        hourly: bool,
        young: bool,
        alarms: Vec<Alarm>,
        last: u64,
    }
    impl Bank for Bell {
        fn registered_device(&mut self, _: &Registration) {}
        fn decide(&mut self, attempt: &Attempt) -> Verdict {
            if self.young
                && attempt.device.age(attempt.now) < Duration::from_mins(45)
                && attempt.amount.minor_units() == 200_000
            {
                self.alarms.push(ringing("young", attempt.institution, attempt.now));
            }
            refuse()
        }
        fn settled(&mut self, _: &Attempt, _: Money) {}
        fn mistyped(&mut self, _: &Attempt) {}
        fn advance(&mut self, now: Timestamp) {
            let hour = now.unix_ms() / 3_600_000;
            if self.hourly && hour > self.last {
                self.last = hour;
                self.alarms.extend([0, 1].map(|bank| ringing("hourly", InstitutionNo(bank), now)));
            }
        }
        fn alarms(&mut self) -> Vec<Alarm> {
            std::mem::take(&mut self.alarms)
        }
    }
    let worlds = [world(Mix::only(Behaviour::AtOnce))];
    let judged = |hourly, young| {
        let open = |_: &World, _| Bell { hourly, young, alarms: Vec::new(), last: 0 };
        let trials = trials::run(&worlds, &[Controls::ALL], Reaction::ASSUMED, 2, &open, &|_, _| {});
        let tally = trials[0].tallies[0].clone();
        (tally.rung.iter().any(|rung| rung.has_thief), tally.first_alarm.map(|alarm| alarm.pattern))
    };
    assert_eq!(judged(true, false), (true, None));
    assert_eq!(judged(false, true), (true, Some("young".to_owned())));
    assert_eq!(judged(true, true), (true, Some("young".to_owned())));
}

fn ringing(pattern: &str, institution: InstitutionNo, at: Timestamp) -> Alarm {
    Alarm {
        at,
        institution,
        atm: None,
        is_of_phone: false,
        pattern: pattern.to_owned(),
        window: Duration::from_hours(24),
    }
}

#[test]
fn analysts_and_victims_stop_thieves_only_if_they_are_there() {
    let world = world(Mix::only(Behaviour::WaitsThreeDays));
    let stolen = |controls| lived(&world, controls, &mut Always::says(Verdict::Permit));
    assert_eq!(stolen(Controls::NONE).stolen_yen(), 10_000_000);
    let told = stolen(Controls::NONE.with(Control::Notices));
    // Whoever reports does so within two days, before these thieves come.
    let reported = told.cases.iter().filter(|case| case.refused.contains_key("reported_by_victim")).count() as u64;
    assert_eq!((told.stopped(), told.stopped() > 8 && told.stopped() < 24), (reported, true));
    assert_eq!(told.honest.refused_total(), 0);
    let relay = self::world(Mix::only(Behaviour::Relay));
    let told = lived(&relay, Controls::NONE.with(Control::Notices), &mut Always::says(Verdict::Permit));
    assert_eq!(told.stolen_yen(), 10_000_000, "a relay binds no phone, so there is no notice");

    let world = self::world(Mix::only(Behaviour::AtOnce));
    let ringing = |controls| {
        let mut bank = Always { rings_at: |_| true, ..Always::says(Verdict::Permit) };
        lived(&world, controls, &mut bank)
    };
    assert_eq!(ringing(Controls::NONE).stolen_yen(), 10_000_000);
    let watched = ringing(Controls::NONE.with(Control::Analyst));
    assert!((1..8_000_000).contains(&watched.stolen_yen()), "{}", watched.stolen_yen());
    assert!(watched.cases.iter().any(|case| case.refused.contains_key("analyst_stop")));
}

#[test]
fn runs_are_the_same_on_any_number_of_threads() {
    let worlds = [1, 2].map(|seed| World { customers: 1_000, machines: 100, ..World::of(seed) });
    let compared = [Controls::NONE, Controls::ALL, Controls::only(Control::Habit)];
    let run = |threads| {
        let open = |_: &World, controls| PlainBank::new(controls);
        trials::run(&worlds, &compared, Reaction::ASSUMED, threads, &open, &|_, _| {})
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one.iter().map(|trial| trial.controls).collect::<Vec<_>>(), compared);
    assert!(one.iter().all(|trial| trial.tallies.len() == 2 && trial.tallies[0] != trial.tallies[1]));
    assert_ne!(one[0].tallies, one[1].tallies);
}
