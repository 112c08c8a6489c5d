//! What a reservation counts for, from its admission to its end.

use super::*;
use crate::SettleError;

/// Every dimension is limited, loosely.
fn all_figures() -> LimitFigures {
    let tiers = vec![Tier { until_age: 72 * HOUR, caps: OPEN_HANDED }];
    LimitFigures::new(Currency::JPY, OPEN_HANDED, tiers, Some(OPEN_HANDED), loose(), burst(9, MINUTE)).unwrap()
}

fn loose() -> SumCaps {
    SumCaps { per_24h: Some(1_000_000), new_device_withdrawals_per_24h: Some(50), ..NO_SUMS }
}

#[test]
fn settling_counts_what_left_the_machine() {
    let hanako = Customer::new(figures(Caps { per_day: 500_000, withdrawals_per_day: 2, ..OPEN_HANDED }, ANY_PACE));
    hanako.reserve(yen(200_000)).unwrap().settle(yen(30_000)).unwrap();
    let two_hundred = hanako.reserve(yen(200_000)).unwrap();
    assert_eq!(hanako.refused(yen(1)), Some("account_count_day"));
    two_hundred.settle(yen(200_000)).unwrap();
    let more = Customer { figures: usual_figures(), ..hanako };
    assert_eq!(more.withdrawal_max(), 200_000);
    let _open = more.reserve(yen(200_000)).unwrap();
    assert_eq!(more.withdrawal_max(), 70_000);
}

#[test]
fn releasing_gives_back_amount_and_number_but_not_pace() {
    let end_with_nothing: [fn(Reservation); 2] =
        [Reservation::release, |reservation| reservation.settle(yen(0)).unwrap()];
    for end in end_with_nothing {
        let once = Caps { per_day: 500, withdrawals_per_day: 1, ..OPEN_HANDED };
        let hanako = Customer::new(figures(once, burst(2, MINUTE)));
        end(hanako.reserve(yen(500)).unwrap());
        end(hanako.reserve(yen(500)).unwrap());
        assert_eq!(hanako.refused(yen(500)), Some("too_fast"));
        assert_eq!(hanako.later(MINUTE).refused(yen(500)), None);
    }
}

#[test]
fn ending_gives_back_in_every_dimension() {
    let full = SumCaps {
        per_24h: Some(10),
        withdrawals_per_24h: Some(1),
        new_device_per_24h: Some(10),
        new_device_withdrawals_per_24h: Some(1),
    };
    let caps = Caps { per_day: 10, ..OPEN_HANDED };
    let tiers = vec![Tier { until_age: 72 * HOUR, caps }];
    let figures = LimitFigures::new(Currency::JPY, caps, tiers, Some(caps), full, ANY_PACE).unwrap();
    for age in [HOUR, 100 * DAY] {
        let hanako = Customer { atm_caps: full, ..Customer::new(figures.clone()).aged(age) };
        hanako.reserve(yen(10)).unwrap().release();
        let others = [
            hanako.with_device("other").at_atm("other"),
            hanako.with_account("other").at_atm("other"),
            hanako.with_account("other").with_device("other"),
            hanako.with_account("other").with_device("other").at_atm("other"),
        ];
        others.iter().for_each(|other| assert_eq!(other.refused(yen(10)), None));
        hanako.withdraw(yen(10));
        let reasons = others.each_ref().map(|other| other.refused(yen(10)).unwrap());
        assert_eq!(reasons, ["account_day", "device_day", "atm_count_24h", "institution_count_24h"]);
    }
}

#[test]
fn a_reservation_ends_where_it_was_counted_whatever_the_figures_are_by_then() {
    let limited = Customer { atm_caps: loose(), ..Customer::new(all_figures()) };
    let unlimited = Customer { figures: usual_figures(), atm_caps: NO_SUMS, ..limited.clone() };
    let (counted, uncounted) = (limited.reserve(yen(500)).unwrap(), unlimited.reserve(yen(700)).unwrap());
    let of_device = |customer: &Customer| {
        customer.limits.devices.fold(0, |sum, device| sum + device.drawn.outstanding().minor_units)
    };
    assert_eq!(of_device(&limited), 500);
    uncounted.settle(yen(700)).unwrap();
    assert_eq!(of_device(&limited), 500, "what was not counted for the device does not end there");
    counted.release();
    assert_eq!((of_device(&limited), limited.limits.open_total()), (0, (0, 0)));
    let since = crate::window::Since::new(NOON, NOON);
    assert_eq!(limited.limits.atms.fold(0, |sum, sums| sum + sums.counted(&since).all.minor_units), 0);
}

#[test]
fn other_figures_change_nothing_about_what_was_counted() {
    let hanako = Customer::new(usual_figures());
    hanako.withdraw(yen(200_000));
    let lower = figures(Caps { per_withdrawal: 200_000, per_day: 100_000, ..OPEN_HANDED }, ANY_PACE);
    let lowered = Customer { figures: lower, ..hanako.clone() };
    assert_eq!((lowered.refused(yen(1)), lowered.withdrawal_max()), (Some("account_day"), 0));
    // A window that was not limited before has been counted all the same.
    let weekly = figures(Caps { per_7d: 250_000, ..OPEN_HANDED }, ANY_PACE);
    assert_eq!(Customer { figures: weekly, ..hanako.clone() }.later(6 * DAY).withdrawal_max(), 50_000);
    assert_eq!(hanako.withdrawal_max(), 200_000);
}

#[test]
fn more_than_was_reserved_is_counted_in_full_and_reported() {
    let hanako = Customer::new(usual_figures());
    let reserved = yen(10_000);
    let outcome = hanako.reserve(reserved).unwrap().settle(yen(490_000));
    assert_eq!(outcome, Err(SettleError::MoreThanReserved { reserved, dispensed: yen(490_000) }));
    assert_eq!((hanako.limits.open_total(), hanako.withdrawal_max()), ((0, 0), 10_000));
}

#[test]
fn another_currency_than_was_reserved_counts_the_reservation() {
    for dispensed in [euro_cents(1), euro_cents(0)] {
        let hanako = Customer::new(usual_figures());
        let reserved = yen(200_000);
        let outcome = hanako.reserve(reserved).unwrap().settle(dispensed);
        assert_eq!(outcome, Err(SettleError::WrongCurrency { reserved, dispensed }));
        hanako.withdraw(yen(200_000));
        assert_eq!((hanako.limits.open_total(), hanako.withdrawal_max()), ((0, 0), 100_000));
    }
}

#[test]
fn a_dropped_reservation_stays_counted() {
    let hanako = Customer::new(usual_figures());
    drop(hanako.reserve(yen(200_000)).unwrap());
    drop(hanako.reserve(yen(200_000)).unwrap());
    for days in 0..3 {
        assert_eq!(hanako.later(days * DAY).withdrawal_max(), 100_000);
    }
    assert_eq!(hanako.limits.open(&hanako.institution, &hanako.account), (2, 400_000));
    assert_eq!(hanako.limits.open(&hanako.institution, &"taro".parse().unwrap()), (0, 0));
}

#[test]
fn any_number_of_shards_decides_the_same() {
    for shards in [0, 1, 2, 3, 1_000, usize::MAX] {
        let hanako = Customer { limits: Arc::new(Limits::with_shards(shards)), ..Customer::new(usual_figures()) };
        for number in 0..100 {
            drop(hanako.with_account(&format!("account-{number}")).reserve(yen(200_000)).unwrap());
        }
        assert_eq!((hanako.limits.accounts(), hanako.limits.open_total().0), (100, 100), "{shards}");
        drop(hanako.with_account("account-7").reserve(yen(200_000)).unwrap());
        assert_eq!(hanako.with_account("account-7").refused(yen(200_000)), Some("account_day"), "{shards}");
    }
}

#[test]
fn accounts_of_two_institutions_have_nothing_in_common() {
    let hanako = Customer { atm_caps: loose(), ..Customer::new(all_figures()) };
    hanako.withdraw(yen(600_000));
    let namesake = hanako.of_institution("bank-b");
    assert_eq!(namesake.withdrawal_max(), 400_000, "only the ATM is the same");
    assert_eq!(namesake.at_atm("atm-2").withdrawal_max(), 1_000_000);
}

#[test]
fn the_grounds_of_a_decision_are_one_line() {
    let hanako = Customer::new(usual_figures());
    hanako.withdraw(yen(7_000));
    let basis = hanako.reserve(yen(1_000)).unwrap().basis();
    assert_eq!(
        basis,
        "tier=established burst=1 burst_every_ms=0 account_per_withdrawal=200000 account_per_day=500000 \
         account_per_24h=4294967295 account_per_7d=4294967295 account_withdrawals_per_day=255 account_withdrawals_per_24h=255 \
         account_withdrawals_per_7d=255 account_day=7000 account_count_day=1 account_24h=7000 account_count_24h=1 \
         account_7d=7000 account_count_7d=1"
    );
    let young = Customer { atm_caps: loose(), ..Customer::new(all_figures()).aged(HOUR) };
    young.withdraw(yen(300));
    let basis = young.reserve(yen(1)).unwrap().basis();
    for part in [
        "tier=until_259200s ",
        " device_per_day=4294967295 ",
        " device_count_7d=1 ",
        " atm_per_24h=1000000 atm_new_device_withdrawals_per_24h=50 atm_24h=300 atm_count_24h=1 ",
        " institution_new_device_24h=300 institution_new_device_count_24h=1",
    ] {
        assert!(basis.contains(part), "{part} is not in {basis}");
    }
    assert!(!basis.contains('\n'));
}

#[test]
fn what_is_printed_does_not_name_the_account() {
    let hanako = Customer::new(usual_figures());
    let reservation = hanako.reserve(yen(1)).unwrap();
    assert_eq!(format!("{reservation:?}"), "Reservation { amount: 1 JPY, .. }");
    assert_eq!(format!("{:?}", hanako.limits), "Limits { accounts: 1, .. }");
    reservation.release();
}
