//! What a report's evidence is worth: grades, and the dispenser's own present status.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::dispense::{Contradiction, Verdict};
use crate::money::{Money, MoneyError};

/// How much a report proves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EvidenceGrade {
    /// The bare word of a message.
    #[default]
    C,
    /// The machine's durable record, or a present status that only the machine vouches for.
    B,
    /// A present status that the dispenser itself made for this very command, after it was asked.
    A,
}

impl EvidenceGrade {
    /// Every grade, the least first.
    pub const ALL: [Self; 3] = [Self::C, Self::B, Self::A];

    /// The letter, as configuration and records have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::C => "C",
            Self::B => "B",
            Self::A => "A",
        }
    }
}

/// A text was no grade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a grade of evidence is A, B or C")]
pub struct NotAGrade;

impl FromStr for EvidenceGrade {
    type Err = NotAGrade;

    fn from_str(text: &str) -> Result<Self, NotAGrade> {
        Self::ALL.into_iter().find(|grade| grade.name() == text).ok_or(NotAGrade)
    }
}

/// The longest token of XFS4IoT end-to-end security, in characters.
pub const END_TO_END_TOKEN_LENGTH_MAX: usize = 1_024;

/// A text was no token of end-to-end security.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to {END_TO_END_TOKEN_LENGTH_MAX} printable ASCII characters")]
pub struct NotAToken;

/// Declares a text of printable ASCII that is passed on as it is.
macro_rules! token_text {
    ($(#[$meaning:meta])* $name:ident) => {
        $(#[$meaning])*
        ///
        /// 1 to 1,024 printable ASCII characters; what they say is read elsewhere.
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The token as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NotAToken;

            fn from_str(text: &str) -> Result<Self, NotAToken> {
                let fits = (1..=END_TO_END_TOKEN_LENGTH_MAX).contains(&text.len());
                let is_printable = text.bytes().all(|b| matches!(b, b' '..=b'~'));
                if fits && is_printable { Ok(Self(text.into())) } else { Err(NotAToken) }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

token_text!(
    /// What a dispenser with end-to-end security pays out against: made in the HSM for one nonce of the dispenser and one amount.
    DispenseToken
);
token_text!(
    /// What a dispenser says of its last dispense, authenticated with its key.
    PresentToken
);

/// A present token that came with a report, and what verifying it found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentEvidence {
    /// The token, as it came.
    pub token: PresentToken,
    /// What was found.
    pub finding: PresentFinding,
}

impl PresentEvidence {
    /// A token that nobody has verified yet.
    #[must_use]
    pub const fn unverified(token: PresentToken) -> Self {
        Self { token, finding: PresentFinding::Unverified }
    }
}

/// What verifying a present token found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PresentFinding {
    /// The machine's key made it, and it is about this withdrawal's dispense token.
    Genuine(PresentStatus),
    /// It is not genuine, or not about this command. It proves nothing; a stable word says why.
    Wrong(WrongToken),
    /// The HSM could not be asked. It proves nothing.
    Unverified,
}

/// Why a present token proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WrongToken {
    /// It is not in the form of a present token.
    Malformed,
    /// Its MAC is not the machine's.
    Forged,
    /// It is about another dispense.
    OtherDispense,
    /// Its figures contradict each other.
    FiguresDisagree,
    /// The command had no dispense token that it could be about.
    NotAsked,
}

impl WrongToken {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::Malformed, Self::Forged, Self::OtherDispense, Self::FiguresDisagree, Self::NotAsked];

    /// A stable word for records and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Forged => "forged",
            Self::OtherDispense => "other_dispense",
            Self::FiguresDisagree => "figures_disagree",
            Self::NotAsked => "not_asked",
        }
    }
}

/// What a genuine present token says that can no longer change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresentStatus {
    /// The notes that the customer had access to; `None` if the dispenser does not know, or notes may still come out.
    pub presented: Option<Money>,
    /// The notes that were taken back afterwards; `None` if the dispenser does not know how much.
    pub retracted: Option<Money>,
    /// Whether it answers a nonce that was drawn for asking. Another one may be older than what has happened since: it can contradict a
    /// report, but it proves nothing less than everything.
    pub fresh: bool,
}

/// The figures of a present token, as a dispenser gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DispenserFigures {
    /// What was dispensed, to the stacker at least.
    pub dispensed: Money,
    /// Whether the customer had access to any of it.
    pub was_presented: bool,
    /// How much of it, if the dispenser knows.
    pub presented: Option<Money>,
    /// Whether anything was taken back.
    pub was_retracted: bool,
    /// How much, if the dispenser knows.
    pub retracted: Option<Money>,
}

impl DispenserFigures {
    /// What of them is final, or why they cannot be.
    ///
    /// Between stacking and presenting a dispenser truthfully says "not presented", and the notes come out a moment later. So "nothing was
    /// presented" counts only if nothing lies on the stacker: nothing was dispensed, or as much as was dispensed has been taken back. And a
    /// presented part counts only if it is all that was dispensed; the rest of several bunches may follow.
    #[must_use]
    pub fn settled(&self, fresh: bool) -> PresentFinding {
        match self.final_figures() {
            Ok((presented, retracted)) => PresentFinding::Genuine(PresentStatus { presented, retracted, fresh }),
            Err(wrong) => PresentFinding::Wrong(wrong),
        }
    }

    fn final_figures(&self) -> Result<(Option<Money>, Option<Money>), WrongToken> {
        let nothing = Money::zero(self.dispensed.currency());
        let claims = |was: bool, amount: Option<Money>| match (was, amount) {
            (true, Some(amount)) if amount.is_zero() => Err(WrongToken::FiguresDisagree),
            (true, amount) => Ok(amount),
            (false, Some(amount)) if !amount.is_zero() => Err(WrongToken::FiguresDisagree),
            (false, _) => Ok(Some(nothing)),
        };
        let presented = claims(self.was_presented, self.presented)?;
        let retracted = claims(self.was_retracted, self.retracted)?;
        for part in [presented, retracted].into_iter().flatten() {
            if part.exceeds(self.dispensed) != Ok(false) {
                return Err(WrongToken::FiguresDisagree);
            }
        }
        let all_of_it = Some(self.dispensed);
        #[cfg(feature = "planted")]
        if crate::planted::is(crate::planted::Bug::UnfinishedStatusBelieved) && !self.was_presented {
            return Ok((Some(nothing), Some(nothing)));
        }
        Ok(if self.was_presented {
            (presented.filter(|_| presented == all_of_it), retracted)
        } else if retracted == all_of_it {
            // Taken back from the stacker, or nothing was ever there.
            (Some(nothing), Some(nothing))
        } else {
            (None, retracted)
        })
    }
}

impl PresentStatus {
    /// What the status alone proves about a command.
    pub(crate) fn verdict(&self, commanded: Money) -> Verdict {
        let Some(presented) = self.presented else { return Verdict::NotKnown };
        let left = |back: Money| presented.checked_sub(back);
        match presented.exceeds(commanded) {
            Ok(true) => return Verdict::Contradiction(Contradiction::MoreThanCommanded),
            Err(_) => return Verdict::Contradiction(Contradiction::OtherCurrency),
            Ok(false) => {}
        }
        match self.retracted.map(left) {
            _ if presented.is_zero() => Verdict::NothingLeft,
            None => Verdict::NotKnown,
            Some(Ok(left)) if left.is_zero() => Verdict::NothingLeft,
            Some(Ok(left)) => Verdict::Left(left),
            Some(Err(MoneyError::WouldBeNegative)) => Verdict::Contradiction(Contradiction::MoreRetractedThanPresented),
            Some(Err(_)) => Verdict::Contradiction(Contradiction::OtherCurrency),
        }
    }

    /// Whether a report cannot be true if this status is. `said` is what its words say, and `presented` what they say was presented.
    pub(crate) fn contradicts(&self, said: Verdict, presented: Money, commanded: Money) -> bool {
        let proved = self.verdict(commanded);
        if said == Verdict::NotKnown {
            return false;
        }
        if self.fresh && matches!(proved, Verdict::Left(_) | Verdict::NothingLeft) {
            return proved != said;
        }
        // Notes that were in front of the customer once cannot have stayed inside; what came later an older status does not know.
        let saw = self.presented.unwrap_or(Money::zero(commanded.currency()));
        let more_than_told = if presented.is_zero() { !saw.is_zero() } else { saw.exceeds(presented) == Ok(true) };
        more_than_told || (self.fresh && self.retracted.is_none() && said == Verdict::Left(commanded))
    }
}

impl fmt::Display for PresentFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |amount: Option<Money>| amount.map_or_else(|| "not known".to_owned(), |amount| amount.to_string());
        match self {
            Self::Genuine(PresentStatus { presented, retracted, fresh }) => {
                let age = if *fresh { "fresh" } else { "older" };
                write!(f, "{age} present status: presented {}, taken back {}", known(*presented), known(*retracted))
            }
            Self::Wrong(why) => write!(f, "present token is wrong: {}", why.name()),
            Self::Unverified => f.write_str("present token not verified"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currency;

    fn yen(amount: u64) -> Money {
        Money::from_minor_units(amount, Currency::JPY).unwrap()
    }

    fn figures(dispensed: u64, presented: (bool, Option<u64>), retracted: (bool, Option<u64>)) -> DispenserFigures {
        DispenserFigures {
            dispensed: yen(dispensed),
            was_presented: presented.0,
            presented: presented.1.map(yen),
            was_retracted: retracted.0,
            retracted: retracted.1.map(yen),
        }
    }

    #[test]
    fn grades_are_ordered_and_read_back() {
        assert!(EvidenceGrade::C < EvidenceGrade::B && EvidenceGrade::B < EvidenceGrade::A);
        assert_eq!(EvidenceGrade::default(), EvidenceGrade::C);
        for grade in EvidenceGrade::ALL {
            assert_eq!(grade.name().parse(), Ok(grade));
        }
        assert_eq!("a".parse::<EvidenceGrade>(), Err(NotAGrade));
    }

    #[test]
    fn only_what_cannot_change_any_more_counts() {
        let no = (false, None);
        let rows = [
            // Dispensed, presented, retracted: what is final.
            (figures(0, no, no), Ok((Some(0), Some(0)))),
            (figures(30_000, no, no), Ok((None, Some(0)))),
            (figures(30_000, (false, Some(0)), (false, Some(0))), Ok((None, Some(0)))),
            (figures(30_000, no, (true, Some(30_000))), Ok((Some(0), Some(0)))),
            (figures(30_000, no, (true, Some(10_000))), Ok((None, Some(10_000)))),
            (figures(30_000, no, (true, None)), Ok((None, None))),
            (figures(30_000, (true, Some(30_000)), no), Ok((Some(30_000), Some(0)))),
            (figures(30_000, (true, Some(20_000)), no), Ok((None, Some(0)))),
            (figures(30_000, (true, None), no), Ok((None, Some(0)))),
            (figures(30_000, (true, Some(30_000)), (true, Some(10_000))), Ok((Some(30_000), Some(10_000)))),
            (figures(30_000, (true, Some(30_000)), (true, None)), Ok((Some(30_000), None))),
            // What cannot be.
            (figures(30_000, (false, Some(10_000)), no), Err(WrongToken::FiguresDisagree)),
            (figures(30_000, (true, Some(0)), no), Err(WrongToken::FiguresDisagree)),
            (figures(30_000, (true, Some(40_000)), no), Err(WrongToken::FiguresDisagree)),
            (figures(30_000, (true, Some(30_000)), (true, Some(0))), Err(WrongToken::FiguresDisagree)),
            (figures(30_000, (true, Some(30_000)), (true, Some(40_000))), Err(WrongToken::FiguresDisagree)),
        ];
        for (figures, expected) in rows {
            let expected = match expected {
                Err(wrong) => PresentFinding::Wrong(wrong),
                Ok((presented, retracted)) => PresentFinding::Genuine(PresentStatus {
                    presented: presented.map(yen),
                    retracted: retracted.map(yen),
                    fresh: true,
                }),
            };
            assert_eq!(figures.settled(true), expected, "{figures:?}");
        }
    }

    #[test]
    fn another_currency_is_no_part_of_what_was_dispensed() {
        let euro = Money::from_minor_units(100, "EUR".parse().unwrap()).unwrap();
        let mixed = DispenserFigures { presented: Some(euro), ..figures(30_000, (true, None), (false, None)) };
        assert_eq!(mixed.settled(true), PresentFinding::Wrong(WrongToken::FiguresDisagree));
    }

    #[test]
    fn tokens_are_printable_ascii_of_a_bounded_length_and_do_not_print() {
        for good in ["x", "NONCE=1,HMACSHA256=0", &"~".repeat(1_024)] {
            assert_eq!(good.parse::<DispenseToken>().unwrap().as_str(), good);
        }
        for bad in ["", "a\n", "ä", "\u{7f}", &"x".repeat(1_025)] {
            assert_eq!(bad.parse::<PresentToken>(), Err(NotAToken), "{bad:?}");
        }
        assert_eq!(format!("{:?}", "x".parse::<DispenseToken>().unwrap()), "DispenseToken(..)");
    }
}
