//! One entry of a map, under its guard: looked at first, changed only once everything is decided.

use std::hash::{BuildHasher, Hash};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

/// Holds the guard of the shard that the entry lies in.
pub(crate) struct Place<'a, K, V>(Entry<'a, K, V>);

impl<'a, K: Eq + Hash, V: Default> Place<'a, K, V> {
    pub(crate) fn of<S: BuildHasher + Clone>(map: &'a DashMap<K, V, S>, key: K) -> Self {
        Self(map.entry(key))
    }

    /// Looks at the entry; at an empty one if there is none, which leaves none behind.
    pub(crate) fn look<R>(&self, at: impl FnOnce(&V) -> R) -> R {
        match &self.0 {
            Entry::Occupied(entry) => at(entry.get()),
            Entry::Vacant(_) => at(&V::default()),
        }
    }

    /// Changes the entry, and makes it if there was none.
    pub(crate) fn change(self, change: impl FnOnce(&mut V)) {
        change(self.0.or_default().value_mut());
    }
}
