//! What is remembered of an account: its habit, where it was last, and how often it drew.

use super::place::Place;

const DAY_S: u32 = 86_400;

/// 28 bytes an account.
#[derive(Clone, Debug)]
pub(super) struct Account {
    /// The habit, in minor units.
    usual: u32,
    /// When the last withdrawal was approved; 0 if there was none.
    last_s: u32,
    /// `i32::MIN` stands for a machine without a place.
    last_latitude_e7: i32,
    last_longitude_e7: i32,
    /// Withdrawals by half months of 15 days, the latest first.
    half_months: [u8; 6],
    /// Which half month the first of them is, since 1970.
    half_month: u16,
    /// How many withdrawals the habit has seen, up to 255.
    learned: u8,
}

impl Account {
    const HALF_MONTH_S: u32 = 15 * DAY_S;
    /// So many withdrawals set the habit to the largest of them; later ones move it.
    const FIRST_STEPS: u8 = 3;

    pub(super) const fn new() -> Self {
        Self {
            usual: 0,
            last_s: 0,
            last_latitude_e7: i32::MIN,
            last_longitude_e7: 0,
            half_months: [0; 6],
            half_month: 0,
            learned: 0,
        }
    }

    /// The habit, in minor units; 0 without a history.
    pub(super) const fn usual(&self) -> u64 {
        self.usual as u64
    }

    /// Withdrawals in the past 75 to 90 days.
    pub(super) fn withdrawals(&self, now_s: u32) -> u32 {
        let passed = self.passed(now_s);
        self.half_months.iter().take(self.half_months.len().saturating_sub(passed)).map(|count| u32::from(*count)).sum()
    }

    /// When the last withdrawal was, and where.
    pub(super) fn last(&self) -> Option<(u32, Option<Place>)> {
        let place = Place { latitude_e7: self.last_latitude_e7, longitude_e7: self.last_longitude_e7 };
        (self.last_s > 0).then_some((self.last_s, Some(place).filter(|place| place.latitude_e7 != i32::MIN)))
    }

    /// Counts a withdrawal. `teaches` says whether it belongs to the habit.
    pub(super) fn withdrew(&mut self, now_s: u32, minor_units: u64, place: Option<Place>, teaches: bool) {
        let passed = self.passed(now_s).min(self.half_months.len());
        self.half_months.rotate_right(passed);
        self.half_months.iter_mut().take(passed).for_each(|count| *count = 0);
        self.half_month = self.half_month.max(half_month(now_s));
        if let Some(latest) = self.half_months.first_mut() {
            *latest = latest.saturating_add(1);
        }
        // One that is heard of late is not the last.
        if now_s >= self.last_s {
            self.last_s = now_s;
            self.last_latitude_e7 = place.map_or(i32::MIN, |place| place.latitude_e7);
            self.last_longitude_e7 = place.map_or(0, |place| place.longitude_e7);
        }
        if teaches {
            self.learn(u32::try_from(minor_units).unwrap_or(u32::MAX));
        }
    }

    /// An amount above the habit pulls nine times as hard as one below it pushes, so it settles where about nine of ten stay at or
    /// below: the 0.9 expectile. It costs 5 bytes where a list of amounts costs 40, and one large withdrawal moves it by a quarter only.
    fn learn(&mut self, amount: u32) {
        self.usual = if self.learned < Self::FIRST_STEPS {
            self.usual.max(amount)
        } else if amount > self.usual {
            self.usual.saturating_add((amount - self.usual) / 4)
        } else {
            self.usual.saturating_sub((self.usual - amount) / 36)
        };
        self.learned = self.learned.saturating_add(1);
    }

    pub(super) fn is_worth_keeping(&self, now_s: u32) -> bool {
        now_s.saturating_sub(self.last_s) < 90 * DAY_S
    }

    /// Half months since the latest withdrawal's.
    fn passed(&self, now_s: u32) -> usize {
        usize::from(half_month(now_s).saturating_sub(self.half_month))
    }
}

fn half_month(now_s: u32) -> u16 {
    u16::try_from(now_s / Account::HALF_MONTH_S).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_S: u32 = 1_590_969_600; // 2020-06-01T00:00:00Z

    fn account(amounts: &[u64]) -> Account {
        let mut account = Account::new();
        for (amount, day) in amounts.iter().zip(0_u32..) {
            account.withdrew(START_S + day * DAY_S, *amount, None, true);
        }
        account
    }

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Account>(), 28);
    }

    #[test]
    fn the_habit_is_what_nine_of_ten_stay_below() {
        assert_eq!(account(&[]).usual(), 0);
        assert_eq!(account(&[30_000]).usual(), 30_000);
        assert_eq!(account(&[30_000, 10_000, 50_000]).usual(), 50_000, "the first three set it");
        assert_eq!(account(&[30_000, 30_000, 30_000, 200_000]).usual(), 72_500, "one exception moves it by a quarter");
        let nine_and_one: Vec<u64> = [[30_000; 9].as_slice(), &[100_000]].concat().repeat(20);
        assert!((50_000..=75_000).contains(&account(&nine_and_one).usual()), "{}", account(&nine_and_one).usual());
        assert_eq!(account(&[u64::MAX]).usual(), u64::from(u32::MAX));
    }

    #[test]
    fn what_does_not_teach_is_counted_and_not_learned() {
        let mut account = account(&[30_000]);
        account.withdrew(START_S + DAY_S, 200_000, None, false);
        assert_eq!((account.usual(), account.withdrawals(START_S + DAY_S)), (30_000, 2));
    }

    #[test]
    fn one_that_is_heard_of_late_is_not_the_last() {
        let (tokyo, osaka) = (Place { latitude_e7: 1, longitude_e7: 1 }, Place { latitude_e7: 2, longitude_e7: 2 });
        let mut account = Account::new();
        account.withdrew(START_S + 60, 1, Some(tokyo), true);
        account.withdrew(START_S, 1, Some(osaka), true);
        assert_eq!((account.last(), account.withdrawals(START_S)), (Some((START_S + 60, Some(tokyo))), 2));
    }

    #[test]
    fn withdrawals_count_for_75_to_90_days() {
        let account = account(&[1, 1, 1]);
        let day = |day: u32| START_S + day * DAY_S;
        assert_eq!(account.withdrawals(day(2)), 3);
        assert_eq!(account.withdrawals(day(70)), 3);
        assert_eq!(account.withdrawals(day(93)), 0);
        assert_eq!(account.withdrawals(START_S - DAY_S), 3, "a clock set back forgets nothing");
        assert!(account.is_worth_keeping(day(91)) && !account.is_worth_keeping(day(92)));
    }

    #[test]
    fn the_last_place_is_that_of_the_last_withdrawal() {
        let here = Place { latitude_e7: 356_000_000, longitude_e7: 1_397_000_000 };
        let mut account = Account::new();
        assert_eq!(account.last(), None);
        account.withdrew(START_S, 1, Some(here), true);
        assert_eq!(account.last(), Some((START_S, Some(here))));
        account.withdrew(START_S + 60, 1, None, true);
        assert_eq!(account.last(), Some((START_S + 60, None)), "an old place must not pass for the new one");
    }
}
