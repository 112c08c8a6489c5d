//! When a replica last heard from the ledger, and what it may do on the strength of that.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[cfg(feature = "planted")]
use cashgate_withdrawal::planted::{Bug, is};
use cashgate_withdrawal::time::Timestamp;

/// After how long without a heartbeat a replica counts as dead, unless configured otherwise.
pub const DEAD_AFTER_USUAL: Duration = Duration::from_secs(5);
/// For how long it may be unknown what other replicas have written before no new withdrawal begins.
const FRESH_FOR_MS: u64 = 1_000;

/// A replica's pulse: when the ledger last took its heartbeat and said which lanes are its own, and when it last gave what others wrote.
///
/// Whatever a replica writes, the ledger judges by itself; no pulse is needed for that. It is for what leaves without a write, such as
/// a settlement that is repeated or a command that is sent again: a replica that was stopped for a minute, or could not reach the
/// ledger, must first hear that its lanes are still its own. It acts for 3/5 of the time after which others count it as dead.
#[derive(Debug)]
pub struct Pulse {
    dead_after_ms: u64,
    heard: Mutex<Heard>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    /// When the last question was asked that was answered.
    last_ms: Option<u64>,
    /// When was asked what others wrote, the last time that it was answered.
    followed_ms: Option<u64>,
    /// Since when no answer has been missing.
    steady_since_ms: u64,
}

impl Pulse {
    /// A pulse that was not heard yet, among replicas that count as dead after so long.
    #[must_use]
    pub fn new(dead_after: Duration) -> Self {
        let dead_after_ms = u64::try_from(dead_after.as_millis()).unwrap_or(u64::MAX);
        Self { dead_after_ms, heard: Mutex::default() }
    }

    /// The ledger has answered what was asked of it at `asked_at`. What it said was so then or later, and has been taken to heart.
    pub fn heard(&self, asked_at: Timestamp) {
        let asked_ms = asked_at.unix_ms();
        let mut heard = self.heard_so_far();
        let missed = heard.last_ms.is_none_or(|last| asked_ms.saturating_sub(last) > self.acts_for_ms());
        if missed {
            heard.steady_since_ms = asked_ms;
        }
        heard.last_ms = heard.last_ms.max(Some(asked_ms));
    }

    /// What others had written at `asked_at` is known and in force here.
    pub fn followed(&self, asked_at: Timestamp) {
        let mut heard = self.heard_so_far();
        heard.followed_ms = heard.followed_ms.max(Some(asked_at.unix_ms()));
    }

    /// Whether the replica may act on what it believes to be its own.
    #[must_use]
    pub fn may_act(&self, now: Timestamp) -> bool {
        #[cfg(feature = "planted")]
        if is(Bug::LeaseIgnored) {
            return true;
        }
        is_younger(self.heard_so_far().last_ms, now, self.acts_for_ms())
    }

    /// Whether all that others wrote is known here, but for the last second.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.fresh_until()
    }

    /// Until when that is so, if nothing is heard meanwhile.
    #[must_use]
    pub fn fresh_until(&self) -> Timestamp {
        #[cfg(feature = "planted")]
        if is(Bug::StaleAdmits) {
            return Timestamp::from_unix_ms(u64::MAX);
        }
        let followed_ms = self.heard_so_far().followed_ms;
        Timestamp::from_unix_ms(followed_ms.map_or(0, |at| at.saturating_add(FRESH_FOR_MS)))
    }

    /// How long ago what others wrote was last known here; nothing if it never was.
    #[must_use]
    pub fn behind(&self, now: Timestamp) -> Option<Duration> {
        self.heard_so_far().followed_ms.map(|at| Duration::from_millis(now.unix_ms().saturating_sub(at)))
    }

    /// Whether the replica may judge that others are dead. When the ledger comes back after a while, no heartbeat in it is young: everybody is
    /// given the time to be heard first.
    #[must_use]
    pub fn may_sweep(&self, now: Timestamp) -> bool {
        let steady_since_ms = self.heard_so_far().steady_since_ms;
        self.may_act(now) && now.unix_ms().saturating_sub(steady_since_ms) >= self.dead_after_ms
    }

    /// Whether machines of replicas that do not hear the ledger do well to come here: it has been heard without a gap for as long as others are given to
    /// be heard themselves, and so lately that it is not silent for all. Whoever heard it last a heartbeat earlier stops to act while this one still may.
    #[must_use]
    pub fn takes_atms(&self, now: Timestamp) -> bool {
        #[cfg(feature = "planted")]
        if is(Bug::TakesAtmsTooSoon) {
            return self.may_act(now);
        }
        self.may_sweep(now) && is_younger(self.heard_so_far().last_ms, now, self.acts_for_ms() / 2)
    }

    const fn acts_for_ms(&self) -> u64 {
        self.dead_after_ms / 5 * 3
    }

    fn heard_so_far(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_younger(last_ms: Option<u64>, now: Timestamp, than_ms: u64) -> bool {
    last_ms.is_some_and(|last| now.unix_ms().saturating_sub(last) < than_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_ms(ms)
    }

    #[test]
    fn it_acts_from_the_question_on_and_stops_before_it_counts_as_dead() {
        let pulse = Pulse::new(DEAD_AFTER_USUAL);
        assert!(!pulse.may_act(at(0)), "nothing was heard yet");
        pulse.heard(at(10_000));
        assert!(pulse.may_act(at(12_999)) && !pulse.may_act(at(13_000)));
        pulse.followed(at(10_000));
        assert!(pulse.is_fresh(at(10_999)) && !pulse.is_fresh(at(11_000)));
        assert_eq!(pulse.fresh_until(), at(11_000));
        pulse.heard(at(9_000));
        assert!(pulse.may_act(at(12_999)), "an older answer takes nothing away");
    }

    #[test]
    fn nobody_is_taken_for_dead_by_a_replica_that_has_only_just_come_to_hear() {
        let pulse = Pulse::new(DEAD_AFTER_USUAL);
        for second in 10..15 {
            pulse.heard(at(second * 1_000));
            assert!(!pulse.may_sweep(at(second * 1_000)), "{second}");
        }
        pulse.heard(at(15_000));
        assert!(pulse.may_sweep(at(15_000)));
        pulse.heard(at(19_000));
        assert!(!pulse.may_sweep(at(19_000)), "it was deaf for four seconds");
    }

    #[test]
    fn a_replica_takes_no_machines_of_one_that_hears_no_less_than_itself() {
        let (first, second) = (Pulse::new(DEAD_AFTER_USUAL), Pulse::new(DEAD_AFTER_USUAL));
        for second_since in 10..20 {
            first.heard(at(second_since * 1_000));
            second.heard(at(second_since * 1_000 + 900));
        }
        assert!(second.takes_atms(at(20_800)), "between two heartbeats");
        // From here on the ledger is silent for both.
        assert!(!first.may_act(at(22_000)) && second.may_act(at(22_000)));
        assert!(!second.takes_atms(at(22_500)));
    }
}
