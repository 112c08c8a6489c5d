//! What the checker says when a rule is broken.

use std::fmt;

use crate::boundary::WithdrawalNo;

/// A rule of section 4 of the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A QR token is claimed once, in time, where it was minted for, and only if it was signed.
    One,
    /// No dispense without a granted hold, and one command a withdrawal.
    Two,
    /// Intent is durable before anything that can move money leaves.
    Three,
    /// An unanswered hold is reversed, never dispensed.
    Four,
    /// After the command only evidence or a person ends a withdrawal.
    Five,
    /// What is not known keeps the hold; only counted notes are credited; what was acknowledged is not asked again.
    Six,
    /// Every hold ends exactly once.
    Seven,
    /// Limits are never exceeded.
    Eight,
    /// Ended withdrawals do not change.
    Nine,
    /// What was acknowledged is on disk.
    Ten,
    /// PIN blocks are never stored.
    Eleven,
    /// Money is conserved.
    Twelve,
    /// Not one of the twelve: of several replicas, one at a time acts for a machine.
    Owner,
    /// Not one of the twelve: a stop that is durable holds at every replica.
    Stop,
    /// Not one of the twelve: what became durable has one sequence without a gap.
    Sequence,
    /// Not one of the twelve: machines of a replica that does not hear the database go where it is heard, and nobody is sent round in circles.
    Elsewhere,
    /// Not one of the twelve: every replica remembers every attempt once.
    Memory,
    /// Not one of the twelve: what stands out is told, by one replica.
    Alarm,
    /// Not one of the twelve: when the world has healed, every withdrawal ends.
    Liveness,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 3,
            Self::Four => 4,
            Self::Five => 5,
            Self::Six => 6,
            Self::Seven => 7,
            Self::Eight => 8,
            Self::Nine => 9,
            Self::Ten => 10,
            Self::Eleven => 11,
            Self::Twelve => 12,
            Self::Owner => return f.write_str("one owner at a time"),
            Self::Stop => return f.write_str("a stop holds everywhere"),
            Self::Sequence => return f.write_str("one sequence"),
            Self::Elsewhere => return f.write_str("served where the database is heard"),
            Self::Memory => return f.write_str("remembered once"),
            Self::Alarm => return f.write_str("told by one"),
            Self::Liveness => return f.write_str("liveness"),
        };
        write!(f, "rule {number}")
    }
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule} broken at {at_ms} ms{}: {what}", Of(*withdrawal))]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// When, in milliseconds since 1970-01-01T00:00:00Z; for what is only seen in the end, the time of the last crossing.
    pub at_ms: u64,
    /// Of which withdrawal, if it is about one.
    pub withdrawal: Option<WithdrawalNo>,
    /// A sentence for whoever reads the timeline.
    pub what: String,
}

/// Writes ", withdrawal 7" or nothing.
struct Of(Option<WithdrawalNo>);

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(withdrawal) => write!(f, ", withdrawal {withdrawal:x}"),
            None => Ok(()),
        }
    }
}

/// A [`Violation`] that does not know its time yet.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) rule: Rule,
    pub(super) withdrawal: Option<WithdrawalNo>,
    pub(super) what: String,
}

impl Finding {
    pub(super) fn at(self, at_ms: u64) -> Violation {
        Violation { rule: self.rule, at_ms, withdrawal: self.withdrawal, what: self.what }
    }
}

/// What becomes of one look at one rule.
pub(super) type Judgement = Result<(), Finding>;

/// The withdrawal breaks the rule. The sentence is only made when it is needed.
pub(super) fn broken(rule: Rule, withdrawal: WithdrawalNo, what: impl FnOnce() -> String) -> Judgement {
    Err(Finding { rule, withdrawal: Some(withdrawal), what: what() })
}

/// Something other than a withdrawal breaks the rule.
pub(super) fn broken_by_none(rule: Rule, what: impl FnOnce() -> String) -> Judgement {
    Err(Finding { rule, withdrawal: None, what: what() })
}
