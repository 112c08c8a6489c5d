//! What the app shows is what would be admitted. That it is so to the yen, in every dimension, is in [`super::model`].

use proptest::prelude::*;

use super::*;

#[test]
fn an_unknown_customer_has_all_the_figures_give() {
    let hanako = Customer { atm_caps: SumCaps { per_24h: Some(150_000), ..NO_SUMS }, ..Customer::new(usual_figures()) };
    assert_eq!(hanako.headroom(), Headroom { withdrawal_max: yen(150_000), withdrawals_left: 255 });
    assert_eq!(hanako.limits.accounts() + hanako.limits.atms.len(), 0, "asking leaves nothing behind");
}

#[test]
fn no_withdrawal_left_means_no_money_and_the_other_way_round() {
    let check = |figures: LimitFigures, atm_caps: SumCaps| {
        let hanako = Customer { atm_caps, ..Customer::new(figures) };
        assert_eq!(hanako.withdrawal_max(), 200);
        hanako.withdraw(yen(200));
        assert_eq!(hanako.headroom(), Headroom { withdrawal_max: yen(0), withdrawals_left: 0 });
    };
    let account = Caps { per_withdrawal: 200, ..OPEN_HANDED };
    check(figures(Caps { withdrawals_per_24h: 1, ..account }, ANY_PACE), NO_SUMS);
    check(figures(Caps { per_7d: 200, ..account }, ANY_PACE), NO_SUMS);
    check(figures(account, burst(1, MINUTE)), NO_SUMS);
    check(figures(account, ANY_PACE), SumCaps { per_24h: Some(200), ..NO_SUMS });
    check(figures(account, ANY_PACE), SumCaps { withdrawals_per_24h: Some(1), ..NO_SUMS });
    let device = Some(Caps { withdrawals_per_day: 1, ..account });
    check(LimitFigures::new(Currency::JPY, account, Vec::new(), device, NO_SUMS, ANY_PACE).unwrap(), NO_SUMS);
}

#[test]
fn a_device_that_has_to_wait_has_no_headroom() {
    let hanako = Customer::new(tiered_figures());
    assert_eq!(hanako.aged(HOUR).headroom(), Headroom { withdrawal_max: yen(0), withdrawals_left: 0 });
    assert_eq!(hanako.aged(12 * HOUR).withdrawal_max(), 50_000);
}

proptest! {
    #[test]
    fn exactly_so_many_withdrawals_are_admitted(
        numbers in prop::array::uniform4(0..9_u32),
        at_once in 1..9_u32,
        every_s in 0..3_u64,
        earlier in 0..5_u64,
    ) {
        let [per_day, per_7d, of_device, of_atm] = numbers;
        let account = Caps { withdrawals_per_day: per_day, withdrawals_per_7d: per_7d, ..OPEN_HANDED };
        let device = Some(Caps { withdrawals_per_24h: of_device, ..OPEN_HANDED });
        let pace = burst(at_once, Duration::from_secs(every_s));
        let figures = LimitFigures::new(Currency::JPY, account, Vec::new(), device, NO_SUMS, pace).unwrap();
        let atm_caps = SumCaps { withdrawals_per_24h: Some(of_atm), ..NO_SUMS };
        let mut hanako = Customer { atm_caps, ..Customer::new(figures) };
        for _ in 0..earlier {
            let _ = hanako.reserve(yen(1));
            hanako = hanako.later(Duration::from_secs(1));
        }
        for _ in 0..hanako.headroom().withdrawals_left {
            prop_assert!(hanako.reserve(yen(1)).is_ok());
        }
        prop_assert!(hanako.reserve(yen(1)).is_err());
    }
}
