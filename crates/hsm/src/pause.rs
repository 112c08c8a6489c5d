//! Pauses between attempts: none before the first, then twice as long each time.

use std::time::Duration;

/// The next pause, and how they grow.
#[derive(Debug)]
pub(crate) struct Pause {
    first: Duration,
    max: Duration,
    attempts: u32,
}

impl Pause {
    pub(crate) const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, attempts: 0 }
    }

    /// How long to wait now.
    pub(crate) fn next(&mut self) -> Duration {
        let attempts = self.attempts;
        self.attempts = self.attempts.saturating_add(1);
        match attempts {
            0 => Duration::ZERO,
            some => self.first.saturating_mul(1 << (some - 1).min(20)).min(self.max),
        }
    }

    /// How often it was asked since the last success.
    pub(crate) const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Something worked.
    pub(crate) const fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_attempt_comes_at_once_and_the_pauses_double_up_to_the_longest() {
        let mut pause = Pause::new(Duration::from_millis(100), Duration::from_secs(1));
        let pauses: Vec<u128> = (0..7).map(|_| pause.next().as_millis()).collect();
        assert_eq!(pauses, [0, 100, 200, 400, 800, 1_000, 1_000]);
        pause.reset();
        assert_eq!(pause.next(), Duration::ZERO);
    }
}
