//! How many customers arrive when: straight lines between points.

#![allow(clippy::float_arithmetic, reason = "rates and shares; no money")]

use std::time::Duration;

use serde::Deserialize;

/// The longest run, in seconds.
const AT_S_MAX: f64 = 86_400.0;
/// More than any process can make.
const PER_S_MAX: f64 = 100_000.0;

/// A point of the line: at this moment, so many arrive.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatePoint {
    /// Seconds since the first arrival was possible.
    pub at_s: f64,
    /// Customers a second.
    pub per_s: f64,
}

/// Arrivals a second as a line through points; before the first and behind the last it is level. One point is a constant, two a ramp, four a spike.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    points: Vec<RatePoint>,
}

impl Rate {
    pub(super) fn new(points: &[RatePoint]) -> Result<Self, String> {
        if points.is_empty() {
            return Err("arrivals: name at least one point, with `at_s` and `per_s`".to_owned());
        }
        let mut before = None;
        for (index, RatePoint { at_s, per_s }) in points.iter().enumerate() {
            if !(0.0..=AT_S_MAX).contains(at_s) || before.is_some_and(|before| *at_s <= before) {
                return Err(format!(
                    "arrivals[{index}].at_s: {at_s} must be from 0 to {AT_S_MAX}, and more than that of the point before"
                ));
            }
            if !(0.0..=PER_S_MAX).contains(per_s) {
                return Err(format!("arrivals[{index}].per_s: {per_s} must be from 0 to {PER_S_MAX}"));
            }
            before = Some(*at_s);
        }
        if !points.iter().any(|point| point.per_s > 0.0) {
            return Err("arrivals: nobody ever arrives".to_owned());
        }
        Ok(Self { points: points.to_vec() })
    }

    /// Customers a second at a moment.
    #[must_use]
    pub fn at(&self, moment: Duration) -> f64 {
        let t = moment.as_secs_f64();
        let after = self.points.iter().position(|point| point.at_s > t);
        match after.map_or((self.points.last(), None), |next| {
            (next.checked_sub(1).and_then(|before| self.points.get(before)), self.points.get(next))
        }) {
            (Some(before), Some(next)) => {
                let share = (t - before.at_s) / (next.at_s - before.at_s);
                before.per_s + share * (next.per_s - before.per_s)
            }
            (Some(level), None) | (None, Some(level)) => level.per_s,
            (None, None) => 0.0,
        }
    }

    /// The highest rate there is.
    #[must_use]
    pub fn peak(&self) -> f64 {
        self.points.iter().map(|point| point.per_s).fold(0.0, f64::max)
    }

    /// How many arrive in the mean until a moment, rounded up.
    #[must_use]
    pub fn expected(&self, until: Duration) -> u64 {
        // The line is straight between seconds' tenths for every purpose here.
        const SLICES_A_SECOND: u32 = 10;
        let slices = u64::from(SLICES_A_SECOND) * until.as_secs();
        let slice = Duration::from_secs(1) / SLICES_A_SECOND;
        let mut middle = slice / 2;
        let mut sum = 0.0;
        for _ in 0..slices {
            sum += self.at(middle) * slice.as_secs_f64();
            middle += slice;
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and below 10^10")]
        let whole = sum.ceil() as u64;
        whole
    }

    pub(super) fn times_percent(mut self, percent: u32) -> Self {
        for point in &mut self.points {
            point.per_s *= f64::from(percent) / 100.0;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(points: &[(f64, f64)]) -> Result<Rate, String> {
        Rate::new(&points.iter().map(|&(at_s, per_s)| RatePoint { at_s, per_s }).collect::<Vec<_>>())
    }

    #[test]
    fn a_line_is_level_outside_its_points_and_straight_between_them() {
        let spike = rate(&[(10.0, 2.0), (20.0, 12.0), (30.0, 2.0)]).unwrap();
        for (second, per_s) in [(0, 2.0), (10, 2.0), (15, 7.0), (20, 12.0), (25, 7.0), (30, 2.0), (99, 2.0)] {
            assert!((spike.at(Duration::from_secs(second)) - per_s).abs() < 1e-9, "{second}");
        }
        assert!((spike.peak() - 12.0).abs() < 1e-9);
        assert_eq!(spike.expected(Duration::from_secs(40)), 180);
        assert_eq!(spike.times_percent(50).expected(Duration::from_secs(40)), 90);
    }

    #[test]
    fn what_is_no_line_is_refused() {
        let wrong: [&[(f64, f64)]; 7] = [
            &[],
            &[(0.0, 0.0)],
            &[(5.0, 1.0), (5.0, 2.0)],
            &[(5.0, 1.0), (4.0, 2.0)],
            &[(0.0, -1.0)],
            &[(0.0, f64::NAN)],
            &[(0.0, 1.0), (f64::INFINITY, 1.0)],
        ];
        for points in wrong {
            assert!(rate(points).is_err(), "{points:?}");
        }
        let said = rate(&[(0.0, 1.0), (9.0, -3.0)]).unwrap_err();
        assert_eq!(said, "arrivals[1].per_s: -3 must be from 0 to 100000", "which one, and what it may be");
    }
}
