//! What the app shows is what would be admitted.

use proptest::prelude::*;

use super::*;
use crate::Headroom;

#[test]
fn an_unknown_account_has_all_the_figures_give() {
    let hanako = Customer::new(usual_figures());
    let headroom = hanako.limits.headroom(&hanako.account, &hanako.figures, MONDAY, NOON);
    assert_eq!(headroom, Headroom { withdrawal_max: yen(200_000), withdrawals_left: 10 });
    assert_eq!(hanako.limits.accounts(), 0, "asking leaves nothing behind");
}

#[test]
fn no_withdrawal_left_means_no_money_and_the_other_way_round() {
    let nothing = Headroom { withdrawal_max: yen(0), withdrawals_left: 0 };
    for figures in [
        figures(yen(200), yen(900), 1, ANY_PACE),
        figures(yen(200), yen(200), 9, ANY_PACE),
        figures(yen(200), yen(900), 9, burst(1, 60)),
    ] {
        let mut hanako = Customer::new(figures);
        assert_eq!(hanako.withdrawal_max(MONDAY), yen(200));
        hanako.withdraw(yen(200), MONDAY);
        assert_eq!(hanako.limits.headroom(&hanako.account, &figures, MONDAY, NOON), nothing, "{figures}");
    }
}

proptest! {
    #[test]
    fn exactly_the_headroom_is_admitted(
        per_withdrawal in 0..50_u64,
        per_day in 0..100_u64,
        withdrawals_per_day in 0..6_u32,
        at_once in 1..6_u32,
        every_s in 0..3_u64,
        earlier in prop::collection::vec((1..40_u64, 0..40_u64), 0..6),
    ) {
        let figures = figures(yen(per_withdrawal), yen(per_day), withdrawals_per_day, burst(at_once, every_s));
        let mut hanako = Customer::new(figures);
        for (second, (amount, dispensed)) in earlier.into_iter().enumerate() {
            let earlier = NOON.after(Duration::from_millis(500 * second as u64));
            if let Ok(reservation) = hanako.reserve_at(yen(amount), MONDAY, earlier) {
                // Some are settled, some stay open.
                if dispensed <= amount { reservation.settle(yen(dispensed)).unwrap() }
            }
        }
        let now = NOON.after(Duration::from_secs(3));
        let headroom = hanako.limits.headroom(&hanako.account, &figures, MONDAY, now);

        let one_more = yen(headroom.withdrawal_max.minor_units() + 1);
        prop_assert!(hanako.reserve_at(one_more, MONDAY, now).is_err());
        if headroom.withdrawals_left == 0 {
            prop_assert!(headroom.withdrawal_max.is_zero());
        } else {
            let all = hanako.reserve_at(headroom.withdrawal_max, MONDAY, now);
            prop_assert!(all.is_ok(), "{all:?}");
        }
    }

    #[test]
    fn exactly_so_many_withdrawals_are_admitted(
        withdrawals_per_day in 0..9_u32,
        at_once in 1..9_u32,
        every_s in 0..3_u64,
        earlier in 0..5_u32,
    ) {
        let figures = figures(yen(1), yen(1_000), withdrawals_per_day, burst(at_once, every_s));
        let mut hanako = Customer::new(figures);
        for second in 0..earlier {
            let _ = hanako.reserve_at(yen(1), MONDAY, NOON.after(Duration::from_secs(second.into())));
        }
        let now = NOON.after(Duration::from_secs(earlier.into()));
        let left = hanako.limits.headroom(&hanako.account, &figures, MONDAY, now).withdrawals_left;
        for _ in 0..left {
            prop_assert!(hanako.reserve_at(yen(1), MONDAY, now).is_ok());
        }
        prop_assert!(hanako.reserve_at(yen(1), MONDAY, now).is_err());
    }
}
