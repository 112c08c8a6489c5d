//! The keys that are published at one time: what signs now, what signed until lately, and what will sign next.

use std::collections::BTreeMap;

use cashgate_withdrawal::ids::KeyId;

use crate::p256::{KeyError, SEC1_LENGTH};
use crate::public_key::PublicKey;

/// The most keys that a set holds. A network has a handful: one or two for each HSM, and their successors.
pub const KEYS_MAX: usize = 64;

/// The published keys, found by their id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: BTreeMap<KeyId, PublicKey>,
}

/// Why a set of keys was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// The same id twice: the same key twice, or two keys whose thumbprints begin alike (make another key then).
    #[error("key id {key_id} is there twice; every key of a set needs an id of its own")]
    DuplicateKeyId {
        /// The id.
        key_id: KeyId,
    },
    /// More than [`KEYS_MAX`].
    #[error("more than {KEYS_MAX} keys; withdraw those that no longer sign")]
    TooManyKeys,
    /// Not a JWK set at all.
    #[error("not a JWK set (RFC 7517 section 5): {0}")]
    NotAJwkSet(String),
    /// Not a COSE key set at all.
    #[error("not a COSE_KeySet (RFC 9052 section 7): {0}")]
    NotACoseKeySet(String),
    /// A key that names ES256 and P-256 but whose `member` is absent or not what it must be.
    #[error("key {index}: {member} is absent or wrong")]
    BadMember {
        /// Where it stands in the set, from 0.
        index: usize,
        /// The member.
        member: &'static str,
    },
    /// A key whose coordinates are not a point of the curve.
    #[error("key {index}: {source}")]
    BadKey {
        /// Where it stands in the set, from 0.
        index: usize,
        /// What is wrong with it.
        source: KeyError,
    },
    /// The id is not the beginning of the key's thumbprint.
    #[error("key {index}: its id is not {expected}, the first 4 bytes of its thumbprint (RFC 7638)")]
    ForeignKeyId {
        /// Where it stands in the set, from 0.
        index: usize,
        /// The id that it should have.
        expected: KeyId,
    },
    /// The set contains the private half of a key, which must be treated as known to everybody.
    #[error("key {index} contains its private half: revoke it, and publish public keys only")]
    PrivateKey {
        /// Where it stands in the set, from 0.
        index: usize,
    },
}

impl KeySet {
    /// A set of keys.
    ///
    /// # Errors
    /// Two keys have the same id, or there are more than [`KEYS_MAX`].
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Result<Self, KeySetError> {
        let mut set = Self::default();
        for key in keys {
            set.insert(key)?;
        }
        Ok(set)
    }

    /// Adds a key.
    ///
    /// # Errors
    /// Its id is there already, or the set is full.
    pub fn insert(&mut self, key: PublicKey) -> Result<(), KeySetError> {
        let key_id = key.key_id();
        if self.keys.contains_key(&key_id) {
            return Err(KeySetError::DuplicateKeyId { key_id });
        }
        if self.keys.len() >= KEYS_MAX {
            return Err(KeySetError::TooManyKeys);
        }
        self.keys.insert(key_id, key);
        Ok(())
    }

    /// The key with an id.
    #[must_use]
    pub fn key(&self, key_id: KeyId) -> Option<&PublicKey> {
        self.keys.get(&key_id)
    }

    /// The keys, in the order of their ids.
    pub fn keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.keys.values()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key, so that no token verifies.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Adds a key that was read from place `index` of a published set, after checking that the id it came with is its own.
    pub(crate) fn insert_published(
        &mut self,
        index: usize,
        coordinates: ([u8; 32], [u8; 32]),
        has_id: impl FnOnce(KeyId) -> bool,
    ) -> Result<(), KeySetError> {
        let mut sec1 = [0x04; SEC1_LENGTH];
        for (to, from) in sec1.iter_mut().skip(1).zip(coordinates.0.iter().chain(&coordinates.1)) {
            *to = *from;
        }
        let key = PublicKey::from_sec1_uncompressed(&sec1).map_err(|source| KeySetError::BadKey { index, source })?;
        if !has_id(key.key_id()) {
            return Err(KeySetError::ForeignKeyId { index, expected: key.key_id() });
        }
        self.insert(key)
    }
}
