//! Where a machine or a phone is, as a person types it: decimal degrees.

use std::num::ParseIntError;
use std::str::FromStr;

use cashgate_wire::proto::withdrawal::v1 as wire;
use cashgate_withdrawal::location::{Location, NotALocation};

/// How many digits behind the point a degree can have: units of 10^-7 degree, about a centimetre.
const DIGITS_MAX: usize = 7;

/// A point that was typed as `LATITUDE,LONGITUDE` in decimal degrees of WGS 84, such as `35.6595,139.7005`. It is read digit by digit, so what was
/// typed is what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(Location);

/// What is wrong with a typed point.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// It is not two numbers.
    #[error("`{0}` is not LATITUDE,LONGITUDE in decimal degrees, such as 35.6595,139.7005")]
    NotTwo(String),
    /// One of them is no decimal number.
    #[error("`{degrees}` is not a number of degrees, such as -33.8568: {source}")]
    NotANumber {
        /// What was typed.
        degrees: String,
        /// Why.
        source: ParseIntError,
    },
    /// A point that no digit follows, a sign inside, or more digits than can be sent.
    #[error("`{0}` is not a number of degrees with 1 to {DIGITS_MAX} digits behind the point")]
    Digits(String),
    /// It lies beyond the poles or the date line.
    #[error(transparent)]
    NotOnEarth(#[from] NotALocation),
}

impl Place {
    /// The point in a message.
    #[must_use]
    pub const fn to_message(self) -> wire::Location {
        wire::Location { latitude_e7: self.0.latitude_e7(), longitude_e7: self.0.longitude_e7() }
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(typed: &str) -> Result<Self, PlaceError> {
        let (latitude, longitude) = typed.split_once(',').ok_or_else(|| PlaceError::NotTwo(typed.to_owned()))?;
        Ok(Self(Location::new(degrees_e7(latitude.trim())?, degrees_e7(longitude.trim())?)?))
    }
}

/// Degrees in units of 10^-7.
fn degrees_e7(typed: &str) -> Result<i32, PlaceError> {
    let (whole, part) = match typed.split_once('.') {
        Some((whole, part)) if (1..=DIGITS_MAX).contains(&part.len()) => (whole, part),
        Some(_) => return Err(PlaceError::Digits(typed.to_owned())),
        None => (typed, ""),
    };
    let unsigned = whole.strip_prefix(['-', '+']).unwrap_or(whole);
    if !unsigned.bytes().chain(part.bytes()).all(|byte| byte.is_ascii_digit()) || unsigned.is_empty() {
        return Err(PlaceError::Digits(typed.to_owned()));
    }
    // One number without a point, so that -0.5 keeps its sign.
    format!("{whole}{part:0<DIGITS_MAX$}")
        .parse()
        .map_err(|source| PlaceError::NotANumber { degrees: typed.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_are_read_to_the_last_digit() {
        for (typed, latitude_e7, longitude_e7) in [
            ("35.6595,139.7005", 356_595_000, 1_397_005_000),
            ("35.6595001, 139.7004999", 356_595_001, 1_397_004_999),
            ("-33.8568,+151", -338_568_000, 1_510_000_000),
            ("-0.5,-0.0000001", -5_000_000, -1),
            ("90,-180", 900_000_000, -1_800_000_000),
        ] {
            let point = wire::Location { latitude_e7, longitude_e7 };
            assert_eq!(typed.parse::<Place>().map(Place::to_message), Ok(point), "{typed}");
        }
    }

    #[test]
    fn what_is_no_point_is_refused_with_what_was_typed() {
        for (typed, said) in [
            ("Shibuya", "`Shibuya` is not LATITUDE,LONGITUDE"),
            ("35.6595", "is not LATITUDE,LONGITUDE"),
            ("35.6595,139.7005,3", "`139.7005,3`"),
            ("35.65950001,139", "`35.65950001` is not a number of degrees with 1 to 7 digits"),
            ("35.,139", "`35.`"),
            (".5,139", "`.5`"),
            ("3.5e1,139", "`3.5e1`"),
            ("1.-5,139", "`1.-5`"),
            ("NaN,139", "`NaN`"),
            ("9999999,139", "`9999999` is not a number of degrees"),
            ("90.0000001,139", "between -90 and 90 degrees"),
            ("35,180.1", "between -180 and 180"),
        ] {
            let error = typed.parse::<Place>().unwrap_err().to_string();
            assert!(error.contains(said), "{typed}: {error}");
        }
    }
}
