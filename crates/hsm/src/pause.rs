//! Pauses between attempts, and the beat at which workers are looked at.

use std::time::{Duration, Instant};

/// The next pause, and how they grow: none before the first attempt, then twice as long each time.
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

/// Something that is due at even intervals, however much else there is to do meanwhile.
#[derive(Debug)]
pub(crate) struct Beat {
    every: Duration,
    next: Instant,
}

impl Beat {
    /// Due for the first time when one interval has passed.
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, next: now() + every }
    }

    /// How long until it is due.
    pub(crate) fn wait(&self) -> Duration {
        self.next.saturating_duration_since(now())
    }

    /// Whether it is due; if so, it is due again one interval from now. What was missed is not made up for.
    pub(crate) fn is_due(&mut self) -> bool {
        let now = now();
        let is_due = now >= self.next;
        if is_due {
            self.next = now + self.every;
        }
        is_due
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "how long a PKCS#11 call really takes is what a keeper watches; no record depends on it"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_that_was_missed_for_long_is_due_once() {
        let mut beat = Beat::new(Duration::from_millis(20));
        assert!(!beat.is_due());
        std::thread::sleep(Duration::from_millis(70));
        assert!(beat.wait().is_zero());
        assert!(beat.is_due());
        assert!(!beat.is_due());
    }

    #[test]
    fn the_first_attempt_comes_at_once_and_the_pauses_double_up_to_the_longest() {
        let mut pause = Pause::new(Duration::from_millis(100), Duration::from_secs(1));
        let pauses: Vec<u128> = (0..7).map(|_| pause.next().as_millis()).collect();
        assert_eq!(pauses, [0, 100, 200, 400, 800, 1_000, 1_000]);
        pause.reset();
        assert_eq!(pause.next(), Duration::ZERO);
    }
}
