//! The rules of one decision: figures against what is counted. It sees no map and changes nothing.

use std::fmt::Write;

use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::Timestamp;

use crate::account::Account;
use crate::drawn::DrawnList;
use crate::figures::{write_caps, write_sum_caps};
use crate::refusal::Scope;
use crate::sums::Sums;
use crate::window::{Counted, Since, Tally};
use crate::{Burst, Caps, LimitFigures, LimitRefusal, SumCaps};

const ACCOUNT: [Scope; 3] = [Scope::AccountDay, Scope::Account24h, Scope::Account7d];
const DEVICE: [Scope; 3] = [Scope::DeviceDay, Scope::Device24h, Scope::Device7d];
const ATM: [Scope; 2] = [Scope::Atm24h, Scope::AtmNewDevice24h];
const INSTITUTION: [Scope; 2] = [Scope::Institution24h, Scope::InstitutionNewDevice24h];

/// What is asked for, apart from who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) amount: Money,
    pub(crate) since: Since,
    pub(crate) now: Timestamp,
}

/// The figures that apply to one withdrawal. `None` where nothing is limited: that is neither looked at nor counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Where the device's tier ends, in seconds of age, if it is young.
    pub(crate) tier_until_s: Option<u64>,
    pub(crate) burst: Burst,
    pub(crate) account: Caps,
    pub(crate) device: Option<Caps>,
    pub(crate) atm: Option<SumCaps>,
    pub(crate) institution: Option<SumCaps>,
}

/// What had been counted when a decision was made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Before {
    pub(crate) account: Counted,
    pub(crate) device: Counted,
    pub(crate) atm: Sums,
    pub(crate) institution: Sums,
}

impl Bounds {
    pub(crate) fn new(figures: &LimitFigures, atm_caps: &SumCaps, device_age: std::time::Duration) -> Self {
        let tier = figures.tier_for(device_age);
        Self {
            tier_until_s: tier.map(|tier| tier.until_age.as_secs()),
            burst: figures.burst(),
            account: *figures.caps_for(device_age),
            device: figures.device_caps_for(device_age),
            atm: atm_caps.in_force(),
            institution: figures.institution().in_force(),
        }
    }

    /// Nothing but the account is limited.
    pub(crate) fn of_account(tier_until_s: Option<u64>, burst: Burst, account: Caps) -> Self {
        Self { tier_until_s, burst, account, device: None, atm: None, institution: None }
    }

    pub(crate) fn is_new_device(&self) -> bool {
        self.tier_until_s.is_some()
    }

    pub(crate) fn burst(&self) -> Burst {
        self.burst
    }

    /// The largest single withdrawal, whatever was drawn before.
    pub(crate) fn per_withdrawal(&self) -> u64 {
        self.device.map_or(self.account.per_withdrawal, |device| device.per_withdrawal.min(self.account.per_withdrawal))
    }

    pub(crate) fn check_withdrawal(&self, amount: Money) -> Result<(), LimitRefusal> {
        let limit_minor_units = self.per_withdrawal();
        if amount.minor_units() > limit_minor_units {
            return Err(LimitRefusal::AboveWithdrawalLimit { amount, limit_minor_units });
        }
        Ok(())
    }

    pub(crate) fn check_account(&self, account: &Account, asked: &Asked) -> Result<Counted, LimitRefusal> {
        let counted = check_drawn(&account.drawn, ACCOUNT, &self.account, asked)?;
        let retry_at = account.pace.ready_at(self.burst);
        if retry_at > asked.now { Err(LimitRefusal::TooFast { retry_at }) } else { Ok(counted) }
    }

    pub(crate) fn check_atm(&self, counted: &Sums, caps: &SumCaps, amount: Money) -> Result<(), LimitRefusal> {
        check_sums(counted, ATM, caps, self.is_new_device(), amount)
    }

    pub(crate) fn check_institution(&self, counted: &Sums, caps: &SumCaps, amount: Money) -> Result<(), LimitRefusal> {
        check_sums(counted, INSTITUTION, caps, self.is_new_device(), amount)
    }
}

pub(crate) fn check_device(drawn: &DrawnList, caps: &Caps, asked: &Asked) -> Result<Counted, LimitRefusal> {
    check_drawn(drawn, DEVICE, caps, asked)
}

fn check_drawn(drawn: &DrawnList, scopes: [Scope; 3], caps: &Caps, asked: &Asked) -> Result<Counted, LimitRefusal> {
    let Asked { amount, since, .. } = asked;
    if let Some(expected) = drawn.counts_in_other_than(amount.currency(), since) {
        return Err(LimitRefusal::WrongCurrency { amount: *amount, expected });
    }
    let counted = drawn.counted(since);
    let windows = windows(&counted, caps);
    for (scope, (counted, limit, _)) in scopes.into_iter().zip(windows) {
        check_number(scope, counted, limit)?;
    }
    for (scope, (counted, _, limit)) in scopes.into_iter().zip(windows) {
        check_sum(scope, counted, limit, *amount)?;
    }
    Ok(counted)
}

/// What counts and the caps for it, window by window.
pub(crate) fn windows(counted: &Counted, caps: &Caps) -> [(Tally, u32, u64); 3] {
    [
        (counted.day, caps.withdrawals_per_day, caps.per_day),
        (counted.last_24h, caps.withdrawals_per_24h, caps.per_24h),
        (counted.last_7d, caps.withdrawals_per_7d, caps.per_7d),
    ]
}

/// The sums and the caps for them: of all, and for a new device those of new devices.
pub(crate) fn sum_windows(
    counted: &Sums,
    caps: &SumCaps,
    is_new_device: bool,
) -> impl Iterator<Item = (Tally, Option<u32>, Option<u64>)> {
    let all = (counted.all, caps.withdrawals_per_24h, caps.per_24h);
    let new_devices = (counted.new_devices, caps.new_device_withdrawals_per_24h, caps.new_device_per_24h);
    std::iter::once(all).chain(is_new_device.then_some(new_devices))
}

fn check_sums(
    counted: &Sums,
    scopes: [Scope; 2],
    caps: &SumCaps,
    is_new_device: bool,
    amount: Money,
) -> Result<(), LimitRefusal> {
    for (scope, (counted, number, sum)) in scopes.into_iter().zip(sum_windows(counted, caps, is_new_device)) {
        number.map_or(Ok(()), |limit| check_number(scope, counted, limit))?;
        sum.map_or(Ok(()), |limit| check_sum(scope, counted, limit, amount))?;
    }
    Ok(())
}

fn check_number(scope: Scope, counted: Tally, limit: u32) -> Result<(), LimitRefusal> {
    let counted = counted.withdrawals;
    if counted >= limit { Err(LimitRefusal::TooMany { scope, counted, limit }) } else { Ok(()) }
}

fn check_sum(scope: Scope, counted: Tally, limit_minor_units: u64, amount: Money) -> Result<(), LimitRefusal> {
    let counted_minor_units = counted.minor_units;
    if counted_minor_units.saturating_add(amount.minor_units()) > limit_minor_units {
        return Err(LimitRefusal::AboveSum { scope, amount, counted_minor_units, limit_minor_units });
    }
    Ok(())
}

/// The line that [`crate::Reservation::basis`] gives.
pub(crate) fn basis(bounds: &Bounds, before: &Before) -> Result<String, std::fmt::Error> {
    let mut line = String::new();
    match bounds.tier_until_s {
        Some(until_s) => write!(line, "tier=until_{until_s}s")?,
        None => write!(line, "tier=established")?,
    }
    write!(line, " burst={} burst_every_ms={}", bounds.burst.withdrawals, bounds.burst.every.as_millis())?;
    write_caps(&mut line, "account_", &bounds.account)?;
    write_counted(&mut line, "account_", &before.account)?;
    if let Some(caps) = &bounds.device {
        write_caps(&mut line, "device_", caps)?;
        write_counted(&mut line, "device_", &before.device)?;
    }
    if let Some(caps) = &bounds.atm {
        write_sum_caps(&mut line, "atm_", caps)?;
        write_tally(&mut line, "atm_", "24h", before.atm.all)?;
        write_tally(&mut line, "atm_new_device_", "24h", before.atm.new_devices)?;
    }
    if let Some(caps) = &bounds.institution {
        write_sum_caps(&mut line, "institution_", caps)?;
        write_tally(&mut line, "institution_", "24h", before.institution.all)?;
        write_tally(&mut line, "institution_new_device_", "24h", before.institution.new_devices)?;
    }
    Ok(line)
}

fn write_counted(line: &mut String, prefix: &str, counted: &Counted) -> std::fmt::Result {
    write_tally(line, prefix, "day", counted.day)?;
    write_tally(line, prefix, "24h", counted.last_24h)?;
    write_tally(line, prefix, "7d", counted.last_7d)
}

fn write_tally(line: &mut String, prefix: &str, window: &str, counted: Tally) -> std::fmt::Result {
    write!(line, " {prefix}{window}={} {prefix}count_{window}={}", counted.minor_units, counted.withdrawals)
}
