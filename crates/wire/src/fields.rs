//! Single fields: each is refused with its own path in the message.

use std::str::FromStr;

use cashgate_withdrawal::location::Location;
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::time::Timestamp;

use crate::proto::withdrawal::v1 as pb;

pub(crate) fn invalid(field: &'static str, detail: impl ToString) -> Refusal {
    Refusal::FieldInvalid { field, detail: detail.to_string() }
}

/// A text id.
pub fn id<T: FromStr>(field: &'static str, text: &str) -> Result<T, Refusal>
where
    T::Err: ToString,
{
    text.parse().map_err(|error: T::Err| invalid(field, error))
}

/// A text that may be left out.
pub(crate) fn optional_id<T: FromStr>(field: &'static str, text: &str) -> Result<Option<T>, Refusal>
where
    T::Err: ToString,
{
    if text.is_empty() { Ok(None) } else { id(field, text).map(Some) }
}

/// An amount that must be there, in whatever size [`Money`] allows.
pub fn money_from(field: &'static str, money: Option<pb::Money>) -> Result<Money, Refusal> {
    optional_money(field, money)?.ok_or_else(|| invalid(field, "is missing"))
}

/// An amount that may be left out.
pub fn optional_money(field: &'static str, money: Option<pb::Money>) -> Result<Option<Money>, Refusal> {
    let Some(money) = money else { return Ok(None) };
    let currency = money.currency.parse().map_err(|error| invalid(field, error))?;
    Money::new(money.minor_units, currency).map(Some).map_err(|error| invalid(field, error))
}

/// An amount above zero that must be there.
pub(crate) fn positive_money(field: &'static str, money: Option<pb::Money>) -> Result<Money, Refusal> {
    match money_from(field, money)? {
        amount if amount.is_zero() => Err(invalid(field, "must be above zero")),
        amount => Ok(amount),
    }
}

/// An amount as a message carries it.
#[must_use]
pub fn money_to(money: Money) -> pb::Money {
    // Money is at most 10^12, far below 2^63.
    let minor_units = i64::try_from(money.minor_units()).unwrap_or(i64::MAX);
    pb::Money { minor_units, currency: money.currency().to_string() }
}

/// A point as a message carries it.
pub(crate) const fn location_to(location: Location) -> pb::Location {
    pb::Location { latitude_e7: location.latitude_e7(), longitude_e7: location.longitude_e7() }
}

/// A point that may be left out.
pub(crate) fn optional_location(
    field: &'static str,
    location: Option<pb::Location>,
) -> Result<Option<Location>, Refusal> {
    let Some(pb::Location { latitude_e7, longitude_e7 }) = location else { return Ok(None) };
    Location::new(latitude_e7, longitude_e7).map(Some).map_err(|error| invalid(field, error))
}

pub(crate) fn moment(field: &'static str, unix_ms: i64) -> Result<Timestamp, Refusal> {
    u64::try_from(unix_ms).map(Timestamp::from_unix_ms).map_err(|_| invalid(field, "lies before 1970"))
}

/// A moment as a message carries it.
#[must_use]
pub fn unix_ms(at: Timestamp) -> i64 {
    i64::try_from(at.unix_ms()).unwrap_or(i64::MAX)
}

/// A text with a length in characters, so that a name has the same room in every script.
pub(crate) fn words(
    field: &'static str,
    words: String,
    lengths: std::ops::RangeInclusive<usize>,
) -> Result<String, Refusal> {
    if !lengths.contains(&words.chars().count()) {
        return Err(invalid(field, format!("must have {} to {} characters", lengths.start(), lengths.end())));
    }
    printable(field, words)
}

/// A text with a length in bytes.
pub(crate) fn text(
    field: &'static str,
    text: String,
    lengths: std::ops::RangeInclusive<usize>,
) -> Result<String, Refusal> {
    if !lengths.contains(&text.len()) {
        return Err(invalid(field, format!("must have {} to {} bytes", lengths.start(), lengths.end())));
    }
    printable(field, text)
}

fn printable(field: &'static str, text: String) -> Result<String, Refusal> {
    if text.chars().any(char::is_control) {
        return Err(invalid(field, "must not have control characters"));
    }
    Ok(text)
}

pub(crate) fn bytes<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], Refusal> {
    bytes.try_into().map_err(|_| invalid(field, format!("must have {N} bytes")))
}
