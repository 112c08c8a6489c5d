//! A map from hashed names to small entries that is swept a little at a time.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A name, hashed: 64 bits of SipHash over its kind, its institution and itself. Among 10 million accounts any two share a key with a
/// probability of 3 in a million; they would then share a history.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(u64);

impl Key {
    pub(super) fn of(kind: &str, institution: &str, id: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (kind, institution, id).hash(&mut hasher);
        Self(hasher.finish())
    }

    /// The half that does not choose the place, to recognise the key inside another's entry.
    pub(super) const fn tag(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Keys are hashes already.
#[derive(Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type Map<V> = HashMap<Key, V, BuildHasherDefault<AsItIs>>;

/// Entries by key, in many small maps: so that growing one, or sweeping some, stops the others' callers for a moment only.
pub(super) struct Shelf<V> {
    maps: Vec<Map<V>>,
    /// The map at which the next sweep begins.
    swept: usize,
}

impl<V> Shelf<V> {
    const MAPS: usize = 256;
    /// Each sweep takes this many maps: sixteen sweeps see everything.
    const MAPS_A_SWEEP: usize = 16;

    pub(super) fn new() -> Self {
        Self { maps: (0..Self::MAPS).map(|_| Map::default()).collect(), swept: 0 }
    }

    fn place(key: Key) -> usize {
        // The map inside uses the highest and the lowest bits.
        ((key.0 >> 32) & 0xff) as usize
    }

    pub(super) fn entry(&self, key: Key) -> Option<&V> {
        self.maps.get(Self::place(key))?.get(&key)
    }

    /// The entry, made anew if there is none.
    pub(super) fn entry_or(&mut self, key: Key, new: impl FnOnce() -> V) -> Option<&mut V> {
        Some(self.maps.get_mut(Self::place(key))?.entry(key).or_insert_with(new))
    }

    pub(super) fn len(&self) -> usize {
        self.maps.iter().map(HashMap::len).sum()
    }

    /// Drops what is not worth keeping out of some of the maps.
    pub(super) fn sweep(&mut self, keep: impl Fn(&mut V) -> bool) {
        for _ in 0..Self::MAPS_A_SWEEP {
            if let Some(map) = self.maps.get_mut(self.swept) {
                map.retain(|_, entry| keep(entry));
                if map.len() < map.capacity() / 4 {
                    map.shrink_to_fit();
                }
            }
            self.swept = (self.swept + 1) % Self::MAPS;
        }
    }
}
