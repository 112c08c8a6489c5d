//! Since when withdrawals count.

use super::*;

/// The customer at a distance from Monday's beginning.
fn at(customer: &Customer, since_monday: Duration) -> Customer {
    Customer { now: MONDAY, ..customer.clone() }.later(since_monday)
}

#[test]
fn each_window_counts_until_it_has_passed() {
    let check = |caps: Caps, reason, counts_until: Duration| {
        let hanako = Customer::new(figures(caps, ANY_PACE));
        hanako.withdraw(yen(100));
        assert_eq!(hanako.later(counts_until).refused(yen(1)), Some(reason), "{reason}");
        assert_eq!(hanako.later(counts_until + Duration::from_secs(1)).refused(yen(1)), None, "{reason}");
    };
    let to_midnight = 12 * HOUR - Duration::from_secs(1);
    check(Caps { per_day: 100, ..OPEN_HANDED }, "account_day", to_midnight);
    check(Caps { withdrawals_per_day: 1, ..OPEN_HANDED }, "account_count_day", to_midnight);
    check(Caps { per_24h: 100, ..OPEN_HANDED }, "account_24h", DAY);
    check(Caps { withdrawals_per_24h: 1, ..OPEN_HANDED }, "account_count_24h", DAY);
    check(Caps { per_7d: 100, ..OPEN_HANDED }, "account_7d", WEEK);
    check(Caps { withdrawals_per_7d: 1, ..OPEN_HANDED }, "account_count_7d", WEEK);
}

#[test]
fn the_windows_of_a_device_are_those_of_an_account() {
    let check = |caps: Caps, reason, counts_until: Duration| {
        let figures = LimitFigures::new(Currency::JPY, OPEN_HANDED, Vec::new(), Some(caps), NO_SUMS, ANY_PACE).unwrap();
        let hanako = Customer::new(figures);
        hanako.withdraw(yen(100));
        let family = hanako.with_account("taro");
        assert_eq!(family.with_device("taros-phone").refused(yen(1)), None, "{reason}");
        assert_eq!(family.later(counts_until).refused(yen(1)), Some(reason), "{reason}");
        assert_eq!(family.later(counts_until + Duration::from_secs(1)).refused(yen(1)), None, "{reason}");
    };
    let to_midnight = 12 * HOUR - Duration::from_secs(1);
    check(Caps { per_day: 100, ..OPEN_HANDED }, "device_day", to_midnight);
    check(Caps { withdrawals_per_day: 1, ..OPEN_HANDED }, "device_count_day", to_midnight);
    check(Caps { per_24h: 100, ..OPEN_HANDED }, "device_24h", DAY);
    check(Caps { withdrawals_per_24h: 1, ..OPEN_HANDED }, "device_count_24h", DAY);
    check(Caps { per_7d: 100, ..OPEN_HANDED }, "device_7d", WEEK);
    check(Caps { withdrawals_per_7d: 1, ..OPEN_HANDED }, "device_count_7d", WEEK);
}

#[test]
fn sums_count_until_the_last_second_of_their_hour_has_passed() {
    let full = SumCaps { per_24h: Some(100), ..NO_SUMS };
    let check = |atm_caps: SumCaps, institution: SumCaps, reason| {
        let figures = LimitFigures::new(Currency::JPY, OPEN_HANDED, Vec::new(), None, institution, ANY_PACE).unwrap();
        let hanako = Customer { atm_caps, ..Customer::new(figures) };
        at(&hanako, 9 * HOUR + 20 * MINUTE).withdraw(yen(100));
        let taro = hanako.with_account("taro").with_device("taros-phone");
        let last = DAY + 10 * HOUR - Duration::from_secs(1);
        assert_eq!(at(&taro, DAY + 9 * HOUR + 20 * MINUTE).refused(yen(1)), Some(reason));
        assert_eq!(at(&taro, last).refused(yen(1)), Some(reason));
        assert_eq!(at(&taro, last + Duration::from_secs(1)).refused(yen(1)), None, "{reason}");
        assert_eq!(at(&taro, last + 24 * DAY).refused(yen(1)), None, "{reason}");
    };
    check(full, NO_SUMS, "atm_24h");
    check(NO_SUMS, full, "institution_24h");
}

#[test]
fn a_day_is_as_long_as_its_caller_says() {
    let once = figures(Caps { withdrawals_per_day: 1, ..OPEN_HANDED }, ANY_PACE);
    for length_h in [23, 24, 25_u32] {
        let hanako = Customer { now: MONDAY.after(MINUTE), ..Customer::new(once.clone()) };
        hanako.withdraw(yen(1));
        let midnight = MONDAY.after(HOUR * length_h);
        let before = Timestamp::from_unix_ms(midnight.unix_ms() - 1);
        let late = Customer { now: before, ..hanako.clone() };
        assert_eq!(late.refused(yen(1)), Some("account_count_day"), "{length_h} h");
        let tuesday = Customer { now: midnight, day_began: midnight, ..hanako };
        assert_eq!(tuesday.refused(yen(1)), None, "{length_h} h");
    }
}

#[test]
fn what_is_open_counts_in_every_window_however_old_it_is() {
    let all = Caps { per_day: 100, per_24h: 100, per_7d: 100, ..OPEN_HANDED };
    let sums = SumCaps { per_24h: Some(100), ..NO_SUMS };
    for (caps, atm_caps, reason) in [(all, NO_SUMS, "account_day"), (OPEN_HANDED, sums, "atm_24h")] {
        let hanako = Customer { atm_caps, ..Customer::new(figures(caps, ANY_PACE)) };
        let open = hanako.reserve(yen(100)).unwrap();
        let a_year_later = hanako.later(365 * DAY);
        hanako.limits.forget_idle(a_year_later.now);
        assert_eq!(a_year_later.refused(yen(1)), Some(reason));
        // It counts from its approval on, and that is long ago.
        open.settle(yen(100)).unwrap();
        assert_eq!(a_year_later.refused(yen(1)), None);
    }
}

#[test]
fn a_clock_that_steps_back_forgets_nothing() {
    let caps = Caps { per_day: 100, per_24h: 100, per_7d: 100, ..OPEN_HANDED };
    let sums = SumCaps { per_24h: Some(100), ..NO_SUMS };
    let hanako = Customer { atm_caps: sums, ..Customer::new(figures(caps, ANY_PACE)) };
    hanako.later(3 * DAY).withdraw(yen(100));
    assert_eq!(hanako.refused(yen(1)), Some("account_day"), "it lies ahead, and counts");
    assert_eq!(hanako.with_account("taro").refused(yen(1)), Some("atm_24h"));

    // What has just left a window is still there if the clock steps back by an hour.
    let hanako = Customer { atm_caps: sums, ..Customer::new(figures(caps, ANY_PACE)) };
    hanako.withdraw(yen(100));
    let week_over = hanako.later(WEEK + HOUR);
    week_over.limits.forget_idle(week_over.now);
    week_over.reserve(yen(1)).unwrap().release();
    assert_eq!(hanako.later(WEEK).refused(yen(1)), Some("account_7d"));
}

#[test]
fn a_day_that_begins_in_the_future_counts_what_is_drawn_now() {
    let once = figures(Caps { withdrawals_per_day: 1, ..OPEN_HANDED }, ANY_PACE);
    let hanako = Customer { day_began: NOON.after(DAY), ..Customer::new(once) };
    hanako.withdraw(yen(1));
    assert_eq!(hanako.refused(yen(1)), Some("account_count_day"));
}
