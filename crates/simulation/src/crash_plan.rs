//! Crashes that are enumerated instead of drawn: every point of a story at which the gateway can die.

use std::fmt;

/// A kind of point in the gateway's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// Records are about to be written.
    BeforeWrite,
    /// They are written and not synced.
    Written,
    /// They are synced, and nobody has been told.
    Synced,
    /// An errand is about to leave.
    BeforeErrand,
    /// It has left.
    AfterErrand,
}

/// What a crash leaves of a write that was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tail {
    /// Nothing of it.
    Lost,
    /// A torn part, which the ledger cuts.
    Torn,
    /// All of it: the sync was not needed.
    Kept,
}

impl Tail {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Lost, Self::Torn, Self::Kept];
}

/// A point that was passed, and what was about to happen there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Which kind.
    pub point: Point,
    /// In words: the records, or the errand.
    pub what: String,
}

/// One crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// At the how many-th point of the whole story, from 0; the points after an earlier crash count on.
    pub at: usize,
    /// What is left of an unsynced write.
    pub tail: Tail,
}

/// Where the gateway is to crash, and whether an effect is doubled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CrashPlan {
    /// What is left of an unsynced write by the crash that has just struck.
    pub(crate) tail: Option<Tail>,
    crashes: Vec<Crash>,
    crashed: usize,
    double_errand: Option<usize>,
    doubled: bool,
    recording: bool,
    passed: Vec<Passed>,
    points: usize,
    errands: usize,
}

impl CrashPlan {
    /// No crash: only writes the points down.
    #[must_use]
    pub fn recorded() -> Self {
        Self { recording: true, ..Self::default() }
    }

    /// A crash at a point.
    #[must_use]
    pub fn at(point: usize, tail: Tail) -> Self {
        Self::at_each(&[Crash { at: point, tail }])
    }

    /// A crash at each of these points.
    #[must_use]
    pub fn at_each(crashes: &[Crash]) -> Self {
        Self { crashes: crashes.to_vec(), ..Self::default() }
    }

    /// No crash, but the how many-th errand, from 0, is done twice.
    #[must_use]
    pub fn doubling(errand: usize) -> Self {
        Self { double_errand: Some(errand), ..Self::default() }
    }

    /// The same, with the points written down.
    #[must_use]
    pub fn and_recorded(self) -> Self {
        Self { recording: true, ..self }
    }

    /// The points that were passed, in order, if they were written down.
    #[must_use]
    pub fn passed(&self) -> &[Passed] {
        &self.passed
    }

    /// How many points were passed.
    #[must_use]
    pub const fn points(&self) -> usize {
        self.points
    }

    /// How many errands have left.
    #[must_use]
    pub const fn errands(&self) -> usize {
        self.errands
    }

    /// Whether all that was planned has happened: a point that was not reached has tested nothing.
    #[must_use]
    pub fn is_fulfilled(&self) -> bool {
        self.crashed == self.crashes.len() && (self.double_errand.is_none() || self.doubled)
    }

    /// The gateway passes a point. Says whether it dies there. Without words it is still about what the point before was about.
    pub(crate) fn passes(&mut self, point: Point, what: impl FnOnce() -> String) -> bool {
        if self.recording {
            let words = what();
            let same = |passed: &Passed| passed.what.clone();
            let what = if words.is_empty() { self.passed.last().map(same).unwrap_or_default() } else { words };
            self.passed.push(Passed { point, what });
        }
        let here = self.crashes.iter().find(|crash| crash.at == self.points);
        self.tail = here.map(|crash| crash.tail);
        self.crashed += usize::from(here.is_some());
        self.points += 1;
        self.tail.is_some()
    }

    /// Whether the errand that is about to leave is to be done twice.
    pub(crate) fn doubles(&mut self) -> bool {
        let here = self.double_errand == Some(self.errands);
        self.doubled |= here;
        self.errands += 1;
        here
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BeforeWrite => "before append",
            Self::Written => "appended, not synced",
            Self::Synced => "synced",
            Self::BeforeErrand => "before send",
            Self::AfterErrand => "after send",
        })
    }
}

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "lost",
            Self::Torn => "torn",
            Self::Kept => "kept",
        })
    }
}
