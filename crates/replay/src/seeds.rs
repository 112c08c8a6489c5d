//! Two ranges of seeds that never meet: figures are tuned on one and reported on the other.

use std::ops::RangeInclusive;

/// Seeds on which rules and limits may be tuned.
pub const TUNING: RangeInclusive<u64> = 1..=999;
/// Seeds on which they are reported. Whoever changes a rule after looking at these has tuned on them.
pub const REPORTING: RangeInclusive<u64> = 1_000..=1_999;
/// The first of them that nobody has looked at before changing a rule: 1,000 to 1,004 were reported on 2026-11-28, missed a target, and a rule followed.
const UNSPENT: u64 = 1_005;

/// What seeds are used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// To find good rules and figures.
    Tuning,
    /// To say how good they are.
    Reporting,
}

/// Why seeds were not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    /// A report on seeds that rules were tuned on would flatter them.
    #[error("seed {0} is for tuning ({first} to {last}): say --tuning, or take seeds from {reporting_first} to {reporting_last}",
        first = TUNING.start(), last = TUNING.end(), reporting_first = REPORTING.start(), reporting_last = REPORTING.end())]
    ForTuning(u64),
    /// Tuning on these would spoil them for reports.
    #[error("seed {0} is for reports ({first} to {last}): leave out --tuning", first = REPORTING.start(), last = REPORTING.end())]
    ForReporting(u64),
    /// In neither range.
    #[error("seed {0} is in neither range")]
    InNeither(u64),
    /// No seed at all.
    #[error("at least one seed is needed")]
    NoSeed,
}

/// So many seeds of a use from `first` on, by default the first that are fit for it.
pub fn chosen(purpose: Use, first: Option<u64>, count: u64) -> Result<Vec<u64>, SeedError> {
    let (ours, first_of_ours) = match purpose {
        Use::Tuning => (TUNING, *TUNING.start()),
        Use::Reporting => (REPORTING, UNSPENT),
    };
    let first = first.unwrap_or(first_of_ours);
    let seeds: Vec<u64> = (first..first.saturating_add(count)).take(ours.count()).collect();
    let judged = |seed: &u64| match (TUNING.contains(seed), REPORTING.contains(seed), purpose) {
        (true, _, Use::Tuning) | (_, true, Use::Reporting) => None,
        (true, ..) => Some(SeedError::ForTuning(*seed)),
        (_, true, _) => Some(SeedError::ForReporting(*seed)),
        _ => Some(SeedError::InNeither(*seed)),
    };
    match seeds.iter().find_map(judged) {
        Some(wrong) => Err(wrong),
        None if seeds.is_empty() => Err(SeedError::NoSeed),
        None => Ok(seeds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_report_is_made_on_seeds_that_were_tuned_on() {
        let table = [
            (Use::Reporting, None, 3, Ok(vec![1_005, 1_006, 1_007])),
            (Use::Tuning, None, 2, Ok(vec![1, 2])),
            (Use::Reporting, Some(1_999), 1, Ok(vec![1_999])),
            (Use::Reporting, Some(7), 1, Err(SeedError::ForTuning(7))),
            (Use::Reporting, Some(999), 2, Err(SeedError::ForTuning(999))),
            (Use::Reporting, Some(1_999), 2, Err(SeedError::InNeither(2_000))),
            (Use::Tuning, Some(998), 3, Err(SeedError::ForReporting(1_000))),
            (Use::Tuning, Some(0), 1, Err(SeedError::InNeither(0))),
            (Use::Tuning, None, 0, Err(SeedError::NoSeed)),
        ];
        for (purpose, first, count, expected) in table {
            assert_eq!(chosen(purpose, first, count), expected, "{purpose:?} {first:?} {count}");
        }
        assert!(TUNING.end() < REPORTING.start());
    }
}
