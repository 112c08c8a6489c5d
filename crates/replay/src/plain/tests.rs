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

fn asked(bank: &mut PlainBank, attempt: &Attempt) -> String {
    match bank.decide(attempt) {
        Verdict::Permit => "pays".to_owned(),
        Verdict::StepUp { reason } => format!("asks: {reason}"),
        Verdict::Refuse { reason } => reason,
    }
}

#[test]
fn each_rule_is_its_control_s() {
    let now = Day(10).at(12, 0);
    let far = attempt(now, 9_999, 10_000).atm_place.moved(6_000, 0);
    let failed = |mut attempt: Attempt| {
        attempt.device.attestation = Attestation::Failed;
        attempt
    };
    let old = 9_999;
    let table = [
        (attempt(now, old, 200_000), None, "pays", "pays"),
        (attempt(now, old, 210_000), None, "above_withdrawal_limit", "above_withdrawal_limit"),
        (attempt(now, 11, 10_000), Some(Control::DeviceAge), "pays", "new_device_wait"),
        (attempt(now, 71, 60_000), Some(Control::DeviceAge), "pays", "account_day"),
        (attempt(now, 72, 60_000), Some(Control::DeviceAge), "pays", "pays"),
        (failed(attempt(now, old, 10_000)), Some(Control::Attestation), "pays", "attestation_failed"),
        (
            Attempt { phone_place: Some(far), ..attempt(now, old, 10_000) },
            Some(Control::Place),
            "pays",
            "asks: phone_far",
        ),
        (Attempt { phone_place: None, ..attempt(now, old, 10_000) }, Some(Control::Place), "pays", "pays"),
        (attempt(now, 100, 100_000), Some(Control::Habit), "pays", "asks: large_on_young"),
    ];
    for (attempt, control, without, with) in table {
        let on = control.map_or(Controls::NONE, Controls::only);
        assert_eq!(asked(&mut PlainBank::new(Controls::NONE), &attempt), without, "{attempt:?}");
        assert_eq!(asked(&mut PlainBank::new(on), &attempt), with, "{attempt:?}");
    }
}

#[test]
fn a_day_is_counted_and_begins_anew() {
    let mut bank = PlainBank::new(Controls::only(Control::Counts));
    for (day, hour, yen, expected) in [
        (0, 9, 200_000, "pays"),
        (0, 10, 200_000, "pays"),
        (0, 11, 110_000, "account_day"),
        (0, 12, 100_000, "pays"),
        (0, 13, 10_000, "account_day"),
        (1, 0, 10_000, "pays"),
        (1, 1, 10_000, "pays"),
        (1, 2, 10_000, "pays"),
        (1, 3, 10_000, "account_count_day"),
    ] {
        let attempt = attempt(Day(day).at(hour, 0), 9_999, yen);
        let answer = asked(&mut bank, &attempt);
        assert_eq!(answer, expected, "day {day}, {hour} o'clock");
        if answer == "pays" {
            bank.settled(&attempt, attempt.amount);
        }
    }
}

#[test]
fn the_third_large_wish_of_new_phones_in_a_day_rings() {
    let mut bank = PlainBank::new(Controls::NONE);
    let wish = |bank: &mut PlainBank, hour, age, yen| {
        bank.decide(&attempt(Day(0).at(hour, 0), age, yen));
        bank.alarms().len()
    };
    assert_eq!(wish(&mut bank, 1, 10, 100_000), 0);
    assert_eq!(wish(&mut bank, 2, 72, 100_000) + wish(&mut bank, 3, 10, 90_000), 0, "neither new nor large");
    assert_eq!(wish(&mut bank, 4, 10, 100_000), 0);
    assert_eq!(wish(&mut bank, 5, 10, 100_000), 1);
    assert_eq!(wish(&mut bank, 6, 10, 100_000), 0, "counted anew");
}
