//! Core banking is down for days: nothing that was promised is dropped, and nobody is asked twice.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may stop loudly")]

use std::collections::{BTreeMap, BTreeSet};

use cashgate_simulation::faults::{Allowed, FaultKind, Faults};
use cashgate_simulation::plan::{Plan, Script, Shape};
use cashgate_simulation::run;
use cashgate_simulation::world::World;

const WORLDS: usize = 100;
const HOUR_MS: u64 = 3_600_000;
/// The gateway pauses at most some minutes between two tries.
const PAUSE_MS_MAX: u64 = 15 * 60_000;

/// What strikes besides the outage: whatever makes the gateway or an ATM forget what is not on disk.
const BESIDES: [FaultKind; 5] = [
    FaultKind::BankOutage,
    FaultKind::GatewayCrash,
    FaultKind::GatewayCrashes,
    FaultKind::AtmPowerCut,
    FaultKind::LineCut,
];

/// What a timeline tells of one withdrawal.
#[derive(Debug, Default)]
struct Told {
    confirms_asked: Vec<u64>,
    reverses_asked: Vec<u64>,
    confirms_posted: Vec<u64>,
    reverses_posted: Vec<u64>,
    /// Whether the last report says for certain what left. What the machine does not know may be asked again.
    is_certain: bool,
    /// When a certain report was acknowledged first.
    acknowledged: Option<u64>,
    asked_after_acknowledged: bool,
}

/// What a timeline tells of all.
#[derive(Debug, Default)]
struct Story {
    withdrawals: BTreeMap<String, Told>,
    /// When the gateway started.
    starts: Vec<u64>,
}

impl Story {
    fn of(timeline: &[String]) -> Self {
        let mut story = Self::default();
        for line in timeline {
            let (at, text) = line.split_once(" s  ").unwrap();
            let at: u64 = at.trim().replace('.', "").parse().unwrap();
            if text == "GatewayStarted" {
                story.starts.push(at);
            }
            let Some((_, rest)) = text.split_once("withdrawal: ") else { continue };
            let id: String = rest.chars().take_while(char::is_ascii_digit).collect();
            let told = story.withdrawals.entry(id).or_default();
            match text.split(' ').next().unwrap() {
                "ConfirmAsked" => told.confirms_asked.push(at),
                "ReverseAsked" => told.reverses_asked.push(at),
                "ConfirmPosted" => told.confirms_posted.push(at),
                "ReversePosted" => told.reverses_posted.push(at),
                "ReportArrived" => told.is_certain = !text.contains("word: Unknown") && text.contains("proven: true"),
                "OutcomeAcknowledged" if told.is_certain => told.acknowledged = told.acknowledged.or(Some(at)),
                "OutcomeAsked" => told.asked_after_acknowledged |= told.acknowledged.is_some(),
                _ => {}
            }
        }
        story
    }
}

/// What was seen in all worlds: without it, they show nothing.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    outages: u32,
    confirms_over_a_day: u32,
    reverses_over_a_day: u32,
    restarts_meanwhile: u32,
    acknowledged_before_a_restart: u32,
}

#[test]
fn over_an_outage_of_days_no_confirm_or_reverse_is_dropped_and_no_acknowledged_outcome_is_asked_again() {
    let with_outage = (0..).filter(|seed| Faults::of(*seed, Allowed::Mix).has(FaultKind::BankOutage));
    let mut seen = Seen::default();
    for seed in with_outage.take(WORLDS) {
        let struck: BTreeSet<_> =
            run::faults_of(Shape::OneGateway, seed).into_iter().filter(|id| BESIDES.contains(&id.kind)).collect();
        let ended = run::world(Shape::OneGateway, seed, Allowed::Only(struck), true).unwrap();
        assert_eq!(ended.violations, [], "seed {seed}");
        seen.outages += u32::from(ended.struck.iter().any(|(_, id)| id.kind == FaultKind::BankOutage));
        let story = Story::of(&ended.timeline);
        for (id, told) in &story.withdrawals {
            judge(seed, id, told, &story.starts, &mut seen);
        }
    }
    println!("{seen:?}");
    assert!(seen.outages > 20 && seen.reverses_over_a_day > 0, "{seen:?}");
    assert!(seen.restarts_meanwhile > 0 && seen.acknowledged_before_a_restart > 0, "{seen:?}");
}

#[test]
fn a_confirm_that_was_due_when_the_outage_began_is_posted_days_later() {
    let mut seen = Seen::default();
    for seed in 0..150 {
        let script = Script {
            name: "core banking goes down while a customer is paid",
            amounts: vec![20_000, 30_000],
            at_the_machine: false,
            faults: vec![FaultKind::BankOutage, FaultKind::LineCut, FaultKind::GatewayCrashes],
        };
        let ended = World::new(Plan { seed, ..Plan::scenario(script, false) }, Allowed::Mix, true).run();
        assert_eq!(ended.violations, [], "seed {seed}");
        let story = Story::of(&ended.timeline);
        for (id, told) in &story.withdrawals {
            judge(seed, id, told, &story.starts, &mut seen);
        }
    }
    println!("{seen:?}");
    assert!(seen.confirms_over_a_day > 0, "{seen:?}");
}

fn judge(seed: u64, id: &str, told: &Told, starts: &[u64], seen: &mut Seen) {
    assert!(!told.asked_after_acknowledged, "seed {seed}: {id} was asked again after it was acknowledged");
    let restarted = |from: u64, to: u64| starts.iter().any(|start| (from..to).contains(start));
    seen.acknowledged_before_a_restart += u32::from(told.acknowledged.is_some_and(|at| restarted(at, u64::MAX)));
    for (asked, posted, over_a_day) in [
        (&told.confirms_asked, &told.confirms_posted, &mut seen.confirms_over_a_day),
        (&told.reverses_asked, &told.reverses_posted, &mut seen.reverses_over_a_day),
    ] {
        let (Some(first), Some(last)) = (asked.first(), asked.last()) else { continue };
        let [posted] = posted.as_slice() else { panic!("seed {seed}: {id} was asked and posted at {posted:?}") };
        assert!(first <= posted, "seed {seed}: {id} was posted before it was asked");
        let longest = asked.iter().zip(asked.iter().skip(1)).map(|(before, after)| after - before).max().unwrap_or(0);
        assert!(longest <= PAUSE_MS_MAX, "seed {seed}: {id} was let be for {longest} ms");
        if posted - first >= 24 * HOUR_MS {
            *over_a_day += 1;
            seen.restarts_meanwhile += u32::from(restarted(*first, *last));
        }
    }
}
