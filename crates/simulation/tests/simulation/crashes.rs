//! Every crash of every scenario: all of them, not a sample.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may stop loudly")]

use cashgate_simulation::boundary::Standing;
use cashgate_simulation::crash_plan::{Crash, CrashPlan, Passed, Point, Tail};
use cashgate_simulation::crash_table::{self, Column, Detail, Row};
use cashgate_simulation::faults::Allowed;
use cashgate_simulation::scenarios::{Cast, END_TO_END, FURTHER, OF_THE_DEMO, Scenario, all};
use cashgate_simulation::world::{Ended, World};

fn passes(scenarios: &[Scenario]) {
    let mut table = Vec::new();
    let whole = crash_table::run(scenarios, Detail::Table, &mut table).unwrap();
    let table = String::from_utf8(table).unwrap();
    assert!(whole, "{table}");
    assert_eq!(table.lines().filter(|line| line.starts_with("all ")).count(), 1, "{table}");
}

fn scenario(name: &str) -> Scenario {
    all().find(|scenario| scenario.name == name).unwrap()
}

fn cast(name: &str) -> Cast {
    scenario(name).cast().unwrap()
}

fn lived(cast: &Cast, crashes: CrashPlan) -> Ended {
    World::new(cast.plan.clone(), Allowed::Nothing, true).with_crash_plan(crashes).run()
}

/// Where something is passed for the first time.
fn point(cast: &Cast, point: Point, what: &str) -> usize {
    let is_it = |passed: &Passed| passed.point == point && passed.what.contains(what);
    cast.ended.crash_plan.passed().iter().position(is_it).unwrap()
}

#[test]
fn no_crash_in_any_case_of_the_demo_breaks_a_rule() {
    passes(&OF_THE_DEMO);
}

#[test]
fn no_crash_in_any_further_scenario_breaks_a_rule() {
    passes(&FURTHER);
}

#[test]
fn no_crash_around_a_dispense_token_breaks_a_rule() {
    passes(&END_TO_END);
}

#[test]
fn every_case_of_the_demo_has_its_row() {
    let cases = include_str!("../../../xtask/src/demo/cases/mod.rs");
    let (_, list) = cases.split_once("const ALL").unwrap();
    let (list, _) = list.split_once("];").unwrap();
    // The names are the only texts with more than an institution's one word, or follow its function.
    let named = |line: &str| {
        let start =
            line.find("name: \"").map(|at| at + 7).or(line.find("a(\"").or(line.find("i(\"")).map(|at| at + 3))?;
        line.get(start..)?.split('"').next().map(str::to_owned)
    };
    let names: Vec<String> = list.lines().filter_map(named).collect();
    let rows: Vec<&str> = OF_THE_DEMO.iter().map(|scenario| scenario.name).collect();
    assert_eq!(rows, names);
}

#[test]
fn scenarios_have_names_of_their_own() {
    let names: std::collections::BTreeSet<&str> = all().map(|scenario| scenario.name).collect();
    assert_eq!(names.len(), OF_THE_DEMO.len() + FURTHER.len() + END_TO_END.len());
}

/// The enumeration itself has no gap: nothing becomes durable and nothing leaves without a point at which it could have failed.
#[test]
fn whatever_is_written_or_sent_has_its_points() {
    for scenario in all() {
        let Cast { ended, .. } = scenario.cast().unwrap();
        let points = ended.crash_plan.passed();
        let records =
            |passed: &Passed| if passed.point == Point::BeforeWrite { passed.what.split(", ").count() } else { 0 };
        let shown = ended.timeline.iter().filter(|line| line.contains(" Shown {")).count();
        let appended: usize = points.iter().map(records).sum();
        let lost = usize::from(scenario.name == "sync fails");
        assert_eq!(appended, shown + lost, "{}: records", scenario.name);
        for (crossing, errand) in [
            (" HoldAsked {", "place hold"),
            (" ConfirmAsked {", "confirm hold"),
            (" ReverseAsked {", "reverse hold"),
            (" DispenseSent {", "tell Dispense"),
            (" OutcomeAsked {", "tell QueryOutcome"),
            (" OutcomeAcknowledged {", "tell OutcomeRecorded"),
        ] {
            let crossed = ended.timeline.iter().filter(|line| line.contains(crossing)).count();
            for kind in [Point::BeforeErrand, Point::AfterErrand] {
                let could = points.iter().filter(|passed| passed.point == kind && passed.what == errand).count();
                assert!(could >= crossed, "{}: {crossed} times{crossing} and {could} points", scenario.name);
            }
        }
    }
}

#[test]
fn a_lost_write_is_as_if_it_had_never_been_and_a_kept_one_stands() {
    let cast = cast("plain success");
    let written = point(&cast, Point::Written, "approved");
    assert!(lived(&cast, CrashPlan::at(written, Tail::Lost)).books.is_empty());
    assert!(lived(&cast, CrashPlan::at(written, Tail::Torn)).books.is_empty());
    let kept = lived(&cast, CrashPlan::at(written, Tail::Kept)).books;
    assert_eq!(kept.iter().map(|book| book.standing).collect::<Vec<_>>(), [Standing::Reversed]);
    let commanded = point(&cast, Point::Synced, "dispense_commanded");
    let paid = lived(&cast, CrashPlan::at(commanded, Tail::Lost)).books;
    assert_eq!(paid.iter().map(|book| book.standing).collect::<Vec<_>>(), [Standing::Confirmed(30_000)]);
}

#[test]
fn a_gateway_that_crashes_again_while_it_recovers_starts_a_third_time() {
    let cast = cast("plain success");
    let first = Crash { at: point(&cast, Point::Synced, "approved"), tail: Tail::Kept };
    let second = Crash { at: first.at + 1, tail: Tail::Lost };
    let ended = lived(&cast, CrashPlan::at_each(&[first, second]));
    assert!(ended.crash_plan.is_fulfilled());
    let starts = ended.timeline.iter().filter(|line| line.contains("GatewayStarted")).count();
    assert_eq!(starts, 3, "{:#?}", ended.timeline);
    assert_eq!(crash_table::wrong(&ended), None);
}

#[test]
fn a_point_that_is_not_reached_is_a_gap() {
    let cast = cast("plain success");
    let beyond = cast.ended.crash_plan.points();
    let why = crash_table::wrong(&lived(&cast, CrashPlan::at(beyond, Tail::Lost))).unwrap();
    assert!(why.contains("gap"), "{why}");
    let errand = cast.ended.crash_plan.errands();
    let why = crash_table::wrong(&lived(&cast, CrashPlan::doubling(errand))).unwrap();
    assert!(why.contains("gap"), "{why}");
}

#[test]
fn a_run_whose_money_does_not_agree_fails() {
    let ended = || cast("plain success").ended;
    assert_eq!(crash_table::wrong(&ended()), None);
    let mut richer = ended();
    richer.cash.values_mut().for_each(|amount| *amount += 10_000);
    assert!(crash_table::wrong(&richer).unwrap().contains("40000 yen"));
    let mut open = ended();
    open.books.iter_mut().for_each(|book| book.standing = Standing::Open);
    assert!(crash_table::wrong(&open).unwrap().contains("has not ended"));
}

#[test]
fn a_scenario_that_does_not_happen_as_told_fails_the_table() {
    let impossible = Scenario { ends: &[Standing::Confirmed(70_000)], ..scenario("plain success") };
    let mut table = Vec::new();
    assert!(!crash_table::run(&[impossible], Detail::Table, &mut table).unwrap());
    let table = String::from_utf8(table).unwrap();
    assert!(table.contains("no seed") && table.contains("1 scenarios not played"), "{table}");
}

#[test]
fn a_story_that_is_not_the_enumerated_one_fails_its_row() {
    let mut cast = cast("plain success");
    // As if the points had been enumerated in another world.
    cast.plan.step_up_per_mille = 1_000;
    let row = Row::of_cast(&cast, Detail::Table);
    assert!(!row.is_whole());
    assert!(row.count(Column::Synced).failed > 0, "{row:?}");
}

/// The bugs that show only when something crashes between two steps; `tests/mutants.rs` has the others, and hunts with drawn worlds.
#[cfg(feature = "planted")]
#[test]
fn a_bug_that_only_a_crash_shows_fails_a_row() {
    use cashgate_simulation::planted::{Bug, plant};

    for bug in [
        Bug::SentBeforeJournal,
        Bug::HoldBeforeJournal,
        Bug::CommandBeforeJournal,
        Bug::AcknowledgedBeforeJournal,
        Bug::NoRetryAfterRestart,
        Bug::OpenForgottenOnCrash,
    ] {
        // The points are those of the gateway with the bug, so that what fails is a rule and not the enumeration.
        plant(Some(bug));
        let row = Row::of(scenario("plain success"), Detail::Table);
        plant(None);
        let broken =
            row.failures.iter().find(|failure| failure.contains("rule ") || failure.contains("liveness broken"));
        assert!(broken.is_some(), "{bug:?}, {}: {:?}", bug.meaning(), row.counts);
        let first = broken.and_then(|failure| failure.lines().next()).unwrap_or_default();
        println!(
            "{bug:?}: {} of {} runs fail, first {first}",
            row.counts.iter().map(|c| c.failed).sum::<u64>(),
            row.runs()
        );
    }
}
