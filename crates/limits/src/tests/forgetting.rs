//! Memory is bounded by the accounts that still count for something.

use super::*;

const LATER: Timestamp = Timestamp::from_unix_ms(NOON.unix_ms() + 86_400_000);

#[test]
fn what_still_counts_stays() {
    let by_the_minute = figures(yen(200_000), yen(500_000), 10, burst(2, 60));
    let check = |what, prepare: fn(&mut Customer), oldest_day, now, forgotten| {
        let mut hanako = Customer::new(by_the_minute);
        prepare(&mut hanako);
        assert_eq!(hanako.limits.accounts(), 1);
        assert_eq!(hanako.limits.forget_idle(now, |_| oldest_day), forgotten, "{what}");
        assert_eq!(hanako.limits.accounts(), 1 - forgotten, "{what}");
    };
    check("spent today", |h| h.withdraw(yen(1), MONDAY), MONDAY, LATER, 0);
    check("spent yesterday", |h| h.withdraw(yen(1), MONDAY), TUESDAY, LATER, 1);
    check("spent tomorrow", |h| h.withdraw(yen(1), WEDNESDAY), TUESDAY, LATER, 0);
    check("yesterday, but a moment ago", |h| h.withdraw(yen(1), MONDAY), TUESDAY, NOON, 0);
    check("released", |h| h.reserve(yen(1), MONDAY).unwrap().release(), MONDAY, LATER, 1);
    check("open for days", |h| drop(h.reserve(yen(1), MONDAY).unwrap()), WEDNESDAY, LATER, 0);
}

#[test]
fn refused_attempts_leave_nothing_behind() {
    let limits = Arc::new(Limits::new());
    for number in 0..1_000 {
        let stranger = account(&format!("stranger-{number}"));
        let refused = limits.reserve(&stranger, withdrawal(number), yen(200_001), &usual_figures(), MONDAY, NOON);
        assert_eq!(refused.unwrap_err().reason(), "above_withdrawal_limit");
    }
    assert_eq!(limits.accounts(), 0);
}

#[test]
fn days_of_new_accounts_do_not_pile_up() {
    let limits = Arc::new(Limits::new());
    let accounts_a_day = 2_000;
    for day in 0..10 {
        for number in 0..accounts_a_day {
            let key = account(&format!("account-{day}-{number}"));
            let id = withdrawal(day * accounts_a_day + number);
            let today = CalendarDay(i32::try_from(day).unwrap());
            let reservation = limits.reserve(&key, id, yen(1), &usual_figures(), today, NOON).unwrap();
            reservation.settle(yen(1)).unwrap();
        }
        let yesterdays = if day == 0 { 0 } else { accounts_a_day };
        let forgotten = limits.forget_idle(NOON, |_| CalendarDay(i32::try_from(day).unwrap()));
        assert_eq!(forgotten as u64, yesterdays);
        assert_eq!(limits.accounts() as u64, accounts_a_day);
    }
}

#[test]
fn each_institution_has_its_own_day() {
    let limits = Arc::new(Limits::new());
    for institution in ["tokyo", "lisbon"] {
        let key = AccountKey::new(institution.parse().unwrap(), "hanako".parse().unwrap());
        limits.restore_spent(&key, yen(1), MONDAY, NOON, ANY_PACE);
    }
    let oldest_day =
        |id: &cashgate_withdrawal::ids::InstitutionId| if id.as_str() == "tokyo" { TUESDAY } else { MONDAY };
    assert_eq!(limits.forget_idle(LATER, oldest_day), 1);
    assert_eq!(limits.accounts(), 1);
}
