//! A point on the Earth, as phones and machines give it.

/// A point in WGS 84 (EPSG:4326), in units of 10^-7 degree: about a centimetre.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    latitude_e7: i32,
    longitude_e7: i32,
}

/// Numbers that are no point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a latitude lies between -90 and 90 degrees and a longitude between -180 and 180, in units of 10^-7 degree")]
pub struct NotALocation;

impl Location {
    /// A point from its latitude and longitude in units of 10^-7 degree.
    ///
    /// # Errors
    /// [`NotALocation`] if one of them is out of range.
    pub fn new(latitude_e7: i32, longitude_e7: i32) -> Result<Self, NotALocation> {
        let is_one = (-900_000_000..=900_000_000).contains(&latitude_e7)
            && (-1_800_000_000..=1_800_000_000).contains(&longitude_e7);
        if is_one { Ok(Self { latitude_e7, longitude_e7 }) } else { Err(NotALocation) }
    }

    /// The latitude in units of 10^-7 degree, north positive.
    #[must_use]
    pub const fn latitude_e7(self) -> i32 {
        self.latitude_e7
    }

    /// The longitude in units of 10^-7 degree, east positive.
    #[must_use]
    pub const fn longitude_e7(self) -> i32 {
        self.longitude_e7
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_lies_on_the_earth() {
        for (latitude, longitude, is_one) in [
            (0, 0, true),
            (356_812_000, 1_397_671_000, true),
            (900_000_000, -1_800_000_000, true),
            (900_000_001, 0, false),
            (-900_000_001, 0, false),
            (0, 1_800_000_001, false),
            (i32::MIN, i32::MAX, false),
        ] {
            assert_eq!(Location::new(latitude, longitude).is_ok(), is_one, "{latitude} {longitude}");
        }
    }
}
