//! Names as 128-bit hashes, so that an entry keeps no text of its own.
//!
//! SipHash-1-3 with 128 bits over the id. Its hash key is the same hash of the institution (for ATMs and institutions: of the currency), and the
//! kind of the name, so that one id in two places has two hashes. Among n names of one kind two share an entry with a probability of about n^2 / 2^129: for 100 million accounts 1 in 10^22. Two that did
//! would count as one, so that they would be refused too much, never admitted too much. The key is no secret: ids come from institutions and not
//! from customers, so nobody outside chooses what collides.

use std::fmt;
use std::hash::Hasher;

use cashgate_withdrawal::ids::{AccountId, AtmId, DeviceId, InstitutionId};
use cashgate_withdrawal::money::Currency;
use siphasher::sip128::{Hasher128, SipHasher13};

const ACCOUNT: u64 = 1;
const DEVICE: u64 = 2;
const ATM: u64 = 3;
const INSTITUTION: u64 = 4;

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

/// An institution's, or a currency's, own hash: the hash key for the names that belong to it.
#[derive(Clone, Copy)]
pub(crate) struct Family(u64, u64);

impl Family {
    pub(crate) fn of_institution(institution: &InstitutionId) -> Self {
        let hash = hash((0, 0), institution.as_str());
        Self(hash.0, hash.1)
    }

    pub(crate) fn account(self, account: &AccountId) -> AccountKey {
        let hash = hash((self.0, self.1 ^ ACCOUNT), account.as_str());
        AccountKey(hash.0, hash.1)
    }

    pub(crate) fn device(self, device: &DeviceId) -> DeviceKey {
        let hash = hash((self.0, self.1 ^ DEVICE), device.as_str());
        DeviceKey(hash.0, hash.1)
    }
}

impl AtmKey {
    pub(crate) fn new(atm: &AtmId, currency: Currency) -> Self {
        let currency = hash((0, 0), currency.as_str());
        let hash = hash((currency.0, currency.1 ^ ATM), atm.as_str());
        Self(hash.0, hash.1)
    }
}

impl InstitutionKey {
    pub(crate) fn new(institution: &InstitutionId, currency: Currency) -> Self {
        let currency = hash((0, 0), currency.as_str());
        let hash = hash((currency.0, currency.1 ^ INSTITUTION), institution.as_str());
        Self(hash.0, hash.1)
    }
}

fn hash((key0, key1): (u64, u64), text: &str) -> (u64, u64) {
    let mut hasher = SipHasher13::new_with_keys(key0, key1);
    hasher.write(text.as_bytes());
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
            let account = Family::of_institution(&institution).account(&second.parse().unwrap());
            let device = Family::of_institution(&institution).device(&second.parse().unwrap());
            assert!(keys.insert((account.0, account.1)), "{first} {second}");
            assert!(keys.insert((device.0, device.1)), "{first} {second}");
            assert_eq!(account, Family::of_institution(&institution).account(&second.parse().unwrap()));
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
        let account = Family::of_institution(&"bank-a".parse().unwrap()).account(&"hanako".parse().unwrap());
        assert_eq!(format!("{account:?}"), "AccountKey(..)");
    }
}
