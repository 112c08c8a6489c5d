//! Draws that depend on nothing but the seed and where they are made.
//!
//! Every customer, day and thief has a stream of its own, so what one does never moves what another does: two runs that differ in their
//! controls only see the same customers. Mixing is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).

/// What a stream is for; streams of different purposes never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Purpose {
    Machines = 1,
    Person,
    Day,
    StepUp,
    Wave,
    Thief,
    Victim,
}

/// A stream of draws.
#[derive(Clone, Debug)]
pub(crate) struct Chance {
    state: u64,
}

impl Chance {
    /// The stream of one place: the same for the same seed, purpose, subject and moment, whatever else was drawn.
    pub(crate) const fn of(seed: u64, purpose: Purpose, subject: u64, moment: u64) -> Self {
        let place = mixed(mixed(subject.wrapping_add(0x632b_e59b_d9b4_e019)) ^ moment ^ ((purpose as u64) << 56));
        Self { state: mixed(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ place }
    }

    /// 64 even bits.
    pub(crate) const fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.state)
    }

    /// A number from 0 up to `bound`, which is not among them. Zero for a bound of zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.bits().checked_rem(bound).unwrap_or(0)
    }

    /// A number from `low` to `high`, both among them.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low.saturating_add(self.below(high.saturating_sub(low).saturating_add(1)))
    }

    /// Yes in so many of a million cases.
    pub(crate) fn per_million(&mut self, of_million: u64) -> bool {
        self.below(1_000_000) < of_million
    }

    /// Yes in so many of a thousand cases.
    pub(crate) fn per_mille(&mut self, of_thousand: u64) -> bool {
        self.below(1_000) < of_thousand
    }

    /// One of several by their weights; `otherwise` if all weights are zero.
    pub(crate) fn weighted<T: Copy>(&mut self, table: &[(u64, T)], otherwise: T) -> T {
        let mut left = self.below(table.iter().map(|(weight, _)| weight).sum());
        for (weight, one) in table {
            if left < *weight {
                return *one;
            }
            left -= weight;
        }
        otherwise
    }

    /// A number from -`reach` to `reach`, the middle more often than the ends.
    pub(crate) fn around_zero(&mut self, reach: u32) -> i64 {
        let one = i64::from(reach);
        let half = |bits: u64| i64::try_from(bits).unwrap_or(0);
        let sum = half(self.between(0, u64::from(reach))) + half(self.between(0, u64::from(reach)));
        sum - one
    }
}

const fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_for_the_same_place_and_another_for_any_other() {
        let first = |seed, purpose, subject, moment| Chance::of(seed, purpose, subject, moment).bits();
        let one = first(1, Purpose::Day, 7, 3);
        assert_eq!(one, first(1, Purpose::Day, 7, 3));
        let others = [
            first(2, Purpose::Day, 7, 3),
            first(1, Purpose::StepUp, 7, 3),
            first(1, Purpose::Day, 8, 3),
            first(1, Purpose::Day, 7, 4),
            first(1, Purpose::Day, 3, 7),
        ];
        assert!(others.iter().all(|other| *other != one));
    }

    #[test]
    fn weights_are_kept() {
        let mut chance = Chance::of(1, Purpose::Person, 0, 0);
        let mut counts = [0_u32; 3];
        for _ in 0..10_000 {
            counts[chance.weighted(&[(700, 0), (300, 1), (0, 2)], 2)] += 1;
        }
        assert!((6_850..7_150).contains(&counts[0]) && counts[2] == 0, "{counts:?}");
        assert_eq!(chance.weighted(&[(0, 'a')], 'z'), 'z');
    }

    #[test]
    fn what_lies_around_zero_stays_within_reach() {
        let mut chance = Chance::of(1, Purpose::Person, 0, 0);
        let drawn: Vec<i64> = (0..10_000).map(|_| chance.around_zero(10)).collect();
        assert!(drawn.iter().all(|one| (-10..=10).contains(one)));
        assert!(drawn.iter().filter(|one| one.abs() <= 3).count() > 5_000);
    }
}
