//! What the bank is asked and what it answers.

use serde::Serialize;

/// A request to take money aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceHold {
    /// The idempotency key.
    pub withdrawal_id: String,
    /// The account.
    pub account: String,
    /// In minor units.
    pub amount: u64,
    /// Three capital letters.
    pub currency: String,
}

/// The decision about a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaceHoldAnswer {
    /// The money is aside.
    Granted {
        /// The bank's reference.
        reference: String,
    },
    /// It is not.
    Declined {
        /// Why.
        code: String,
    },
}

/// The answer to a confirmation or a reversal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettlementAnswer {
    /// It is so.
    Done,
    /// It cannot be so.
    Refused {
        /// Why.
        code: &'static str,
    },
}

/// Where a hold stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Money is aside.
    Held,
    /// Booked.
    Confirmed,
    /// Given back, or never to be placed.
    Reversed,
    /// Refused.
    Declined,
}

impl Standing {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Confirmed => "confirmed",
            Self::Reversed => "reversed",
            Self::Declined => "declined",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Held, Self::Confirmed, Self::Reversed, Self::Declined].into_iter().find(|s| s.as_str() == text)
    }
}

/// What the bank knows of a withdrawal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// Where it stands.
    pub standing: Standing,
    /// The bank's reference; empty if money was never aside.
    pub reference: String,
    /// What was asked for, in minor units; zero if only a reversal ever came.
    pub asked: u64,
    /// What was booked, in minor units.
    pub confirmed: u64,
    /// Three capital letters; empty if only a reversal ever came.
    pub currency: String,
}
