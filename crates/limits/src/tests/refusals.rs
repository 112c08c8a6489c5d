//! Each refusal, and which comes first.

use super::*;
use crate::FiguresError;

/// An account with 100,000 yen spent today and 50,000 yen reserved by withdrawal 2, under figures that each case may change.
fn refusal(amount: Money, id: u64, figures: &LimitFigures, now: Timestamp) -> Option<LimitRefusal> {
    let mut hanako = Customer::new(usual_figures());
    hanako.figures = LimitFigures::new(yen(200_000), yen(500_000), 10, figures.burst()).unwrap();
    hanako.reserve_at(yen(100_000), MONDAY, NOON).unwrap().settle(yen(100_000)).unwrap();
    let open = hanako.reserve_at(yen(50_000), MONDAY, NOON).unwrap();
    let before = hanako.limits.headroom(&hanako.account, &hanako.figures, MONDAY, now);

    let outcome = hanako.limits.reserve(&hanako.account, withdrawal(id), amount, figures, MONDAY, now);

    let changed = hanako.limits.headroom(&hanako.account, &hanako.figures, MONDAY, now) != before;
    assert_eq!(changed, outcome.is_ok(), "a refusal changes nothing, an admission something");
    open.release();
    outcome.err()
}

#[test]
fn each_limit_refuses_from_just_above_it() {
    let usual = usual_figures();
    let check = |amount, figures: LimitFigures, expected| {
        assert_eq!(refusal(amount, 3, &figures, NOON), expected, "{amount} under {figures}");
    };
    check(yen(200_000), usual, None);
    check(yen(0), usual, Some(LimitRefusal::ZeroAmount));
    check(euro_cents(1), usual, Some(LimitRefusal::WrongCurrency { amount: euro_cents(1), expected: Currency::JPY }));
    check(yen(200_001), usual, Some(LimitRefusal::AboveWithdrawalLimit { amount: yen(200_001), limit: yen(200_000) }));
    check(yen(350_000), figures(yen(400_000), yen(500_000), 10, ANY_PACE), None);
    check(
        yen(350_001),
        figures(yen(400_000), yen(500_000), 10, ANY_PACE),
        Some(LimitRefusal::AboveDayLimit { amount: yen(350_001), counted_minor_units: 150_000, limit: yen(500_000) }),
    );
    check(yen(1), figures(yen(200_000), yen(500_000), 3, ANY_PACE), None);
    check(
        yen(1),
        figures(yen(200_000), yen(500_000), 2, ANY_PACE),
        Some(LimitRefusal::TooManyToday { counted: 2, limit: 2 }),
    );
    // Lowered below what is counted already.
    check(
        yen(1),
        figures(yen(200_000), yen(100_000), 10, ANY_PACE),
        Some(LimitRefusal::AboveDayLimit { amount: yen(1), counted_minor_units: 150_000, limit: yen(100_000) }),
    );
    check(
        yen(1),
        figures(yen(0), yen(0), 0, ANY_PACE),
        Some(LimitRefusal::AboveWithdrawalLimit { amount: yen(1), limit: yen(0) }),
    );
}

#[test]
fn the_burst_limit_says_when_to_come_back() {
    let minute = figures(yen(200_000), yen(500_000), 10, burst(2, 60));
    let retry_at = NOON.after(Duration::from_secs(60));
    let almost = Timestamp::from_unix_ms(retry_at.unix_ms() - 1);
    assert_eq!(refusal(yen(1), 3, &minute, NOON), Some(LimitRefusal::TooFast { retry_at }));
    assert_eq!(refusal(yen(1), 3, &minute, almost), Some(LimitRefusal::TooFast { retry_at }));
    assert_eq!(refusal(yen(1), 3, &minute, retry_at), None);
}

#[test]
fn a_withdrawal_reserves_once() {
    for amount in [yen(50_000), yen(1)] {
        let duplicate = LimitRefusal::DuplicateReservation { withdrawal: withdrawal(2), reserved: yen(50_000) };
        assert_eq!(refusal(amount, 2, &usual_figures(), NOON), Some(duplicate));
    }
}

#[test]
fn the_first_that_applies_is_reported() {
    let nothing = figures(yen(0), yen(0), 0, burst(2, 60));
    let check = |amount, id, figures: &LimitFigures, reason| {
        assert_eq!(refusal(amount, id, figures, NOON).map(|refusal| refusal.reason()), Some(reason));
    };
    check(euro_cents(0), 2, &nothing, "zero_amount");
    check(euro_cents(1), 2, &nothing, "wrong_currency");
    check(yen(1), 2, &nothing, "duplicate_reservation");
    check(yen(1), 3, &nothing, "above_withdrawal_limit");
    check(yen(1), 3, &figures(yen(1), yen(0), 0, burst(2, 60)), "too_many_today");
    check(yen(1), 3, &figures(yen(1), yen(0), 9, burst(2, 60)), "above_day_limit");
    check(yen(1), 3, &figures(yen(1), yen(500_000), 9, burst(2, 60)), "too_fast");
}

#[test]
fn an_account_counts_in_one_currency_at_a_time() {
    let mut hanako = Customer::new(usual_figures());
    let open = hanako.reserve(yen(1_000), MONDAY).unwrap();
    hanako.figures = figures(euro_cents(50_000), euro_cents(90_000), 10, ANY_PACE);
    let yen_counts = LimitRefusal::WrongCurrency { amount: euro_cents(100), expected: Currency::JPY };

    assert_eq!(hanako.reserve(euro_cents(100), TUESDAY).unwrap_err(), yen_counts, "yen are open");
    assert_eq!(hanako.withdrawal_max(TUESDAY), euro_cents(0));
    open.settle(yen(1_000)).unwrap();
    assert_eq!(hanako.reserve(euro_cents(100), MONDAY).unwrap_err(), yen_counts, "yen were spent that day");
    assert!(hanako.reserve(euro_cents(100), TUESDAY).is_ok());
}

#[test]
fn figures_are_in_one_currency_and_print_as_one_line() {
    let (per_withdrawal, per_day) = (yen(1), euro_cents(2));
    assert_eq!(
        LimitFigures::new(per_withdrawal, per_day, 3, ANY_PACE),
        Err(FiguresError::CurrenciesDiffer { per_withdrawal, per_day })
    );
    assert_eq!(
        figures(yen(200_000), yen(500_000), 10, burst(3, 60)).to_string(),
        "currency=JPY per_withdrawal=200000 per_day=500000 withdrawals_per_day=10 burst=3 burst_every_ms=60000"
    );
}

#[test]
fn the_largest_amounts_do_not_overflow() {
    let largest = yen(Money::MINOR_UNITS_MAX);
    let mut hanako = Customer::new(figures(largest, largest, u32::MAX, ANY_PACE));
    let open = hanako.reserve(largest, CalendarDay(i32::MAX)).unwrap();
    assert_eq!(hanako.reserve(largest, CalendarDay(i32::MIN)).unwrap_err().reason(), "above_day_limit");
    open.settle(largest).unwrap();
    for _ in 0..3 {
        hanako.limits.restore_spent(&hanako.account, largest, CalendarDay(i32::MAX), NOON, ANY_PACE);
    }
    assert_eq!(hanako.reserve(yen(1), CalendarDay(i32::MAX)).unwrap_err().reason(), "above_day_limit");
}
