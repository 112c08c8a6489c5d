//! Rates in whole numbers, rounded to a tenth.

use std::fmt;

/// A part of a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// The part.
    pub part: u64,
    /// The whole.
    pub whole: u64,
}

impl Share {
    /// In tenths of one in 10,000, rounded. Nothing of nothing is nothing.
    #[must_use]
    pub fn tenths_per_10_000(self) -> u64 {
        self.of(100_000)
    }

    /// In tenths of a percent, rounded.
    #[must_use]
    pub fn tenths_percent(self) -> u64 {
        self.of(1_000)
    }

    /// Whether it is at least so many percent, exactly.
    #[must_use]
    pub const fn is_at_least_percent(self, percent: u64) -> bool {
        self.part * 100 >= self.whole * percent
    }

    /// Whether it is at most so many in 10,000, exactly.
    #[must_use]
    pub const fn is_at_most_per_10_000(self, count: u64) -> bool {
        self.part * 10_000 <= self.whole * count
    }

    fn of(self, scale: u64) -> u64 {
        (self.part * scale + self.whole / 2).checked_div(self.whole).unwrap_or(0)
    }
}

/// Tenths, as `12.3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tenths(pub(crate) u64);

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.0 / 10, self.0 % 10))
    }
}

/// Thousands apart, as `9,400,000`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_rounded_and_targets_are_not() {
        let share = |part, whole| Share { part, whole };
        let table = [
            (share(0, 0), "0.0", "0.0"),
            (share(1, 3), "3333.3", "33.3"),
            (share(2, 3), "6666.7", "66.7"),
            (share(1_234, 1_000_000), "12.3", "0.1"),
            (share(1_235, 1_000_000), "12.4", "0.1"),
        ];
        for (share, per_10_000, percent) in table {
            assert_eq!(Tenths(share.tenths_per_10_000()).to_string(), per_10_000, "{share:?}");
            assert_eq!(Tenths(share.tenths_percent()).to_string(), percent, "{share:?}");
        }
        assert!(share(20, 10_000).is_at_most_per_10_000(20) && !share(200_001, 100_000_000).is_at_most_per_10_000(20));
        assert!(share(95, 100).is_at_least_percent(95) && !share(949_999, 1_000_000).is_at_least_percent(95));
    }

    #[test]
    fn thousands_stand_apart() {
        let table = [(0, "0"), (999, "999"), (1_000, "1,000"), (9_400_000, "9,400,000")];
        table.into_iter().for_each(|(number, text)| assert_eq!(grouped(number), text));
    }
}
