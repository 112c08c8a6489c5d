//! Chance that can be repeated: Marsaglia's xorshift64, plenty for choosing customers and victims.

use std::time::Duration;

/// A pair of dice. The same seed gives the same throws.
pub(crate) struct Dice(u64);

impl Dice {
    /// Seeds that lie next to each other give throws that have nothing in common.
    pub(crate) const fn seeded(seed: u64) -> Self {
        let spread = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(if spread == 0 { 1 } else { spread })
    }

    /// A number below `limit`; 0 if there is none.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or_default()
    }

    /// One of these, or nothing if there are none.
    pub(crate) fn one_of<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        choices.get(self.index(choices.len()))
    }

    /// All of these, in another order.
    pub(crate) fn shuffled<T: Copy>(&mut self, all: &[T]) -> Vec<T> {
        let mut left = all.to_vec();
        (0..all.len()).map(|_| left.swap_remove(self.index(left.len()))).collect()
    }

    /// A time from `shortest` on and below `longest`.
    pub(crate) fn time(&mut self, shortest: Duration, longest: Duration) -> Duration {
        let between = u64::try_from(longest.saturating_sub(shortest).as_micros()).unwrap_or(u64::MAX);
        shortest + Duration::from_micros(self.below(between))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_throws_and_its_neighbour_others() {
        let throws = |seed| {
            let mut dice = Dice::seeded(seed);
            (0..20).map(|_| dice.below(1_000)).collect::<Vec<_>>()
        };
        assert_eq!(throws(7), throws(7));
        assert_ne!(throws(7), throws(8));
        assert_ne!(throws(0), throws(u64::MAX));
    }

    #[test]
    fn a_throw_stays_within_its_limits() {
        let mut dice = Dice::seeded(1);
        let (shortest, longest) = (Duration::from_millis(50), Duration::from_millis(60));
        assert!((0..1_000).all(|_| (shortest..longest).contains(&dice.time(shortest, longest))));
        assert!((0..1_000).all(|_| dice.below(3) < 3) && dice.below(0) == 0);
        assert_eq!(dice.one_of::<u8>(&[]), None);
    }
}
