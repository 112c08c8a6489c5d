//! Report mathematics on tallies written by hand.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::controls::Control;
use crate::population::{Group, Population};
use crate::tally::{FirstAlarm, GroupPrice, Honest, Outcome, Tally};
use crate::wave::Wave;
use crate::wave::behaviour::{Behaviour, Mix};
use figures::{by_behaviour, by_group, by_reason};

/// A world in which thieves of one kind got so much in each of their cases, and honest customers paid this price.
fn tally(behaviour: Behaviour, got: &[(u64, u64)], honest: (u64, u64, u64), alarm_cases: Option<u64>) -> Tally {
    let world = World { customers: 200, machines: 40, mix: Mix::only(behaviour), ..World::of(1) };
    let wave = Wave::new(&world, &Population::new(&world));
    let outcome = |(case, (total_man, paid_yen)): (&crate::wave::Case, &(u64, u64))| Outcome {
        case: crate::wave::Case { total_man: *total_man, ..*case },
        began_at: Some(case.first_at),
        attempts: 2,
        paid_yen: *paid_yen,
        refused: BTreeMap::from([("wait".to_owned(), 1)]),
    };
    let (withdrawals, refused, stepped_up) = honest;
    let price = GroupPrice { withdrawals, refused, stepped_up };
    let alarm = |cases| FirstAlarm {
        pattern: "burst".to_owned(),
        at: crate::calendar::Day(2).at(9, 0),
        cases,
        after: Duration::from_hours(cases * 10),
        stolen_yen: 0,
    };
    Tally {
        honest: Honest {
            withdrawals,
            refused: BTreeMap::from([("wait".to_owned(), refused)]),
            stepped_up: BTreeMap::from([("habit".to_owned(), stepped_up)]),
            not_typed: stepped_up / 10,
            groups: BTreeMap::from([(Group::Ordinary, price)]),
            days: BTreeMap::from([(0, price)]),
        },
        cases: wave.cases().zip(got).map(outcome).collect(),
        first_alarm: alarm_cases.map(alarm),
        false_alarms: 3,
        ..Tally::default()
    }
}

fn trial(controls: Controls, tallies: Vec<Tally>) -> Trial {
    Trial { controls, tallies }
}

#[test]
fn figures_are_sums_over_worlds_and_the_worst_world() {
    let trial = trial(
        Controls::ALL,
        vec![
            tally(Behaviour::AtOnce, &[(50, 0), (50, 0)], (10_000, 10, 40), Some(2)),
            tally(Behaviour::WaitsAWeek, &[(40, 100_000), (60, 0), (100, 0)], (10_000, 30, 160), Some(5)),
        ],
    );
    let figures = Figures::of(&trial);
    assert_eq!((figures.stolen.cases, figures.stolen.stopped), (5, 4));
    assert_eq!((figures.stolen.wanted_yen, figures.stolen.stolen_yen), (3_000_000, 100_000));
    assert_eq!(figures.stolen.not_paid().tenths_percent(), 967);
    assert_eq!(figures.worst.not_paid().tenths_percent(), 950);
    assert_eq!((figures.refused.tenths_per_10_000(), figures.stepped_up.tenths_per_10_000()), (200, 1_000));
    assert_eq!(figures.not_typed.tenths_per_10_000(), 100);
    assert_eq!(figures.latest_alarm.as_ref().map(|alarm| alarm.cases), Some(5));
    assert_eq!((figures.median_alarm_hours, figures.worlds_without_alarm, figures.false_alarms), (Some(50), 0, 6));

    let thieves = by_behaviour(&trial);
    assert_eq!(thieves[&Behaviour::WaitsAWeek].stolen_yen, 100_000);
    assert_eq!((thieves[&Behaviour::AtOnce].cases, thieves[&Behaviour::AtOnce].stopped), (2, 2));
    let reasons = by_reason(&trial);
    assert_eq!(
        (reasons["wait"].honest_refused, reasons["wait"].thieves, reasons["habit"].honest_stepped_up),
        (40, 5, 200)
    );
    assert_eq!(by_group(&trial)[&Group::Ordinary], GroupPrice { withdrawals: 20_000, refused: 40, stepped_up: 200 });
}

#[test]
fn each_target_fails_by_itself_just_beyond_its_border() {
    let at = Behaviour::AtOnce;
    let table = [
        ("all hold", tally(at, &[(100, 50_000)], (10_000, 20, 100), Some(5)), [true; 4]),
        ("a yen too much", tally(at, &[(100, 50_001)], (10_000, 20, 100), Some(5)), [false, true, true, true]),
        ("in the sixth case", tally(at, &[(100, 0)], (10_000, 20, 100), Some(6)), [true, false, true, true]),
        ("never", tally(at, &[(100, 0)], (10_000, 20, 100), None), [true, false, true, true]),
        ("refused", tally(at, &[(100, 0)], (10_000, 21, 100), Some(1)), [true, true, false, true]),
        ("stepped up", tally(at, &[(100, 0)], (10_000, 20, 101), Some(1)), [true, true, true, false]),
    ];
    for (name, tally, expected) in table {
        let report = report(vec![trial(Controls::ALL, vec![tally])]);
        let holds = Figures::of(&report.trials[0]).targets().map(|(_, holds)| holds);
        assert_eq!(holds, expected, "{name}");
        assert_eq!(report.holds(), holds.iter().all(|one| *one), "{name}");
    }
}

#[test]
fn one_world_without_alarm_spoils_the_alarm_of_the_others() {
    let with = tally(Behaviour::AtOnce, &[(100, 0)], (10_000, 0, 0), Some(1));
    let without = tally(Behaviour::AtOnce, &[(100, 0)], (10_000, 0, 0), None);
    let figures = Figures::of(&trial(Controls::ALL, vec![with, without]));
    assert_eq!((figures.latest_alarm.is_none(), figures.worlds_without_alarm), (true, 1));
    assert!(!figures.targets()[1].1);
}

fn report(trials: Vec<Trial>) -> Report {
    Report {
        bank: "by hand",
        purpose: Use::Reporting,
        worlds: vec![World::of(1_000)],
        reaction: Reaction::ASSUMED,
        trials,
    }
}

#[test]
fn text_and_json_say_the_same() {
    let got = |yen| vec![tally(Behaviour::Salami, &[(100, yen)], (10_000, 12, 34), Some(3))];
    let report = report(vec![
        trial(Controls::NONE, got(1_000_000)),
        trial(Controls::ALL, got(60_000)),
        trial(Controls::ALL.without(Control::Analyst), got(200_000)),
    ]);
    let text = report.text();
    let row =
        |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(row("all  "), ["all", "60,000", "94.0%", "94.0%", "0/1", "3", "30", "3.0", "12.0", "34.0", "3.0"]);
    assert_eq!(row("none")[2..4], ["1,000,000", "0.0%"]);
    assert!(text.contains("DOES NOT HOLD at least 95%") && text.contains("salami"), "{text}");
    assert!(text.contains("without  80.0% of the yen not paid"), "{text}");

    let json = report.json();
    assert_eq!(json["holds"], false);
    let all = &json["trials"][1];
    assert_eq!((&all["controls"], &all["stolen"]["stolen_yen"]), (&"all".into(), &60_000.into()));
    assert_eq!(all["refused"]["tenths_per_10_000"], 120);
    assert_eq!(all["latest_first_alarm"]["cases"], 3);
    assert_eq!(all["thieves"]["salami"]["stolen_yen"], 60_000);
    assert_eq!(all["reasons"]["habit"]["honest_stepped_up"], 34);
}

#[test]
fn a_report_on_tuning_seeds_says_so() {
    let tuned = Report { purpose: Use::Tuning, ..report(vec![]) };
    assert!(tuned.text().contains("not to be quoted"));
    assert_eq!(tuned.json()["purpose"], "tuning");
    assert!(!tuned.holds(), "without the trial with all controls nothing is shown to hold");
}
