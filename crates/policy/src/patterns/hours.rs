//! How often something happened: in the past hour exactly, and in each hour of the past five weeks.

use std::collections::VecDeque;

pub(super) const HOUR_S: u32 = 3_600;
pub(super) const DAY_S: u32 = 24 * HOUR_S;
pub(super) const WEEK_S: u32 = 7 * DAY_S;

/// The moments of the past hour, the latest last.
#[derive(Default)]
pub(super) struct PastHour {
    at_s: VecDeque<u32>,
}

impl PastHour {
    /// More are not told apart.
    const MAX: usize = 4_096;

    pub(super) fn count(&self, now_s: u32) -> u32 {
        let recent = self.at_s.iter().rev().take_while(|at_s| now_s.saturating_sub(**at_s) < HOUR_S);
        u32::try_from(recent.count()).unwrap_or(u32::MAX)
    }

    pub(super) fn add(&mut self, now_s: u32) {
        let latest_s = self.at_s.back().map_or(now_s, |at_s| now_s.max(*at_s));
        if latest_s.saturating_sub(now_s) >= HOUR_S {
            return;
        }
        while self.at_s.len() >= Self::MAX
            || self.at_s.front().is_some_and(|at_s| latest_s.saturating_sub(*at_s) >= HOUR_S)
        {
            self.at_s.pop_front();
        }
        // Nearly always the end: what another machine decided may be heard of late.
        let place = self.at_s.partition_point(|at_s| *at_s <= now_s);
        self.at_s.insert(place, now_s);
    }

    pub(super) fn is_worth_keeping(&self, now_s: u32) -> bool {
        self.count(now_s) > 0
    }
}

/// Counts by hour: this hour, and the five weeks before it.
pub(super) struct Hours {
    /// A ring; the hour `h` since 1970 stands at `h % HOURS`.
    counts: Vec<u16>,
    /// The latest hour that was counted.
    latest: u32,
}

impl Hours {
    const HOURS: u32 = 5 * 7 * 24 + 2;
    const PAST_WEEKS: u32 = 4;

    pub(super) fn new() -> Self {
        Self { counts: vec![0; Self::HOURS as usize], latest: 0 }
    }

    pub(super) fn add(&mut self, now_s: u32) {
        let hour = now_s / HOUR_S;
        let passed = hour.saturating_sub(self.latest).min(Self::HOURS);
        for past in 0..passed {
            if let Some(count) = self.counts.get_mut((hour.saturating_sub(past) % Self::HOURS) as usize) {
                *count = 0;
            }
        }
        self.latest = self.latest.max(hour);
        if self.latest.saturating_sub(hour) >= Self::HOURS {
            return;
        }
        if let Some(count) = self.counts.get_mut((hour % Self::HOURS) as usize) {
            *count = count.saturating_add(1);
        }
    }

    fn in_hour(&self, hour: u32) -> u32 {
        let known = hour <= self.latest && self.latest - hour < Self::HOURS;
        let count = self.counts.get((hour % Self::HOURS) as usize).filter(|_| known);
        count.map_or(0, |count| u32::from(*count))
    }

    /// In the hours that lie wholly or partly within the `window_s` before `now_s`.
    pub(super) fn within(&self, now_s: u32, window_s: u32) -> u32 {
        let first = now_s.saturating_sub(window_s) / HOUR_S + 1;
        (first..=now_s / HOUR_S).map(|hour| self.in_hour(hour)).sum()
    }

    /// In the hour before `now_s`, if its two clock hours were evenly filled; in thousandths.
    fn in_hour_before_milli(&self, now_s: u32) -> u32 {
        let (hour, into_s) = (now_s / HOUR_S, now_s % HOUR_S);
        let seconds = self.in_hour(hour.saturating_sub(1)) * (HOUR_S - into_s) + self.in_hour(hour) * into_s;
        seconds / 18 * 5
    }

    /// The mean of the same hour of the same weekday over the past four weeks, in thousandths. A week without records counts as none.
    pub(super) fn usual_in_this_hour_milli(&self, now_s: u32) -> u32 {
        let weeks = 1..=Self::PAST_WEEKS;
        let sum: u32 = weeks.map(|week| self.in_hour_before_milli(now_s.saturating_sub(week * WEEK_S))).sum();
        sum / Self::PAST_WEEKS
    }

    /// The mean of the windows of this length in the 28 days before this window, in thousandths.
    pub(super) fn usual_within_milli(&self, now_s: u32, window_s: u32) -> u32 {
        let past_s = Self::PAST_WEEKS * WEEK_S;
        let sum = u64::from(self.within(now_s.saturating_sub(window_s), past_s));
        u32::try_from(sum * 1_000 * u64::from(window_s) / u64::from(past_s)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Monday, on the hour.
    const START_S: u32 = 1_590_969_600;

    #[test]
    fn the_past_hour_is_sixty_minutes_long() {
        let mut hour = PastHour::default();
        for at_s in [0, 1_800, 3_599] {
            hour.add(START_S + at_s);
        }
        for (now_s, expected) in [(3_599, 3), (3_600, 2), (5_399, 2), (5_400, 1), (7_199, 0), (0, 3)] {
            assert_eq!(hour.count(START_S + now_s), expected, "{now_s}");
        }
        (0..5_000).for_each(|_| hour.add(START_S + 3_600));
        assert_eq!(hour.count(START_S + 3_600), 4_096);
    }

    #[test]
    fn what_is_heard_of_late_counts_for_when_it_was() {
        let mut hour = PastHour::default();
        for at_s in [7_000, 7_100, 3_000, 7_050, 4_000] {
            hour.add(START_S + at_s);
        }
        assert_eq!(hour.count(START_S + 7_100), 4, "the one of 3,000 was over already");
        assert_eq!(hour.count(START_S + 7_600), 3);
        let mut hours = Hours::new();
        hours.add(START_S + 6 * WEEK_S);
        hours.add(START_S);
        assert_eq!(hours.within(START_S + 6 * WEEK_S + HOUR_S, DAY_S), 1, "it is not taken for one of today");
    }

    #[test]
    fn the_usual_is_the_mean_of_four_weeks() {
        let mut hours = Hours::new();
        for week in 0..4 {
            (0..8).for_each(|_| hours.add(START_S + week * WEEK_S));
        }
        let now_s = START_S + 4 * WEEK_S;
        assert_eq!(hours.usual_in_this_hour_milli(now_s + HOUR_S), 8_000);
        assert_eq!(hours.usual_in_this_hour_milli(now_s + HOUR_S / 2), 4_000, "half of that hour is in it");
        assert_eq!(hours.usual_in_this_hour_milli(now_s + 3 * HOUR_S), 0);
        assert_eq!(hours.usual_in_this_hour_milli(now_s + HOUR_S + WEEK_S), 6_000, "the first week is over");
        assert_eq!(hours.usual_within_milli(now_s + HOUR_S, DAY_S), 32_000 / 28, "32 in the 28 days before");
    }

    #[test]
    fn what_lies_within_a_window_is_counted_once() {
        let mut hours = Hours::new();
        for hour in 0..48 {
            hours.add(START_S + hour * HOUR_S);
        }
        let now_s = START_S + 47 * HOUR_S;
        assert_eq!(hours.within(now_s, DAY_S), 24);
        assert_eq!(hours.within(now_s, WEEK_S), 48);
        assert_eq!(hours.within(now_s + 5 * WEEK_S, WEEK_S), 0);
        // What is overwritten five weeks later does not come back.
        hours.add(now_s + 6 * WEEK_S);
        assert_eq!(hours.within(now_s + 6 * WEEK_S, 5 * WEEK_S), 1);
    }
}
