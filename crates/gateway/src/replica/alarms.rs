//! Alarms that stand out only in what several replicas were asked for: told once, by one of them.
//!
//! Every replica remembers all attempts, so each sees the pattern. The one whose own customer completes it tells at once. Where nobody's does,
//! because the last attempts came at the same moment to several, each waits a time of its own, and tells unless it hears of the alarm before.

use std::collections::VecDeque;
use std::time::Duration;

use cashgate_ledger::ReplicaId;
use cashgate_withdrawal::ids::{AtmId, DeviceId, InstitutionId};
use cashgate_withdrawal::notice::{Happening, Notice};
#[cfg(feature = "planted")]
use cashgate_withdrawal::planted::{Bug, is};
use cashgate_withdrawal::time::Timestamp;

/// How long the replica with the lowest number waits, and each other one longer than the one before it: four looks at what others wrote.
const WAIT: Duration = Duration::from_secs(1);
/// No replica waits longer than this one.
const LAST_TO_WAIT: u16 = 30;
/// An alarm is told again after an hour at the soonest.
const SAME_WITHIN_MS: u64 = 3_600_000;
/// So many are remembered, heard or waiting.
const MOST: usize = 256;

/// What an alarm is about.
#[derive(Clone, Debug, PartialEq, Eq)]
struct About {
    pattern: String,
    institution: Option<InstitutionId>,
    atm: Option<AtmId>,
    device: Option<DeviceId>,
}

impl About {
    /// Nothing if the notice is of no alarm.
    fn of(notice: &Notice) -> Option<Self> {
        let Happening::Alarm { institution, atm, device, pattern, .. } = notice.what.clone() else { return None };
        Some(Self { pattern, institution, atm, device })
    }
}

/// Alarms that wait, and those that were told lately.
#[derive(Debug)]
pub(super) struct SharedAlarms {
    wait: Duration,
    waiting: VecDeque<(Timestamp, Notice)>,
    told: VecDeque<(About, Timestamp)>,
}

impl SharedAlarms {
    pub(super) fn of_replica(id: ReplicaId) -> Self {
        let wait = WAIT.saturating_mul(u32::from(id.0.min(LAST_TO_WAIT)) + 1);
        Self { wait, waiting: VecDeque::new(), told: VecDeque::new() }
    }

    /// A pattern stands out in what was heard.
    pub(super) fn raised(&mut self, alarm: Notice, now: Timestamp) {
        #[cfg(feature = "planted")]
        if is(Bug::SharedAlarmForgotten) {
            return;
        }
        if self.waiting.len() < MOST && !self.is_told(&alarm) {
            self.waiting.push_back((now.after(self.wait), alarm));
        }
    }

    /// The ledger has an alarm, told by whatever replica.
    pub(super) fn heard(&mut self, notice: &Notice) {
        #[cfg(feature = "planted")]
        if is(Bug::AlarmToldByAll) {
            return;
        }
        let Some(about) = About::of(notice) else { return };
        self.told.push_back((about, notice.at));
        while self.told.len() > MOST {
            self.told.pop_front();
        }
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = waiting.into_iter().filter(|(_, alarm)| !self.is_told(alarm)).collect();
    }

    /// Those that nobody has told in time.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<Notice> {
        let (due, waiting): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(at, _)| *at <= now);
        self.waiting = waiting;
        due.into_iter().map(|(_, alarm)| alarm).collect()
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn is_told(&self, alarm: &Notice) -> bool {
        let (about, at) = (About::of(alarm), alarm.at.unix_ms());
        let is_it = |(told, when): &(About, Timestamp)| {
            Some(told) == about.as_ref() && when.unix_ms().abs_diff(at) < SAME_WITHIN_MS
        };
        self.told.iter().any(is_it)
    }
}

#[cfg(test)]
mod tests {
    use cashgate_policy::patterns::Pattern;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_ms(1_790_000_000_000 + seconds * 1_000)
    }

    fn alarm(seconds: u64, atm: &str) -> Notice {
        let (pattern, atm) = (Pattern::AtmHour.name().to_owned(), atm.parse().ok());
        let what = Happening::Alarm { institution: None, atm, device: None, pattern, detail: String::new() };
        Notice { at: at(seconds), what }
    }

    /// As another replica told it, which saw something else of it.
    fn told(mut alarm: Notice) -> Notice {
        if let Happening::Alarm { detail, .. } = &mut alarm.what {
            "seen elsewhere".clone_into(detail);
        }
        alarm
    }

    #[test]
    fn one_replica_tells_and_the_others_hear_of_it() {
        let mut replicas = [0, 1, 2].map(|id| SharedAlarms::of_replica(ReplicaId(id)));
        for replica in &mut replicas {
            replica.raised(alarm(0, "A1"), at(0));
            assert_eq!(replica.due(at(0)), []);
        }
        let [first, second, third] = &mut replicas;
        assert_eq!(first.due(at(1)), [alarm(0, "A1")]);
        assert_eq!((second.due(at(1)), third.due(at(1))), (vec![], vec![]));
        second.heard(&told(alarm(0, "A1")));
        assert_eq!(second.due(at(60)), []);
        // The first died before its word was durable.
        assert_eq!(third.due(at(60)), [alarm(0, "A1")]);
    }

    #[test]
    fn what_was_told_already_does_not_wait_and_another_one_does() {
        let mut shared = SharedAlarms::of_replica(ReplicaId(0));
        shared.heard(&told(alarm(0, "A1")));
        shared.raised(alarm(2, "A1"), at(2));
        shared.raised(alarm(2, "A2"), at(2));
        shared.raised(alarm(3_601, "A1"), at(3_601));
        assert_eq!(shared.due(at(9_999)), [alarm(2, "A2"), alarm(3_601, "A1")]);
        (0..1_000).for_each(|second| shared.heard(&told(alarm(second, "A9"))));
        assert_eq!(shared.told.len(), MOST);
    }
}
