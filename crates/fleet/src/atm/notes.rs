//! Notes, the cassettes that hold them, and how a machine picks notes for an amount.

use std::collections::HashSet;
use std::str::FromStr;

use cashgate_wire::proto::atm::v1::Cassette;
use cashgate_wire::proto::withdrawal::v1::{Money, NoteCount};
use serde::{Deserialize, Serialize};

/// So many notes of one denomination. The currency is the machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// The value of one note, in minor units.
    pub denomination: u64,
    /// How many.
    pub count: u32,
}

/// A text is not notes in the form `10000x200`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not DENOMINATIONxCOUNT, such as 10000x200 (200 notes of 10000 minor units)")]
pub struct NotesError {
    text: String,
}

impl FromStr for Notes {
    type Err = NotesError;

    fn from_str(text: &str) -> Result<Self, NotesError> {
        let parsed = text.split_once('x').and_then(|(denomination, count)| {
            Some(Self { denomination: denomination.parse().ok()?, count: count.parse().ok()? })
        });
        parsed.filter(|notes| notes.denomination > 0).ok_or_else(|| NotesError { text: text.to_owned() })
    }
}

/// What notes are worth together, in minor units.
#[must_use]
pub fn value_of(notes: &[Notes]) -> u64 {
    notes.iter().map(|notes| notes.denomination.saturating_mul(u64::from(notes.count))).fold(0, u64::saturating_add)
}

/// Notes as a message carries them.
pub(crate) fn to_message(notes: &[Notes], currency: &str) -> Vec<NoteCount> {
    let count = |notes: &Notes| NoteCount { denomination: money(notes.denomination, currency), count: notes.count };
    notes.iter().map(count).collect()
}

pub(crate) fn money(minor_units: u64, currency: &str) -> Option<Money> {
    let minor_units = i64::try_from(minor_units).unwrap_or(i64::MAX);
    Some(Money { minor_units, currency: currency.to_owned() })
}

/// The notes that a machine can pay out, all of one currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cassettes {
    /// Highest denomination first.
    stacks: Vec<Notes>,
    currency: String,
    notes_per_dispense_max: u32,
}

impl Cassettes {
    /// Cassettes as they were filled.
    #[must_use]
    pub fn filled(stacks: &[Notes], currency: &str, notes_per_dispense_max: u32) -> Self {
        let mut stacks = stacks.to_vec();
        stacks.sort_by_key(|stack| std::cmp::Reverse(stack.denomination));
        Self { stacks, currency: currency.to_owned(), notes_per_dispense_max }
    }

    /// What is in them.
    #[must_use]
    pub fn stacks(&self) -> &[Notes] {
        &self.stacks
    }

    /// The currency of every note, three capital letters.
    #[must_use]
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// The notes for exactly `amount`, highest first; `None` if the cassettes cannot make it in one dispense.
    #[must_use]
    pub fn pick(&self, amount: u64) -> Option<Vec<Notes>> {
        let mut picked = Vec::new();
        let found =
            amount > 0 && search(&self.stacks, amount, self.notes_per_dispense_max, &mut picked, &mut HashSet::new());
        found.then_some(picked)
    }

    /// Removes notes that were picked.
    pub fn take(&mut self, picked: &[Notes]) {
        for taken in picked {
            let mut left = taken.count;
            for stack in self.stacks.iter_mut().filter(|stack| stack.denomination == taken.denomination) {
                let out = left.min(stack.count);
                stack.count -= out;
                left -= out;
            }
        }
    }

    /// As `Hello` and `UpdateCassettes` list them.
    pub(crate) fn to_message(&self) -> Vec<Cassette> {
        let listed =
            |stack: &Notes| Cassette { denomination: money(stack.denomination, &self.currency), count: stack.count };
        self.stacks.iter().map(listed).collect()
    }
}

/// Tries the most notes of the highest stack first and goes back from there. `failed` remembers (stacks left, rest, notes left) that led
/// nowhere, which keeps the search short.
fn search(
    stacks: &[Notes],
    rest: u64,
    notes_left: u32,
    picked: &mut Vec<Notes>,
    failed: &mut HashSet<(usize, u64, u32)>,
) -> bool {
    let Some((highest, lower)) = stacks.split_first() else { return rest == 0 };
    if rest == 0 {
        return true;
    }
    if failed.contains(&(stacks.len(), rest, notes_left)) {
        return false;
    }
    let fitting = u32::try_from(rest / highest.denomination).unwrap_or(u32::MAX);
    for count in (0..=fitting.min(highest.count).min(notes_left)).rev() {
        picked.push(Notes { denomination: highest.denomination, count });
        if search(lower, rest - highest.denomination * u64::from(count), notes_left - count, picked, failed) {
            picked.retain(|notes| notes.count > 0);
            return true;
        }
        picked.pop();
    }
    failed.insert((stacks.len(), rest, notes_left));
    false
}

/// The first of `notes`, highest first, that are worth at most `value` together: where a jam stops, or what a retract gets hold of.
pub(crate) fn part_of(notes: &[Notes], value: u64) -> Vec<Notes> {
    let mut rest = value;
    let mut part = Vec::new();
    for stack in notes {
        let count = u32::try_from(rest / stack.denomination).unwrap_or(u32::MAX).min(stack.count);
        rest -= stack.denomination * u64::from(count);
        if count > 0 {
            part.push(Notes { denomination: stack.denomination, count });
        }
    }
    part
}

/// What is left of `notes` without `part`.
pub(crate) fn without(notes: &[Notes], part: &[Notes]) -> Vec<Notes> {
    let mut rest = Cassettes::filled(notes, "", 0);
    rest.take(part);
    rest.stacks.retain(|stack| stack.count > 0);
    rest.stacks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(list: &[(u64, u32)]) -> Vec<Notes> {
        list.iter().map(|&(denomination, count)| Notes { denomination, count }).collect()
    }

    #[test]
    fn picks_the_highest_notes_first_and_goes_back_where_needed() {
        let check = |stacks: &[(u64, u32)], amount, expected: Option<&[(u64, u32)]>| {
            assert_eq!(Cassettes::filled(&notes(stacks), "JPY", 40).pick(amount), expected.map(notes), "{amount}");
        };
        check(&[(1_000, 100), (10_000, 100)], 23_000, Some(&[(10_000, 2), (1_000, 3)]));
        check(&[(50, 1), (20, 3)], 60, Some(&[(20, 3)]));
        check(&[(10_000, 1), (1_000, 30)], 30_000, Some(&[(10_000, 1), (1_000, 20)]));
        check(&[(10_000, 5)], 0, None);
        check(&[(10_000, 5)], 5_000, None);
        check(&[(10_000, 5)], 60_000, None);
        check(&[(1_000, 100)], 41_000, None);
        check(&[], 1_000, None);
    }

    #[test]
    fn a_part_never_exceeds_its_value() {
        let all = notes(&[(10_000, 3), (1_000, 2)]);
        assert_eq!(part_of(&all, 15_000), notes(&[(10_000, 1), (1_000, 2)]));
        assert_eq!(part_of(&all, 900), vec![]);
        assert_eq!(without(&all, &part_of(&all, 15_000)), notes(&[(10_000, 2)]));
    }

    #[test]
    fn reads_a_cassette_from_the_command_line() {
        assert_eq!("10000x200".parse(), Ok(Notes { denomination: 10_000, count: 200 }));
        for bad in ["", "x", "0x5", "1000", "1000x", "-1x5", "1000x5x6"] {
            assert!(bad.parse::<Notes>().is_err(), "{bad:?}");
        }
    }
}
