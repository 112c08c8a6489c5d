//! Draws that depend on nothing but the seed and where they are made.
//!
//! A library's generator is one stream: take one draw out and all that follow change. Shrinking a failure takes faults out one by one, so
//! every place in the world has a stream of its own, and a fault is drawn from its name and number alone. Mixing is SplitMix64 (Steele, Lea
//! and Flood, "Fast splittable pseudorandom number generators", 2014).

/// A stream of draws.
#[derive(Clone, Debug)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// The stream of a place: the same for the same seed and place, whatever else was drawn.
    #[must_use]
    pub fn of(seed: u64, place: u64) -> Self {
        Self { state: mixed(seed ^ mixed(place)) }
    }

    /// 64 even bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.state)
    }

    /// A number from 0 up to `bound`, which is not among them. Zero for a bound of zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits().checked_rem(bound).unwrap_or(0)
    }

    /// A number from `low` to `high`, both among them.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low.saturating_add(self.below(high.saturating_sub(low).saturating_add(1)))
    }

    /// Yes in so many of a thousand cases.
    pub fn per_mille(&mut self, of_thousand: u64) -> bool {
        self.below(1_000) < of_thousand
    }

    /// One of several, if there are any.
    pub fn pick<T: Copy>(&mut self, several: &[T]) -> Option<T> {
        let at = self.below(several.len() as u64);
        usize::try_from(at).ok().and_then(|at| several.get(at)).copied()
    }
}

const fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
