//! Money: an amount in minor units of one currency, with checked arithmetic only.

use std::fmt;
use std::str::FromStr;

/// An ISO 4217 alphabetic currency code, such as `JPY`. Only its form is checked: three capital letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Japanese yen: one minor unit is one yen.
    pub const JPY: Self = Self(*b"JPY");

    /// The three letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Always ASCII capitals: `from_str` and `JPY` are the only ways in.
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        match text.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err(MoneyError::NotACurrency),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An amount of money, never negative, at most [`Money::MINOR_UNITS_MAX`] minor units.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    minor_units: u64,
    currency: Currency,
}

/// Why an amount was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not three capital letters.
    #[error("the currency is not an ISO 4217 code of three capital letters")]
    NotACurrency,
    /// Below zero.
    #[error("the amount is negative")]
    Negative,
    /// Above [`Money::MINOR_UNITS_MAX`].
    #[error("the amount is above {} minor units", Money::MINOR_UNITS_MAX)]
    TooLarge,
    /// Two currencies met in one sum.
    #[error("the currencies differ")]
    CurrenciesDiffer,
    /// A difference would fall below zero.
    #[error("the difference would be negative")]
    WouldBeNegative,
}

impl Money {
    /// The largest amount there is: 10^12 minor units. No cash machine, and no day of one account, comes near it, and sums of
    /// millions of such amounts still fit 64 bits.
    pub const MINOR_UNITS_MAX: u64 = 1_000_000_000_000;

    /// An amount from a signed number of minor units, as messages carry it.
    pub fn new(minor_units: i64, currency: Currency) -> Result<Self, MoneyError> {
        let minor_units = u64::try_from(minor_units).map_err(|_| MoneyError::Negative)?;
        Self::from_minor_units(minor_units, currency)
    }

    /// An amount from minor units.
    pub fn from_minor_units(minor_units: u64, currency: Currency) -> Result<Self, MoneyError> {
        if minor_units > Self::MINOR_UNITS_MAX {
            return Err(MoneyError::TooLarge);
        }
        Ok(Self { minor_units, currency })
    }

    /// Nothing, in a currency.
    #[must_use]
    pub const fn zero(currency: Currency) -> Self {
        Self { minor_units: 0, currency }
    }

    /// The amount in minor units (yen, cents).
    #[must_use]
    pub const fn minor_units(self) -> u64 {
        self.minor_units
    }

    /// The currency.
    #[must_use]
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// Whether the amount is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.minor_units == 0
    }

    /// The sum, if both are of one currency and it is not too large.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let sum = self.minor_units.checked_add(other.minor_units).ok_or(MoneyError::TooLarge)?;
        Self::from_minor_units(sum, self.currency)
    }

    /// The difference, if both are of one currency and it is not negative.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let rest = self.minor_units.checked_sub(other.minor_units).ok_or(MoneyError::WouldBeNegative)?;
        Ok(Self { minor_units: rest, currency: self.currency })
    }

    /// So many times the amount.
    pub fn checked_mul(self, times: u32) -> Result<Self, MoneyError> {
        let product = self.minor_units.checked_mul(u64::from(times)).ok_or(MoneyError::TooLarge)?;
        Self::from_minor_units(product, self.currency)
    }

    /// Whether this is more than `other`; amounts of different currencies do not compare.
    pub fn exceeds(self, other: Self) -> Result<bool, MoneyError> {
        self.same_currency(other)?;
        Ok(self.minor_units > other.minor_units)
    }

    fn same_currency(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency { Ok(()) } else { Err(MoneyError::CurrenciesDiffer) }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.minor_units, self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn yen(amount: u64) -> Money {
        Money::from_minor_units(amount, Currency::JPY).unwrap()
    }

    #[test]
    fn refuses_what_is_not_an_amount() {
        let check = |minor_units, expected| {
            assert_eq!(Money::new(minor_units, Currency::JPY).map(Money::minor_units), expected)
        };
        check(0, Ok(0));
        check(-1, Err(MoneyError::Negative));
        check(i64::MIN, Err(MoneyError::Negative));
        check(1_000_000_000_000, Ok(1_000_000_000_000));
        check(1_000_000_000_001, Err(MoneyError::TooLarge));
        check(i64::MAX, Err(MoneyError::TooLarge));
    }

    #[test]
    fn refuses_what_is_not_a_currency() {
        for text in ["", "JP", "JPYY", "jpy", "J Y", "ÄÖ", "円"] {
            assert_eq!(text.parse::<Currency>(), Err(MoneyError::NotACurrency), "{text:?}");
        }
        assert_eq!("EUR".parse::<Currency>().unwrap().to_string(), "EUR");
    }

    #[test]
    fn prints_the_figure_and_the_currency() {
        let amount = yen(30_000);
        assert_eq!(format!("{amount}, {amount:?}, {:?}", amount.currency()), "30000 JPY, 30000 JPY, JPY");
    }

    #[test]
    fn currencies_do_not_mix() {
        let euro = Money::from_minor_units(1, "EUR".parse().unwrap()).unwrap();
        assert_eq!(yen(1).checked_add(euro), Err(MoneyError::CurrenciesDiffer));
        assert_eq!(yen(1).checked_sub(euro), Err(MoneyError::CurrenciesDiffer));
        assert_eq!(yen(1).exceeds(euro), Err(MoneyError::CurrenciesDiffer));
    }

    proptest! {
        #[test]
        fn what_is_added_can_be_taken_away(a in 0..=Money::MINOR_UNITS_MAX, b in 0..=Money::MINOR_UNITS_MAX) {
            match yen(a).checked_add(yen(b)) {
                Ok(sum) => {
                    prop_assert_eq!(sum.checked_sub(yen(b)), Ok(yen(a)));
                    prop_assert_eq!(yen(b).exceeds(sum), Ok(false));
                }
                Err(error) => {
                    prop_assert_eq!(error, MoneyError::TooLarge);
                    prop_assert!(a + b > Money::MINOR_UNITS_MAX);
                }
            }
        }

        #[test]
        fn a_product_is_a_repeated_sum(a in 0..=1_000_000_u64, times in 0..100_u32) {
            let mut sum = yen(0);
            for _ in 0..times {
                sum = sum.checked_add(yen(a)).unwrap();
            }
            prop_assert_eq!(yen(a).checked_mul(times), Ok(sum));
        }
    }
}
