//! Limits that several replicas share.
//!
//! What counts is what the ledger holds; a replica's entries are copies of it. For each entry the ledger has a version, which every commit
//! that changes the entry's withdrawals raises. Here stands which version a replica's copy is of. An approval is computed from the copies,
//! and the ledger takes it only if their versions are still the latest; else the copies are made anew and it is computed again. So the
//! mathematics stays in one place, and two replicas can never both give the last yen away.
//!
//! A copy that is made anew is another copy: reservations that were made of the one before are no part of it. Each copy therefore has a number
//! of its own, and whoever ends a reservation of another copy than the present one changes nothing, and has it made anew.
//!
//! **The invariant:** a copy that is said to be of version V counts at least all that the ledger's version V counts.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cashgate_ledger::LimitKey;
#[cfg(feature = "planted")]
use cashgate_withdrawal::planted::{Bug, is};

/// More copies than these are not kept: all are let go at once, and made anew when they are asked for.
const COPIES_MAX: usize = 1_000_000;

/// A replica's copy of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Copied {
    /// The ledger's version that it is of.
    version: u64,
    /// Which copy it is: no other has the same number.
    number: u64,
}

impl Copied {
    /// Of no copy: no ledger has come to such a version, so what is computed from it is refused, and computed again.
    const NONE: Self = Self { version: i64::MAX.unsigned_abs(), number: 0 };
}

/// Which entries an approval was computed from, and of which versions. Taken before it is computed: a copy that is made anew meanwhile is
/// only newer than is said here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Basis {
    copies: Vec<(LimitKey, Copied)>,
}

impl Basis {
    /// The entries and their versions.
    pub fn versions(&self) -> impl Iterator<Item = (&LimitKey, u64)> {
        self.copies.iter().map(|(key, copied)| (key, copied.version))
    }

    /// Of entries of which there is no copy.
    pub(super) fn of_none(keys: Vec<LimitKey>) -> Self {
        Self { copies: keys.into_iter().map(|key| (key, Copied::NONE)).collect() }
    }

    /// The number of the latest copy in it.
    pub(super) fn latest(&self) -> u64 {
        self.copies.iter().map(|(_, copied)| copied.number).max().unwrap_or(0)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &LimitKey> {
        self.copies.iter().map(|(key, _)| key)
    }
}

/// The copies of one replica.
#[derive(Debug, Default)]
pub struct LimitVersions {
    copies: Mutex<Copies>,
}

#[derive(Debug, Default)]
struct Copies {
    copied: HashMap<LimitKey, Copied>,
    last_number: u64,
}

impl LimitVersions {
    /// The keys of which there is no copy.
    #[must_use]
    pub fn missing(&self, keys: Vec<LimitKey>) -> Vec<LimitKey> {
        let copies = self.copies();
        keys.into_iter().filter(|key| !copies.copied.contains_key(key)).collect()
    }

    /// What an approval over these entries is computed from.
    #[must_use]
    pub fn basis(&self, keys: Vec<LimitKey>) -> Basis {
        let copies = self.copies();
        let copied = |key: LimitKey| {
            let found = copies.copied.get(&key).copied().unwrap_or(Copied::NONE);
            (key, found)
        };
        Basis { copies: keys.into_iter().map(copied).collect() }
    }

    /// Makes a copy anew with `recount`, of a version that was read together with what is recounted. Whoever ends a reservation meanwhile waits.
    pub fn copied_anew(&self, key: LimitKey, version: u64, recount: impl FnOnce()) {
        let mut copies = self.copies();
        if copies.copied.len() >= COPIES_MAX {
            copies.copied.clear();
        }
        copies.last_number += 1;
        let number = copies.last_number;
        recount();
        copies.copied.insert(key, Copied { version, number });
    }

    /// A commit of this replica has raised an entry to a version. The copy follows if it is the one that the withdrawal was counted in and has
    /// missed nothing; else it is let go.
    pub fn raised(&self, key: &LimitKey, to: u64, counted_in: Option<&Basis>) {
        let mut copies = self.copies();
        let Some(copied) = copies.copied.get_mut(key) else { return };
        let is_same = counted_in.is_some_and(|basis| basis.has(key, *copied));
        #[cfg(feature = "planted")]
        if is(Bug::CopyRaisedUnseen) {
            copied.version = to;
            return;
        }
        if is_same && copied.version.checked_add(1) == Some(to) {
            copied.version = to;
        } else {
            copies.copied.remove(key);
        }
    }

    /// Lets copies go: what they count is not certain any more.
    pub fn forget<'a>(&self, keys: impl IntoIterator<Item = &'a LimitKey>) {
        let mut copies = self.copies();
        for key in keys {
            copies.copied.remove(key);
        }
    }

    /// Ends a reservation with `end` if all of its entries are still the copies that it was made of. Else nothing is ended, and these copies
    /// are let go: some of them do not know of its end.
    pub fn end(&self, basis: &Basis, end: impl FnOnce()) {
        let mut copies = self.copies();
        let is_whole = basis
            .copies
            .iter()
            .all(|(key, made_of)| copies.copied.get(key).is_some_and(|copied| copied.number == made_of.number));
        #[cfg(feature = "planted")]
        let is_whole = is_whole || is(Bug::OtherCopyEnded);
        if is_whole {
            end();
        } else {
            for key in basis.keys() {
                copies.copied.remove(key);
            }
        }
    }

    /// The version that the copy of an entry is of, if there is one.
    #[must_use]
    pub fn version(&self, key: &LimitKey) -> Option<u64> {
        self.copies().copied.get(key).map(|copied| copied.version)
    }

    /// How many copies there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.copies().copied.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn copies(&self) -> MutexGuard<'_, Copies> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Basis {
    fn has(&self, key: &LimitKey, copied: Copied) -> bool {
        self.copies.iter().any(|(known, made_of)| known == key && made_of.number == copied.number)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn key(account: &str) -> LimitKey {
        LimitKey::Account("aozora".parse().unwrap(), account.parse().unwrap())
    }

    fn version(versions: &LimitVersions, account: &str) -> u64 {
        versions.basis(vec![key(account)]).versions().next().unwrap().1
    }

    #[test]
    fn a_copy_follows_the_commits_of_its_own_replica_and_no_others() {
        let versions = LimitVersions::default();
        versions.copied_anew(key("1"), 7, || {});
        let basis = versions.basis(vec![key("1")]);
        versions.raised(&key("1"), 8, Some(&basis));
        assert_eq!(version(&versions, "1"), 8);
        // Version 9 was another's: what it counts is not in this copy.
        versions.raised(&key("1"), 10, Some(&basis));
        assert_eq!(versions.missing(vec![key("1")]), [key("1")]);
    }

    #[test]
    fn what_was_counted_in_an_earlier_copy_raises_no_later_one() {
        let versions = LimitVersions::default();
        versions.copied_anew(key("1"), 7, || {});
        let basis = versions.basis(vec![key("1")]);
        versions.copied_anew(key("1"), 7, || {});
        versions.raised(&key("1"), 8, Some(&basis));
        assert!(versions.is_empty(), "the copy would be said to count what it does not");
    }

    #[test]
    fn a_reservation_ends_in_the_copy_it_was_made_of_or_not_at_all() {
        let versions = LimitVersions::default();
        versions.copied_anew(key("1"), 7, || {});
        let basis = versions.basis(vec![key("1")]);
        let ended = Cell::new(0);
        versions.end(&basis, || ended.set(ended.get() + 1));
        versions.copied_anew(key("1"), 9, || {});
        versions.end(&basis, || ended.set(ended.get() + 1));
        assert_eq!(ended.get(), 1);
        assert!(versions.is_empty(), "a copy that was made anew may know of the withdrawal as open");
    }

    #[test]
    fn what_is_computed_without_a_copy_is_of_no_version() {
        let versions = LimitVersions::default();
        assert_eq!(version(&versions, "1"), i64::MAX.unsigned_abs());
        versions.end(&versions.basis(vec![key("1")]), || unreachable!("there is no copy to end it in"));
    }
}
