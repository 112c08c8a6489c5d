//! What an ATM's cassettes hold, and which amounts they can make.

use crate::dispense::NoteCount;
use crate::money::{Currency, Money};

/// The notes in a machine that can be paid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cassettes {
    /// Highest denomination first, one entry a denomination, all of one currency, no empty ones.
    notes: Vec<NoteCount>,
    currency: Currency,
    notes_per_dispense_max: u32,
}

/// Why a list of cassettes was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CassettesError {
    /// More than [`Cassettes::COUNT_MAX`].
    #[error("more than {} cassettes", Cassettes::COUNT_MAX)]
    TooMany,
    /// Notes of two currencies.
    #[error("cassettes of different currencies; one machine pays out one currency")]
    CurrenciesDiffer,
    /// A note worth nothing.
    #[error("a cassette's denomination is zero")]
    WorthlessNote,
    /// Zero or more than [`Cassettes::NOTES_PER_DISPENSE_MAX`] notes a dispense.
    #[error("notes per dispense must lie between 1 and {}", Cassettes::NOTES_PER_DISPENSE_MAX)]
    NotesPerDispense,
}

impl Cassettes {
    /// The most cassettes a machine can have.
    pub const COUNT_MAX: usize = 8;
    /// The most notes that one dispense can have; real dispensers stop at 40 to 60.
    pub const NOTES_PER_DISPENSE_MAX: u32 = 200;
    /// The most steps that one search takes. Real cassettes need a handful; a machine that lists absurd ones must not keep the others
    /// waiting.
    const SEARCH_STEPS_MAX: u32 = 20_000;

    /// Cassettes as an ATM lists them. `currency` decides only when there are none.
    pub fn new(listed: &[NoteCount], currency: Currency, notes_per_dispense_max: u32) -> Result<Self, CassettesError> {
        if listed.len() > Self::COUNT_MAX {
            return Err(CassettesError::TooMany);
        }
        if notes_per_dispense_max == 0 || notes_per_dispense_max > Self::NOTES_PER_DISPENSE_MAX {
            return Err(CassettesError::NotesPerDispense);
        }
        let currency = listed.first().map_or(currency, |cassette| cassette.denomination.currency());
        let mut notes: Vec<NoteCount> = Vec::with_capacity(listed.len());
        for cassette in listed {
            if cassette.denomination.currency() != currency {
                return Err(CassettesError::CurrenciesDiffer);
            }
            if cassette.denomination.is_zero() {
                return Err(CassettesError::WorthlessNote);
            }
            match notes.iter_mut().find(|known| known.denomination == cassette.denomination) {
                Some(known) => known.count = known.count.saturating_add(cassette.count),
                None => notes.push(*cassette),
            }
        }
        notes.retain(|note| note.count > 0);
        notes.sort_by_key(|note| std::cmp::Reverse(note.denomination.minor_units()));
        Ok(Self { notes, currency, notes_per_dispense_max })
    }

    /// The currency of the notes.
    #[must_use]
    pub const fn currency(&self) -> Currency {
        self.currency
    }

    /// The denominations at hand, highest first.
    pub fn denominations(&self) -> impl Iterator<Item = Money> + '_ {
        self.notes.iter().map(|note| note.denomination)
    }

    /// The largest amount that one dispense can pay out: the highest notes first, as many as one dispense may have.
    #[must_use]
    pub fn dispensable_max(&self) -> Money {
        let mut left = self.notes_per_dispense_max;
        let mut sum = 0_u64;
        for note in &self.notes {
            let take = left.min(note.count);
            left -= take;
            sum = sum.saturating_add(note.denomination.minor_units().saturating_mul(u64::from(take)));
        }
        Money::from_minor_units(sum.min(Money::MINOR_UNITS_MAX), self.currency).unwrap_or(Money::zero(self.currency))
    }

    /// The notes that make up exactly `amount`, as few as a search from the highest note down finds; `None` if they cannot.
    ///
    /// The search tries every mix, so 60 out of {50 x 1, 20 x 3} is three twenties; what is no multiple of the denominations' greatest
    /// common divisor is refused at once. It gives up after a bounded number of steps, which only absurd denominations reach: such an
    /// amount counts as one that cannot be made.
    #[must_use]
    pub fn notes_for(&self, amount: Money) -> Option<Vec<NoteCount>> {
        // Another currency cannot be compared, and gives nothing here.
        if amount.is_zero() || amount.exceeds(self.dispensable_max()).ok()? {
            return None;
        }
        let divisor = self
            .notes
            .iter()
            .fold(0, |divisor, note| greatest_common_divisor(note.denomination.minor_units(), divisor));
        if !amount.minor_units().is_multiple_of(divisor) {
            return None;
        }
        let mut taken = Vec::new();
        let mut steps_left = Self::SEARCH_STEPS_MAX;
        let found = search(&self.notes, amount.minor_units(), self.notes_per_dispense_max, &mut taken, &mut steps_left);
        found.then_some(taken)
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Looks for notes out of `notes` (highest first) that sum to `rest`, with at most `notes_left` of them.
fn search(notes: &[NoteCount], rest: u64, notes_left: u32, taken: &mut Vec<NoteCount>, steps_left: &mut u32) -> bool {
    if rest == 0 {
        return true;
    }
    let Some((highest, lower)) = notes.split_first() else { return false };
    let value = highest.denomination.minor_units();
    // Not even the highest notes left would be enough.
    if value.saturating_mul(u64::from(notes_left)) < rest {
        return false;
    }
    let fit = u32::try_from(rest / value).unwrap_or(u32::MAX);
    for count in (0..=fit.min(highest.count).min(notes_left)).rev() {
        let Some(fewer) = steps_left.checked_sub(1) else { return false };
        *steps_left = fewer;
        let depth = taken.len();
        if count > 0 {
            taken.push(NoteCount { denomination: highest.denomination, count });
        }
        if search(lower, rest - value * u64::from(count), notes_left - count, taken, steps_left) {
            return true;
        }
        taken.truncate(depth);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn yen(amount: u64) -> Money {
        Money::from_minor_units(amount, Currency::JPY).unwrap()
    }

    fn cassettes(notes: &[(u64, u32)], most: u32) -> Cassettes {
        let listed: Vec<_> =
            notes.iter().map(|&(value, count)| NoteCount { denomination: yen(value), count }).collect();
        Cassettes::new(&listed, Currency::JPY, most).unwrap()
    }

    #[test]
    fn makes_what_can_be_made() {
        let check = |notes: &[(u64, u32)], most, amount, expected: Option<&[(u64, u32)]>| {
            let made = cassettes(notes, most).notes_for(yen(amount));
            let plain =
                made.map(|notes| notes.iter().map(|n| (n.denomination.minor_units(), n.count)).collect::<Vec<_>>());
            assert_eq!(plain.as_deref(), expected, "{amount} out of {notes:?}");
        };
        check(&[(10_000, 5), (1_000, 20)], 40, 30_000, Some(&[(10_000, 3)]));
        check(&[(1_000, 20), (10_000, 5)], 40, 12_000, Some(&[(10_000, 1), (1_000, 2)]));
        check(&[(10_000, 5)], 40, 12_000, None);
        check(&[(50, 1), (20, 3)], 40, 60, Some(&[(20, 3)]));
        check(&[(10_000, 2), (1_000, 20)], 40, 35_000, Some(&[(10_000, 2), (1_000, 15)]));
        check(&[(10_000, 2), (1_000, 20)], 17, 35_000, Some(&[(10_000, 2), (1_000, 15)]));
        check(&[(10_000, 2), (1_000, 20)], 16, 35_000, None);
        check(&[(10_000, 5)], 40, 0, None);
        check(&[(10_000, 5)], 40, 60_000, None);
        check(&[], 40, 1_000, None);
        check(&[(10_000, 1), (10_000, 1)], 40, 20_000, Some(&[(10_000, 2)]));
    }

    #[test]
    fn offers_what_is_at_hand_highest_first() {
        let machine = cassettes(&[(1_000, 20), (5_000, 0), (10_000, 5), (1_000, 1)], 40);
        assert_eq!(machine.denominations().collect::<Vec<_>>(), [yen(10_000), yen(1_000)]);
        assert_eq!(machine.dispensable_max(), yen(71_000));
        assert_eq!(cassettes(&[(1_000, 20), (10_000, 5)], 7).dispensable_max(), yen(52_000), "seven notes");
        assert_eq!(cassettes(&[(1_000, 20)], 20).notes_for(yen(20_000)).map(|notes| notes.len()), Some(1));
        assert_eq!(cassettes(&[], 40).dispensable_max(), yen(0));
    }

    #[test]
    fn what_no_note_divides_need_not_be_searched_for() {
        let check = |a, b, expected| assert_eq!(greatest_common_divisor(a, b), expected, "{a} {b}");
        check(10_000, 0, 10_000);
        check(5_000, 2_000, 1_000);
        check(2_000, 5_000, 1_000);
        check(20, 7, 1);
    }

    #[test]
    fn refuses_a_list_that_is_no_cash_machine() {
        let euro =
            NoteCount { denomination: Money::from_minor_units(5_000, "EUR".parse().unwrap()).unwrap(), count: 1 };
        let yen_note = NoteCount { denomination: yen(1_000), count: 1 };
        let nothing = NoteCount { denomination: yen(0), count: 1 };
        let check = |listed: &[NoteCount], most, expected| {
            assert_eq!(Cassettes::new(listed, Currency::JPY, most), Err(expected))
        };
        check(&[yen_note, euro], 40, CassettesError::CurrenciesDiffer);
        check(&[nothing], 40, CassettesError::WorthlessNote);
        check(&[yen_note; 9], 40, CassettesError::TooMany);
        check(&[yen_note], 0, CassettesError::NotesPerDispense);
        check(&[yen_note], 201, CassettesError::NotesPerDispense);
    }

    #[test]
    fn absurd_cassettes_are_given_up_on() {
        let absurd: Vec<(u64, u32)> = (0..8).map(|n| (1_000_003 + 2 * n, 1_000_000)).collect();
        assert_eq!(cassettes(&absurd, 200).notes_for(yen(100_000_001)), None);
    }

    proptest! {
        #[test]
        fn agrees_with_trying_everything(a in 0..6_u32, b in 0..6_u32, c in 0..6_u32, most in 1..12_u32, amount in 1..120_u64) {
            let machine = cassettes(&[(20, a), (7, b), (5, c)], most);
            let possible = (0..=a).any(|x| (0..=b).any(|y| (0..=c).any(|z| {
                x + y + z <= most && u64::from(x) * 20 + u64::from(y) * 7 + u64::from(z) * 5 == amount
            })));
            let made = machine.notes_for(yen(amount));
            prop_assert_eq!(made.is_some(), possible);
            if let Some(notes) = made {
                let sum: u64 = notes.iter().map(|n| n.denomination.minor_units() * u64::from(n.count)).sum();
                prop_assert_eq!(sum, amount);
            }
        }
    }
}
