//! Where a pattern becomes an alarm.

use super::alarm::{Alarm, Pattern};
use super::hours::{DAY_S, WEEK_S};
use super::institution::{Institution, is_news};
use super::young::Young;
use super::{Account, Attempt, Keys, Patterns};

impl Patterns {
    /// More alarms than this are not kept until somebody takes them.
    const RAISED_MAX: usize = 256;

    /// A young device asked for money: is it strange, and are there too many of them?
    pub(super) fn watch_young(&mut self, attempt: &Attempt<'_>, keys: &Keys) {
        let watch = self.watch;
        let usual = self.accounts.entry(keys.account).map_or(0, Account::usual);
        let accounts = self.debited.count(keys.device, keys.account, keys.today);
        let Some(young) = self.young.entry_or(keys.device, Young::default) else { return };
        young.last_s = young.last_s.max(keys.now_s);
        let asked = young.drawn(keys.now_s).saturating_add(attempt.amount.minor_units());
        let is_far_above_habit = asked >= usual.saturating_mul(watch.strange_times_usual);
        let is_large = is_far_above_habit && asked >= watch.strange_amount;
        // Who often takes his large habit reaches the sum too, so this amount alone must be far above it.
        let amount = attempt.amount.minor_units();
        let is_very_large = amount >= usual.saturating_mul(watch.strange_times_usual) && asked >= watch.device_sum;
        let in_vain = if watch.is_vain(amount, usual) { young.vain.asked(keys.now_s) } else { 0 };
        let newly_vain = !young.vain.is_alarmed && in_vain >= watch.vain_asks;
        young.vain.is_alarmed |= newly_vain;
        let newly_strange = !young.is_strange && (is_large || accounts >= watch.strange_accounts);
        let newly_alarmed = !young.is_alarmed && is_very_large;
        young.is_strange |= newly_strange;
        young.is_alarmed |= newly_alarmed;
        if newly_alarmed {
            let alarm = alarm(Pattern::DeviceSum, attempt, asked, usual.saturating_mul(1_000));
            self.raise(Alarm { device: Some(attempt.device.clone()), ..alarm });
        }
        if newly_vain {
            let alarm = alarm(Pattern::DeviceRefused, attempt, in_vain.into(), 0);
            self.raise(Alarm { device: Some(attempt.device.clone()), ..alarm });
        }
        if newly_strange {
            self.count_strange(attempt, keys.now_s);
        }
    }

    fn count_strange(&mut self, attempt: &Attempt<'_>, now_s: u32) {
        let windows = [
            (Pattern::StrangeDevicesDay, DAY_S, self.watch.strange_day),
            (Pattern::StrangeDevicesWeek, WEEK_S, self.watch.strange_week),
        ];
        let institution = self.institutions.entry(attempt.institution.clone()).or_insert_with(Institution::new);
        institution.strange_devices.add(now_s);
        let mut raised = Vec::new();
        for (pattern, window_s, threshold) in windows {
            let found = institution.strange_devices.within(now_s, window_s);
            let usual_milli = institution.strange_devices.usual_within_milli(now_s, window_s);
            if threshold.is_reached(found, usual_milli) && institution.is_news(pattern, now_s) {
                raised.push(alarm(pattern, attempt, found.into(), usual_milli.into()));
            }
        }
        raised.into_iter().for_each(|alarm| self.raise(alarm));
    }

    /// A new device drew: are there too many of them in this hour?
    pub(super) fn watch_new_devices(&mut self, withdrawal: &Attempt<'_>, keys: &Keys) {
        let (watch, now_s) = (self.watch, keys.now_s);
        let machine = self.machines.entry(keys.atm).or_default();
        machine.new_devices.add(now_s);
        let found = machine.new_devices.count(now_s);
        if found >= watch.atm_hour && is_news(Pattern::AtmHour, &mut machine.alarmed_s, now_s) {
            let alarm = alarm(Pattern::AtmHour, withdrawal, found.into(), 0);
            self.raise(Alarm { atm: Some(withdrawal.atm.clone()), ..alarm });
        }

        let institution = self.institutions.entry(withdrawal.institution.clone()).or_insert_with(Institution::new);
        institution.past_hour.add(now_s);
        institution.new_devices.add(now_s);
        let found = institution.past_hour.count(now_s);
        let usual_milli = institution.new_devices.usual_in_this_hour_milli(now_s);
        if watch.institution_hour.is_reached(found, usual_milli) && institution.is_news(Pattern::InstitutionHour, now_s)
        {
            self.raise(alarm(Pattern::InstitutionHour, withdrawal, found.into(), usual_milli.into()));
        }
    }

    fn raise(&mut self, alarm: Alarm) {
        if self.raised.len() < Self::RAISED_MAX {
            self.raised.push(alarm);
        }
    }
}

fn alarm(pattern: Pattern, attempt: &Attempt<'_>, found: u64, usual_milli: u64) -> Alarm {
    let institution = attempt.institution.clone();
    Alarm { pattern, institution, atm: None, device: None, at: attempt.now, found, usual_milli }
}
