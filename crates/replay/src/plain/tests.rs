//! The plain bank answers what its rules say, and the tally is what was worked out by hand.

use super::*;
use crate::attempt::{Channel, Device, yen};
use crate::geography::Place;

/// A withdrawal on a phone that was bound so many hours ago.
pub(crate) fn attempt(now: Timestamp, device_age_hours: u64, amount_yen: u64) -> Attempt {
    let place = Place { latitude_e7: 356_900_000, longitude_e7: 1_397_000_000 };
    let bound_at = Timestamp::from_unix_ms(now.unix_ms() - device_age_hours * crate::calendar::HOUR_MS);
    Attempt {
        institution: InstitutionNo(0),
        account: AccountNo(1),
        device: Device { number: DeviceNo(1), bound_at, channel: Channel::Online, attestation: Attestation::Passed },
        atm: AtmNo(0),
        atm_place: place,
        phone_place: Some(place),
        amount: yen(amount_yen),
        now,
    }
}
