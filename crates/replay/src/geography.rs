//! Where machines and people are: cities of Japan, with machines and homes around their centres.

use crate::attempt::AtmNo;
use crate::chance::{Chance, Purpose};

/// A place on earth (WGS 84), in ten-millionths of a degree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// North of the equator.
    pub latitude_e7: i32,
    /// East of Greenwich.
    pub longitude_e7: i32,
}

/// A metre in ten-millionths of a degree of latitude.
const E7_PER_METRE_NORTH: i64 = 90;
/// The same of longitude, for the middle of Japan (35 degrees); 10% too much in Okinawa, 10% too little in Hokkaido.
const E7_PER_METRE_EAST: i64 = 110;

impl Place {
    /// A place so many metres north and east of here.
    #[must_use]
    pub fn moved(self, north_m: i64, east_m: i64) -> Self {
        let moved = |from: i32, by: i64| i32::try_from(i64::from(from) + by).unwrap_or(from);
        Self {
            latitude_e7: moved(self.latitude_e7, north_m * E7_PER_METRE_NORTH),
            longitude_e7: moved(self.longitude_e7, east_m * E7_PER_METRE_EAST),
        }
    }

    /// About how far it is, in metres, on a flat map of Japan: to compare, not to navigate.
    #[must_use]
    pub fn distance_m(self, other: Self) -> u64 {
        let metres =
            |one: i32, other: i32, e7: i64| (i64::from(one) - i64::from(other)).unsigned_abs() / e7.unsigned_abs();
        let north = metres(self.latitude_e7, other.latitude_e7, E7_PER_METRE_NORTH);
        let east = metres(self.longitude_e7, other.longitude_e7, E7_PER_METRE_EAST);
        (north * north + east * east).isqrt()
    }
}

/// A city: latitude and longitude in hundredths of a degree, inhabitants in thousands, and how far it reaches in metres.
struct City(i32, i32, u64, u32);

/// Cities with their inhabitants as of about 2020, rounded. Tokyo is its 23 wards.
const CITIES: [City; 32] = [
    City(3_569, 13_970, 9_700, 13_000), // Tokyo
    City(3_544, 13_964, 3_780, 9_000),  // Yokohama
    City(3_469, 13_550, 2_750, 8_000),  // Osaka
    City(3_518, 13_690, 2_330, 9_000),  // Nagoya
    City(4_306, 14_135, 1_970, 9_000),  // Sapporo
    City(3_359, 13_040, 1_610, 8_000),  // Fukuoka
    City(3_553, 13_970, 1_540, 6_000),  // Kawasaki
    City(3_469, 13_520, 1_530, 8_000),  // Kobe
    City(3_501, 13_577, 1_460, 7_000),  // Kyoto
    City(3_586, 13_965, 1_320, 8_000),  // Saitama
    City(3_439, 13_246, 1_200, 7_000),  // Hiroshima
    City(3_827, 14_087, 1_100, 7_000),  // Sendai
    City(3_561, 14_012, 970, 8_000),    // Chiba
    City(3_388, 13_088, 940, 8_000),    // Kitakyushu
    City(3_457, 13_548, 830, 6_000),    // Sakai
    City(3_471, 13_773, 790, 7_000),    // Hamamatsu
    City(3_792, 13_904, 790, 7_000),    // Niigata
    City(3_280, 13_071, 740, 6_000),    // Kumamoto
    City(3_466, 13_393, 720, 6_000),    // Okayama
    City(3_498, 13_838, 690, 6_000),    // Shizuoka
    City(3_160, 13_056, 590, 5_000),    // Kagoshima
    City(3_566, 13_932, 580, 6_000),    // Hachioji
    City(3_656, 13_988, 520, 6_000),    // Utsunomiya
    City(3_384, 13_277, 510, 5_000),    // Matsuyama
    City(3_324, 13_161, 480, 5_000),    // Oita
    City(3_656, 13_666, 460, 5_000),    // Kanazawa
    City(3_434, 13_404, 420, 5_000),    // Takamatsu
    City(3_191, 13_142, 400, 5_000),    // Miyazaki
    City(3_665, 13_818, 370, 5_000),    // Nagano
    City(2_621, 12_768, 320, 5_000),    // Naha
    City(3_972, 14_010, 310, 5_000),    // Akita
    City(4_082, 14_074, 280, 5_000),    // Aomori
];

/// Machines looked at to find one that is near.
const LOOKED_AT: usize = 8;

/// The cities and their machines.
#[derive(Clone, Debug)]
pub struct Geography {
    /// Every machine's place, by its number; a city's machines lie together.
    machines: Vec<Place>,
    /// Where each city's machines begin; one more than there are cities.
    begins: Vec<usize>,
}

/// A city, by its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CityNo(u8);

impl Geography {
    /// So many machines, at least one a city, shared out by inhabitants.
    #[must_use]
    pub fn new(seed: u64, machines: u16) -> Self {
        let inhabitants: u64 = CITIES.iter().map(|city| city.2).sum();
        let spare = u64::from(machines).saturating_sub(CITIES.len() as u64);
        let mut geography = Self { machines: Vec::new(), begins: vec![0] };
        let mut before = 0;
        for (number, city) in CITIES.iter().enumerate() {
            let mut chance = Chance::of(seed, Purpose::Machines, number as u64, 0);
            let until = before + city.2;
            let here = 1 + spare * until / inhabitants - spare * before / inhabitants;
            before = until;
            geography.machines.extend((0..here).map(|_| city.somewhere(&mut chance)));
            geography.begins.push(geography.machines.len());
        }
        geography
    }

    /// Where a machine stands; the middle of Tokyo for one that there is not.
    #[must_use]
    pub fn place(&self, atm: AtmNo) -> Place {
        let centre = Place { latitude_e7: 356_900_000, longitude_e7: 1_397_000_000 };
        self.machines.get(usize::from(atm.0)).copied().unwrap_or(centre)
    }

    /// How many machines there are.
    #[must_use]
    pub fn machines(&self) -> usize {
        self.machines.len()
    }

    /// A city, large ones more often.
    pub(crate) fn some_city(chance: &mut Chance) -> CityNo {
        let table: [(u64, u8); CITIES.len()] =
            std::array::from_fn(|at| (CITIES.get(at).map_or(0, |city| city.2), u8::try_from(at).unwrap_or(0)));
        CityNo(chance.weighted(&table, 0))
    }

    /// A place in a city.
    pub(crate) fn somewhere(city: CityNo, chance: &mut Chance) -> Place {
        CITIES.get(usize::from(city.0)).unwrap_or(&City(3_569, 13_970, 0, 0)).somewhere(chance)
    }

    /// Any machine of a city.
    pub(crate) fn some_machine(&self, city: CityNo, chance: &mut Chance) -> AtmNo {
        let at = usize::from(city.0);
        let begins = self.begins.get(at).copied().unwrap_or(0);
        let ends = self.begins.get(at + 1).copied().unwrap_or(begins);
        let number = begins as u64 + chance.below((ends - begins) as u64);
        AtmNo(u16::try_from(number).unwrap_or(0))
    }

    /// A machine of a city that is rather near.
    pub(crate) fn machine_near(&self, city: CityNo, place: Place, chance: &mut Chance) -> AtmNo {
        let looked_at: [AtmNo; LOOKED_AT] = std::array::from_fn(|_| self.some_machine(city, chance));
        let nearest = looked_at.into_iter().min_by_key(|atm| self.place(*atm).distance_m(place));
        nearest.unwrap_or(AtmNo(0))
    }

    /// A machine not far from this one in the list, and so mostly in the same city.
    pub(crate) fn neighbour(&self, atm: AtmNo, chance: &mut Chance) -> AtmNo {
        let last = self.machines.len().saturating_sub(1);
        let number = (u64::from(atm.0) + chance.between(0, 4)).saturating_sub(2).min(last as u64);
        AtmNo(u16::try_from(number).unwrap_or(0))
    }
}

impl City {
    fn somewhere(&self, chance: &mut Chance) -> Place {
        let centre = Place { latitude_e7: self.0 * 100_000, longitude_e7: self.1 * 100_000 };
        centre.moved(chance.around_zero(self.3), chance.around_zero(self.3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_about_right() {
        let table =
            [("Tokyo to Osaka", 0, 2, 380..430), ("Tokyo to Sapporo", 0, 4, 800..870), ("Osaka to Kobe", 2, 7, 24..34)];
        for (name, from, to, km) in table {
            let centre =
                |at: usize| Place { latitude_e7: CITIES[at].0 * 100_000, longitude_e7: CITIES[at].1 * 100_000 };
            let found = centre(from).distance_m(centre(to)) / 1_000;
            assert!(km.contains(&found), "{name}: {found} km");
        }
        let here = Place { latitude_e7: 350_000_000, longitude_e7: 1_390_000_000 };
        assert_eq!(here.moved(300, 400).distance_m(here), 500);
    }

    #[test]
    fn machines_stand_where_people_live() {
        let geography = Geography::new(1, 1_500);
        assert_eq!(geography.machines(), 1_500);
        let of = |city: usize| geography.begins[city + 1] - geography.begins[city];
        assert!((320..380).contains(&of(0)), "Tokyo has {}", of(0));
        assert!((0..CITIES.len()).all(|city| of(city) >= 2));
        let mut chance = Chance::of(1, Purpose::Person, 0, 0);
        let home = Geography::somewhere(CityNo(0), &mut chance);
        let near = geography.machine_near(CityNo(0), home, &mut chance);
        assert!(geography.place(near).distance_m(home) < 12_000);
    }
}
