//! What decisions need to remember, rebuilt from the ledger before the gateway says that it is ready.

use std::collections::BTreeSet;
use std::time::Duration;

use cashgate_ledger::{ApprovedRow, ReadError};
use cashgate_limits::{Recounted, Restored, SumCaps};
use cashgate_withdrawal::money::{Currency, Money};
#[cfg(feature = "planted")]
use cashgate_withdrawal::planted::{Bug, is};
use cashgate_withdrawal::time::Timestamp;

use super::hearing::Asker;
use super::{Desk, Intended, LimitKey};
use crate::lanes::History;

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// How far back limits count: seven days, and a day that may have 25 hours.
const LIMITS_REACH: Duration = DAY.saturating_mul(8);
/// How far back patterns reach: the same hour of four weeks.
const PATTERNS_REACH: Duration = DAY.saturating_mul(29);

impl Desk {
    /// Counts again what ended withdrawals still count for, and remembers all that were asked for lately. Comes before any reservation is made.
    /// Says from how many withdrawals it was rebuilt.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn recall(&self, history: &impl History, now: Timestamp) -> Result<u64, ReadError> {
        self.devices.restore_attempts(&self.limits);
        #[cfg(feature = "planted")]
        if is(Bug::SpentForgottenOnCrash) {
            return Ok(0);
        }
        let rules = self.rules();
        let count_since = before(now, LIMITS_REACH);
        let mut patterns = self.patterns();
        let withdrawals = history.for_each_approved_since(before(now, PATTERNS_REACH), &mut |row| {
            // An institution that is not served any more has no limits to count against.
            let Some(institution) = rules.institutions.get(&row.institution) else { return };
            // Where a machine stands is known once it connects.
            let attempt = self.heard(institution, Asker::of_row(&row), None, row.approved_at);
            // Others may have written since the mark from which the ledger is followed.
            self.counted_here(row.withdrawal);
            patterns.attempted(&attempt);
            patterns.withdrew(&attempt);
            // What replicas share is counted entry by entry, when it is first asked for.
            if self.shared.is_none() && !row.open && row.approved_at >= count_since {
                self.limits.restore_spent(&spent(&row, attempt.is_new_device, institution.limits.burst()));
            }
        })?;
        history.for_each_refused_since(before(now, PATTERNS_REACH), &mut |at, refused| {
            // What policy was never asked about was not an attempt then either: anybody can name a phone.
            let Some(institution) = rules.institutions.get(&refused.institution) else { return };
            if refused.policy_verdict.is_empty() {
                return;
            }
            if let Some(attempt) = refused.attempt {
                self.counted_here(attempt);
            }
            patterns.attempted(&self.heard(institution, Asker::of_refused(&refused), None, at));
        })?;
        #[cfg(feature = "planted")]
        if is(Bug::RecalledHeardAgain) {
            self.forget_counted();
        }
        // What stood out then was told then.
        drop(patterns.alarms());
        Ok(withdrawals)
    }

    /// From when on an entry's withdrawals count; those that are open always do.
    #[must_use]
    pub fn counts_since(now: Timestamp) -> Timestamp {
        before(now, LIMITS_REACH)
    }

    /// The entries that an approval is computed from, as far as there are limits to hold against them; none without other replicas.
    #[must_use]
    pub fn limit_keys(&self, intended: Intended<'_>) -> Vec<LimitKey> {
        let rules = self.rules();
        let (Some(_), Ok(of)) = (&self.shared, rules.institution(intended.institution)) else { return Vec::new() };
        let Intended { institution, account, device, atm } = intended;
        let mut keys = vec![LimitKey::Account(institution.clone(), account.clone())];
        if of.limits.device().is_some() || !of.limits.tiers().is_empty() {
            keys.push(LimitKey::Device(institution.clone(), device.clone()));
        }
        if rules.atm_caps != SumCaps::default() {
            keys.push(LimitKey::Atm(atm.clone()));
        }
        keys
    }

    /// Of these entries, those that have to be read before an approval can be computed from them.
    #[must_use]
    pub fn unread(&self, keys: Vec<LimitKey>) -> Vec<LimitKey> {
        self.shared.as_ref().map_or_else(Vec::new, |shared| shared.missing(keys))
    }

    /// The version that an entry's copy here is of, if there is one.
    #[must_use]
    pub fn copied_version(&self, key: &LimitKey) -> Option<u64> {
        self.shared.as_ref()?.version(key)
    }

    /// Counts an entry anew: `rows` are its withdrawals since [`Desk::counts_since`] and all that are open, in the order of their approval, and
    /// `version` was read in the same moment.
    pub fn recount(&self, key: &LimitKey, version: u64, rows: &[ApprovedRow]) {
        let Some(shared) = &self.shared else { return };
        let rules = self.rules();
        let recounted: Vec<Recounted> = rows
            .iter()
            .filter_map(|row| {
                let limits = &rules.institutions.get(&row.institution)?.limits;
                let left = row.dispensed.unwrap_or_else(|| Money::zero(row.amount.currency()));
                Some(Recounted {
                    amount: if row.open { row.amount } else { left },
                    is_open: row.open,
                    approved_at: row.approved_at,
                    is_new_device: limits.is_new(self.age_then(&row.institution, &row.device, row.approved_at)),
                    burst: limits.burst(),
                })
            })
            .collect();
        shared.copied_anew(key.clone(), version, || match key {
            LimitKey::Account(institution, account) => self.limits.recount_account(institution, account, &recounted),
            LimitKey::Device(institution, device) => self.limits.recount_device(institution, device, &recounted),
            LimitKey::Atm(atm) => {
                let currencies: BTreeSet<Currency> = recounted.iter().map(|one| one.amount.currency()).collect();
                for currency in currencies.into_iter().chain([Currency::JPY]) {
                    self.limits.recount_atm(atm, currency, &recounted);
                }
            }
        });
    }
}

fn before(now: Timestamp, reach: Duration) -> Timestamp {
    Timestamp::from_unix_ms(now.unix_ms().saturating_sub(u64::try_from(reach.as_millis()).unwrap_or(u64::MAX)))
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
