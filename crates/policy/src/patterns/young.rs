//! What is remembered of a phone in its first 30 days, when thieves use it if they ever do.

use super::hours::DAY_S;

/// Devices younger than this are watched.
pub(super) const YOUNG_S: u64 = 30 * DAY_S as u64;

/// One young phone.
#[derive(Clone, Default)]
pub(super) struct Young {
    /// What it drew by days (UTC), the latest first: today and the seven before, in minor units.
    drawn: [u32; 8],
    /// Which day the first of them is, since 1970.
    day: u32,
    /// When it last asked.
    pub(super) last_s: u32,
    /// Whether it counts among the institution's strange devices already.
    pub(super) is_strange: bool,
    /// Whether an alarm was raised for its sum already.
    pub(super) is_alarmed: bool,
    /// What it asked for in vain.
    pub(super) vain: Vain,
}

/// How often a phone asked in vain within 24 hours.
#[derive(Clone, Default)]
pub(super) struct Vain {
    count: u8,
    since_s: u32,
    /// Whether an alarm was raised for it already.
    pub(super) is_alarmed: bool,
}

impl Vain {
    /// Counts an ask, and says how many went before it in vain. One that is granted is taken back.
    pub(super) fn asked(&mut self, now_s: u32) -> u8 {
        if now_s.saturating_sub(self.since_s) >= DAY_S {
            (self.count, self.since_s) = (0, now_s);
        }
        self.count = self.count.saturating_add(1);
        self.count.saturating_sub(1)
    }

    pub(super) fn granted(&mut self) {
        self.count = self.count.saturating_sub(1);
    }
}

impl Young {
    /// Within 7 days and a part of the eighth, in minor units.
    pub(super) fn drawn(&self, now_s: u32) -> u64 {
        let passed = self.passed(now_s);
        self.drawn.iter().take(self.drawn.len().saturating_sub(passed)).map(|sum| u64::from(*sum)).sum()
    }

    pub(super) fn drew(&mut self, now_s: u32, minor_units: u64) {
        let passed = self.passed(now_s).min(self.drawn.len());
        self.drawn.rotate_right(passed);
        self.drawn.iter_mut().take(passed).for_each(|sum| *sum = 0);
        self.day = self.day.max(now_s / DAY_S);
        if let Some(today) = self.drawn.first_mut() {
            *today = today.saturating_add(u32::try_from(minor_units).unwrap_or(u32::MAX));
        }
    }

    /// As long as its flags may still be asked for.
    pub(super) fn is_worth_keeping(&self, now_s: u32) -> bool {
        u64::from(now_s.saturating_sub(self.last_s)) < YOUNG_S
    }

    fn passed(&self, now_s: u32) -> usize {
        usize::try_from((now_s / DAY_S).saturating_sub(self.day)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_S: u32 = 1_590_969_600;

    #[test]
    fn what_was_drawn_counts_for_a_week() {
        let mut young = Young::default();
        for (day, amount) in [(0, 1_000), (0, 500), (3, 20), (7, 4)] {
            young.drew(START_S + day * DAY_S, amount);
        }
        for (day, expected) in [(7, 1_524), (8, 24), (10, 24), (11, 4), (15, 0), (400, 0)] {
            assert_eq!(young.drawn(START_S + day * DAY_S), expected, "day {day}");
        }
        young.drew(START_S + 7 * DAY_S, u64::MAX);
        assert_eq!(young.drawn(START_S + 7 * DAY_S), u64::from(u32::MAX) + 1_520);
    }
}
