//! The domain's ids for the world's bare numbers, and back.

use std::sync::LazyLock;

use cashgate_withdrawal::ids::{AccountId, AtmId, DeviceId, InstitutionId, OperatorName};
use cashgate_withdrawal::money::{Currency, Money};

use crate::boundary::{AccountNo, AtmNo, PhoneNo};

/// An account of which no customer is.
pub(crate) const NOBODYS: AccountNo = NUMBERS - 1;
/// More than any world has.
const NUMBERS: u16 = 16;

struct Names {
    institution: InstitutionId,
    atms: Vec<AtmId>,
    accounts: Vec<AccountId>,
    phones: Vec<DeviceId>,
    operator: OperatorName,
}

#[allow(clippy::expect_used, reason = "constant texts, each of them an id")]
static NAMES: LazyLock<Names> = LazyLock::new(|| Names {
    institution: "sakura".parse().expect("an id"),
    atms: (0..NUMBERS).map(|n| format!("A{n}").parse().expect("an id")).collect(),
    accounts: (0..NUMBERS).map(|n| format!("acct-{n}").parse().expect("an id")).collect(),
    operator: "mori".parse().expect("a name"),
    phones: (0..NUMBERS).map(|n| format!("phone-{n}").parse().expect("an id")).collect(),
});

pub(crate) fn institution() -> InstitutionId {
    NAMES.institution.clone()
}

pub(crate) fn operator() -> OperatorName {
    NAMES.operator.clone()
}

pub(crate) fn atm(number: AtmNo) -> AtmId {
    named(&NAMES.atms, number)
}

pub(crate) fn account(number: AccountNo) -> AccountId {
    named(&NAMES.accounts, number)
}

pub(crate) fn phone(number: PhoneNo) -> DeviceId {
    named(&NAMES.phones, number)
}

pub(crate) fn atm_number(id: &AtmId) -> AtmNo {
    number(id.as_str())
}

pub(crate) fn account_number(id: &AccountId) -> AccountNo {
    number(id.as_str())
}

pub(crate) fn phone_number(id: &DeviceId) -> PhoneNo {
    number(id.as_str())
}

#[allow(clippy::expect_used, reason = "the world is made with fewer than this")]
fn named<T: Clone>(names: &[T], number: u16) -> T {
    names.get(usize::from(number)).expect("a number of this world").clone()
}

fn number(name: &str) -> u16 {
    name.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(u16::MAX)
}

#[allow(clippy::expect_used, reason = "the world's amounts are small")]
pub(crate) fn yen(amount: u64) -> Money {
    Money::from_minor_units(amount, Currency::JPY).expect("an amount")
}
