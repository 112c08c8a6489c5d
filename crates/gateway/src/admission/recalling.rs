//! What decisions need to remember, rebuilt from the ledger before the gateway says that it is ready.

use std::time::Duration;

use cashgate_ledger::{ApprovedRow, ReadError};
use cashgate_limits::{Limits, Restored};
use cashgate_policy::patterns::{Attempt, Patterns};
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::Timestamp;

use super::Rules;
use crate::devices::KnownDevices;
use crate::lanes::History;

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// How far back limits count: seven days, and a day that may have 25 hours.
const LIMITS_REACH: Duration = DAY.saturating_mul(8);
/// How far back patterns reach: the same hour of four weeks.
const PATTERNS_REACH: Duration = DAY.saturating_mul(29);

/// What was rebuilt.
#[derive(Debug)]
pub struct Recalled {
    /// What decisions remember.
    pub patterns: Patterns,
    /// How many withdrawals it was rebuilt from.
    pub withdrawals: u64,
}

/// Counts again, from the ledger, what ended withdrawals still count for, and remembers all that were approved. Comes before any
/// reservation is made.
///
/// # Errors
/// The ledger cannot be read.
pub fn recall(
    history: &impl History,
    limits: &Limits,
    devices: &KnownDevices,
    rules: &Rules,
    now: Timestamp,
) -> Result<Recalled, ReadError> {
    devices.restore_attempts(limits);
    let mut patterns = Patterns::new();
    let count_since = before(now, LIMITS_REACH);
    let withdrawals = history.for_each_approved_since(before(now, PATTERNS_REACH), &mut |row| {
        // An institution that is not served any more has no limits to count against.
        let Some(institution) = rules.institutions.get(&row.institution) else { return };
        let known = devices.find(&row.institution, &row.device);
        let device_age = known.map_or(Duration::ZERO, |known| known.age(row.approved_at));
        let is_new_device = institution.limits.is_new(device_age);
        let attempt = attempt(&row, device_age, is_new_device);
        patterns.attempted(&attempt);
        patterns.withdrew(&attempt);
        if !row.open && row.approved_at >= count_since {
            limits.restore_spent(&spent(&row, is_new_device, institution.limits.burst()));
        }
    })?;
    history.for_each_refused_since(before(now, PATTERNS_REACH), &mut |at, refused| {
        let known = devices.find(&refused.institution, &refused.device);
        patterns.attempted(&Attempt {
            institution: &refused.institution,
            account: &refused.account,
            device: &refused.device,
            atm: &refused.atm,
            place: None,
            amount: refused.amount,
            device_age: known.map_or(Duration::ZERO, |known| known.age(at)),
            is_new_device: true,
            now: at,
        });
    })?;
    // What stood out then was told then.
    drop(patterns.alarms());
    Ok(Recalled { patterns, withdrawals })
}

fn before(now: Timestamp, reach: Duration) -> Timestamp {
    Timestamp::from_unix_ms(now.unix_ms().saturating_sub(u64::try_from(reach.as_millis()).unwrap_or(u64::MAX)))
}

const fn attempt(row: &ApprovedRow, device_age: Duration, is_new_device: bool) -> Attempt<'_> {
    Attempt {
        institution: &row.institution,
        account: &row.account,
        device: &row.device,
        atm: &row.atm,
        // Where a machine stands is known once it connects.
        place: None,
        amount: row.amount,
        device_age,
        is_new_device,
        now: row.approved_at,
    }
}

fn spent(row: &ApprovedRow, is_new_device: bool, burst: cashgate_limits::Burst) -> Restored<'_> {
    Restored {
        institution: &row.institution,
        account: &row.account,
        device: &row.device,
        atm: &row.atm,
        amount: row.dispensed.unwrap_or_else(|| Money::zero(row.amount.currency())),
        approved_at: row.approved_at,
        is_new_device,
        burst,
    }
}
