//! A map under one lock: open addressing with linear probing, over pages of one size.
//!
//! An entry with its key fills one line of the processor's cache, and its place follows from the key alone: most look-ups wait once for
//! memory, where a table with its control bytes apart waits twice. Keys are hashes already and are not hashed again.
//!
//! A table grows by an eighth, so that it is never half empty, and is kept at most three quarters full, so that the next free place is near.

/// What a table needs of a key: two halves of a good hash.
pub(crate) trait Key: Copy + Eq {
    /// Says which shard.
    fn shard(self) -> u64;

    /// Says where in its table.
    fn place(self) -> u64;
}

/// The fewest places of a table that has any.
const PLACES_MIN: usize = 8;

/// A key with its entry. Of accounts and devices it is just as long as a line of the processor's cache, and lies in one.
#[derive(Debug)]
#[repr(align(64))]
struct Slot<K, V> {
    key: K,
    entry: V,
}

/// What one place in a table takes.
#[cfg(test)]
pub(crate) const fn slot_bytes<K, V>() -> usize {
    size_of::<Option<Slot<K, V>>>()
}

/// Entries by key.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    places: Box<[Option<Slot<K, V>>]>,
    len: usize,
}

/// Where in a table, as long as it does not change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At(usize);

impl<K: Key, V> Table<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where the entry of a key is, if there is one.
    pub(crate) fn find(&self, key: K) -> Option<At> {
        let mut at = self.home(key);
        // One entry in three lies a place or more behind its own: asked for now, the next line is on its way while the first is waited for.
        std::hint::black_box(self.places.get(self.after(at).0).is_some_and(Option::is_some));
        loop {
            match self.places.get(at.0)? {
                Some(slot) if slot.key == key => return Some(at),
                Some(_) => at = self.after(at),
                None => return None,
            }
        }
    }

    pub(crate) fn entry(&self, at: At) -> Option<&V> {
        Some(&self.places.get(at.0)?.as_ref()?.entry)
    }

    pub(crate) fn entry_mut(&mut self, at: At) -> Option<&mut V> {
        Some(&mut self.places.get_mut(at.0)?.as_mut()?.entry)
    }

    /// Adds an entry under a key that has none.
    pub(crate) fn insert(&mut self, key: K, entry: V) {
        let places = self.places.len();
        if self.len >= places - places.div_ceil(4) {
            self.rebuild((places + places / 8 + 2).max(PLACES_MIN));
        }
        self.len += 1;
        self.seat(Slot { key, entry });
    }

    pub(crate) fn remove(&mut self, at: At) {
        if self.take(at).is_none() {
            return;
        }
        self.len -= 1;
        // Those behind it may have found their own place taken by it, and would not be found beyond a gap.
        let mut next = self.after(at);
        while let Some(slot) = self.take(next) {
            self.seat(slot);
            next = self.after(next);
        }
    }

    /// Keeps what is to be kept; returns how many went. A table that is less than a quarter as full as it may be shrinks.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&mut V) -> bool) -> usize {
        let mut gone = 0;
        for place in &mut self.places {
            if place.as_mut().is_some_and(|slot| !keep(&mut slot.entry)) {
                *place = None;
                gone += 1;
            }
        }
        if gone > 0 {
            self.len -= gone;
            let (places, needed) = (self.places.len(), self.len / 2 * 3 + PLACES_MIN);
            self.rebuild(if needed < places / 2 { needed } else { places });
        }
        gone
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &V> {
        self.places.iter().flatten().map(|slot| &slot.entry)
    }

    /// Places, taken or free.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.places.len()
    }

    /// Gives every entry its place among so many.
    fn rebuild(&mut self, places: usize) {
        let fresh = std::iter::repeat_with(|| None).take(places).collect();
        let before = std::mem::replace(&mut self.places, fresh);
        before.into_iter().flatten().for_each(|slot| self.seat(slot));
    }

    /// Puts an entry into the first free place from its own on. There is one: a table is never full.
    fn seat(&mut self, slot: Slot<K, V>) {
        let mut at = self.home(slot.key);
        while let Some(place) = self.places.get_mut(at.0) {
            if place.is_none() {
                *place = Some(slot);
                return;
            }
            at = self.after(at);
        }
    }

    fn take(&mut self, at: At) -> Option<Slot<K, V>> {
        self.places.get_mut(at.0)?.take()
    }

    /// A key's own place: the key as a fraction of all keys, of all places.
    #[expect(clippy::cast_possible_truncation, reason = "the upper half of the product is below the number of places")]
    fn home(&self, key: K) -> At {
        At(((u128::from(key.place()) * self.places.len() as u128) >> 64) as usize)
    }

    fn after(&self, at: At) -> At {
        let next = at.0 + 1;
        At(if next < self.places.len() { next } else { 0 })
    }
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { places: Box::default(), len: 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    impl Key for u64 {
        fn shard(self) -> u64 {
            0
        }

        /// A few places for all keys, at both ends and in the middle: they are always in one another's way.
        fn place(self) -> u64 {
            [0, 1 << 62, u64::MAX, u64::MAX - (1 << 59)][usize::try_from(self % 4).unwrap()]
        }
    }

    #[derive(Clone, Debug)]
    enum Change {
        Add(u64),
        Remove(u64),
        Keep { multiples_of: u64 },
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            8 => (0..60_u64).prop_map(Change::Add),
            4 => (0..60_u64).prop_map(Change::Remove),
            1 => (1..5_u64).prop_map(|multiples_of| Change::Keep { multiples_of }),
        ]
    }

    proptest! {
        #[test]
        fn a_table_is_a_plain_map(changes in prop::collection::vec(change(), 1..150)) {
            let (mut table, mut plain) = (Table::default(), BTreeMap::new());
            for (number, change) in changes.into_iter().enumerate() {
                match change {
                    Change::Add(key) => match table.find(key) {
                        Some(at) => *table.entry_mut(at).unwrap() = (key, number),
                        None => table.insert(key, (key, number)),
                    },
                    Change::Remove(key) => {
                        table.find(key).into_iter().for_each(|at| table.remove(at));
                    }
                    Change::Keep { multiples_of } => {
                        let gone = table.retain(|(key, _)| *key % multiples_of == 0);
                        let before = plain.len();
                        plain.retain(|key, _| key % multiples_of == 0);
                        prop_assert_eq!(gone, before - plain.len());
                    }
                }
                match change {
                    Change::Add(key) => _ = plain.insert(key, (key, number)),
                    Change::Remove(key) => _ = plain.remove(&key),
                    Change::Keep { .. } => {}
                }
                for key in 0..60 {
                    prop_assert_eq!(table.find(key).and_then(|at| table.entry(at)), plain.get(&key));
                }
                prop_assert_eq!((table.len(), table.entries().count()), (plain.len(), plain.len()));
                prop_assert!(table.capacity() == 0 || table.len() < table.capacity());
            }
        }
    }

    #[test]
    fn a_table_grows_by_an_eighth_and_is_at_most_three_quarters_full() {
        let mut table = Table::default();
        for key in 0..2_000_u64 {
            let before = table.capacity();
            table.insert(key, ());
            assert!(table.len() * 4 <= table.capacity() * 3, "{key}");
            assert!(table.capacity() <= before + before / 8 + 2 || before < PLACES_MIN, "{key}");
        }
    }
}
