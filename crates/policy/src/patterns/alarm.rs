//! Patterns over many customers that a person should look at.

use std::fmt;
use std::time::Duration;

use cashgate_withdrawal::ids::{AtmId, DeviceId, InstitutionId};
use cashgate_withdrawal::time::Timestamp;

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// Withdrawals by new devices at one machine within an hour: runners who share it.
    AtmHour,
    /// Withdrawals by new devices at one institution within an hour, far above the usual of that hour: a wave at full speed.
    InstitutionHour,
    /// Strange devices at one institution within 24 hours, far above its usual day: a wave that grows.
    StrangeDevicesDay,
    /// Strange devices at one institution within 7 days, far above its usual week: a wave that keeps still.
    StrangeDevicesWeek,
    /// One young device that asks for a very large sum, far above the account's habit: a single case.
    DeviceSum,
    /// One young device that asks again and again, in vain, for more than the account's habit: a thief who feels his way.
    DeviceRefused,
}

impl Pattern {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::AtmHour,
        Self::InstitutionHour,
        Self::StrangeDevicesDay,
        Self::StrangeDevicesWeek,
        Self::DeviceSum,
        Self::DeviceRefused,
    ];

    /// The word for metrics and events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AtmHour => "atm_hour",
            Self::InstitutionHour => "institution_hour",
            Self::StrangeDevicesDay => "strange_devices_day",
            Self::StrangeDevicesWeek => "strange_devices_week",
            Self::DeviceSum => "device_sum",
            Self::DeviceRefused => "device_refused",
        }
    }

    /// Over how long a time it counts.
    #[must_use]
    pub const fn window(self) -> Duration {
        const HOUR_S: u64 = 3_600;
        Duration::from_secs(match self {
            Self::AtmHour | Self::InstitutionHour => HOUR_S,
            Self::StrangeDevicesDay | Self::DeviceRefused => 24 * HOUR_S,
            Self::StrangeDevicesWeek | Self::DeviceSum => 7 * 24 * HOUR_S,
        })
    }

    /// Whether it is about one phone, whose holder can be called.
    #[must_use]
    pub const fn is_of_device(self) -> bool {
        matches!(self, Self::DeviceSum | Self::DeviceRefused)
    }

    /// Whether it concerns the institution as a whole and so makes rules about `alarmed_7d` strict.
    #[must_use]
    pub const fn is_of_institution(self) -> bool {
        matches!(self, Self::InstitutionHour | Self::StrangeDevicesDay | Self::StrangeDevicesWeek)
    }
}

/// A pattern that stands out, with its figures. While it goes on it is told again after an hour, or after a day if it is about days or a week; a device
/// only once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// What was seen.
    pub pattern: Pattern,
    /// Whose customers are concerned: at a machine, those of the last withdrawal.
    pub institution: InstitutionId,
    /// The machine, for [`Pattern::AtmHour`].
    pub atm: Option<AtmId>,
    /// The phone, for [`Pattern::DeviceSum`] and [`Pattern::DeviceRefused`].
    pub device: Option<DeviceId>,
    /// When it was noticed.
    pub at: Timestamp,
    /// How many withdrawals or devices there were; for [`Pattern::DeviceSum`] the sum in minor units.
    pub found: u64,
    /// What is usual in such a window, in thousandths of the same; 0 if nothing is known or, for a device, of the account's habit.
    pub usual_milli: u64,
}

impl fmt::Display for Alarm {
    /// For a log: no account, no phone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pattern, institution, found, usual_milli, .. } = self;
        write!(f, "{}: {found} at {institution}", pattern.name())?;
        if let Some(atm) = &self.atm {
            write!(f, " at {atm}")?;
        }
        let hours = pattern.window().as_secs() / 3_600;
        write!(f, " in {hours} h, usual {}.{:03}", usual_milli / 1_000, usual_milli % 1_000)
    }
}

/// From where on a figure is an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// At least so many.
    pub least: u32,
    /// And at least so many times the usual.
    pub times_usual: u32,
}

impl Threshold {
    pub(super) fn is_reached(self, found: u32, usual_milli: u32) -> bool {
        found >= self.least && u64::from(found) * 1_000 >= u64::from(self.times_usual) * u64::from(usual_milli)
    }
}

/// What counts as a pattern. Amounts are in the minor units of the institution's currency; the defaults are for yen.
///
/// False alarms to expect with the defaults, at a bank of 200,000 customers of whom 2.5 % change their phone in a month: 0.8 a month from the patterns of the
/// institution (0.45 `StrangeDevicesWeek`, 0.28 `InstitutionHour`, 0.11 `StrangeDevicesDay`), measured over ten seeded years (`tests/alarms.rs`) in which, by assumption, new
/// phones draw three times an hour by day and one honest phone in 300 is strange, which is 15 a month. In the replay of 2020 (`docs/replay-2020.md`) `DeviceSum`
/// and `DeviceRefused` add a few a month: one customer each to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// A young device is strange once it asks for as much, with what it drew in 7 days.
    pub strange_amount: u64,
    /// And for so many times the account's habit.
    pub strange_times_usual: u64,
    /// A young device is strange, too, once it has asked for so many accounts in 30 days.
    pub strange_accounts: u32,
    /// A young device is an alarm of its own once it asks for as much, with what it drew in 7 days, and for so many times the habit at once.
    pub device_sum: u64,
    /// A young device asks in vain if it is refused as much, and more than the account's habit.
    pub vain_amount: u64,
    /// And is an alarm of its own when it asks once more after it asked so often in vain within 24 hours.
    pub vain_asks: u8,
    /// [`Pattern::AtmHour`]; there is no usual for it.
    pub atm_hour: u32,
    /// [`Pattern::InstitutionHour`].
    pub institution_hour: Threshold,
    /// [`Pattern::StrangeDevicesDay`].
    pub strange_day: Threshold,
    /// [`Pattern::StrangeDevicesWeek`].
    pub strange_week: Threshold,
}

impl Watch {
    pub(super) const fn is_vain(&self, amount: u64, usual: u64) -> bool {
        amount >= self.vain_amount && amount > usual
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            strange_amount: 100_000,
            strange_times_usual: 3,
            strange_accounts: 4,
            device_sum: 300_000,
            vain_amount: 40_000,
            vain_asks: 3,
            atm_hour: 4,
            institution_hour: Threshold { least: 8, times_usual: 6 },
            strange_day: Threshold { least: 4, times_usual: 5 },
            strange_week: Threshold { least: 4, times_usual: 3 },
        }
    }
}
