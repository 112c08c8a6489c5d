//! Crashes that are enumerated instead of drawn: every point of a story at which the gateway can die.

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

/// A point that was passed, and what was about to happen there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Which kind.
    pub point: Point,
    /// In words: the records, or the errand.
    pub what: String,
}

/// Where the gateway is to crash, and whether effects are doubled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CrashPlan {
    /// At the how many-th point, from 0.
    pub crash_at: Option<usize>,
    /// What is left of an unsynced write then.
    pub tail: Option<Tail>,
    /// The how many-th errand is done twice.
    pub double_errand: Option<usize>,
    /// Whether the points are written down.
    pub recording: bool,
    /// What was passed so far, if they are.
    pub passed: Vec<Passed>,
    count: usize,
    errands: usize,
}

impl CrashPlan {
    /// Only writes the points down.
    #[must_use]
    pub fn recorded() -> Self {
        Self { recording: true, ..Self::default() }
    }

    /// A crash at a point, once.
    #[must_use]
    pub fn at(point: usize, tail: Tail) -> Self {
        Self { crash_at: Some(point), tail: Some(tail), ..Self::default() }
    }

    /// No crash, but one errand is done twice.
    #[must_use]
    pub fn doubling(errand: usize) -> Self {
        Self { double_errand: Some(errand), ..Self::default() }
    }

    /// The gateway passes a point. Says whether it dies there.
    pub(crate) fn passes(&mut self, point: Point, what: impl FnOnce() -> String) -> bool {
        if self.recording {
            self.passed.push(Passed { point, what: what() });
        }
        let here = self.crash_at == Some(self.count);
        self.count += 1;
        here
    }

    /// Whether the errand that is about to leave is to be done twice.
    pub(crate) fn doubles(&mut self) -> bool {
        let here = self.double_errand == Some(self.errands);
        self.errands += 1;
        here
    }

    /// How many errands have left.
    #[must_use]
    pub const fn errands(&self) -> usize {
        self.errands
    }
}
