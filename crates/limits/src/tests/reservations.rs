//! What a reservation counts for, from its admission through days and restarts to its end.

use super::*;
use crate::{RestoreError, SettleError};

#[test]
fn settling_counts_what_left_the_machine() {
    let mut hanako = Customer::new(figures(yen(200_000), yen(500_000), 2, ANY_PACE));
    hanako.reserve(yen(200_000), MONDAY).unwrap().settle(yen(30_000)).unwrap();
    let two_hundred = hanako.reserve(yen(200_000), MONDAY).unwrap();
    assert_eq!(hanako.reserve(yen(1), MONDAY).unwrap_err().reason(), "too_many_today");
    two_hundred.settle(yen(200_000)).unwrap();

    hanako.figures = usual_figures();
    let above = hanako.reserve(yen(200_000), MONDAY).unwrap();
    let refusal = hanako.reserve(yen(70_001), MONDAY).unwrap_err();
    assert_eq!(
        refusal,
        LimitRefusal::AboveDayLimit { amount: yen(70_001), counted_minor_units: 430_000, limit: yen(500_000) }
    );
    above.release();
}

#[test]
fn releasing_gives_back_amount_and_number_but_not_pace() {
    let end_with_nothing: [fn(Reservation); 2] =
        [Reservation::release, |reservation| reservation.settle(yen(0)).unwrap()];
    for end in end_with_nothing {
        let mut hanako = Customer::new(figures(yen(500), yen(500), 1, burst(2, 60)));
        end(hanako.reserve(yen(500), MONDAY).unwrap());
        end(hanako.reserve(yen(500), MONDAY).unwrap());
        assert_eq!(hanako.reserve(yen(500), MONDAY).unwrap_err().reason(), "too_fast");
        assert!(hanako.reserve_at(yen(500), MONDAY, NOON.after(Duration::from_secs(60))).is_ok());
    }
}

#[test]
fn more_than_was_reserved_is_counted_in_full_and_reported() {
    let mut hanako = Customer::new(usual_figures());
    let reservation = hanako.reserve(yen(10_000), MONDAY).unwrap();
    assert_eq!(
        reservation.settle(yen(490_000)),
        Err(SettleError::MoreThanReserved {
            withdrawal: withdrawal(1),
            reserved: yen(10_000),
            dispensed: yen(490_000)
        })
    );
    assert_eq!(hanako.limits.reserved(), [], "the reservation has ended all the same");
    assert_eq!(hanako.withdrawal_max(MONDAY), yen(10_000));
}

#[test]
fn another_currency_than_was_reserved_counts_the_reservation() {
    for dispensed in [euro_cents(1), euro_cents(0)] {
        let mut hanako = Customer::new(usual_figures());
        let reservation = hanako.reserve(yen(200_000), MONDAY).unwrap();
        assert_eq!(
            reservation.settle(dispensed),
            Err(SettleError::WrongCurrency { withdrawal: withdrawal(1), reserved: yen(200_000), dispensed })
        );
        assert_eq!(hanako.limits.reserved(), [], "the reservation has ended all the same");
        hanako.withdraw(yen(200_000), MONDAY);
        assert_eq!(hanako.withdrawal_max(MONDAY), yen(100_000));
    }
}

#[test]
fn a_dropped_reservation_stays_counted() {
    let mut hanako = Customer::new(usual_figures());
    drop(hanako.reserve(yen(200_000), MONDAY).unwrap());
    drop(hanako.reserve(yen(200_000), MONDAY).unwrap());
    for day in [MONDAY, TUESDAY, WEDNESDAY] {
        assert_eq!(hanako.withdrawal_max(day), yen(100_000));
    }
}

#[test]
fn a_new_day_forgets_what_was_spent_but_not_what_is_open() {
    let mut hanako = Customer::new(usual_figures());
    hanako.withdraw(yen(200_000), MONDAY);
    let open = hanako.reserve(yen(200_000), MONDAY).unwrap();
    assert_eq!(open.day(), MONDAY);
    assert_eq!(hanako.withdrawal_max(MONDAY), yen(100_000));

    hanako.withdraw(yen(200_000), TUESDAY);
    assert_eq!(hanako.withdrawal_max(TUESDAY), yen(100_000), "200,000 spent today, 200,000 open since Monday");
    // It counts for the day of its approval, which is over.
    open.settle(yen(200_000)).unwrap();
    assert_eq!(hanako.withdrawal_max(TUESDAY), yen(200_000));
}

#[test]
fn a_day_that_goes_backwards_forgets_nothing() {
    let mut hanako = Customer::new(usual_figures());
    hanako.withdraw(yen(200_000), TUESDAY);
    let late = hanako.reserve(yen(200_000), MONDAY).unwrap();
    assert_eq!(late.day(), TUESDAY, "Monday's sum is closed: it counts for Tuesday");
    assert_eq!(hanako.withdrawal_max(MONDAY), yen(100_000));
    late.settle(yen(200_000)).unwrap();
    for day in [MONDAY, TUESDAY] {
        assert_eq!(hanako.withdrawal_max(day), yen(100_000), "{day:?}");
    }
}

#[test]
fn a_refused_or_released_look_at_tomorrow_does_not_close_today() {
    let mut hanako = Customer::new(usual_figures());
    hanako.withdraw(yen(200_000), MONDAY);
    hanako.withdraw(yen(200_000), MONDAY);
    assert_eq!(hanako.reserve(yen(200_001), TUESDAY).unwrap_err().reason(), "above_withdrawal_limit");
    assert_eq!(hanako.withdrawal_max(TUESDAY), yen(200_000));
    hanako.reserve(yen(200_000), TUESDAY).unwrap().release();
    assert_eq!(hanako.withdrawal_max(MONDAY), yen(100_000));
}

#[test]
fn recovery_counts_again_what_counted_before() {
    let mut hanako = Customer::new(figures(yen(200_000), yen(500_000), 4, burst(4, 60)));
    let (limits, pace) = (Arc::clone(&hanako.limits), hanako.figures.burst());
    limits.restore_spent(&hanako.account, yen(200_000), MONDAY, NOON, pace);
    limits.restore_spent(&hanako.account, yen(0), TUESDAY, NOON, pace);
    limits.restore_spent(&hanako.account, yen(20_000), TUESDAY, NOON, pace);
    let open = limits.restore_reservation(&hanako.account, withdrawal(70), yen(180_000), MONDAY, NOON, pace).unwrap();

    assert_eq!((open.withdrawal(), open.amount(), open.day()), (withdrawal(70), yen(180_000), MONDAY));
    assert_eq!(hanako.reserve(yen(1_000), TUESDAY).unwrap_err().reason(), "too_fast");
    let later = NOON.after(Duration::from_secs(600));
    let headroom = limits.headroom(&hanako.account, &hanako.figures, TUESDAY, later);
    assert_eq!((headroom.withdrawal_max, headroom.withdrawals_left), (yen(200_000), 2));
    assert_eq!(limits.accounts(), 1);
    open.settle(yen(180_000)).unwrap();
}

#[test]
fn recovery_refuses_to_count_a_withdrawal_twice() {
    let hanako = Customer::new(usual_figures());
    let restore =
        |amount| hanako.limits.restore_reservation(&hanako.account, withdrawal(1), amount, MONDAY, NOON, ANY_PACE);
    let _first = restore(yen(450_000)).unwrap();
    assert_eq!(
        restore(yen(1)).unwrap_err(),
        RestoreError::AlreadyReserved { withdrawal: withdrawal(1), reserved: yen(450_000) }
    );
    assert_eq!(hanako.withdrawal_max(MONDAY), yen(50_000));
}

#[test]
fn a_day_restored_in_two_currencies_is_full() {
    for figures in [usual_figures(), figures(euro_cents(9), euro_cents(9), 9, ANY_PACE)] {
        let hanako = Customer::new(figures);
        hanako.limits.restore_spent(&hanako.account, yen(1), MONDAY, NOON, ANY_PACE);
        hanako.limits.restore_spent(&hanako.account, euro_cents(1), MONDAY, NOON, ANY_PACE);
        assert!(hanako.withdrawal_max(MONDAY).is_zero());
        assert!(!hanako.withdrawal_max(TUESDAY).is_zero());
    }
}

#[test]
fn what_is_reserved_is_listed_by_account_until_it_ends() {
    let limits = Arc::new(Limits::new());
    let reserve = |name, id, amount| {
        limits.reserve(&account(name), withdrawal(id), yen(amount), &usual_figures(), MONDAY, NOON).unwrap()
    };
    assert_eq!(limits.reserved(), []);
    let kenji = reserve("kenji", 1, 5_000);
    let hanakos_second = reserve("hanako", 3, 1_000);
    let hanakos_first = reserve("hanako", 2, 9_000);
    assert_eq!(
        limits.reserved(),
        [
            (account("hanako"), withdrawal(2), yen(9_000)),
            (account("hanako"), withdrawal(3), yen(1_000)),
            (account("kenji"), withdrawal(1), yen(5_000)),
        ]
    );
    hanakos_first.settle(yen(4_000)).unwrap();
    hanakos_second.release();
    drop(kenji);
    assert_eq!(limits.reserved(), [(account("kenji"), withdrawal(1), yen(5_000))], "a dropped one has not ended");
}

#[test]
fn any_number_of_shards_decides_the_same() {
    for shards in [0, 1, 2, 3, 1_000, usize::MAX] {
        let limits = Arc::new(Limits::with_shards(shards));
        let reserve = |name: &str, id| {
            limits.reserve(&account(name), withdrawal(id), yen(200_000), &usual_figures(), MONDAY, NOON)
        };
        for number in 0..100 {
            drop(reserve(&format!("account-{number}"), number).unwrap());
        }
        assert_eq!((limits.accounts(), limits.reserved().len()), (100, 100), "{shards}");
        drop(reserve("account-7", 101).unwrap());
        assert_eq!(reserve("account-7", 102).unwrap_err().reason(), "above_day_limit", "{shards}");
    }
}

#[test]
fn accounts_of_two_institutions_have_nothing_in_common() {
    let mut hanako = Customer::new(usual_figures());
    hanako.withdraw(yen(200_000), MONDAY);
    hanako.account = AccountKey::new("bank-b".parse().unwrap(), hanako.account.account().clone());
    hanako.figures = figures(yen(200_000), yen(200_000), 1, ANY_PACE);
    assert_eq!(hanako.withdrawal_max(MONDAY), yen(200_000));
    assert_eq!(hanako.account.institution().as_str(), "bank-b");
}

#[test]
fn what_is_printed_does_not_name_the_account() {
    let mut hanako = Customer::new(usual_figures());
    let reservation = hanako.reserve(yen(1), MONDAY).unwrap();
    let rows = [
        (
            format!("{reservation:?}"),
            "Reservation { withdrawal: 00000000-0000-0000-0000-000000000001, amount: 1 JPY, day: CalendarDay(20000), .. }",
        ),
        (format!("{:?}", hanako.limits), "Limits { accounts: 1, .. }"),
        (format!("{:?}", hanako.account), "AccountKey(bank-a, ..)"),
    ];
    for (printed, expected) in rows {
        assert_eq!(printed, expected);
    }
    reservation.release();
}
