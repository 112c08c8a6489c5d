//! June and July 2020 in Japan: days, hours, paydays and working hours.
//!
//! Asia/Tokyo has been nine hours ahead of UTC all year since 1951, so a day is 24 hours and no time zone data are needed.

use std::time::Duration;

use cashgate_withdrawal::time::Timestamp;

/// Milliseconds of an hour.
pub const HOUR_MS: u64 = 3_600_000;
/// Milliseconds of a minute.
pub(crate) const MINUTE_MS: u64 = 60_000;
/// Milliseconds of a day.
pub const DAY_MS: u64 = 24 * HOUR_MS;

/// 1 June 2020, 00:00 in Tokyo.
const JUNE_BEGINS_MS: u64 = 1_590_937_200_000;
/// Days from 1 January 1970 to 1 June 2020.
const JUNE_SINCE_1970: i32 = 18_414;

/// Days of June and July together.
pub const DAYS: i32 = 61;

/// Months that the calendar knows, with the day each begins (day 0 is 1 June) and its length.
const MONTHS: [(u8, i32, u8); 4] = [(4, -61, 30), (5, -31, 31), (6, 0, 30), (7, 30, 31)];

/// Public holidays on weekdays. In 2020 two were moved to 23 and 24 July for the Olympic Games.
const HOLIDAYS: [(u8, u8); 6] = [(4, 29), (5, 4), (5, 5), (5, 6), (7, 23), (7, 24)];

/// A calendar day in Tokyo, counted from 1 June 2020; negative before it. Days before 1 April count as in April.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

impl Day {
    /// The day of a moment.
    #[must_use]
    pub fn of(now: Timestamp) -> Self {
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let days = (signed(now.unix_ms()) - signed(JUNE_BEGINS_MS)).div_euclid(signed(DAY_MS));
        Self(i32::try_from(days).unwrap_or(i32::MAX))
    }

    /// Its midnight.
    #[must_use]
    pub fn begins(self) -> Timestamp {
        let days = i64::from(self.0);
        let day_ms = i64::try_from(DAY_MS).unwrap_or(0);
        Timestamp::from_unix_ms(JUNE_BEGINS_MS.saturating_add_signed(days * day_ms))
    }

    /// A moment of this day.
    #[must_use]
    pub fn at(self, hour: u64, minute: u64) -> Timestamp {
        self.begins().after(Duration::from_millis(hour * HOUR_MS + minute * MINUTE_MS))
    }

    /// Days since 1 January 1970, as calendars of the gateway count.
    #[must_use]
    pub const fn since_1970(self) -> i32 {
        JUNE_SINCE_1970 + self.0
    }

    /// Month (4 to 7) and day of the month.
    #[must_use]
    pub fn date(self) -> (u8, u8) {
        let of = |(month, begins, _): &(u8, i32, u8)| (*month, u8::try_from(self.0 - begins + 1).unwrap_or(1));
        MONTHS.iter().rev().find(|(_, begins, _)| *begins <= self.0).map_or((4, 1), of)
    }

    /// 0 is Monday.
    #[must_use]
    pub const fn weekday(self) -> i32 {
        self.0.rem_euclid(7)
    }

    /// Monday to Friday without public holidays.
    #[must_use]
    pub fn is_working_day(self) -> bool {
        self.weekday() < 5 && !HOLIDAYS.contains(&self.date())
    }

    /// The 25th, or the last working day before it: when most salaries in Japan are paid.
    #[must_use]
    pub fn is_payday(self) -> bool {
        let (month, _) = self.date();
        let begins = MONTHS.iter().find(|(known, ..)| *known == month).map_or(0, |(_, begins, _)| *begins);
        let mut payday = Self(begins + 24);
        while !payday.is_working_day() {
            payday = Self(payday.0 - 1);
        }
        self == payday
    }

    /// The last two days of a month.
    #[must_use]
    pub fn is_month_end(self) -> bool {
        let (month, day) = self.date();
        MONTHS.iter().any(|(known, _, length)| *known == month && day + 1 >= *length)
    }

    /// The 15th of an even month: public pensions (15 June 2020 was a Monday).
    #[must_use]
    pub fn is_pension_day(self) -> bool {
        let (month, day) = self.date();
        month % 2 == 0 && day == 15
    }
}

/// The hour of the day in Tokyo, 0 to 23.
#[must_use]
pub fn local_hour(now: Timestamp) -> u8 {
    let into_day = now.since(Day::of(now).begins());
    u8::try_from(into_day.as_secs() / 3_600).unwrap_or(0)
}

/// When so many working hours (9 to 17 on working days) have passed.
#[must_use]
pub fn after_working_hours(from: Timestamp, hours: u64) -> Timestamp {
    let mut left_ms = hours * HOUR_MS;
    let mut day = Day::of(from);
    loop {
        let begins = day.at(9, 0).max(from);
        let ends = day.at(17, 0);
        if day.is_working_day() && begins < ends {
            let here = ends.since(begins).as_millis();
            let here = u64::try_from(here).unwrap_or(u64::MAX);
            if left_ms <= here {
                return begins.after(Duration::from_millis(left_ms));
            }
            left_ms -= here;
        }
        day = Day(day.0 + 1);
    }
}

/// As people write it: `2020-06-01 09:00`, in Tokyo.
#[must_use]
pub fn written(now: Timestamp) -> String {
    let day = Day::of(now);
    let (month, date) = day.date();
    let minutes = now.since(day.begins()).as_secs() / 60;
    format!("2020-{month:02}-{date:02} {:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_2020_are_where_they_were() {
        let table = [
            (Day(-61), (4, 1), 2),
            (Day(-31), (5, 1), 4),
            (Day(-1), (5, 31), 6),
            (Day(0), (6, 1), 0),
            (Day(29), (6, 30), 1),
            (Day(30), (7, 1), 2),
            (Day(60), (7, 31), 4),
        ];
        for (day, date, weekday) in table {
            assert_eq!((day.date(), day.weekday()), (date, weekday), "{day:?}");
            assert_eq!(Day::of(day.begins()), day);
            assert_eq!(Day::of(day.at(23, 59)), day);
        }
        assert_eq!(Day(0).begins().unix_ms(), u64::try_from(Day(0).since_1970()).unwrap() * DAY_MS - 9 * HOUR_MS);
    }

    #[test]
    fn salaries_come_before_weekends_and_holidays() {
        let paydays: Vec<_> = (-61..DAYS).map(Day).filter(|day| day.is_payday()).map(Day::date).collect();
        assert_eq!(paydays, [(4, 24), (5, 25), (6, 25), (7, 22)], "25 July 2020 was a Saturday after two holidays");
        let ends: Vec<_> = (0..DAYS).map(Day).filter(|day| day.is_month_end()).map(Day::date).collect();
        assert_eq!(ends, [(6, 29), (6, 30), (7, 30), (7, 31)]);
        let pensions: Vec<_> = (-61..DAYS).map(Day).filter(|day| day.is_pension_day()).map(Day::date).collect();
        assert_eq!(pensions, [(4, 15), (6, 15)]);
    }

    #[test]
    fn an_analyst_works_when_analysts_work() {
        let table = [
            ("in the morning", Day(0).at(9, 0), Day(0).at(13, 0)),
            ("before work", Day(0).at(3, 0), Day(0).at(13, 0)),
            ("in the afternoon", Day(0).at(15, 0), Day(1).at(11, 0)),
            ("Friday evening", Day(4).at(20, 0), Day(7).at(13, 0)),
            ("before the long weekend of July", Day(51).at(17, 0), Day(56).at(13, 0)),
        ];
        for (name, from, expected) in table {
            assert_eq!(written(after_working_hours(from, 4)), written(expected), "{name}");
        }
    }

    #[test]
    fn hours_are_those_of_tokyo() {
        assert_eq!((local_hour(Day(3).at(0, 0)), local_hour(Day(3).at(23, 59))), (0, 23));
        assert_eq!(written(Day(30).at(7, 5)), "2020-07-01 07:05");
    }
}
