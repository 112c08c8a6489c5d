//! A map in many tables, each under a lock of its own, and one entry of it under its guard.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::table::{At, Key, Table};

/// Each on a line of the processor's cache of its own: threads that meet in none share none.
#[derive(Debug)]
#[repr(align(64))]
struct Shard<K, V>(Mutex<Table<K, V>>);

/// Entries by key. Whoever holds a guard keeps everybody else out of the entry's whole shard.
#[derive(Debug)]
pub(crate) struct Shards<K, V> {
    first: Shard<K, V>,
    others: Box<[Shard<K, V>]>,
}

/// The guard of an entry: looked at first, changed only once everything is decided.
pub(crate) struct Place<'a, K, V> {
    table: MutexGuard<'a, Table<K, V>>,
    key: K,
    at: Option<At>,
}

impl<K: Key, V: Default> Shards<K, V> {
    /// `shards` is a power of two.
    pub(crate) fn new(shards: usize) -> Self {
        Self { first: Shard::default(), others: (1..shards).map(|_| Shard::default()).collect() }
    }

    /// Takes the guard of an entry, which need not be there.
    pub(crate) fn place(&self, key: K) -> Place<'_, K, V> {
        let table = self.shard(key).guard();
        let at = table.find(key);
        Place { table, key, at }
    }

    /// Looks at an entry; at an empty one if there is none.
    pub(crate) fn look<R>(&self, key: K, at: impl FnOnce(&V) -> R) -> R {
        self.place(key).look(at)
    }

    /// Changes an entry, and makes it if there was none.
    pub(crate) fn change<R>(&self, key: K, change: impl FnOnce(&mut V) -> R) -> R {
        self.place(key).change(change)
    }

    /// Changes an entry if there is one, and removes it if it is not to be kept.
    pub(crate) fn change_or_remove(&self, key: K, keep: impl FnOnce(&mut V) -> bool) {
        let Place { mut table, at, .. } = self.place(key);
        if let Some(at) = at
            && table.entry_mut(at).is_some_and(|entry| !keep(entry))
        {
            table.remove(at);
        }
    }

    /// Keeps what is to be kept, one shard after the other; returns how many went.
    pub(crate) fn retain(&self, keep: impl Fn(&mut V) -> bool) -> usize {
        self.all().map(|shard| shard.guard().retain(&keep)).sum()
    }

    /// Goes through all entries, one shard after the other.
    pub(crate) fn fold<R>(&self, start: R, mut add: impl FnMut(R, &V) -> R) -> R {
        self.all().fold(start, |sum, shard| shard.guard().entries().fold(sum, &mut add))
    }

    pub(crate) fn len(&self) -> usize {
        self.all().map(|shard| shard.guard().len()).sum()
    }

    /// Places, taken or free.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.all().map(|shard| shard.guard().capacity()).sum()
    }

    fn all(&self) -> impl Iterator<Item = &Shard<K, V>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    #[expect(clippy::cast_possible_truncation, reason = "any part of a good hash will do")]
    fn shard(&self, key: K) -> &Shard<K, V> {
        let number = key.shard() as usize & self.others.len();
        self.others.get(number.wrapping_sub(1)).unwrap_or(&self.first)
    }
}

impl<K, V> Shard<K, V> {
    /// A thread that panicked changed one entry, of one withdrawal of its own, and its shard goes on: it could only be left counted.
    fn guard(&self) -> MutexGuard<'_, Table<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> Default for Shard<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Key, V: Default> Place<'_, K, V> {
    /// Looks at the entry; at an empty one if there is none, which leaves none behind.
    pub(crate) fn look<R>(&self, at: impl FnOnce(&V) -> R) -> R {
        match self.at.and_then(|place| self.table.entry(place)) {
            Some(entry) => at(entry),
            None => at(&V::default()),
        }
    }

    /// Changes the entry, and makes it if there was none.
    pub(crate) fn change<R>(mut self, change: impl FnOnce(&mut V) -> R) -> R {
        if let Some(entry) = self.at.and_then(|at| self.table.entry_mut(at)) {
            return change(entry);
        }
        let mut entry = V::default();
        let changed = change(&mut entry);
        self.table.insert(self.key, entry);
        changed
    }
}
