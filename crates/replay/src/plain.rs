//! A plain bank whose answers can be worked out by hand: one simple rule for each control. It serves tests, and shows the tool without the gateway.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::Timestamp;

use crate::attempt::{AccountNo, AtmNo, Attempt, Attestation, DeviceNo, InstitutionNo, Registration};
use crate::bank::{Alarm, Bank, Verdict};
use crate::calendar::Day;
use crate::controls::{Control, Controls};

/// The limits of 2020, in yen.
const WITHDRAWAL_MAX_YEN: u64 = 200_000;
const DAY_MAX_YEN: u64 = 500_000;
/// A new phone draws nothing for 12 hours, and this much a day until 72.
const YOUNG_DAY_MAX_YEN: u64 = 50_000;
const COUNT_A_DAY_MAX: u32 = 3;
const LARGE_YEN: u64 = 100_000;
const FAR_M: u64 = 5_000;
const NEW: Duration = Duration::from_hours(72);
const ALARM_WINDOW: Duration = Duration::from_hours(24);
/// Large withdrawals wanted by new phones of an institution within the window that ring the bell.
const ALARM_AT: usize = 3;

/// What a report calls it.
pub const NAME: &str = "a plain bank with one simple rule for each control, NOT the gateway's limits and policies";

/// The bank.
#[derive(Debug)]
pub struct PlainBank {
    controls: Controls,
    drawn: HashMap<AccountNo, (Day, u64, u32)>,
    accounts: HashMap<DeviceNo, Vec<AccountNo>>,
    failures: HashMap<DeviceNo, u8>,
    at_machines: HashMap<AtmNo, VecDeque<(Timestamp, DeviceNo)>>,
    large: [VecDeque<Timestamp>; 2],
    alarms: Vec<Alarm>,
}

impl PlainBank {
    /// A bank with these controls.
    #[must_use]
    pub fn new(controls: Controls) -> Self {
        Self {
            controls,
            drawn: HashMap::new(),
            accounts: HashMap::new(),
            failures: HashMap::new(),
            at_machines: HashMap::new(),
            large: [VecDeque::new(), VecDeque::new()],
            alarms: Vec::new(),
        }
    }

    fn refusal(&self, attempt: &Attempt) -> Option<&'static str> {
        let (amount, age) = (attempt.amount.minor_units(), attempt.device.age(attempt.now));
        let (yen, count) = self.drawn_today(attempt);
        let day_max = if age < NEW && self.controls.has(Control::DeviceAge) { YOUNG_DAY_MAX_YEN } else { DAY_MAX_YEN };
        let rules = [
            (None, "above_withdrawal_limit", amount > WITHDRAWAL_MAX_YEN),
            (Some(Control::DeviceAge), "new_device_wait", age < Duration::from_hours(12)),
            (None, "account_day", yen + amount > day_max),
            (Some(Control::Counts), "account_count_day", count >= COUNT_A_DAY_MAX),
            (Some(Control::DeviceSharing), "many_accounts", age < NEW && self.accounts_on(attempt) >= 3),
            (Some(Control::FleetPatterns), "machine_burst", age < NEW && self.new_phones_at(attempt) >= 2),
            (Some(Control::Attestation), "attestation_failed", attempt.device.attestation == Attestation::Failed),
            (Some(Control::FailedAttempts), "device_locked", self.failures_of(attempt) >= 5),
        ];
        self.first_of(rules)
    }

    fn step_up(&self, attempt: &Attempt) -> Option<&'static str> {
        let is_young = attempt.device.age(attempt.now) < Duration::from_hours(30 * 24);
        let far = attempt.phone_place.is_some_and(|place| place.distance_m(attempt.atm_place) > FAR_M);
        let is_large = attempt.amount.minor_units() >= LARGE_YEN;
        let rules =
            [(Some(Control::Place), "phone_far", far), (Some(Control::Habit), "large_on_young", is_young && is_large)];
        self.first_of(rules)
    }

    fn first_of<const N: usize>(&self, rules: [(Option<Control>, &'static str, bool); N]) -> Option<&'static str> {
        let is_on = |control: Option<Control>| control.is_none_or(|control| self.controls.has(control));
        rules.into_iter().find(|(control, _, applies)| *applies && is_on(*control)).map(|(_, reason, _)| reason)
    }

    fn drawn_today(&self, attempt: &Attempt) -> (u64, u32) {
        let today = Day::of(attempt.now);
        self.drawn
            .get(&attempt.account)
            .filter(|(day, ..)| *day == today)
            .map_or((0, 0), |(_, yen, count)| (*yen, *count))
    }

    fn accounts_on(&self, attempt: &Attempt) -> usize {
        self.accounts.get(&attempt.device.number).map_or(0, Vec::len)
    }

    fn failures_of(&self, attempt: &Attempt) -> u8 {
        self.failures.get(&attempt.device.number).copied().unwrap_or(0)
    }

    /// Other new phones that were paid at this machine within the hour.
    fn new_phones_at(&self, attempt: &Attempt) -> usize {
        let recent = |(at, device): &&(Timestamp, DeviceNo)| {
            attempt.now.since(*at) < Duration::from_hours(1) && *device != attempt.device.number
        };
        self.at_machines.get(&attempt.atm).map_or(0, |paid| paid.iter().filter(recent).count())
    }

    /// What new phones ask for is watched whether they get it or not.
    fn watch(&mut self, attempt: &Attempt) {
        if attempt.device.age(attempt.now) >= NEW || attempt.amount.minor_units() < LARGE_YEN {
            return;
        }
        let InstitutionNo(number) = attempt.institution;
        let Some(large) = self.large.get_mut(usize::from(number)) else { return };
        large.push_back(attempt.now);
        while large.front().is_some_and(|at| attempt.now.since(*at) > ALARM_WINDOW) {
            large.pop_front();
        }
        if large.len() >= ALARM_AT {
            large.clear();
            let pattern = "large_on_new_24h".to_owned();
            self.alarms.push(Alarm {
                at: attempt.now,
                institution: attempt.institution,
                atm: None,
                is_of_phone: false,
                pattern,
                window: ALARM_WINDOW,
            });
        }
    }
}

impl Bank for PlainBank {
    fn registered_device(&mut self, registration: &Registration) {
        self.accounts.entry(registration.device.number).or_default().push(registration.account);
    }

    fn decide(&mut self, attempt: &Attempt) -> Verdict {
        self.watch(attempt);
        if let Some(reason) = self.refusal(attempt) {
            return Verdict::Refuse { reason: reason.to_owned() };
        }
        self.step_up(attempt).map_or(Verdict::Permit, |reason| Verdict::StepUp { reason: reason.to_owned() })
    }

    fn settled(&mut self, attempt: &Attempt, paid: Money) {
        if paid.is_zero() {
            return;
        }
        let (yen, count) = self.drawn_today(attempt);
        self.drawn.insert(attempt.account, (Day::of(attempt.now), yen + paid.minor_units(), count + 1));
        self.failures.remove(&attempt.device.number);
        if attempt.device.age(attempt.now) < NEW {
            let paid_here = self.at_machines.entry(attempt.atm).or_default();
            paid_here.push_back((attempt.now, attempt.device.number));
            paid_here.retain(|(at, _)| attempt.now.since(*at) < Duration::from_hours(1));
        }
    }

    fn mistyped(&mut self, attempt: &Attempt) {
        let failures = self.failures.entry(attempt.device.number).or_default();
        *failures = failures.saturating_add(1);
    }

    fn advance(&mut self, _now: Timestamp) {}

    fn alarms(&mut self) -> Vec<Alarm> {
        std::mem::take(&mut self.alarms)
    }
}

#[cfg(test)]
pub(crate) mod tests;
