//! What passes among replicas, their database and their machines, in plain numbers.

use super::{AccountNo, AtmNo, PhoneNo, WithdrawalNo};

/// Something that only worlds with several replicas have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    /// The database's answer to what this process asked at a moment reached it.
    Heard {
        /// When it asked.
        asked_at_ms: u64,
    },
    /// Nothing passes between this process and the others.
    CutFromPeers {
        /// Until then at the latest.
        until_ms: u64,
    },
    /// This process stands still.
    StandsStill {
        /// Until then at the latest.
        until_ms: u64,
    },
    /// A fault strikes what some process has under way with the database.
    DatabaseStruck,
    /// A machine said to this process who it is, over the connection that it believes in.
    AtmConnected {
        /// The machine.
        atm: AtmNo,
    },
    /// A machine has no connection any more.
    AtmLostLink {
        /// The machine.
        atm: AtmNo,
    },
    /// This process sent a machine away, because it does not hear the database and another does.
    AtmSentElsewhere {
        /// The machine.
        atm: AtmNo,
    },
    /// This process bade a machine welcome: it has its lane.
    AtmWelcomed {
        /// The machine.
        atm: AtmNo,
    },
    /// This process's policy was asked about an approval, and this became of it, unless it does not become durable.
    Asked(Attempt),
    /// An approval, or that it was refused, became durable.
    AttemptDurable {
        /// The withdrawal that it is, or would have been.
        withdrawal: WithdrawalNo,
        /// Its number among all that became durable.
        sequence: u64,
    },
    /// This process has heard who asked for money, in the database's order.
    AttemptsHeard {
        /// Up to this number.
        through: u64,
    },
    /// This process tells of an alarm; it is not durable yet.
    AlarmTold(Alarm),
    /// An alarm became durable.
    AlarmDurable {
        /// Which.
        alarm: Alarm,
        /// Its number among all that became durable.
        sequence: u64,
    },
}

/// Somebody asked for money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The withdrawal that it is, or would have been.
    pub withdrawal: WithdrawalNo,
    /// By which phone.
    pub phone: PhoneNo,
    /// From which account.
    pub account: AccountNo,
    /// At which machine.
    pub atm: AtmNo,
    /// How much.
    pub amount: u64,
    /// Whether it was granted; refused otherwise.
    pub granted: bool,
}

/// A pattern that stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// What was seen.
    pub pattern: Pattern,
    /// The machine, if it is about one.
    pub atm: Option<AtmNo>,
    /// The phone, if it is about one.
    pub phone: Option<PhoneNo>,
    /// When the approval that completes it was decided on.
    pub attempt_at_ms: u64,
}

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// Four withdrawals by new phones at one machine within an hour.
    AtmHour,
    /// Eight withdrawals by new phones anywhere within an hour.
    InstitutionHour,
    /// Four new phones that ask for what is strange, within a day.
    StrangeDevicesDay,
    /// The same within a week.
    StrangeDevicesWeek,
    /// One new phone that asks for 300,000 yen in all.
    DeviceSum,
    /// One new phone that asks for 40,000 yen or more for the fourth time.
    DeviceRefused,
}

/// What one process remembers when everything has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The process.
    pub process: u32,
    /// How many withdrawals it counts, by account.
    pub withdrawals: Vec<(AccountNo, u32)>,
    /// For how many accounts it has seen a phone ask, by phone.
    pub accounts: Vec<(PhoneNo, u32)>,
    /// How many withdrawals by new phones it counts, by machine.
    pub new_at_atm: Vec<(AtmNo, u32)>,
}
