//! How thieves go about it.

use crate::chance::Chance;

/// What a thief does with an app that was activated with somebody else's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Behaviour {
    /// Is at the machine minutes after the activation.
    AtOnce,
    /// Comes between midnight and dawn.
    NightOwl,
    /// One phone, several accounts, one after the other.
    ManyAccounts,
    /// Several phones and accounts at one machine within an hour or a night.
    Runners,
    /// Knows that new phones wait 12 hours.
    WaitsTwelveHours,
    /// Small amounts over many days, under every threshold that is known to him.
    Salami,
    /// Knows that new phones are watched for 72 hours.
    WaitsThreeDays,
    /// Has time.
    WaitsAWeek,
    /// Photographs the code at the machine and has the victim approve it elsewhere, on the victim's own phone.
    Relay,
}

impl Behaviour {
    /// All there are.
    pub const ALL: [Self; 9] = [
        Self::AtOnce,
        Self::NightOwl,
        Self::ManyAccounts,
        Self::Runners,
        Self::WaitsTwelveHours,
        Self::Salami,
        Self::WaitsThreeDays,
        Self::WaitsAWeek,
        Self::Relay,
    ];

    /// A stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AtOnce => "at_once",
            Self::NightOwl => "night_owl",
            Self::ManyAccounts => "many_accounts",
            Self::Runners => "runners",
            Self::WaitsTwelveHours => "waits_12h",
            Self::Salami => "salami",
            Self::WaitsThreeDays => "waits_72h",
            Self::WaitsAWeek => "waits_a_week",
            Self::Relay => "relay",
        }
    }

    /// Whether whoever holds the app stands at the machine, and so can type the code that it shows.
    #[must_use]
    pub const fn is_at_the_machine(self) -> bool {
        !matches!(self, Self::Relay)
    }

    /// The most of one case, in steps of 10,000 yen.
    pub(crate) const fn total_max_man(self) -> u64 {
        match self {
            Self::Salami => 40,
            Self::Relay => 60,
            _ => 100,
        }
    }

    /// The most that he tries to draw in a day, in steps: the limit of 2020, or what does not stand out.
    pub(crate) const fn day_max_man(self) -> u64 {
        match self {
            Self::Salami => 5,
            _ => 50,
        }
    }

    /// What he asks for if nothing has taught him to ask for less, in steps.
    pub(crate) fn wish_man(self, chance: &mut Chance) -> u64 {
        match self {
            Self::Salami => chance.between(1, 3),
            _ => 20,
        }
    }

    /// How long after the activation he first tries, in minutes.
    pub(crate) fn wait_minutes(self, chance: &mut Chance) -> u64 {
        match self {
            Self::AtOnce => chance.between(5, 40),
            Self::ManyAccounts => chance.between(5, 30),
            Self::Runners => chance.between(60, 240),
            Self::NightOwl => chance.between(60, 300),
            Self::WaitsTwelveHours => chance.between(12 * 60 + 5, 16 * 60),
            Self::Salami => chance.between(12 * 60 + 5, 14 * 60),
            Self::WaitsThreeDays => chance.between(72 * 60 + 10, 80 * 60),
            Self::WaitsAWeek => chance.between(7 * 24 * 60 + 60, 8 * 24 * 60),
            Self::Relay => 0,
        }
    }

    /// How many cases belong together.
    pub(crate) fn group_size(self, chance: &mut Chance) -> usize {
        let size = match self {
            Self::ManyAccounts => chance.between(3, 5),
            Self::Runners => chance.between(3, 6),
            _ => 1,
        };
        usize::try_from(size).unwrap_or(1)
    }
}

/// How many thieves of each kind there are, in thousandths, in the order of [`Behaviour::ALL`]. A group counts once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix([u16; 9]);

impl Mix {
    /// Assumed: nobody published how each of the 32 cases went. Nothing in 2020 made waiting worth while, so most do not; those who would wait are there
    /// because thieves learn.
    pub const ASSUMED: Self = Self([440, 140, 60, 60, 110, 60, 50, 30, 50]);

    /// Thieves of one kind alone.
    #[must_use]
    pub fn only(behaviour: Behaviour) -> Self {
        Self(Behaviour::ALL.map(|one| u16::from(one == behaviour)))
    }

    pub(crate) fn drawn(self, chance: &mut Chance) -> Behaviour {
        let [a, b, c, d, e, f, g, h, i] = self.0.map(u64::from);
        let weights = [a, b, c, d, e, f, g, h, i];
        let table: [(u64, Behaviour); 9] = std::array::from_fn(|at| {
            let weight = weights.get(at).copied().unwrap_or(0);
            (weight, Behaviour::ALL.get(at).copied().unwrap_or(Behaviour::AtOnce))
        });
        chance.weighted(&table, Behaviour::AtOnce)
    }
}

/// How long a thief who is refused goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Persistence {
    /// Comes back once, about two hours later.
    OneEvening,
    /// And once more the next day.
    NextDay,
    /// Again and again over six days.
    SeveralDays,
}

impl Persistence {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::OneEvening, Self::NextDay, Self::SeveralDays];

    /// A stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OneEvening => "one_evening",
            Self::NextDay => "next_day",
            Self::SeveralDays => "several_days",
        }
    }

    /// Assumed: half give up the same evening, because runners are hired by the hour and the app may be blocked any minute.
    pub(crate) fn drawn(chance: &mut Chance) -> Self {
        chance.weighted(&[(500, Self::OneEvening), (300, Self::NextDay), (200, Self::SeveralDays)], Self::OneEvening)
    }

    /// After the n-th visit in a row that paid nothing: in how many hours he comes back. None: never.
    pub(crate) fn comes_back_after_hours(self, failed_visits: usize) -> Option<u64> {
        let hours: &[u64] = match self {
            Self::OneEvening => &[2],
            Self::NextDay => &[2, 22],
            Self::SeveralDays => &[2, 12, 24, 24, 36, 48],
        };
        failed_visits.checked_sub(1).and_then(|at| hours.get(at)).copied()
    }
}
