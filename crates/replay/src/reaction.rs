//! The people who react: an analyst to an alarm, a victim to a notice.
//!
//! A control that only rings must be judged by what somebody then does. Here an analyst works from 9 to 17 on working days, and some working hours
//! after an alarm lets young phones at that institution draw no more than a sum a day and account, for some days, until the pattern was looked at. A false alarm
//! is reacted to like a true one, and honest customers pay for both.

use std::collections::HashMap;
use std::time::Duration;

use cashgate_withdrawal::time::Timestamp;

use crate::attempt::{AccountNo, Attempt, InstitutionNo};
use crate::bank::Alarm;
use crate::calendar::{self, Day};
use crate::chance::Chance;

/// The word for refusals that come from the analyst's stop.
pub const ANALYST_STOP: &str = "analyst_stop";
/// The word for refusals of a phone that the account's holder reported.
pub const REPORTED: &str = "reported_by_victim";

/// What becomes of the notice that an institution sends to a customer's old contact when a phone is bound to the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alerts {
    /// Of 1,000 victims, those who read it and call the bank, which then stops the phone.
    pub reports_per_mille: u16,
}

impl Alerts {
    /// Half of the victims never react: the contact is old, the notice is not read, or not believed.
    pub const ASSUMED: Self = Self { reports_per_mille: 500 };

    /// How long after the activation the bank stops the phone; none if the victim does not react. Between 1 and 48 hours.
    pub(crate) fn reported_after(self, chance: &mut Chance) -> Option<Duration> {
        let reports = chance.per_mille(u64::from(self.reports_per_mille));
        let (from, to) = chance.weighted(&[(300, (1, 4)), (400, (4, 12)), (300, (12, 48))], (12, 48));
        reports.then(|| Duration::from_secs(60 * chance.between(from * 60, to * 60)))
    }
}

/// What the analyst does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaction {
    /// Working hours from an alarm to the stop.
    pub working_hours: u64,
    /// Stops phones that were bound less than this ago,
    pub device_age_below: Duration,
    /// when an account would have drawn more than this with them on a calendar day, in yen. By the day, because thieves learn to ask for less at a time;
    pub day_max_yen: u64,
    /// for this long. A later alarm prolongs it.
    pub lasts: Duration,
}

impl Reaction {
    /// 4 working hours; phones younger than a week; 30,000 yen a day; three days.
    pub const ASSUMED: Self = Self {
        working_hours: 4,
        device_age_below: Duration::from_hours(7 * 24),
        day_max_yen: 30_000,
        lasts: Duration::from_hours(72),
    };
}

/// An analyst at work.
#[derive(Debug)]
pub(crate) struct Analyst {
    reaction: Option<Reaction>,
    stops: Vec<Stop>,
    /// What accounts drew with young phones on the last day that they drew.
    drawn: HashMap<AccountNo, (Day, u64)>,
}

#[derive(Debug)]
struct Stop {
    institution: InstitutionNo,
    from: Timestamp,
    until: Timestamp,
}

impl Analyst {
    /// Without a reaction there is nobody.
    pub(crate) fn new(reaction: Option<Reaction>) -> Self {
        Self { reaction, stops: Vec::new(), drawn: HashMap::new() }
    }

    pub(crate) fn hears(&mut self, alarm: &Alarm) {
        // About one phone its holder is called. Nobody stops the others for that.
        let Some(reaction) = self.reaction.filter(|_| !alarm.is_of_phone) else { return };
        let from = calendar::after_working_hours(alarm.at, reaction.working_hours);
        let until = from.after(reaction.lasts);
        match self.stops.iter_mut().find(|stop| stop.institution == alarm.institution && stop.until >= from) {
            Some(stop) => stop.until = until,
            None => self.stops.push(Stop { institution: alarm.institution, from, until }),
        }
    }

    pub(crate) fn stops(&self, attempt: &Attempt) -> bool {
        self.reaction.is_some_and(|reaction| {
            attempt.device.age(attempt.now) < reaction.device_age_below
                && self.drawn_today(attempt) + attempt.amount.minor_units() > reaction.day_max_yen
                && self.stops.iter().any(|stop| stop.holds(attempt.institution, attempt.now))
        })
    }

    /// The attempt was paid.
    pub(crate) fn paid(&mut self, attempt: &Attempt) {
        if self.reaction.is_some_and(|reaction| attempt.device.age(attempt.now) < reaction.device_age_below) {
            let drawn = self.drawn_today(attempt) + attempt.amount.minor_units();
            self.drawn.insert(attempt.account, (Day::of(attempt.now), drawn));
        }
    }

    fn drawn_today(&self, attempt: &Attempt) -> u64 {
        let today = Day::of(attempt.now);
        self.drawn.get(&attempt.account).filter(|(day, _)| *day == today).map_or(0, |(_, yen)| *yen)
    }
}

impl Stop {
    fn holds(&self, institution: InstitutionNo, now: Timestamp) -> bool {
        self.institution == institution && self.from <= now && now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain::tests::attempt;

    fn alarm(at: Timestamp) -> Alarm {
        Alarm {
            at,
            institution: InstitutionNo(0),
            atm: None,
            is_of_phone: false,
            pattern: "p".to_owned(),
            window: Duration::from_hours(1),
        }
    }

    #[test]
    fn the_stop_begins_after_work_was_done_and_ends() {
        let mut analyst = Analyst::new(Some(Reaction::ASSUMED));
        // Saturday evening: heard of on Monday at 9, stopped at 13, for 72 hours.
        analyst.hears(&alarm(Day(5).at(20, 0)));
        let asked = |day: i32, hour| {
            let now = Day(day).at(hour, 0);
            let young = attempt(now, 24, 200_000);
            analyst.stops(&young)
        };
        let table = [(6, 12, false), (7, 12, false), (7, 13, true), (10, 12, true), (10, 13, false)];
        for (day, hour, stopped) in table {
            assert_eq!(asked(day, hour), stopped, "day {day}, {hour} o'clock");
        }
    }

    #[test]
    fn only_large_days_on_young_phones_at_that_bank_are_stopped() {
        let mut analyst = Analyst::new(Some(Reaction::ASSUMED));
        analyst.hears(&alarm(Day(0).at(9, 0)));
        let now = Day(1).at(9, 0);
        let other_bank = Attempt { institution: InstitutionNo(1), ..attempt(now, 24, 200_000) };
        let table = [
            (attempt(now, 24, 40_000), true),
            (attempt(now, 24, 30_000), false),
            (attempt(now, 7 * 24 - 1, 40_000), true),
            (attempt(now, 7 * 24, 40_000), false),
            (other_bank, false),
        ];
        for (attempt, stopped) in table {
            assert_eq!(analyst.stops(&attempt), stopped, "{attempt:?}");
        }
        let mut nobody = Analyst::new(None);
        nobody.hears(&alarm(Day(0).at(9, 0)));
        assert!(!nobody.stops(&attempt(now, 24, 200_000)));
    }

    #[test]
    fn small_amounts_add_up_until_the_day_ends() {
        let mut analyst = Analyst::new(Some(Reaction::ASSUMED));
        analyst.hears(&alarm(Day(0).at(9, 0)));
        for (day, hour, yen, stopped) in [
            (1, 9, 20_000, false),
            (1, 10, 20_000, true),
            (1, 11, 10_000, false),
            (1, 12, 10_000, true),
            (2, 0, 30_000, false),
        ] {
            let attempt = attempt(Day(day).at(hour, 0), 30, yen);
            assert_eq!(analyst.stops(&attempt), stopped, "day {day}, {hour} o'clock");
            if !stopped {
                analyst.paid(&attempt);
            }
        }
    }

    #[test]
    fn half_of_the_victims_report_within_two_days() {
        let chance = &mut Chance::of(1, crate::chance::Purpose::Victim, 0, 0);
        let reports: Vec<_> = (0..2_000).filter_map(|_| Alerts::ASSUMED.reported_after(chance)).collect();
        assert!((940..1_060).contains(&reports.len()), "{}", reports.len());
        assert!(reports.iter().all(|after| (1..=48).contains(&(after.as_secs() / 3_600))));
        assert!(Alerts { reports_per_mille: 0 }.reported_after(chance).is_none());
    }

    #[test]
    fn a_later_alarm_prolongs_the_stop() {
        let mut analyst = Analyst::new(Some(Reaction::ASSUMED));
        analyst.hears(&alarm(Day(0).at(9, 0)));
        analyst.hears(&alarm(Day(2).at(9, 0)));
        assert!(analyst.stops(&attempt(Day(5).at(12, 0), 24, 200_000)));
        assert!(!analyst.stops(&attempt(Day(5).at(13, 0), 24, 200_000)));
        assert_eq!(analyst.stops.len(), 1);
    }
}
