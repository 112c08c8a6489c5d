//! Names as 128-bit hashes, so that an entry keeps no text of its own.
//!
//! SipHash-1-3 with 128 bits and a fixed key, over the kind of the name and its parts, each ended by a byte that no id contains. Among
//! n names of one kind two share an entry with a probability of about n^2 / 2^129: for 100 million accounts 1 in 10^22. Two that did
//! would count as one, so that they would be refused too much, never admitted too much. The key is no secret: ids come from institutions and not
//! from customers, so nobody outside chooses what collides.

use std::fmt;
use std::hash::Hasher;

use cashgate_withdrawal::ids::{AccountId, AtmId, DeviceId, InstitutionId};
use cashgate_withdrawal::money::Currency;
use siphasher::sip128::{Hasher128, SipHasher13};

/// The longest text that is hashed: kind, two ids, and the byte that ends each.
const TEXT_LENGTH_MAX: usize = 1 + 2 * (cashgate_withdrawal::ids::TEXT_ID_LENGTH_MAX + 1);

/// Not a character of any id.
const END: u8 = 0;

macro_rules! key {
    ($(#[$meaning:meta])* $name:ident) => {
        $(#[$meaning])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) struct $name(u64, u64);

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
        let (high, low) = hash(b'a', institution.as_str(), account.as_str());
        Self(high, low)
    }
}

impl DeviceKey {
    pub(crate) fn new(institution: &InstitutionId, device: &DeviceId) -> Self {
        let (high, low) = hash(b'd', institution.as_str(), device.as_str());
        Self(high, low)
    }
}

impl AtmKey {
    pub(crate) fn new(atm: &AtmId, currency: Currency) -> Self {
        let (high, low) = hash(b'm', currency.as_str(), atm.as_str());
        Self(high, low)
    }
}

impl InstitutionKey {
    pub(crate) fn new(institution: &InstitutionId, currency: Currency) -> Self {
        let (high, low) = hash(b'i', currency.as_str(), institution.as_str());
        Self(high, low)
    }
}

fn hash(kind: u8, first: &str, second: &str) -> (u64, u64) {
    // One piece: the hasher is several times slower when it gets many small ones.
    let mut text = [END; TEXT_LENGTH_MAX];
    let ended = [first.as_bytes(), &[END], second.as_bytes(), &[END]];
    let bytes = std::iter::once(kind).chain(ended.into_iter().flatten().copied());
    let mut length = 0;
    for (place, byte) in text.iter_mut().zip(bytes) {
        *place = byte;
        length += 1;
    }
    let mut hasher = SipHasher13::new();
    hasher.write(text.get(..length).unwrap_or(&text));
    let hash = hasher.finish128();
    (hash.h1, hash.h2)
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
