//! Names as 128-bit hashes, so that an entry keeps no text of its own.
//!
//! SipHash-1-3 with 128 bits, once over the institution (for ATMs and institutions: the currency) and the id, with a character between them that no
//! id has. The kind of the name is the hash key, so that one id in two places has two hashes. Among n names of one kind two share an entry with
//! a probability of about n^2 / 2^129: for 100 million accounts 1 in 10^22. Two that did would count as one, so that they would be refused
//! too much, never admitted too much. The key is no secret: ids come from institutions and not from customers, so nobody outside chooses
//! what collides.

use std::fmt;
use std::num::NonZeroU64;

use cashgate_withdrawal::ids::{AccountId, AtmId, DeviceId, InstitutionId, TEXT_ID_LENGTH_MAX};
use cashgate_withdrawal::money::Currency;
use siphasher::sip128::SipHasher13;

use crate::table::Key;

const ACCOUNT: u64 = 1;
const DEVICE: u64 = 2;
const ATM: u64 = 3;
const INSTITUTION: u64 = 4;

macro_rules! key {
    ($(#[$meaning:meta])* $name:ident) => {
        $(#[$meaning])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub(crate) struct $name(NonZeroU64, u64);

        impl Key for $name {
            fn shard(self) -> u64 {
                self.1
            }

            fn place(self) -> u64 {
                self.0.get()
            }
        }

        // Nothing of it: who knows the ids could look for the one that fits.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

key!(
    /// One account of one institution.
    AccountKey
);
key!(
    /// One device of one institution.
    DeviceKey
);
key!(
    /// What one ATM pays out in one currency, to customers of whatever institution.
    AtmKey
);
key!(
    /// What all customers of one institution withdraw in one currency.
    InstitutionKey
);

impl AccountKey {
    pub(crate) fn new(institution: &InstitutionId, account: &AccountId) -> Self {
        let (place, shard) = hash(ACCOUNT, institution.as_str(), account.as_str());
        Self(place, shard)
    }
}

impl DeviceKey {
    pub(crate) fn new(institution: &InstitutionId, device: &DeviceId) -> Self {
        let (place, shard) = hash(DEVICE, institution.as_str(), device.as_str());
        Self(place, shard)
    }
}

impl AtmKey {
    pub(crate) fn new(atm: &AtmId, currency: Currency) -> Self {
        let (place, shard) = hash(ATM, currency.as_str(), atm.as_str());
        Self(place, shard)
    }
}

impl InstitutionKey {
    pub(crate) fn new(institution: &InstitutionId, currency: Currency) -> Self {
        let (place, shard) = hash(INSTITUTION, currency.as_str(), institution.as_str());
        Self(place, shard)
    }
}

/// The two halves. That the first is never zero leaves a table a mark for what is free; it costs one hash in 2^64.
fn hash(kind: u64, owner: &str, id: &str) -> (NonZeroU64, u64) {
    let mut text = [0_u8; 2 * TEXT_ID_LENGTH_MAX + 1];
    let begins = owner.len() + 1;
    copy(&mut text, 0, owner);
    copy(&mut text, begins, id);
    let text = text.get(..begins + id.len()).unwrap_or(&text);
    let hash = SipHasher13::new_with_keys(0, kind).hash(text);
    (NonZeroU64::new(hash.h1).unwrap_or(NonZeroU64::MIN), hash.h2)
}

/// Ids are never too long for it.
fn copy(into: &mut [u8], begins: usize, id: &str) {
    if let Some(place) = into.get_mut(begins..begins + id.len()) {
        place.copy_from_slice(id.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_of_one_text_in_another_place_have_other_keys() {
        let (a, b, ab) = ("a", "b", "ab");
        let longest = "x".repeat(64);
        let names =
            [(a, ab), (ab, a), ("aa", b), (a, "ab0"), (a, b), (&longest, &longest), (&longest, a), (a, &longest)];
        let mut keys = HashSet::new();
        for (first, second) in names {
            let institution: InstitutionId = first.parse().unwrap();
            let account = AccountKey::new(&institution, &second.parse().unwrap());
            let device = DeviceKey::new(&institution, &second.parse().unwrap());
            assert!(keys.insert((account.0, account.1)), "{first} {second}");
            assert!(keys.insert((device.0, device.1)), "{first} {second}");
            assert_eq!(account, AccountKey::new(&institution, &second.parse().unwrap()));
        }
        let euro = "EUR".parse().unwrap();
        for currency in [Currency::JPY, euro] {
            let (atm, institution) = ("a".parse().unwrap(), "a".parse().unwrap());
            let (atm, institution) = (AtmKey::new(&atm, currency), InstitutionKey::new(&institution, currency));
            assert!(keys.insert((atm.0, atm.1)) && keys.insert((institution.0, institution.1)));
        }
        assert_eq!(keys.len(), 2 * names.len() + 4);
    }

    #[test]
    fn a_key_prints_nothing_of_whom_it_stands_for() {
        let account = AccountKey::new(&"bank-a".parse().unwrap(), &"hanako".parse().unwrap());
        assert_eq!(format!("{account:?}"), "AccountKey(..)");
    }
}
