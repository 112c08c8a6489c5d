//! What another rule set would have decided.

use crate::decision::{Decision, Verdict};

/// How a second decision on the same facts differs from the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Difference {
    /// The same verdict. Its reasons may differ.
    None,
    /// It would be refused instead.
    Refused,
    /// It would be let through only with the code typed at the machine.
    SteppedUp,
    /// It would be let through, or no longer need the code.
    LetThrough,
}

impl Difference {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::None, Self::Refused, Self::SteppedUp, Self::LetThrough];

    /// What changes if `draft` takes the place of `current`.
    #[must_use]
    pub const fn between(current: &Decision, draft: &Decision) -> Self {
        Self::of(current.verdict, draft.verdict)
    }

    /// The same of bare verdicts. From a refusal to the code is [`Difference::SteppedUp`]: it is no longer refused, and not let through either.
    #[must_use]
    pub const fn of(current: Verdict, draft: Verdict) -> Self {
        match (current, draft) {
            (Verdict::Permit, Verdict::Permit)
            | (Verdict::StepUp, Verdict::StepUp)
            | (Verdict::Forbid, Verdict::Forbid) => Self::None,
            (Verdict::Permit | Verdict::StepUp, Verdict::Forbid) => Self::Refused,
            (Verdict::Permit | Verdict::Forbid, Verdict::StepUp) => Self::SteppedUp,
            (Verdict::StepUp | Verdict::Forbid, Verdict::Permit) => Self::LetThrough,
        }
    }

    /// The word for metrics and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Refused => "refused",
            Self::SteppedUp => "stepped_up",
            Self::LetThrough => "let_through",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_verdicts_has_its_difference() {
        use Difference::{LetThrough, None, Refused, SteppedUp};
        let expected = [[None, SteppedUp, Refused], [LetThrough, None, Refused], [LetThrough, SteppedUp, None]];
        for (current, row) in Verdict::ALL.into_iter().zip(expected) {
            for (draft, difference) in Verdict::ALL.into_iter().zip(row) {
                assert_eq!(Difference::of(current, draft), difference, "{current:?} {draft:?}");
            }
        }
    }
}
