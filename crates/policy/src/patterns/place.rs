//! Where a machine stands.

// Angles and distances on a sphere; no money comes near.
#![allow(clippy::float_arithmetic)]

use cashgate_withdrawal::location::Location;

/// A point on the Earth (WGS 84), in ten-millionths of a degree: about a centimetre.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// North is positive; -900,000,000 to 900,000,000.
    pub latitude_e7: i32,
    /// East is positive; -1,800,000,000 to 1,800,000,000.
    pub longitude_e7: i32,
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        Self { latitude_e7: location.latitude_e7(), longitude_e7: location.longitude_e7() }
    }
}

impl Place {
    /// The mean radius of the Earth, in metres (IUGG).
    const EARTH_RADIUS_M: f64 = 6_371_008.8;

    /// The way along a great circle, in whole metres. The Earth is taken for a sphere, which is wrong by 0.5 % at most.
    #[must_use]
    pub fn distance_m(self, other: Self) -> u32 {
        let radians = |e7: i32| (f64::from(e7) / 1e7).to_radians();
        let (from, to) = (radians(self.latitude_e7), radians(other.latitude_e7));
        let north = (to - from) / 2.0;
        let east = (radians(other.longitude_e7) - radians(self.longitude_e7)) / 2.0;
        let haversine = north.sin().powi(2) + from.cos() * to.cos() * east.sin().powi(2);
        let metres = 2.0 * Self::EARTH_RADIUS_M * haversine.clamp(0.0, 1.0).sqrt().asin();
        // Half the way around the Earth is 20,015,115 m.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 20,015,115")]
        let whole = metres.round() as u32;
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKYO_STATION: Place = Place { latitude_e7: 356_812_362, longitude_e7: 1_397_671_248 };
    const OSAKA_STATION: Place = Place { latitude_e7: 347_024_854, longitude_e7: 1_354_959_506 };

    #[test]
    fn distances_are_those_of_the_map() {
        let check = |from: Place, to: Place, metres: std::ops::RangeInclusive<u32>| {
            assert!(metres.contains(&from.distance_m(to)), "{from:?} {to:?}: {}", from.distance_m(to));
            assert_eq!(from.distance_m(to), to.distance_m(from));
        };
        check(TOKYO_STATION, TOKYO_STATION, 0..=0);
        check(TOKYO_STATION, OSAKA_STATION, 402_000..=405_000);
        // A thousandth of a degree to the north is 111 m.
        check(TOKYO_STATION, Place { latitude_e7: 356_822_362, ..TOKYO_STATION }, 111..=112);
        // Across the date line, and to the other side of the Earth.
        let fiji = |longitude_e7| Place { latitude_e7: 0, longitude_e7 };
        check(fiji(1_799_000_000), fiji(-1_799_000_000), 22_200..=22_300);
        check(fiji(0), fiji(1_800_000_000), 20_015_000..=20_015_200);
    }
}
