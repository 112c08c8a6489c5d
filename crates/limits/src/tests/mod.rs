//! Tests through the public interface, and the words they are written in.

mod attempts;
mod contention;
mod figures;
mod forgetting;
mod headroom;
mod history;
mod model;
mod refusals;
mod reservations;
mod restarts;
mod windows;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use cashgate_withdrawal::ids::{AccountId, AtmId, DeviceId, InstitutionId};
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::time::Timestamp;

use crate::{
    Burst, Caps, Headroom, LimitFigures, LimitRefusal, LimitRequest, Limits, Reservation, Restored, SumCaps, Tier,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3_600);
/// A Monday's beginning, and its noon.
const MONDAY: Timestamp = Timestamp::from_unix_ms(1_728_000_000_000);
const NOON: Timestamp = Timestamp::from_unix_ms(1_728_043_200_000);
/// No limit of pace, for what is about the other figures.
const ANY_PACE: Burst = Burst { withdrawals: NonZeroU32::MIN, every: Duration::ZERO };
const NO_SUMS: SumCaps = SumCaps {
    per_24h: None,
    withdrawals_per_24h: None,
    new_device_per_24h: None,
    new_device_withdrawals_per_24h: None,
};
/// Nothing is limited.
const OPEN_HANDED: Caps = Caps::UNLIMITED;

fn yen(amount: u64) -> Money {
    Money::from_minor_units(amount, Currency::JPY).unwrap()
}

fn euro_cents(amount: u64) -> Money {
    Money::from_minor_units(amount, "EUR".parse().unwrap()).unwrap()
}

fn burst(withdrawals: u32, every: Duration) -> Burst {
    Burst { withdrawals: NonZeroU32::new(withdrawals).unwrap(), every }
}

/// Figures for established devices only.
fn figures(established: Caps, burst: Burst) -> LimitFigures {
    LimitFigures::new(Currency::JPY, established, Vec::new(), None, NO_SUMS, burst).unwrap()
}

/// 200,000 yen a withdrawal, 500,000 a day, for any device; any pace.
fn usual_figures() -> LimitFigures {
    figures(Caps { per_withdrawal: 200_000, per_day: 500_000, ..OPEN_HANDED }, ANY_PACE)
}

/// As the design has them: nothing for 12 hours, then 50,000 yen a day until 72.
fn tiered_figures() -> LimitFigures {
    let established = Caps { per_withdrawal: 200_000, per_day: 500_000, ..OPEN_HANDED };
    let nothing = Caps { per_withdrawal: 0, per_day: 0, ..established };
    let little = Caps { per_withdrawal: 50_000, per_day: 50_000, ..established };
    let tiers = vec![Tier { until_age: 12 * HOUR, caps: nothing }, Tier { until_age: 72 * HOUR, caps: little }];
    LimitFigures::new(Currency::JPY, established, tiers, None, NO_SUMS, ANY_PACE).unwrap()
}

/// One customer with one device at one ATM, at noon on Monday: what most tests need. A clone is another customer under the same limits.
#[derive(Clone)]
struct Customer {
    limits: Arc<Limits>,
    figures: LimitFigures,
    atm_caps: SumCaps,
    institution: InstitutionId,
    account: AccountId,
    device: DeviceId,
    atm: AtmId,
    device_age: Duration,
    day_began: Timestamp,
    now: Timestamp,
}

impl Customer {
    fn new(figures: LimitFigures) -> Self {
        Self {
            limits: Arc::new(Limits::with_shards(4)),
            figures,
            atm_caps: NO_SUMS,
            institution: "bank-a".parse().unwrap(),
            account: "hanako".parse().unwrap(),
            device: "hanakos-phone".parse().unwrap(),
            atm: "atm-1".parse().unwrap(),
            device_age: 100 * DAY,
            day_began: MONDAY,
            now: NOON,
        }
    }

    fn with_account(&self, account: &str) -> Self {
        Self { account: account.parse().unwrap(), ..self.clone() }
    }

    fn with_device(&self, device: &str) -> Self {
        Self { device: device.parse().unwrap(), ..self.clone() }
    }

    fn at_atm(&self, atm: &str) -> Self {
        Self { atm: atm.parse().unwrap(), ..self.clone() }
    }

    fn of_institution(&self, institution: &str) -> Self {
        Self { institution: institution.parse().unwrap(), ..self.clone() }
    }

    fn aged(&self, device_age: Duration) -> Self {
        Self { device_age, ..self.clone() }
    }

    /// The same customer later, on the day that has begun by then.
    fn later(&self, passed: Duration) -> Self {
        let now = self.now.after(passed);
        let days = now.since(MONDAY).as_secs() / DAY.as_secs();
        Self { now, day_began: MONDAY.after(DAY * u32::try_from(days).unwrap()), ..self.clone() }
    }

    fn request(&self, amount: Money) -> LimitRequest<'_> {
        let Self { institution, account, device, atm, device_age, day_began, now, .. } = self;
        let (device_age, day_began, now) = (*device_age, *day_began, *now);
        LimitRequest { institution, account, device, atm, amount, device_age, day_began, now }
    }

    fn reserve(&self, amount: Money) -> Result<Reservation, LimitRefusal> {
        self.limits.reserve(&self.request(amount), &self.figures, &self.atm_caps)
    }

    /// Why an amount is not admitted; if it is, it is given back.
    fn refused(&self, amount: Money) -> Option<&'static str> {
        match self.reserve(amount) {
            Ok(reservation) => {
                reservation.release();
                None
            }
            Err(refusal) => Some(refusal.reason()),
        }
    }

    /// A withdrawal that went well.
    fn withdraw(&self, amount: Money) {
        self.reserve(amount).unwrap().settle(amount).unwrap();
    }

    fn headroom(&self) -> Headroom {
        self.limits.headroom(&self.request(yen(0)).headroom(), &self.figures, &self.atm_caps)
    }

    /// The largest single withdrawal that would be admitted, in minor units.
    fn withdrawal_max(&self) -> u64 {
        self.headroom().withdrawal_max.minor_units()
    }

    /// What the ledger says after a restart about a withdrawal that was approved now.
    fn restored(&self, amount: Money) -> Restored<'_> {
        let Self { institution, account, device, atm, now, figures, .. } = self;
        let is_new_device = figures.is_new(self.device_age);
        Restored { institution, account, device, atm, amount, approved_at: *now, is_new_device, burst: figures.burst() }
    }
}
