//! The map of accounts: each operation takes one entry's guard once, decides, changes, and lets go.

use std::fmt;
use std::sync::Arc;

use cashgate_withdrawal::ids::{AccountId, InstitutionId, WithdrawalId};
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::{CalendarDay, Timestamp};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::fast::FixedState;

use crate::account::{Account, Request};
use crate::{Burst, LimitFigures, LimitRefusal, Reservation, RestoreError};

/// Many more than cores: a guard is a lock on a whole shard, and the pause while a shard's table grows is as long as the shard is
/// large.
const SHARDS: usize = 1024;

/// Enough for any machine; more would cost memory and gain nothing.
const SHARDS_MAX: usize = 1 << 16;

/// What counts against every account. Shared by all threads as `Arc<Limits>`.
///
/// Memory is bounded by the accounts that withdrew lately, if [`forget_idle`](Self::forget_idle) is called now and then.
pub struct Limits {
    // A fixed seed, so that a simulated world runs the same way twice. Account ids come from institutions, not from customers, so
    // nobody outside chooses what collides.
    accounts: DashMap<AccountKey, Account, FixedState>,
}

/// One account of one institution.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountKey {
    institution: InstitutionId,
    account: AccountId,
}

/// What an account could withdraw at one moment, if nothing else came in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headroom {
    /// The largest single withdrawal that would be admitted; zero if none would.
    pub withdrawal_max: Money,
    /// How many withdrawals would be admitted by their number and pace, as long as there is money left; zero if none would.
    pub withdrawals_left: u32,
}

impl Limits {
    /// No account has anything counted. For a gateway: 1,024 shards, 128 KiB while empty.
    #[must_use]
    pub fn new() -> Self {
        Self::with_shards(SHARDS)
    }

    /// No account has anything counted, and the accounts lie in `shards` tables with a lock each. For worlds so small or so many
    /// that the tables of [`new`](Self::new) cost too much; the decisions are the same.
    ///
    /// `shards` is a power of two from 2 to 65,536; anything else becomes the next one up, or the nearest end of that range.
    #[must_use]
    pub fn with_shards(shards: usize) -> Self {
        let shards = shards.clamp(2, SHARDS_MAX).next_power_of_two();
        Self { accounts: DashMap::with_hasher_and_shard_amount(FixedState::default(), shards) }
    }

    /// Checks a withdrawal against an account's limits and counts it, in one step.
    ///
    /// `day` is the calendar day of `now` in the institution's time zone. A withdrawal counts while it is open, whatever the day;
    /// after that what left the machine counts for its day. Should `day` go backwards, it counts for the later day
    /// ([`Reservation::day`]). A withdrawal that has ended is not remembered: that an id is used once is the ledger's to ensure.
    ///
    /// # Errors
    /// The first [`LimitRefusal`] that applies; then nothing has changed.
    pub fn reserve(
        self: &Arc<Self>,
        account: &AccountKey,
        withdrawal: WithdrawalId,
        amount: Money,
        figures: &LimitFigures,
        day: CalendarDay,
        now: Timestamp,
    ) -> Result<Reservation, LimitRefusal> {
        let request = Request { withdrawal, amount, day, now };
        let day = match self.accounts.entry(account.clone()) {
            Entry::Occupied(mut entry) => entry.get_mut().reserve(request, figures)?,
            Entry::Vacant(entry) => {
                // Only what was admitted becomes an entry: refused attempts must not fill the memory.
                let mut new = Account::default();
                let day = new.reserve(request, figures)?;
                entry.insert(new);
                day
            }
        };
        Ok(self.reservation(account, withdrawal, amount, day))
    }

    /// What an account could withdraw now. Counts nothing, and promises nothing: only [`reserve`](Self::reserve) decides.
    #[must_use]
    pub fn headroom(&self, account: &AccountKey, figures: &LimitFigures, day: CalendarDay, now: Timestamp) -> Headroom {
        let (withdrawals_left, minor_units) = match self.accounts.get(account) {
            Some(entry) => entry.room(figures, day, now),
            None => Account::default().room(figures, day, now),
        };
        // Never more than `per_withdrawal`, so it is always an amount.
        match Money::from_minor_units(minor_units, figures.currency()) {
            Ok(withdrawal_max) if withdrawals_left > 0 && minor_units > 0 => {
                Headroom { withdrawal_max, withdrawals_left }
            }
            _ => Headroom { withdrawal_max: Money::zero(figures.currency()), withdrawals_left: 0 },
        }
    }

    /// Counts an open withdrawal again after a restart, unchecked, since it was admitted before. To be called for each of them
    /// before anything is reserved.
    ///
    /// `day` is its [`Reservation::day`], `approved_at` the moment it was admitted, `burst` its institution's. Restore open and
    /// ended withdrawals in the order of admission: another order makes the burst limit stricter for a while.
    ///
    /// # Errors
    /// [`RestoreError::AlreadyReserved`]; then nothing has changed.
    pub fn restore_reservation(
        self: &Arc<Self>,
        account: &AccountKey,
        withdrawal: WithdrawalId,
        amount: Money,
        day: CalendarDay,
        approved_at: Timestamp,
        burst: Burst,
    ) -> Result<Reservation, RestoreError> {
        let mut entry = self.accounts.entry(account.clone()).or_default();
        if let Some(reserved) = entry.reserved_for(withdrawal) {
            return Err(RestoreError::AlreadyReserved { withdrawal, reserved });
        }
        entry.restore(withdrawal, amount, approved_at, burst);
        drop(entry);
        Ok(self.reservation(account, withdrawal, amount, day))
    }

    /// Counts an ended withdrawal again after a restart: `amount` is what left the machine. One of which nothing left (zero)
    /// counts for the burst limit only. The other arguments are as for [`restore_reservation`](Self::restore_reservation).
    ///
    /// Needed for every withdrawal whose day is not over, and for those admitted within the last `burst.withdrawals` times
    /// `burst.every`; more do no harm.
    pub fn restore_spent(
        &self,
        account: &AccountKey,
        amount: Money,
        day: CalendarDay,
        approved_at: Timestamp,
        burst: Burst,
    ) {
        let mut entry = self.accounts.entry(account.clone()).or_default();
        entry.spend(amount, day);
        entry.count_attempt(approved_at, burst);
    }

    /// Lets go of accounts that have nothing open and nothing counting any more, and returns how many went. Each is judged and
    /// removed under its guard, so that a reservation that comes at the same time is either seen or comes to a fresh entry.
    ///
    /// `oldest_day` gives the earliest day of an institution, and `now` the earliest moment, that anyone may still pass to
    /// [`reserve`](Self::reserve). Take those of an hour ago rather than of this moment: an approval that read its day just before
    /// midnight must still find what was spent on it. `oldest_day` is called under a guard and must not use these limits.
    pub fn forget_idle(&self, now: Timestamp, oldest_day: impl Fn(&InstitutionId) -> CalendarDay) -> usize {
        let (mut forgotten, mut kept) = (0, 0);
        self.accounts.retain(|key, account| {
            let idle = account.is_idle(oldest_day(&key.institution), now);
            *(if idle { &mut forgotten } else { &mut kept }) += 1;
            !idle
        });
        // The tables stay as large as they ever were; after a busy day that is worth a rehash, after a few accounts it is not.
        if forgotten > kept {
            self.accounts.shrink_to_fit();
        }
        forgotten
    }

    /// How many accounts have an entry.
    #[must_use]
    pub fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// What is reserved now, sorted by account and withdrawal: for operators and tests, to see what never ended. Looks at every
    /// account, one guard after the other; what others reserve or end meanwhile may be in it or not.
    #[must_use]
    pub fn reserved(&self) -> Vec<(AccountKey, WithdrawalId, Money)> {
        let mut reserved = Vec::new();
        for entry in &self.accounts {
            reserved.extend(entry.reserved().map(|(withdrawal, amount)| (entry.key().clone(), withdrawal, amount)));
        }
        reserved.sort_unstable_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        reserved
    }

    /// Takes a reservation away and counts what left the machine in its place.
    pub(crate) fn end_reservation(
        &self,
        account: &AccountKey,
        withdrawal: WithdrawalId,
        dispensed: Money,
        day: CalendarDay,
    ) {
        let mut entry = self.accounts.entry(account.clone()).or_default();
        entry.end(withdrawal);
        entry.spend(dispensed, day);
    }

    fn reservation(
        self: &Arc<Self>,
        account: &AccountKey,
        withdrawal: WithdrawalId,
        amount: Money,
        day: CalendarDay,
    ) -> Reservation {
        Reservation { limits: Arc::clone(self), account: account.clone(), withdrawal, amount, day }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").field("accounts", &self.accounts()).finish_non_exhaustive()
    }
}

impl AccountKey {
    /// An account as its institution names it.
    #[must_use]
    pub const fn new(institution: InstitutionId, account: AccountId) -> Self {
        Self { institution, account }
    }

    /// The institution.
    #[must_use]
    pub const fn institution(&self) -> &InstitutionId {
        &self.institution
    }

    /// The account.
    #[must_use]
    pub const fn account(&self) -> &AccountId {
        &self.account
    }
}

// Without the account: it does not belong in a log line.
impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountKey({}, ..)", self.institution)
    }
}

#[cfg(test)]
mod tests {
    use cashgate_withdrawal::money::Currency;

    use super::*;

    const ANY_PACE: Burst = Burst { withdrawals: std::num::NonZeroU32::MIN, every: std::time::Duration::ZERO };

    /// The memory is only to be seen from in here.
    #[test]
    fn tables_shrink_after_a_busy_day_and_not_after_a_quiet_one() {
        let check = |yesterday: u64, today: u64, shrinks: bool| {
            let limits = Limits::with_shards(2);
            let amount = Money::from_minor_units(1, Currency::JPY).unwrap();
            let spend = |name: String, day| {
                let key = AccountKey::new("bank-a".parse().unwrap(), name.parse().unwrap());
                limits.restore_spent(&key, amount, CalendarDay(day), Timestamp::from_unix_ms(0), ANY_PACE);
            };
            (0..yesterday).for_each(|number| spend(format!("yesterday-{number}"), 0));
            (0..today).for_each(|number| spend(format!("today-{number}"), 1));
            let before = limits.accounts.capacity();
            assert_eq!(limits.forget_idle(Timestamp::from_unix_ms(0), |_| CalendarDay(1)) as u64, yesterday);
            // Places of removed entries are not all counted as free again: a little goes without shrinking.
            let shrank = limits.accounts.capacity() < before / 4 * 3;
            assert_eq!(shrank, shrinks, "{yesterday} yesterday, {today} today");
        };
        check(2_000, 10, true);
        check(1_000, 1_000, false);
        check(10, 2_000, false);
        check(0, 2_000, false);
    }
}
