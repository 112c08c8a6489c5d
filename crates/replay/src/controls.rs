//! Which controls a run has.

use std::fmt;

/// Something that the bank of 2020 did not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Control {
    /// Tiers by the age of the phone's binding: nothing for 12 h, little until 72 h.
    DeviceAge = 1,
    /// Counts, rolling windows, and sums per device, ATM and institution, beyond the 200,000 yen a withdrawal and 500,000 a day of 2020.
    Counts = 1 << 1,
    /// Many accounts on one phone, or a second phone on an account.
    DeviceSharing = 1 << 2,
    /// Withdrawals by new phones at one machine or one institution against its past.
    FleetPatterns = 1 << 3,
    /// The phone far from the machine, or the account where it cannot be.
    Place = 1 << 4,
    /// The amount, and the hour, against what is usual.
    Habit = 1 << 5,
    /// Phones that failed their maker's attestation.
    Attestation = 1 << 6,
    /// Mistyped codes and locks.
    FailedAttempts = 1 << 7,
    /// The code at the machine. Without it, who would be asked is paid.
    ConfirmCode = 1 << 8,
    /// A person who reacts to alarms ([`crate::reaction`]).
    Analyst = 1 << 9,
    /// Victims who read on their old contact that a phone was bound, and report it ([`crate::reaction::Alerts`]).
    Notices = 1 << 10,
}

impl Control {
    /// All there are.
    pub const ALL: [Self; 11] = [
        Self::DeviceAge,
        Self::Counts,
        Self::DeviceSharing,
        Self::FleetPatterns,
        Self::Place,
        Self::Habit,
        Self::Attestation,
        Self::FailedAttempts,
        Self::ConfirmCode,
        Self::Analyst,
        Self::Notices,
    ];

    /// A stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeviceAge => "device_age",
            Self::Counts => "counts",
            Self::DeviceSharing => "device_sharing",
            Self::FleetPatterns => "fleet_patterns",
            Self::Place => "place",
            Self::Habit => "habit",
            Self::Attestation => "attestation",
            Self::FailedAttempts => "failed_attempts",
            Self::ConfirmCode => "confirm_code",
            Self::Analyst => "analyst",
            Self::Notices => "notices",
        }
    }
}

/// A set of controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Controls(u16);

impl Controls {
    /// As in 2020.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const ALL: Self = Self((1 << 11) - 1);

    /// Whether it has this one.
    #[must_use]
    pub const fn has(self, control: Control) -> bool {
        self.0 & control as u16 != 0
    }

    /// This set and one more.
    #[must_use]
    pub const fn with(self, control: Control) -> Self {
        Self(self.0 | control as u16)
    }

    /// This set but one.
    #[must_use]
    pub const fn without(self, control: Control) -> Self {
        Self(self.0 & !(control as u16))
    }

    /// One control alone; with the code at the machine, without which a rule that asks for it would do nothing.
    #[must_use]
    pub const fn only(control: Control) -> Self {
        Self::NONE.with(Control::ConfirmCode).with(control)
    }

    /// What a report compares: none, each alone, all, all but each.
    #[must_use]
    pub fn compared() -> Vec<Self> {
        let alone = Control::ALL.into_iter().filter(|one| *one != Control::ConfirmCode).map(Self::only);
        let without = Control::ALL.into_iter().map(|one| Self::ALL.without(one));
        [Self::NONE].into_iter().chain(alone).chain([Self::ALL]).chain(without).collect()
    }
}

impl fmt::Display for Controls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |set: fn(Control) -> Self| Control::ALL.into_iter().find(|one| set(*one) == *self);
        if *self == Self::NONE {
            f.write_str("none (2020)")
        } else if *self == Self::ALL {
            f.write_str("all")
        } else if let Some(one) = named(Self::only) {
            write!(f, "only {}", one.as_str())
        } else if let Some(one) = named(|one| Self::ALL.without(one)) {
            write!(f, "all but {}", one.as_str())
        } else {
            let words: Vec<_> = Control::ALL.into_iter().filter(|one| self.has(*one)).map(Control::as_str).collect();
            f.write_str(&words.join(" + "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_compares_every_control_alone_and_missing() {
        let names: Vec<_> = Controls::compared().iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), 1 + 10 + 1 + 11);
        for control in Control::ALL {
            assert!(Controls::ALL.has(control) && !Controls::NONE.has(control));
            assert!(names.contains(&format!("all but {}", control.as_str())), "{control:?}");
        }
        assert!(names.contains(&"only device_age".to_owned()) && !names.contains(&"only confirm_code".to_owned()));
        let two = Controls::NONE.with(Control::Place).with(Control::Habit);
        assert_eq!(two.to_string(), "place + habit");
    }
}
