//! The size and shape of one run.

use crate::calendar::Day;
use crate::wave::behaviour::{Mix, Persistence};

/// Customers whose numbers still fit all the others that are derived from them.
pub const CUSTOMERS_MAX: u32 = 100_000_000;

/// What is the same for every bank that lives through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct World {
    /// Everything that is drawn is drawn from it.
    pub seed: u64,
    /// Customers of both institutions who use the app, at most [`CUSTOMERS_MAX`].
    pub customers: u32,
    /// Cash machines.
    pub machines: u16,
    /// Days of honest life before 1 June, 0 to 60, in which memories fill and nothing is counted.
    pub warm_up_days: u8,
    /// Whether there are thieves at all.
    pub has_wave: bool,
    /// Which thieves there are.
    pub mix: Mix,
    /// How long a refused thief goes on, if all are alike.
    pub persistence: Option<Persistence>,
}

impl World {
    /// 200,000 customers, 1,500 machines, four weeks of warm-up: the memory of an institution's usual hour is four weeks long.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        Self {
            seed,
            customers: 200_000,
            machines: 1_500,
            warm_up_days: 28,
            has_wave: true,
            mix: Mix::ASSUMED,
            persistence: None,
        }
    }

    /// The first day that is lived through.
    #[must_use]
    pub const fn first_day(&self) -> Day {
        Day(-(self.warm_up_days as i32))
    }
}
