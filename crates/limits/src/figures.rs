//! The figures that an institution, or an ATM's operator, sets.

use std::fmt;
use std::time::Duration;

use cashgate_withdrawal::money::Currency;

use crate::Burst;

/// What one account, or one device, may withdraw. Amounts are in minor units of the figures' currency, 0 to 4,294,967,295 (2^32 - 1);
/// numbers of withdrawals are 0 to 255. A figure of zero admits nothing; [`Caps::UNLIMITED`] has the largest of each.
///
/// A withdrawal that is open counts in every window; after that what left the machine counts from its approval on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The largest single withdrawal.
    pub per_withdrawal: u64,
    /// The largest sum in one calendar day of the institution.
    pub per_day: u64,
    /// The largest sum within 24 hours, whenever they begin.
    pub per_24h: u64,
    /// The largest sum within 7 times 24 hours.
    pub per_7d: u64,
    /// The largest number of withdrawals in one calendar day of the institution.
    pub withdrawals_per_day: u32,
    /// The largest number of withdrawals within 24 hours.
    pub withdrawals_per_24h: u32,
    /// The largest number of withdrawals within 7 times 24 hours.
    pub withdrawals_per_7d: u32,
}

/// Caps for devices that are younger than an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// They hold for devices younger than this; one that is just so old has grown out of them.
    pub until_age: Duration,
    /// They bind what the account has drawn by any device, and what the device has drawn from any account.
    pub caps: Caps,
}

/// What an ATM may pay out, or all customers of an institution withdraw, within 24 hours. What is `None` is not limited. Amounts are in minor
/// units of the withdrawal's currency; each currency is summed by itself.
///
/// The sums are kept by the hour: a withdrawal counts for up to an hour longer than 24. If none of the four is set nothing is
/// counted either, so that counting begins when the first is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SumCaps {
    /// The largest sum.
    pub per_24h: Option<u64>,
    /// The largest number of withdrawals.
    pub withdrawals_per_24h: Option<u32>,
    /// The largest sum with new devices ([`LimitFigures::is_new`]).
    pub new_device_per_24h: Option<u64>,
    /// The largest number of withdrawals with new devices.
    pub new_device_withdrawals_per_24h: Option<u32>,
}

/// What an institution allows, in one currency. Displayed, it is one line of `name=value` pairs, for the record of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitFigures {
    currency: Currency,
    established: Caps,
    tiers: Vec<Tier>,
    device: Option<Caps>,
    institution: SumCaps,
    burst: Burst,
}

/// Why figures were not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FiguresError {
    /// A tier does not reach further than the one before it, or reaches nothing.
    #[error("the tier until {} s does not reach further than the one before: give tiers by ascending age", .until_age.as_secs())]
    TiersNotAscending {
        /// Where it ends.
        until_age: Duration,
    },
    /// A tier allows more than the next one, or than what holds for established devices.
    #[error("{figure} of the tier until {} s is larger than for older devices: a new device may not do more", .until_age.as_secs())]
    TierLooserThanOlder {
        /// Where it ends.
        until_age: Duration,
        /// The figure's name.
        figure: &'static str,
    },
    /// An amount that would not be counted exactly.
    #[error("{figure} is {minor_units} minor units: at most {} are counted", Caps::MINOR_UNITS_MAX)]
    AmountTooLarge {
        /// The figure's name.
        figure: &'static str,
        /// What it was.
        minor_units: u64,
    },
    /// A number of withdrawals that would not be counted exactly.
    #[error("{figure} is {withdrawals}: at most {} are counted", Caps::WITHDRAWALS_MAX)]
    TooManyWithdrawals {
        /// The figure's name.
        figure: &'static str,
        /// What it was.
        withdrawals: u32,
    },
}

impl Caps {
    /// The largest amount a figure may have: 2^32 - 1 minor units.
    pub const MINOR_UNITS_MAX: u64 = u32::MAX as u64;

    /// The largest number of withdrawals a figure may have.
    pub const WITHDRAWALS_MAX: u32 = 255;

    /// The largest of every figure. For what has no meaning to limit, and to begin with in tests.
    pub const UNLIMITED: Self = Self {
        per_withdrawal: Self::MINOR_UNITS_MAX,
        per_day: Self::MINOR_UNITS_MAX,
        per_24h: Self::MINOR_UNITS_MAX,
        per_7d: Self::MINOR_UNITS_MAX,
        withdrawals_per_day: Self::WITHDRAWALS_MAX,
        withdrawals_per_24h: Self::WITHDRAWALS_MAX,
        withdrawals_per_7d: Self::WITHDRAWALS_MAX,
    };

    fn amounts(&self) -> [(&'static str, u64); 4] {
        [
            ("per_withdrawal", self.per_withdrawal),
            ("per_day", self.per_day),
            ("per_24h", self.per_24h),
            ("per_7d", self.per_7d),
        ]
    }

    fn numbers(&self) -> [(&'static str, u32); 3] {
        [
            ("withdrawals_per_day", self.withdrawals_per_day),
            ("withdrawals_per_24h", self.withdrawals_per_24h),
            ("withdrawals_per_7d", self.withdrawals_per_7d),
        ]
    }

    fn check(&self) -> Result<(), FiguresError> {
        if let Some((figure, minor_units)) = self.amounts().into_iter().find(|(_, it)| *it > Self::MINOR_UNITS_MAX) {
            return Err(FiguresError::AmountTooLarge { figure, minor_units });
        }
        match self.numbers().into_iter().find(|(_, it)| *it > Self::WITHDRAWALS_MAX) {
            Some((figure, withdrawals)) => Err(FiguresError::TooManyWithdrawals { figure, withdrawals }),
            None => Ok(()),
        }
    }

    /// The first figure that is larger than the other's.
    fn looser_than(&self, other: &Self) -> Option<&'static str> {
        let amounts = self.amounts().into_iter().zip(other.amounts());
        let numbers = self.numbers().into_iter().zip(other.numbers());
        let looser = amounts.filter_map(|((figure, mine), (_, theirs))| (mine > theirs).then_some(figure)).next();
        looser.or_else(|| numbers.filter_map(|((figure, mine), (_, theirs))| (mine > theirs).then_some(figure)).next())
    }

    /// The smaller of each figure.
    fn and(&self, other: &Self) -> Self {
        Self {
            per_withdrawal: self.per_withdrawal.min(other.per_withdrawal),
            per_day: self.per_day.min(other.per_day),
            per_24h: self.per_24h.min(other.per_24h),
            per_7d: self.per_7d.min(other.per_7d),
            withdrawals_per_day: self.withdrawals_per_day.min(other.withdrawals_per_day),
            withdrawals_per_24h: self.withdrawals_per_24h.min(other.withdrawals_per_24h),
            withdrawals_per_7d: self.withdrawals_per_7d.min(other.withdrawals_per_7d),
        }
    }
}

impl SumCaps {
    /// Itself, if anything is limited.
    pub(crate) fn in_force(&self) -> Option<Self> {
        (*self != Self::default()).then_some(*self)
    }
}

impl LimitFigures {
    /// What `established` devices may do, what younger ones may (by ascending age, each at most as much as the next), what each `device` may do
    /// over all accounts, what all of the institution's customers together may, and how fast withdrawals from one account may follow one another.
    ///
    /// # Errors
    /// The first [`FiguresError`] that applies: to `established`, then `device`, then the tiers in their order.
    pub fn new(
        currency: Currency,
        established: Caps,
        tiers: Vec<Tier>,
        device: Option<Caps>,
        institution: SumCaps,
        burst: Burst,
    ) -> Result<Self, FiguresError> {
        established.check()?;
        device.as_ref().map_or(Ok(()), Caps::check)?;
        let mut reached = Duration::ZERO;
        for (number, Tier { until_age, caps }) in tiers.iter().enumerate() {
            let until_age = *until_age;
            caps.check()?;
            if until_age <= reached {
                return Err(FiguresError::TiersNotAscending { until_age });
            }
            reached = until_age;
            let older = tiers.get(number + 1).map_or(&established, |next| &next.caps);
            if let Some(figure) = caps.looser_than(older) {
                return Err(FiguresError::TierLooserThanOlder { until_age, figure });
            }
        }
        Ok(Self { currency, established, tiers, device, institution, burst })
    }

    /// What binds the account when a device of this age withdraws.
    #[must_use]
    pub fn caps_for(&self, device_age: Duration) -> &Caps {
        self.tier_for(device_age).map_or(&self.established, |tier| &tier.caps)
    }

    /// What binds the device itself: for a young one the tier, and never more than an established one may.
    #[must_use]
    pub fn device_caps_for(&self, device_age: Duration) -> Option<Caps> {
        match (self.tier_for(device_age), &self.device) {
            (Some(tier), Some(device)) => Some(tier.caps.and(device)),
            (Some(tier), None) => Some(tier.caps),
            (None, device) => *device,
        }
    }

    /// Whether a device of this age is younger than the last tier reaches.
    #[must_use]
    pub fn is_new(&self, device_age: Duration) -> bool {
        self.tier_for(device_age).is_some()
    }

    /// The tier of a device of this age, unless it is established.
    #[must_use]
    pub fn tier_for(&self, device_age: Duration) -> Option<&Tier> {
        self.tiers.iter().find(|tier| device_age < tier.until_age)
    }

    /// How long a device of this age has to wait until it may withdraw anything; `None` if it need not, or if waiting is no help.
    #[must_use]
    pub fn wait_for(&self, device_age: Duration) -> Option<Duration> {
        let tiers = self.tiers.iter().filter(|tier| device_age < tier.until_age);
        let waiting = tiers.take_while(|tier| tier.caps.per_withdrawal == 0).last()?;
        (self.established.per_withdrawal > 0).then(|| waiting.until_age.saturating_sub(device_age))
    }

    /// The currency of every amount.
    #[must_use]
    pub const fn currency(&self) -> Currency {
        self.currency
    }

    /// What binds the account when an established device withdraws.
    #[must_use]
    pub const fn established(&self) -> &Caps {
        &self.established
    }

    /// What binds the account and the device while the device is young, by ascending age.
    #[must_use]
    pub fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    /// The same without the caps over all customers of the institution, for whoever holds those elsewhere.
    #[must_use]
    pub fn without_institution(&self) -> Self {
        Self { institution: SumCaps::default(), ..self.clone() }
    }

    /// What binds every device over all accounts.
    #[must_use]
    pub const fn device(&self) -> Option<&Caps> {
        self.device.as_ref()
    }

    /// What binds all of the institution's customers together.
    #[must_use]
    pub const fn institution(&self) -> &SumCaps {
        &self.institution
    }

    /// How fast withdrawals from one account may follow one another.
    #[must_use]
    pub const fn burst(&self) -> Burst {
        self.burst
    }
}

/// `prefix` before each name.
pub(crate) fn write_caps(f: &mut impl fmt::Write, prefix: &str, caps: &Caps) -> fmt::Result {
    caps.amounts().into_iter().try_for_each(|(name, figure)| write!(f, " {prefix}{name}={figure}"))?;
    caps.numbers().into_iter().try_for_each(|(name, figure)| write!(f, " {prefix}{name}={figure}"))
}

/// `prefix` before each name; only what is set.
pub(crate) fn write_sum_caps(f: &mut impl fmt::Write, prefix: &str, caps: &SumCaps) -> fmt::Result {
    let figures = [
        ("per_24h", caps.per_24h),
        ("withdrawals_per_24h", caps.withdrawals_per_24h.map(u64::from)),
        ("new_device_per_24h", caps.new_device_per_24h),
        ("new_device_withdrawals_per_24h", caps.new_device_withdrawals_per_24h.map(u64::from)),
    ];
    let set = figures.into_iter().filter_map(|(name, figure)| Some((name, figure?)));
    set.into_iter().try_for_each(|(name, figure)| write!(f, " {prefix}{name}={figure}"))
}

impl fmt::Display for LimitFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let every_ms = self.burst.every.as_millis();
        write!(f, "currency={} burst={} burst_every_ms={every_ms}", self.currency, self.burst.withdrawals)?;
        write_caps(f, "", &self.established)?;
        for tier in &self.tiers {
            write_caps(f, &format!("until_{}s_", tier.until_age.as_secs()), &tier.caps)?;
        }
        self.device.as_ref().map_or(Ok(()), |caps| write_caps(f, "device_", caps))?;
        write_sum_caps(f, "institution_", &self.institution)
    }
}
