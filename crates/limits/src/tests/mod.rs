//! Tests through the public interface, and the words they are written in.

mod contention;
mod forgetting;
mod headroom;
mod model;
mod refusals;
mod reservations;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::time::{CalendarDay, Timestamp};

use crate::{AccountKey, Burst, LimitFigures, LimitRefusal, Limits, Reservation};

const MONDAY: CalendarDay = CalendarDay(20_000);
const TUESDAY: CalendarDay = CalendarDay(20_001);
const WEDNESDAY: CalendarDay = CalendarDay(20_002);
const NOON: Timestamp = Timestamp::from_unix_ms(1_728_000_000_000);
/// No limit of pace, for what is about the other figures.
const ANY_PACE: Burst = Burst { withdrawals: NonZeroU32::MIN, every: Duration::ZERO };

fn yen(amount: u64) -> Money {
    Money::from_minor_units(amount, Currency::JPY).unwrap()
}

fn euro_cents(amount: u64) -> Money {
    Money::from_minor_units(amount, "EUR".parse().unwrap()).unwrap()
}

fn account(name: &str) -> AccountKey {
    AccountKey::new("bank-a".parse().unwrap(), name.parse().unwrap())
}

fn withdrawal(number: u64) -> WithdrawalId {
    WithdrawalId::from_bytes(u128::from(number).to_be_bytes())
}

fn burst(withdrawals: u32, every_s: u64) -> Burst {
    Burst { withdrawals: NonZeroU32::new(withdrawals).unwrap(), every: Duration::from_secs(every_s) }
}

fn figures(per_withdrawal: Money, per_day: Money, withdrawals_per_day: u32, burst: Burst) -> LimitFigures {
    LimitFigures::new(per_withdrawal, per_day, withdrawals_per_day, burst).unwrap()
}

/// 200,000 yen a withdrawal, 500,000 and ten withdrawals a day, any pace.
fn usual_figures() -> LimitFigures {
    figures(yen(200_000), yen(500_000), 10, ANY_PACE)
}

/// One account under fixed figures, with fresh withdrawal ids: what most tests need.
struct Customer {
    limits: Arc<Limits>,
    account: AccountKey,
    figures: LimitFigures,
    withdrawals: u64,
}

impl Customer {
    fn new(figures: LimitFigures) -> Self {
        Self { limits: Arc::new(Limits::new()), account: account("hanako"), figures, withdrawals: 0 }
    }

    fn reserve(&mut self, amount: Money, day: CalendarDay) -> Result<Reservation, LimitRefusal> {
        self.reserve_at(amount, day, NOON)
    }

    fn reserve_at(&mut self, amount: Money, day: CalendarDay, now: Timestamp) -> Result<Reservation, LimitRefusal> {
        self.withdrawals += 1;
        self.limits.reserve(&self.account, withdrawal(self.withdrawals), amount, &self.figures, day, now)
    }

    /// A withdrawal that went well.
    fn withdraw(&mut self, amount: Money, day: CalendarDay) {
        self.reserve(amount, day).unwrap().settle(amount).unwrap();
    }

    /// The largest single withdrawal that would be admitted.
    fn withdrawal_max(&self, day: CalendarDay) -> Money {
        self.limits.headroom(&self.account, &self.figures, day, NOON).withdrawal_max
    }
}
