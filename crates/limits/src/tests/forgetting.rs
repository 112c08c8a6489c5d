//! Memory is bounded by who still counts for something.

use super::*;

/// An account, a device, an ATM and an institution, all limited.
fn everyone() -> Customer {
    let sums = SumCaps { per_24h: Some(1_000_000), ..NO_SUMS };
    let figures =
        LimitFigures::new(Currency::JPY, OPEN_HANDED, Vec::new(), Some(OPEN_HANDED), sums, burst(2, MINUTE)).unwrap();
    Customer { atm_caps: sums, ..Customer::new(figures) }
}

/// How many accounts, devices, ATMs and institutions have an entry.
fn entries(limits: &Limits) -> [usize; 4] {
    [limits.accounts.len(), limits.devices.len(), limits.atms.len(), limits.institutions.len()]
}

#[test]
fn what_still_counts_stays() {
    let check = |what, prepare: fn(&Customer), passed: Duration, left: [usize; 4]| {
        let hanako = everyone();
        prepare(&hanako);
        let before: usize = entries(&hanako.limits).iter().sum();
        let forgotten = hanako.limits.forget_idle(hanako.now.after(passed));
        assert_eq!(entries(&hanako.limits), left, "{what}");
        assert_eq!(forgotten, before - left.iter().sum::<usize>(), "{what}");
    };
    check("drawn today", |h| h.withdraw(yen(1)), Duration::ZERO, [1, 1, 1, 1]);
    check("a day and two hours ago", |h| h.withdraw(yen(1)), DAY + HOUR, [1, 1, 1, 1]);
    check("a day and three hours ago", |h| h.withdraw(yen(1)), DAY + 2 * HOUR, [1, 1, 0, 0]);
    check("a week and an hour ago", |h| h.withdraw(yen(1)), WEEK + HOUR, [1, 1, 0, 0]);
    check("longer ago", |h| h.withdraw(yen(1)), WEEK + HOUR + Duration::from_secs(1), [0, 0, 0, 0]);
    check("released", |h| h.reserve(yen(1)).unwrap().release(), HOUR + MINUTE, [0, 0, 0, 0]);
    check("released within the hour", |h| h.reserve(yen(1)).unwrap().release(), HOUR, [1, 0, 0, 0]);
    check("open for a year", |h| drop(h.reserve(yen(1)).unwrap()), 365 * DAY, [1, 1, 1, 1]);
    let fails = |h: &Customer| _ = h.limits.attempt_failed(&h.institution, &h.device, 1.try_into().unwrap());
    check("failed and locked", fails, 365 * DAY, [0, 1, 0, 0]);
}

#[test]
fn refused_attempts_leave_nothing_behind() {
    let hanako = everyone();
    for number in 0..1_000 {
        let stranger = hanako.with_account(&format!("stranger-{number}")).with_device(&format!("phone-{number}"));
        assert_eq!(stranger.at_atm(&format!("atm-{number}")).refused(yen(1_000_001)), Some("atm_24h"));
    }
    assert_eq!(entries(&hanako.limits), [0; 4]);
}

#[test]
fn what_is_not_limited_is_not_stored() {
    let hanako = Customer::new(usual_figures());
    hanako.withdraw(yen(1));
    assert_eq!(entries(&hanako.limits), [1, 0, 0, 0]);
}

#[test]
fn weeks_of_new_customers_do_not_pile_up() {
    let mut today = everyone();
    for day in 0..20_usize {
        for number in 0..100 {
            today.with_account(&format!("{day}-{number}")).with_device(&format!("{day}-{number}")).withdraw(yen(1));
        }
        let kept_days = (day + 1).min(8) * 100;
        today.limits.forget_idle(today.now);
        assert_eq!(entries(&today.limits), [kept_days, kept_days, 1, 1], "day {day}");
        today = today.later(DAY);
    }
}

#[test]
fn tables_shrink_after_a_busy_week_and_not_after_a_quiet_one() {
    let check = |before: u64, since: u64, shrinks: bool| {
        let hanako = Customer::new(usual_figures());
        let recent = hanako.later(WEEK + 2 * HOUR);
        (0..before).for_each(|number| hanako.with_account(&format!("before-{number}")).withdraw(yen(1)));
        (0..since).for_each(|number| recent.with_account(&format!("since-{number}")).withdraw(yen(1)));
        let capacity = hanako.limits.accounts.capacity();
        assert_eq!(hanako.limits.forget_idle(recent.now) as u64, before);
        // Places of removed entries are not all counted as free again: a little goes without shrinking.
        let shrank = hanako.limits.accounts.capacity() < capacity / 4 * 3;
        assert_eq!(shrank, shrinks, "{before} before, {since} since");
    };
    check(2_000, 10, true);
    check(1_000, 1_000, false);
    check(10, 2_000, false);
    check(0, 2_000, false);
}

#[test]
fn an_entry_is_small() {
    // With a key of 16 bytes a line of the processor's cache.
    assert!(size_of::<crate::account::Account>() <= 48);
    assert!(size_of::<crate::device::Device>() <= 48);
    assert_eq!(crate::table::slot_bytes::<crate::key::AccountKey, crate::account::Account>(), 64);
    assert_eq!(crate::table::slot_bytes::<crate::key::DeviceKey, crate::device::Device>(), 64);
}
