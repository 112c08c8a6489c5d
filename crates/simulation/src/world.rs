//! One world: its parties, its clock, and the order in which things happen.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

use cashgate_withdrawal::ids::WithdrawalId;

use crate::atm::Atm;
use crate::boundary::{Among, Book, Crossing, Setup, What, WithdrawalNo};
use crate::chance::Chance;
use crate::checker::{Checker, Violation};
use crate::core_bank::CoreBank;
use crate::coverage::Coverage;
use crate::crash_plan::CrashPlan;
use crate::customers::Visit;
use crate::database::Database;
use crate::dispenser::Dispenser;
use crate::event::{Code, Event};
use crate::faults::{Allowed, FaultId, FaultKind, Faults};
use crate::gateway::Gateway;
use crate::journal::Journal;
use crate::network::Lines;
use crate::plan::Plan;

/// How long after healing everything must have ended: the deadline for an outcome, and the longest pauses after it.
const HEALING_MS_MAX: u64 = 3 * 3_600_000;
/// More events than any healthy world has; a world that has more is going round in circles.
const EVENTS_MAX: u64 = 3_000_000;

/// One world.
pub struct World {
    pub(crate) now: u64,
    pub(crate) plan: Plan,
    pub(crate) faults: Faults,
    pub(crate) network: Chance,
    pub(crate) lines: Lines,
    /// The gateway in which the present event happens.
    pub(crate) gateway: Gateway,
    /// The other replicas, if there are several.
    pub(crate) others: Vec<Gateway>,
    /// How many gateway processes there have been.
    pub(crate) lives: u32,
    pub(crate) database: Database,
    pub(crate) journal: Journal,
    pub(crate) atms: Vec<Atm>,
    pub(crate) bank: CoreBank,
    pub(crate) hsm_lost_until_ms: u64,
    pub(crate) visits: Vec<Visit>,
    pub(crate) coverage: Coverage,
    pub(crate) crash_plan: CrashPlan,
    pub(crate) healing: bool,
    pub(crate) heals_at: u64,
    /// What customers really have, by withdrawal.
    pub(crate) cash: BTreeMap<WithdrawalId, u64>,
    /// When policy was asked last.
    pub(crate) last_asked_ms: u64,
    /// Codes that were shown before.
    pub(crate) old_codes: Vec<Code>,
    /// Where a PIN block was found that has no business there.
    pub(crate) secrets_found: Vec<String>,
    checker: Checker,
    queue: BinaryHeap<Scheduled>,
    scheduled: u64,
    violations: Vec<Violation>,
    timeline: Option<Vec<String>>,
}

/// How a world ended.
#[derive(Debug)]
pub struct Ended {
    /// Rules that were broken; none, it should be.
    pub violations: Vec<Violation>,
    /// Every fault that struck.
    pub struck: Vec<(u64, FaultId)>,
    /// What was covered.
    pub coverage: Coverage,
    /// What happened, if it was to be written down.
    pub timeline: Vec<String>,
    /// The points that the gateway could have crashed at, and whether it did where it was meant to.
    pub crash_plan: CrashPlan,
    /// The gateway's books.
    pub books: Vec<Book>,
    /// What customers really have, by withdrawal.
    pub cash: BTreeMap<WithdrawalNo, u64>,
}

struct Scheduled {
    at: u64,
    number: u64,
    event: Event,
}

impl World {
    /// A world of a plan. `timeline` has everything written down, which takes time.
    #[must_use]
    pub fn new(plan: Plan, allowed: Allowed, timeline: bool) -> Self {
        let faults = match &plan.script {
            Some(script) => Faults::scripted(plan.seed, script.faults.clone()),
            None if plan.replicas > 0 => Faults::over_replicas(plan.seed, allowed),
            None => Faults::of(plan.seed, allowed),
        };
        let setup = Setup {
            lying_atms: plan.lying_atms(&faults),
            core_bank_contradicts: faults.has(FaultKind::BankContradicts),
            machines_reach_who_is_ready: faults.leave_machines_their_ways(),
            ..plan.setup()
        };
        let mut world = Self {
            now: plan.begins_at_ms,
            network: Chance::of(plan.seed, 0x4e37),
            lines: Lines::new(plan.atms),
            gateway: Gateway::new(&plan, 0),
            others: (1..plan.replicas).map(|replica| Gateway::new(&plan, replica)).collect(),
            lives: 0,
            database: Database::default(),
            journal: Journal::default(),
            atms: (0..plan.atms).map(|atm| Atm::new(Dispenser::new(plan.seed, atm, plan.is_end_to_end(atm)))).collect(),
            bank: CoreBank { balances: plan.balances(), ..CoreBank::default() },
            hsm_lost_until_ms: 0,
            visits: plan.visits(),
            coverage: Coverage::default(),
            crash_plan: CrashPlan::default(),
            healing: false,
            heals_at: plan.begins_at_ms + plan.faulty_for_ms,
            cash: BTreeMap::new(),
            last_asked_ms: 0,
            old_codes: Vec::new(),
            secrets_found: Vec::new(),
            checker: Checker::new(setup),
            queue: BinaryHeap::new(),
            scheduled: 0,
            violations: Vec::new(),
            timeline: timeline.then(Vec::new),
            faults,
            plan,
        };
        world.begin();
        world
    }

    /// A world in which the gateway crashes where the plan says, and every effect is done twice if it says so.
    #[must_use]
    pub fn with_crash_plan(mut self, crash_plan: CrashPlan) -> Self {
        self.crash_plan = crash_plan;
        self
    }

    /// Lives through it: first with faults, then without, until everything has ended.
    #[must_use]
    pub fn run(mut self) -> Ended {
        let mut events = 0_u64;
        self.coverage.worlds = 1;
        self.schedule(self.heals_at, Event::Heal);
        while let Some(Scheduled { at, event, .. }) = self.queue.pop() {
            self.now = self.now.max(at);
            self.happens(event);
            events += 1;
            let overdue = self.now > self.heals_at + HEALING_MS_MAX || events > EVENTS_MAX;
            if !self.violations.is_empty() || (self.healing && self.is_at_rest()) || overdue {
                break;
            }
        }
        self.coverage.events += events;
        self.conclude()
    }

    pub(crate) fn schedule(&mut self, at: u64, event: Event) {
        self.scheduled += 1;
        self.queue.push(Scheduled { at, number: self.scheduled, event });
    }

    pub(crate) fn after(&mut self, ms: u64, event: Event) {
        self.schedule(self.now + ms, event);
    }

    /// Something crosses the gateway's boundary.
    pub(crate) fn crosses(&mut self, what: What) {
        match &what {
            // Twice a second each.
            What::Among(Among::Heard { .. } | Among::AttemptsHeard { .. }) => {}
            What::Among(among) => self.note(|| format!("{among:?}")),
            what => self.note(|| format!("{what:?}")),
        }
        let crossing = Crossing { at_ms: self.now, process: self.gateway.life, what };
        if let Err(violation) = self.checker.observe(&crossing) {
            self.violated(violation);
        }
    }

    /// The same, if there are several replicas.
    pub(crate) fn crosses_among(&mut self, among: Among) {
        if self.is_replicated() {
            self.crosses(What::Among(among));
        }
    }

    /// Writes down what happens, if that is wanted.
    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(timeline) = &mut self.timeline {
            let ms = self.now.saturating_sub(self.plan.begins_at_ms);
            timeline.push(format!("{:>7}.{:03} s  {}", ms / 1_000, ms % 1_000, what()));
        }
    }

    /// Whether a fault strikes here; if so, it is written down.
    pub(crate) fn strikes(&mut self, kind: FaultKind, place: u16) -> Option<Chance> {
        let struck = self.faults.strikes(kind, place, self.now);
        if struck.is_some() {
            self.coverage.struck(kind);
            self.note(|| format!("** {} [{kind}@{place}]", kind.meaning()));
            if kind.is_of_the_database() {
                self.crosses_among(Among::DatabaseStruck);
            }
        }
        struck
    }

    pub(crate) fn violated(&mut self, violation: Violation) {
        self.note(|| format!("!! {violation}"));
        self.violations.push(violation);
    }

    fn is_at_rest(&self) -> bool {
        self.gateways().all(|gateway| gateway.up && gateway.is_idle())
            && self.journal.has_nothing_open()
            && self.nobody_waits()
            && self.all_is_heard()
    }

    fn conclude(mut self) -> Ended {
        self.journal.restore();
        let closing = self.closing();
        if self.violations.is_empty()
            && let Err(found) = self.checker.conclude(&closing)
        {
            for violation in found {
                self.violated(violation);
            }
        }
        Ended {
            violations: self.violations,
            struck: self.faults.struck().to_vec(),
            coverage: self.coverage,
            timeline: self.timeline.unwrap_or_default(),
            crash_plan: self.crash_plan,
            books: closing.books,
            cash: self.cash.iter().map(|(id, amount)| (crate::books::number(*id), *amount)).collect(),
        }
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The earliest first; of one moment, the one that was scheduled first.
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}
