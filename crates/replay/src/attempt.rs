//! What a bank is asked, and what it is told. Parties are numbers here: a run has millions of questions, and names would cost more than answers.

use std::time::Duration;

use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::time::Timestamp;

use crate::geography::Place;

/// A bank, 0 or 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstitutionNo(pub u8);

/// An account of one institution; no two institutions share a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountNo(pub u32);

/// A phone (an app installation).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNo(pub u32);

/// A cash machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AtmNo(pub u16);

/// How a phone was bound to its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// With personal data alone, on the phone. What the thieves of 2020 used.
    Online,
    /// With the bank card and its PIN at a cash machine.
    Atm,
    /// With a code sent by post.
    Post,
    /// In a video call.
    Video,
    /// At a counter.
    Branch,
}

impl Channel {
    /// The word for it, as institutions give it at registration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Atm => "atm",
            Self::Post => "post",
            Self::Video => "video",
            Self::Branch => "branch",
        }
    }
}

/// What the phone's maker said of it when it was bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attestation {
    /// A genuine app on a genuine phone.
    Passed,
    /// Altered, or no phone at all.
    Failed,
    /// Nobody asked.
    NotGiven,
}

/// A phone as it is bound to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Device {
    /// Which.
    pub number: DeviceNo,
    /// When it was bound to the account.
    pub bound_at: Timestamp,
    /// How.
    pub channel: Channel,
    /// What is known of it.
    pub attestation: Attestation,
}

impl Device {
    /// How long ago it was bound.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Duration {
        now.since(self.bound_at)
    }
}

/// A phone was bound to an account. Told at `device.bound_at`; phones from before the run are told at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The account's bank.
    pub institution: InstitutionNo,
    /// The account.
    pub account: AccountNo,
    /// The phone.
    pub device: Device,
}

/// Somebody approved an amount in an app in front of a cash machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The account's bank.
    pub institution: InstitutionNo,
    /// The account to be debited.
    pub account: AccountNo,
    /// The phone that approved.
    pub device: Device,
    /// The machine that is to pay.
    pub atm: AtmNo,
    /// Where the machine stands.
    pub atm_place: Place,
    /// Where the phone says it is. None if it does not say.
    pub phone_place: Option<Place>,
    /// How much, always in yen.
    pub amount: Money,
    /// When.
    pub now: Timestamp,
}

/// An amount in yen; nothing if it is above what [`Money`] holds.
#[must_use]
pub fn yen(amount: u64) -> Money {
    Money::from_minor_units(amount, Currency::JPY).unwrap_or(Money::zero(Currency::JPY))
}
