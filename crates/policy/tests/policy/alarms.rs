//! When a pattern becomes an alarm, and how often it does so for no reason.
#![allow(clippy::unwrap_used, reason = "a test may stop loudly, in its helper functions too")]

use std::time::Duration;

use cashgate_policy::patterns::{Alarm, Attempt, Pattern, Patterns};
use cashgate_withdrawal::ids::InstitutionId;
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::time::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const START_S: u64 = 1_590_969_600;

#[test]
fn four_new_phones_at_one_machine_are_an_alarm_once_an_hour() {
    let mut bank = Bank::default();
    let told = |bank: &mut Bank, minutes: &[u64]| -> Vec<usize> {
        minutes.iter().map(|minute| count(&bank.new_phone_draws("atm", minute * MINUTE), Pattern::AtmHour)).collect()
    };
    assert_eq!(told(&mut bank, &[0, 10, 20, 30, 40, 50]), [0, 0, 0, 1, 0, 0]);
    assert_eq!(told(&mut bank, &[89, 90]), [0, 1], "an hour later it is told again");
    assert_eq!(told(&mut bank, &[300, 310, 320]), [0, 0, 0]);
}

#[test]
fn a_burst_at_the_institution_is_measured_against_its_own_past() {
    let first_alarm = |usual: u64| {
        let mut bank = Bank::default();
        for week in 0..4 {
            (0..usual).for_each(|second| _ = bank.new_phone_draws("atm", week * 7 * DAY + HOUR + second));
        }
        let start = 28 * DAY + 2 * HOUR;
        (1..100_u64).find(|number| {
            let raised = bank.new_phone_draws(&format!("atm-{number}"), start - 100 + number);
            count(&raised, Pattern::InstitutionHour) > 0
        })
    };
    for (usual, expected) in [(0, 8), (1, 8), (2, 12), (5, 30)] {
        let first = first_alarm(usual).unwrap();
        assert!((expected - 1..=expected).contains(&first), "usual {usual}: {first}, not {expected}");
    }
}

#[test]
fn a_phone_is_strange_far_above_the_habit_and_only_while_it_is_young() {
    let strange = |habit: u64, yen: u64, age_s: u64| {
        let mut bank = Bank::default();
        if habit > 0 {
            (0..3).for_each(|_| _ = bank.asks("account", "old-phone", habit, 365 * DAY, 0));
        }
        // Three others are strange already, so the fourth is an alarm.
        for other in ["x", "y", "z"] {
            bank.asks(other, other, 200_000, DAY, 0);
        }
        count(&bank.asks("account", "phone", yen, age_s, HOUR), Pattern::StrangeDevicesDay) > 0
    };
    for (habit, yen, age_s, expected) in [
        (0, 100_000, 0, true),
        (0, 99_999, 0, false),
        (40_000, 120_000, DAY, true),
        (40_000, 119_999, DAY, false),
        (40_000, 120_000, 30 * DAY - 1, true),
        (40_000, 120_000, 30 * DAY, false),
    ] {
        assert_eq!(strange(habit, yen, age_s), expected, "{habit} {yen} {age_s}");
    }
}

#[test]
fn small_amounts_add_up_and_retries_do_not() {
    let mut bank = Bank::default();
    for other in ["x", "y", "z"] {
        bank.asks(other, other, 200_000, DAY, 0);
    }
    // Refused again and again: he asked for 50,000, not for 250,000.
    let retries: usize =
        (0..5).map(|_| count(&bank.asks("a", "1", 50_000, DAY, HOUR), Pattern::StrangeDevicesDay)).sum();
    assert_eq!(retries, 0);
    bank.draws("a", "1", 30_000, DAY, HOUR);
    bank.draws("a", "1", 30_000, DAY, 2 * HOUR);
    assert_eq!(count(&bank.asks("a", "1", 40_000, DAY, 3 * HOUR), Pattern::StrangeDevicesDay), 1);
}

#[test]
fn a_phone_with_many_accounts_is_strange_whatever_it_asks_for() {
    let mut bank = Bank::default();
    for other in ["x", "y", "z"] {
        bank.asks(other, other, 200_000, DAY, 0);
    }
    let told: Vec<usize> = ["a", "b", "c", "d"]
        .iter()
        .map(|account| count(&bank.asks(account, "1", 10_000, DAY, HOUR), Pattern::StrangeDevicesDay))
        .collect();
    assert_eq!(told, [0, 0, 0, 1]);
}

#[test]
fn one_phone_that_asks_for_very_much_is_told_once() {
    let mut bank = Bank::default();
    assert!(bank.asks("a", "1", 299_999, DAY, 0).is_empty());
    let alarms = bank.asks("a", "1", 300_000, DAY, 0);
    assert_eq!(alarms.len(), 1);
    assert_eq!((alarms[0].pattern, alarms[0].found, alarms[0].usual_milli), (Pattern::DeviceSum, 300_000, 0));
    assert_eq!(alarms[0].device.as_ref().unwrap().as_str(), "1");
    assert!(bank.asks("a", "1", 500_000, DAY, 2 * HOUR).is_empty());
}

/// Who takes much and often is no thief: the sum counts only with an amount that the account does not know.
#[test]
fn a_large_habit_is_no_alarm() {
    for (habit, expected) in [(0, 1), (49_999, 1), (50_000, 1), (50_001, 0), (100_000, 0)] {
        let mut bank = Bank::default();
        if habit > 0 {
            (0..3).for_each(|_| _ = bank.draws("a", "old-phone", habit, 365 * DAY, 0));
        }
        let told = [0, DAY].map(|after_s| count(&bank.draws("a", "1", 150_000, 5 * DAY, after_s), Pattern::DeviceSum));
        assert_eq!(told, [0, expected], "habit {habit}");
    }
}

#[test]
fn the_fourth_ask_after_three_in_vain_is_an_alarm_once() {
    let told = |asks: &[(u64, u64, bool)]| -> Vec<usize> {
        let mut bank = Bank::default();
        (0..3).for_each(|_| _ = bank.draws("a", "old-phone", 30_000, 365 * DAY, 0));
        let ask = |&(yen, after_s, is_paid): &(u64, u64, bool)| {
            let alarms = bank.visit(["a", "1", "atm"], yen, 5 * DAY, after_s, is_paid);
            count(&alarms, Pattern::DeviceRefused)
        };
        asks.iter().map(ask).collect()
    };
    let refused = |yen, after_s| (yen, after_s, false);
    assert_eq!(told(&[200_000, 100_000, 50_000, 200_000, 100_000].map(|yen| refused(yen, HOUR))), [0, 0, 0, 1, 0]);
    assert_eq!(told(&[refused(50_000, HOUR); 3]), [0; 3]);
    assert_eq!(told(&[refused(39_999, HOUR); 9]), [0; 9], "too little to matter");
    let (first, later) = (refused(50_000, HOUR), refused(50_000, 25 * HOUR));
    assert_eq!(
        told(&[first, first, first, later, later, later, later]),
        [0, 0, 0, 0, 0, 0, 1],
        "counted anew after a day"
    );
    let paid = (50_000, HOUR, true);
    assert_eq!(told(&[first, first, paid, paid, paid, paid]), [0; 6], "what is paid was not in vain");
}

/// As the police counted: 5 cases in June, then 27 in July. Here all at one bank, evenly spread, each asking for 120,000 yen at first.
#[test]
fn a_slow_wave_is_noticed_by_its_week() {
    let mut bank = Bank::default();
    let mut first = None;
    for case in 0..32_u64 {
        let after_s = if case < 5 { case * 6 * DAY } else { 30 * DAY + (case - 5) * DAY };
        let name = format!("victim-{case}");
        let alarms = bank.asks(&name, &name, 120_000, DAY, after_s);
        if alarms.iter().any(|alarm| alarm.pattern.is_of_institution()) {
            first = first.or(Some(case + 1));
        }
    }
    assert_eq!(first, Some(9), "June alone is one a week, which honest customers are as well");
}

#[test]
fn rules_stay_strict_for_seven_days_after_an_institutions_alarm() {
    let mut bank = Bank::default();
    for name in ["w", "x", "y", "z"] {
        bank.asks(name, name, 200_000, DAY, 0);
    }
    let alarmed = |institution: &str, after_s| bank.alarmed(institution, after_s);
    assert!(alarmed("bank-a", 0) && alarmed("bank-a", 7 * DAY - 1));
    assert!(!alarmed("bank-a", 7 * DAY) && !alarmed("bank-b", 0));
    let mut single = Bank::default();
    assert_eq!(single.asks("a", "1", 500_000, DAY, 0).len(), 1);
    assert!(!single.alarmed("bank-a", 0), "one phone is no pattern of the bank");
}

#[test]
fn an_alarm_prints_its_figures_and_nobodys_name() {
    let mut bank = Bank::default();
    let text: Vec<String> = ["secret-1", "secret-2", "secret-3", "secret-4"]
        .iter()
        .flat_map(|name| bank.asks(name, name, 300_000, DAY, 0))
        .map(|alarm| alarm.to_string())
        .collect();
    let device = "device_sum: 300000 at bank-a in 168 h, usual 0.000";
    assert_eq!(
        text,
        [
            device,
            device,
            device,
            device,
            "strange_devices_day: 4 at bank-a in 24 h, usual 0.000",
            "strange_devices_week: 4 at bank-a in 168 h, usual 0.000"
        ]
    );
}

/// A bank of 200,000 honest customers over ten years: half a strange device a day, and new phones as the hours of the day have them.
#[test]
fn an_honest_bank_is_left_in_peace() {
    let mut dice = Dice(20_200_601);
    let mut bank = Bank::default();
    let (mut told, mut names) = ([0_u64; Pattern::ALL.len()], 0_u64);
    let months = 120;
    for hour in 0..(months + 1) * 30 * 24 {
        let is_day = (7..23).contains(&(hour % 24));
        // In thousandths: three withdrawals by new phones an hour in the day, and strange devices at 1/32 an hour, half a one a day.
        for (per_hour_milli, yen) in
            [(if is_day { 3_000 } else { 300 }, 20_000), (if is_day { 31 } else { 0 }, 110_000)]
        {
            for second in dice.moments(per_hour_milli) {
                names += 1;
                let name = names.to_string();
                let alarms = bank.draws(&name, &name, yen, DAY, hour * HOUR + second);
                // The first month has no past.
                for alarm in alarms.iter().filter(|_| hour > 30 * 24) {
                    told[Pattern::ALL.iter().position(|one| *one == alarm.pattern).unwrap()] += 1;
                }
            }
        }
        bank.patterns.forget_older(at(hour * HOUR));
    }
    println!("false alarms in {months} months: {:?}", Pattern::ALL.iter().zip(told).collect::<Vec<_>>());
    assert!(told.iter().sum::<u64>() <= months, "{told:?}: more than one a month");
}

/// A multiplicative generator: enough for moments within an hour.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    /// The seconds of an hour in which something happens that happens so often; in order.
    fn moments(&mut self, per_hour_milli: u64) -> Vec<u64> {
        (0..3_600).step_by(10).filter(|_| self.roll(360_000) < per_hour_milli).collect()
    }
}

#[derive(Default)]
struct Bank {
    patterns: Patterns,
    phones: u64,
}

impl Bank {
    /// An attempt that is refused.
    fn asks(&mut self, account: &str, device: &str, yen: u64, age_s: u64, after_s: u64) -> Vec<Alarm> {
        self.visit([account, device, "atm"], yen, age_s, after_s, age_s >= 30 * DAY)
    }

    /// A withdrawal.
    fn draws(&mut self, account: &str, device: &str, yen: u64, age_s: u64, after_s: u64) -> Vec<Alarm> {
        let atm = format!("atm-of-{account}");
        self.visit([account, device, &atm], yen, age_s, after_s, true)
    }

    /// A withdrawal by a phone that was never seen before, of an amount that nobody minds.
    fn new_phone_draws(&mut self, atm: &str, after_s: u64) -> Vec<Alarm> {
        self.phones += 1;
        let name = self.phones.to_string();
        self.visit([&name, &name, atm], 10_000, DAY, after_s, true)
    }

    fn visit(&mut self, names: [&str; 3], yen: u64, age_s: u64, after_s: u64, is_paid: bool) -> Vec<Alarm> {
        let [account, device, atm] = names;
        let attempt = Attempt {
            institution: &bank("bank-a"),
            account: &account.parse().unwrap(),
            device: &device.parse().unwrap(),
            atm: &atm.parse().unwrap(),
            place: None,
            amount: Money::from_minor_units(yen, Currency::JPY).unwrap(),
            device_age: Duration::from_secs(age_s),
            is_new_device: age_s < 72 * HOUR,
            now: at(after_s),
        };
        self.patterns.attempted(&attempt);
        if is_paid {
            self.patterns.withdrew(&attempt);
        }
        self.patterns.alarms()
    }

    fn alarmed(&self, institution: &str, after_s: u64) -> bool {
        let attempt = Attempt {
            institution: &bank(institution),
            account: &"somebody".parse().unwrap(),
            device: &"else".parse().unwrap(),
            atm: &"atm".parse().unwrap(),
            place: None,
            amount: Money::zero(Currency::JPY),
            device_age: Duration::ZERO,
            is_new_device: false,
            now: at(after_s),
        };
        self.patterns.gathered(&attempt).institution_alarmed_7d
    }
}

fn count(alarms: &[Alarm], pattern: Pattern) -> usize {
    alarms.iter().filter(|alarm| alarm.pattern == pattern).count()
}

fn bank(name: &str) -> InstitutionId {
    name.parse().unwrap()
}

fn at(after_s: u64) -> Timestamp {
    Timestamp::from_unix_ms((START_S + after_s) * 1_000)
}
