//! The domain's ids for a run's bare numbers, and back.

#![allow(clippy::expect_used, reason = "texts that are made here, each of them an id")]

use cashgate_withdrawal::cassettes::Cassettes;
use cashgate_withdrawal::ids::{AccountId, AtmId, DeviceId, InstitutionId};
use cashgate_withdrawal::location::Location;
use cashgate_withdrawal::money::Currency;

use crate::attempt::{AccountNo, AtmNo, DeviceNo, InstitutionNo};
use crate::geography::Place;

pub(super) fn institution(InstitutionNo(number): InstitutionNo) -> InstitutionId {
    format!("bank-{number}").parse().expect("an id")
}

pub(super) fn institution_number(id: &InstitutionId) -> Option<InstitutionNo> {
    id.as_str().strip_prefix("bank-")?.parse().ok().map(InstitutionNo)
}

pub(super) fn account(AccountNo(number): AccountNo) -> AccountId {
    format!("a{number}").parse().expect("an id")
}

pub(super) fn device(DeviceNo(number): DeviceNo) -> DeviceId {
    format!("d{number}").parse().expect("an id")
}

pub(super) fn atm(AtmNo(number): AtmNo) -> AtmId {
    format!("atm-{number}").parse().expect("an id")
}

pub(super) fn atm_number(id: &AtmId) -> Option<AtmNo> {
    id.as_str().strip_prefix("atm-")?.parse().ok().map(AtmNo)
}

pub(super) fn location(place: Place) -> Option<Location> {
    Location::new(place.latitude_e7, place.longitude_e7).ok()
}

/// What a machine could pay is core business of its own: nothing here asks for it.
pub(super) fn no_cassettes() -> Cassettes {
    Cassettes::new(&[], Currency::JPY, 1).expect("no notes")
}
