//! When customers come: a Poisson process whose rate changes with time, the same for the same seed.
//!
//! Arrivals are drawn before anything is known of the gateway's answers, and none of them waits for one. That is what makes the load an
//! *open loop*: a gateway that stalls for a second still finds a second's customers in front of it.

#![allow(clippy::float_arithmetic, reason = "rates and times; no money")]

use std::time::Duration;

use crate::scenario::Rate;

/// The moments of arrival, in their order, counted from the beginning of the load.
#[derive(Debug)]
pub struct Arrivals<'a> {
    rate: &'a Rate,
    until: Duration,
    now_s: f64,
    dice: fastrand::Rng,
}

impl<'a> Arrivals<'a> {
    /// Arrivals at this rate until a moment.
    #[must_use]
    pub fn new(rate: &'a Rate, until: Duration, seed: u64) -> Self {
        Self { rate, until, now_s: 0.0, dice: fastrand::Rng::with_seed(seed) }
    }
}

impl Iterator for Arrivals<'_> {
    type Item = Duration;

    /// Draws at the highest rate and keeps each with the share that the rate has of it at that moment (thinning, Lewis and Shedler 1979).
    fn next(&mut self) -> Option<Duration> {
        let peak = self.rate.peak();
        loop {
            // 1 - x, because x may be 0 and never is 1.
            self.now_s -= (1.0 - self.dice.f64()).ln() / peak;
            if self.now_s >= self.until.as_secs_f64() {
                return None;
            }
            let moment = Duration::from_secs_f64(self.now_s);
            if self.dice.f64() * peak < self.rate.at(moment) {
                return Some(moment);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    fn arrivals(scenario: &str, seed: u64) -> Vec<Duration> {
        let scenario = Scenario::load(scenario).unwrap();
        Arrivals::new(&scenario.arrivals, scenario.duration, seed).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_arrivals_and_another_one_others() {
        assert_eq!(arrivals("payday", 1), arrivals("payday", 1));
        assert_ne!(arrivals("payday", 1), arrivals("payday", 2));
    }

    #[test]
    fn as_many_come_as_the_rate_says_and_when_it_says_so() {
        let payday = Scenario::load("payday").unwrap();
        let (mut early, mut late, mut all) = (0_usize, 0_usize, 0_usize);
        for seed in 0..20 {
            let moments = arrivals("payday", seed);
            assert!(moments.is_sorted());
            all += moments.len();
            early += moments.iter().filter(|moment| moment.as_secs() < 5).count();
            late += moments.iter().filter(|moment| moment.as_secs() >= 35).count();
        }
        // 20 runs; the counts' own spread is the square root of them, and five times that is allowed.
        let near = |count: usize, expected: usize| count.abs_diff(expected) < 5 * expected.isqrt();
        assert!(near(early, 20 * 5 * 20), "{early}");
        assert!(near(late, 20 * 20 * 80), "{late}");
        assert!(near(all, 20 * usize::try_from(payday.arrivals.expected(payday.duration)).unwrap()), "{all}");
    }

    #[test]
    fn gaps_are_as_uneven_as_chance_makes_them() {
        let moments = arrivals("steady", 7);
        let gaps: Vec<f64> = moments.windows(2).map(|two| (two[1] - two[0]).as_secs_f64()).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let below = gaps.iter().filter(|gap| **gap < mean).count() as f64 / gaps.len() as f64;
        // 1 - 1/e of exponential gaps are shorter than their mean; of even gaps about half would be.
        assert!((below - 0.632).abs() < 0.04, "{below}");
    }
}
