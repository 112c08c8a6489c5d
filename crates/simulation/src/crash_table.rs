//! The table of enumerated crashes: every scenario, with a crash at every point of it, every effect done twice, and a second crash at every
//! point that is passed after the first.
//!
//! A run passes when no rule was broken, everything has ended, customers have what was confirmed, and the crash happened at the point that it
//! was meant for: a point that is not reached again is a gap, and a gap is a failure.

use std::io::{self, Write};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::boundary::Standing;
use crate::crash_plan::{Crash, CrashPlan, Passed, Point, Tail};
use crate::faults::Allowed;
use crate::plan::Plan;
use crate::scenarios::{Cast, Scenario};
use crate::timeline::{Reader, grouped};
use crate::world::{Ended, World};

/// More failures of a scenario than these are only counted.
const LISTED_MAX: usize = 3;
const NAME_WIDTH: usize = 38;

/// What is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// A line for every scenario.
    #[default]
    Table,
    /// Also a line for every run, before the table.
    EveryRun,
}

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// A crash before records are written.
    BeforeAppend,
    /// A crash between a write and its sync, of which nothing is left.
    Lost,
    /// The same, and a torn part is left, which is cut.
    Torn,
    /// The same, and all of it is left.
    Kept,
    /// A crash after the sync, before anyone was told.
    Synced,
    /// A crash before something is sent.
    BeforeSend,
    /// A crash after it.
    AfterSend,
    /// No crash: what is sent is sent twice.
    SentTwice,
    /// A crash at any of these points, and another at any point after the restart.
    SecondCrash,
}

impl Column {
    /// Every one, in the table's order.
    pub const ALL: [Self; 9] = [
        Self::BeforeAppend,
        Self::Lost,
        Self::Torn,
        Self::Kept,
        Self::Synced,
        Self::BeforeSend,
        Self::AfterSend,
        Self::SentTwice,
        Self::SecondCrash,
    ];

    const fn of(point: Point, tail: Tail) -> Self {
        match (point, tail) {
            (Point::BeforeWrite, _) => Self::BeforeAppend,
            (Point::Written, Tail::Lost) => Self::Lost,
            (Point::Written, Tail::Torn) => Self::Torn,
            (Point::Written, Tail::Kept) => Self::Kept,
            (Point::Synced, _) => Self::Synced,
            (Point::BeforeErrand, _) => Self::BeforeSend,
            (Point::AfterErrand, _) => Self::AfterSend,
        }
    }

    const fn heading(self) -> &'static str {
        match self {
            Self::BeforeAppend => "unwritten",
            Self::Lost => "lost",
            Self::Torn => "torn",
            Self::Kept => "kept",
            Self::Synced => "synced",
            Self::BeforeSend => "unsent",
            Self::AfterSend => "sent",
            Self::SentTwice => "twice",
            Self::SecondCrash => "second crash",
        }
    }
}

/// Runs of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many there were.
    pub runs: u64,
    /// How many of them failed.
    pub failed: u64,
}

/// A scenario's row.
#[derive(Debug, Default)]
pub struct Row {
    /// The scenario's name.
    pub name: &'static str,
    /// What of the demo's case is not in it.
    pub apart_from: &'static str,
    /// The seed of its world; 0 if none plays it.
    pub seed: u64,
    /// In the order of [`Column::ALL`].
    pub counts: [Count; Column::ALL.len()],
    /// The first few that failed: which run, and why, with its timeline.
    pub failures: Vec<String>,
    /// Every run, if they were to be told.
    pub told: Vec<String>,
}

/// Runs every crash of every scenario and writes the table. Says whether nothing failed and nothing was left out.
///
/// # Errors
///
/// Those of `out`.
pub fn run(scenarios: &[Scenario], detail: Detail, out: &mut dyn Write) -> io::Result<bool> {
    let rows = rows(scenarios, detail);
    rows.iter().flat_map(|row| &row.told).try_for_each(|line| writeln!(out, "{line}"))?;
    write_table(&rows, out)?;
    Ok(rows.len() == scenarios.len() && rows.iter().all(Row::is_whole))
}

/// The rows of these scenarios, in their order: the same on any number of threads.
fn rows(scenarios: &[Scenario], detail: Detail) -> Vec<Row> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let plays = || {
        let mut played = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(scenario) = scenarios.get(number) else { return played };
            played.push((number, Row::of(*scenario, detail)));
        }
    };
    let mut rows: Vec<(usize, Row)> = std::thread::scope(|scope| {
        let players: Vec<_> = (0..threads).map(|_| scope.spawn(plays)).collect();
        // A panic of a world is caught where it lives; one of the table itself is missed by its caller as a row.
        players.into_iter().flat_map(|player| player.join().unwrap_or_default()).collect()
    });
    rows.sort_by_key(|(number, _)| *number);
    rows.into_iter().map(|(_, row)| row).collect()
}

impl Row {
    /// Plays a scenario with every crash.
    #[must_use]
    pub fn of(scenario: Scenario, detail: Detail) -> Self {
        match scenario.cast() {
            Ok(cast) => Self::of_cast(&cast, detail),
            Err(why) => {
                Self { name: scenario.name, apart_from: scenario.apart_from, failures: vec![why], ..Self::default() }
            }
        }
    }

    /// Plays a scenario whose world is known with every crash.
    #[must_use]
    pub fn of_cast(cast: &Cast, detail: Detail) -> Self {
        let (Scenario { name, apart_from, .. }, seed) = (cast.scenario, cast.plan.seed);
        let mut row = Self { name, apart_from, seed, ..Self::default() };
        let undisturbed = CrashPlan::recorded();
        row.judge(&cast.plan, None, &undisturbed, "nothing crashes", detail);
        for errand in 0..cast.ended.crash_plan.errands() {
            let what = format!("{} is sent twice", errand_in_words(cast.ended.crash_plan.passed(), errand));
            row.judge(&cast.plan, Some(Column::SentTwice), &CrashPlan::doubling(errand), &what, detail);
        }
        let points = cast.ended.crash_plan.passed();
        let several = cast.scenario.machines > 1;
        for (first, column, what) in crashes(points, 0, several) {
            let plan = CrashPlan::at_each(&[first]).and_recorded();
            let Some(ended) = row.judge(&cast.plan, Some(column), &plan, &what, detail) else { continue };
            let passed = ended.crash_plan.passed();
            if passed.get(..=first.at) != points.get(..=first.at) {
                row.fails(Some(column), &what, "until the crash it is not the story that was enumerated");
            }
            for (second, _, then) in crashes(passed, first.at + 1, several) {
                let what = format!("{what}; and {then}");
                let plan = CrashPlan::at_each(&[first, second]);
                row.judge(&cast.plan, Some(Column::SecondCrash), &plan, &what, detail);
            }
        }
        row
    }

    /// Whether it was played and nothing failed.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.failures.is_empty() && self.counts.iter().all(|count| count.failed == 0) && self.runs() > 0
    }

    /// What was counted for a column.
    #[must_use]
    pub fn count(&self, column: Column) -> Count {
        self.counts.get(column as usize).copied().unwrap_or_default()
    }

    /// All runs with something in them.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.counts.iter().map(|count| count.runs).sum()
    }

    fn judge(
        &mut self,
        plan: &Plan,
        column: Option<Column>,
        crashes: &CrashPlan,
        what: &str,
        detail: Detail,
    ) -> Option<Ended> {
        if let Some(count) = column.and_then(|column| self.counts.get_mut(column as usize)) {
            count.runs += 1;
        }
        let lived = lived(plan, crashes, false);
        let wrong = match &lived {
            Ok(ended) => wrong(ended),
            Err(panic) => Some(format!("panicked: {panic}")),
        };
        if detail == Detail::EveryRun {
            let end = wrong.clone().or_else(|| lived.as_ref().ok().map(in_words)).unwrap_or_default();
            self.told.push(format!("{} | {what} | {end}", self.name));
        }
        if let Some(why) = wrong {
            let timeline = if self.failures.len() < LISTED_MAX { timeline(plan, crashes) } else { String::new() };
            self.fails(column, what, &format!("{why}\n{timeline}"));
        }
        lived.ok()
    }

    fn fails(&mut self, column: Option<Column>, what: &str, why: &str) {
        if let Some(count) = column.and_then(|column| self.counts.get_mut(column as usize)) {
            count.failed += 1;
        }
        if self.failures.len() < LISTED_MAX {
            self.failures.push(format!("{}, seed {}: {what}: {why}", self.name, self.seed));
        }
    }
}

/// Every crash at the points from one on, with its column and in words. With several machines the records of another may be written and not
/// synced at any point.
fn crashes(points: &[Passed], from: usize, several: bool) -> impl Iterator<Item = (Crash, Column, String)> {
    points.iter().enumerate().skip(from).flat_map(move |(at, passed)| {
        let has_tail = several || passed.point == Point::Written;
        let tails: &[Tail] = if has_tail { &Tail::ALL } else { &[Tail::Kept] };
        tails.iter().map(move |tail| {
            let left = if has_tail { format!(", {tail}") } else { String::new() };
            let words = format!("crash at point {at}, {}{left}: {}", passed.point, passed.what);
            (Crash { at, tail: *tail }, Column::of(passed.point, *tail), words)
        })
    })
}

fn errand_in_words(points: &[Passed], errand: usize) -> String {
    let errands = points.iter().filter(|passed| passed.point == Point::BeforeErrand);
    errands.map(|passed| passed.what.clone()).nth(errand).unwrap_or_default()
}

/// One run. An error is a panic's message.
fn lived(plan: &Plan, crashes: &CrashPlan, timeline: bool) -> Result<Ended, String> {
    let world = || World::new(plan.clone(), Allowed::Nothing, timeline).with_crash_plan(crashes.clone()).run();
    std::panic::catch_unwind(AssertUnwindSafe(world)).map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
        text.unwrap_or("without a message").to_owned()
    })
}

/// What is wrong with a run, if anything is.
#[must_use]
pub fn wrong(ended: &Ended) -> Option<String> {
    if let Some(violation) = ended.violations.first() {
        return Some(violation.to_string());
    }
    if !ended.crash_plan.is_fulfilled() {
        return Some("a gap: it did not come to what was planned for it".to_owned());
    }
    // The checker has looked at this too; it is so plain that it is said once more, without the checker.
    ended.books.iter().find_map(|book| {
        let cash = ended.cash.get(&book.withdrawal).copied().unwrap_or(0);
        let confirmed = match book.standing {
            Standing::Open | Standing::Suspect => return Some(format!("{:x} has not ended", book.withdrawal)),
            Standing::Confirmed(amount) => amount,
            Standing::Declined | Standing::Reversed => 0,
        };
        let what = || format!("{:x} ended as {:?}, and the customer has {cash} yen", book.withdrawal, book.standing);
        (confirmed != cash).then(what)
    })
}

fn in_words(ended: &Ended) -> String {
    let ends = ended.books.iter().map(|book| match book.standing {
        Standing::Confirmed(amount) => format!("confirmed {amount}"),
        standing => format!("{standing:?}").to_lowercase(),
    });
    let ends: Vec<String> = ends.collect();
    let cash: u64 = ended.cash.values().sum();
    let ends = if ends.is_empty() { "no withdrawal".to_owned() } else { ends.join(", ") };
    format!("{ends}; {cash} yen left the machine")
}

fn timeline(plan: &Plan, crashes: &CrashPlan) -> String {
    let Ok(ended) = lived(plan, crashes, true) else { return String::new() };
    let lines = Reader::new(plan.begins_at_ms).read(&ended.timeline);
    lines.iter().map(|line| format!("    {}\n", line.trim_end())).collect()
}

fn write_table(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{:<NAME_WIDTH$}", "scenario")?;
    Column::ALL.iter().try_for_each(|column| write!(out, " {:>12}", column.heading()))?;
    writeln!(out)?;
    for row in rows {
        write_row(row.name, &row.counts, out)?;
    }
    let mut total = [Count::default(); Column::ALL.len()];
    for row in rows {
        for (sum, count) in total.iter_mut().zip(row.counts) {
            (sum.runs, sum.failed) = (sum.runs + count.runs, sum.failed + count.failed);
        }
    }
    write_row("all", &total, out)?;
    let notes = rows.iter().filter(|row| !row.apart_from.is_empty());
    notes.map(|row| format!("\n{}: {}.", row.name, row.apart_from)).try_for_each(|note| write!(out, "{note}"))?;
    let (runs, failed) = total.iter().fold((0, 0), |sum, count| (sum.0 + count.runs, sum.1 + count.failed));
    let unplayed = rows.iter().filter(|row| row.runs() == 0).count();
    writeln!(
        out,
        "\n{} scenarios, {} runs, {} failed, {unplayed} scenarios not played",
        rows.len(),
        grouped(runs),
        grouped(failed)
    )?;
    rows.iter().flat_map(|row| &row.failures).try_for_each(|failure| writeln!(out, "\n{failure}"))
}

/// How many runs there were; of those with failures, how many failed.
fn write_row(name: &str, counts: &[Count], out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{name:<NAME_WIDTH$}")?;
    for Count { runs, failed } in counts {
        let cell = if *failed > 0 { format!("{failed} of {runs} !") } else { grouped(*runs) };
        write!(out, " {cell:>12}")?;
    }
    writeln!(out)
}
