//! The plain model: everything that ever happened, added up anew for each decision.

use std::collections::BTreeMap;

use super::*;
use crate::Scope;

/// A withdrawal that was admitted.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) customer: Who,
    pub(super) amount: u64,
    pub(super) approved_at: Timestamp,
    pub(super) is_new_device: bool,
    /// What left the machine; `None` while it is open.
    pub(super) dispensed: Option<u64>,
    /// Whether devices, the ATM and the institution were limited, so that it counts for them.
    pub(super) counts_for: [bool; 3],
}

/// Institution, account, device, ATM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) institution: &'static str,
    pub(super) account: &'static str,
    pub(super) device: &'static str,
    pub(super) atm: &'static str,
}

/// When, and under what.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) who: Who,
    pub(super) amount: u64,
    pub(super) device_age: Duration,
    pub(super) day_began: Timestamp,
    pub(super) now: Timestamp,
    pub(super) figures: &'a LimitFigures,
    pub(super) atm_caps: &'a SumCaps,
}

#[derive(Default)]
pub(super) struct History {
    pub(super) records: Vec<Record>,
    pub(super) attempts: BTreeMap<(&'static str, &'static str), (u8, bool)>,
    paces: BTreeMap<(&'static str, &'static str), LeakyBucket>,
}

/// The Generic Cell Rate Algorithm in its other form, the continuous-state leaky bucket of ITU-T I.371 Annex A.
#[derive(Clone, Copy, Default)]
struct LeakyBucket {
    level_ms: i128,
    last_ms: i128,
}

impl LeakyBucket {
    /// How far the bucket overflows at a moment; not positive means that one more fits.
    fn overflow_ms(&self, now: Timestamp, burst: Burst) -> i128 {
        let level_ms = self.level_ms - (i128::from(now.unix_ms()) - self.last_ms);
        level_ms - burst.every.as_millis() as i128 * i128::from(burst.withdrawals.get() - 1)
    }

    fn fill(&mut self, now: Timestamp, burst: Burst) {
        let drained_ms = (self.level_ms - (i128::from(now.unix_ms()) - self.last_ms)).max(0);
        self.level_ms = drained_ms + burst.every.as_millis() as i128;
        self.last_ms = i128::from(now.unix_ms());
    }
}

impl History {
    /// Decides, and records what is admitted.
    pub(super) fn reserve(&mut self, question: &Question<'_>) -> Result<(), LimitRefusal> {
        self.decide(question)?;
        let Question { who, amount, device_age, now, figures, .. } = *question;
        let caps = self.caps(question);
        self.records.push(Record {
            customer: who,
            amount,
            approved_at: now,
            is_new_device: figures.is_new(device_age),
            dispensed: None,
            counts_for: [caps.0.is_some(), *question.atm_caps != NO_SUMS, *figures.institution() != NO_SUMS],
        });
        self.paces.entry((who.institution, who.account)).or_default().fill(now, figures.burst());
        Ok(())
    }

    /// The device's caps, written out: a young device has the smaller of its tier's and those of every device.
    fn caps(&self, question: &Question<'_>) -> (Option<Caps>, Option<Duration>) {
        let tier = question.figures.tiers().iter().find(|tier| question.device_age < tier.until_age);
        let caps = match (tier.map(|tier| tier.caps), question.figures.device().copied()) {
            (Some(a), Some(b)) => Some(Caps {
                per_withdrawal: a.per_withdrawal.min(b.per_withdrawal),
                per_day: a.per_day.min(b.per_day),
                per_24h: a.per_24h.min(b.per_24h),
                per_7d: a.per_7d.min(b.per_7d),
                withdrawals_per_day: a.withdrawals_per_day.min(b.withdrawals_per_day),
                withdrawals_per_24h: a.withdrawals_per_24h.min(b.withdrawals_per_24h),
                withdrawals_per_7d: a.withdrawals_per_7d.min(b.withdrawals_per_7d),
            }),
            (a, b) => a.or(b),
        };
        (caps, tier.map(|tier| tier.until_age))
    }

    pub(super) fn decide(&self, question: &Question<'_>) -> Result<(), LimitRefusal> {
        let Question { who, amount, device_age, now, figures, atm_caps, .. } = *question;
        let (device_caps, tier_ends) = self.caps(question);
        let account_caps = figures.tiers().iter().find(|tier| device_age < tier.until_age);
        let account_caps = account_caps.map_or(figures.established(), |tier| &tier.caps);
        if amount == 0 {
            return Err(LimitRefusal::ZeroAmount);
        }
        if self.attempts.get(&(who.institution, who.device)).is_some_and(|(_, locked)| *locked) {
            return Err(LimitRefusal::DeviceLocked);
        }
        if let (Some(until_age), 0) = (tier_ends, account_caps.per_withdrawal) {
            return Err(LimitRefusal::NewDeviceWait { until: now.after(until_age - device_age) });
        }
        let limit_minor_units =
            device_caps.map_or(u64::MAX, |caps| caps.per_withdrawal).min(account_caps.per_withdrawal);
        if amount > limit_minor_units {
            return Err(LimitRefusal::AboveWithdrawalLimit { amount: yen(amount), limit_minor_units });
        }
        self.check(question, |r| (r.institution, r.account) == (who.institution, who.account), None, account_caps, 0)?;
        let bucket = self.paces.get(&(who.institution, who.account)).copied().unwrap_or_default();
        let overflow_ms = bucket.overflow_ms(now, figures.burst());
        if overflow_ms > 0 {
            let retry_at = now.after(Duration::from_millis(u64::try_from(overflow_ms).unwrap()));
            return Err(LimitRefusal::TooFast { retry_at });
        }
        if let Some(caps) = &device_caps {
            self.check(question, |r| (r.institution, r.device) == (who.institution, who.device), Some(0), caps, 3)?;
        }
        self.check_sums(question, |r| r.atm == who.atm, 1, atm_caps, 6)?;
        self.check_sums(question, |r| r.institution == who.institution, 2, figures.institution(), 8)
    }

    /// Day, 24 hours and 7 days; first numbers, then sums.
    fn check(
        &self,
        question: &Question<'_>,
        whose: impl Fn(&Who) -> bool,
        counts_for: Option<usize>,
        caps: &Caps,
        first_scope: usize,
    ) -> Result<(), LimitRefusal> {
        let now_s = question.now.unix_ms() / 1_000;
        let since_s = [question.day_began.unix_ms() / 1_000, now_s - 86_400, now_s - 7 * 86_400];
        let counted = since_s.map(|since_s| {
            self.counted(|r| {
                let recent = r.dispensed.is_none() || r.approved_at.unix_ms() / 1_000 >= since_s;
                recent && whose(&r.customer) && counts_for.is_none_or(|place| r.counts_for[place])
            })
        });
        let numbers = [caps.withdrawals_per_day, caps.withdrawals_per_24h, caps.withdrawals_per_7d];
        let sums = [caps.per_day, caps.per_24h, caps.per_7d];
        for (place, limit) in numbers.into_iter().enumerate() {
            number_within(Scope::ALL[first_scope + place], counted[place].0, limit)?;
        }
        for (place, limit) in sums.into_iter().enumerate() {
            sum_within(Scope::ALL[first_scope + place], counted[place].1, limit, question.amount)?;
        }
        Ok(())
    }

    /// 24 hours in whole hours; of all, then of new devices.
    fn check_sums(
        &self,
        question: &Question<'_>,
        whose: impl Fn(&Who) -> bool,
        counts_for: usize,
        caps: &SumCaps,
        first_scope: usize,
    ) -> Result<(), LimitRefusal> {
        let since_hour = (question.now.unix_ms() - 86_400_000) / 3_600_000;
        let counted = |only_new: bool| {
            self.counted(|r| {
                let recent = r.dispensed.is_none() || r.approved_at.unix_ms() / 3_600_000 >= since_hour;
                recent && whose(&r.customer) && r.counts_for[counts_for] && (r.is_new_device || !only_new)
            })
        };
        let (all, new) = (counted(false), counted(true));
        let (all_scope, new_scope) = (Scope::ALL[first_scope], Scope::ALL[first_scope + 1]);
        caps.withdrawals_per_24h.map_or(Ok(()), |limit| number_within(all_scope, all.0, limit))?;
        caps.per_24h.map_or(Ok(()), |limit| sum_within(all_scope, all.1, limit, question.amount))?;
        if !question.figures.is_new(question.device_age) {
            return Ok(());
        }
        caps.new_device_withdrawals_per_24h.map_or(Ok(()), |limit| number_within(new_scope, new.0, limit))?;
        caps.new_device_per_24h.map_or(Ok(()), |limit| sum_within(new_scope, new.1, limit, question.amount))
    }

    fn counted(&self, counts: impl Fn(&Record) -> bool) -> (u32, u64) {
        let counting = self.records.iter().filter(|record| record.dispensed != Some(0) && counts(record));
        counting.fold((0, 0), |(count, sum), record| (count + 1, sum + record.dispensed.unwrap_or(record.amount)))
    }

    /// How many accounts still count for something.
    pub(super) fn accounts_in_use(&self, now: Timestamp) -> usize {
        let kept_s = now.unix_ms() / 1_000 - 7 * 86_400 - 3_600;
        let counts = |record: &&Record| match record.dispensed {
            None => true,
            Some(dispensed) => dispensed > 0 && record.approved_at.unix_ms() / 1_000 >= kept_s,
        };
        let drawn = self.records.iter().filter(counts).map(|r| (r.customer.institution, r.customer.account));
        let resting = |bucket: &LeakyBucket| bucket.level_ms <= i128::from(now.unix_ms()) - 3_600_000 - bucket.last_ms;
        let paced = self.paces.iter().filter(|(_, bucket)| !resting(bucket)).map(|(key, _)| *key);
        drawn.chain(paced).collect::<std::collections::BTreeSet<_>>().len()
    }
}

fn number_within(scope: Scope, counted: u32, limit: u32) -> Result<(), LimitRefusal> {
    if counted + 1 > limit { Err(LimitRefusal::TooMany { scope, counted, limit }) } else { Ok(()) }
}

fn sum_within(scope: Scope, counted: u64, limit: u64, amount: u64) -> Result<(), LimitRefusal> {
    if counted + amount <= limit {
        return Ok(());
    }
    let (amount, counted_minor_units, limit_minor_units) = (yen(amount), counted, limit);
    Err(LimitRefusal::AboveSum { scope, amount, counted_minor_units, limit_minor_units })
}
