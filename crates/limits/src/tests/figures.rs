//! Which figures are accepted, and what they say of a device's age.

use super::*;
use crate::FiguresError;

fn with_tiers(tiers: Vec<Tier>) -> Result<LimitFigures, FiguresError> {
    let established = Caps { per_day: 500, withdrawals_per_7d: 9, ..OPEN_HANDED };
    LimitFigures::new(Currency::JPY, established, tiers, None, NO_SUMS, ANY_PACE)
}

#[test]
fn figures_that_contradict_themselves_are_refused() {
    let caps = Caps { per_day: 400, withdrawals_per_7d: 8, ..OPEN_HANDED };
    let tier = |until_age, caps| Tier { until_age, caps };
    let check = |tiers, expected| assert_eq!(with_tiers(tiers).err(), expected);
    check(vec![tier(HOUR, caps), tier(DAY, caps)], None);
    check(vec![tier(DAY, caps), tier(HOUR, caps)], Some(FiguresError::TiersNotAscending { until_age: HOUR }));
    check(vec![tier(HOUR, caps), tier(HOUR, caps)], Some(FiguresError::TiersNotAscending { until_age: HOUR }));
    let zero = Duration::ZERO;
    check(vec![tier(zero, caps)], Some(FiguresError::TiersNotAscending { until_age: zero }));
    let looser = |until_age, figure| Some(FiguresError::TierLooserThanOlder { until_age, figure });
    check(vec![tier(HOUR, Caps { per_day: 501, ..caps })], looser(HOUR, "per_day"));
    let more = Caps { withdrawals_per_7d: 9, ..caps };
    check(vec![tier(HOUR, more), tier(DAY, caps)], looser(HOUR, "withdrawals_per_7d"));
    check(vec![tier(HOUR, caps), tier(DAY, more)], None);
}

#[test]
fn figures_that_could_not_be_counted_are_refused() {
    let too_large = Caps { per_24h: 1 << 32, ..OPEN_HANDED };
    let too_many = Caps { withdrawals_per_24h: 256, ..OPEN_HANDED };
    let large = FiguresError::AmountTooLarge { figure: "per_24h", minor_units: 1 << 32 };
    let many = FiguresError::TooManyWithdrawals { figure: "withdrawals_per_24h", withdrawals: 256 };
    for (caps, expected) in [(too_large, large), (too_many, many)] {
        let tier = vec![Tier { until_age: HOUR, caps }];
        let made = |established, tiers, device| {
            LimitFigures::new(Currency::JPY, established, tiers, device, NO_SUMS, ANY_PACE).err()
        };
        assert_eq!(made(caps, Vec::new(), None), Some(expected));
        assert_eq!(made(OPEN_HANDED, Vec::new(), Some(caps)), Some(expected));
        assert_eq!(made(OPEN_HANDED, tier, None), Some(expected));
        assert_eq!(made(OPEN_HANDED, Vec::new(), Some(OPEN_HANDED)), None);
    }
}

#[test]
fn a_device_grows_out_of_its_tier_when_it_reaches_its_end() {
    let figures = tiered_figures();
    let millisecond = Duration::from_millis(1);
    let check = |age, per_day, is_new, wait: Option<Duration>| {
        assert_eq!(figures.caps_for(age).per_day, per_day, "{age:?}");
        assert_eq!((figures.is_new(age), figures.wait_for(age)), (is_new, wait), "{age:?}");
    };
    check(Duration::ZERO, 0, true, Some(12 * HOUR));
    check(12 * HOUR - millisecond, 0, true, Some(millisecond));
    check(12 * HOUR, 50_000, true, None);
    check(72 * HOUR - millisecond, 50_000, true, None);
    check(72 * HOUR, 500_000, false, None);
}

#[test]
fn figures_print_as_one_line() {
    let device = Some(Caps { per_day: 7, ..OPEN_HANDED });
    let sums = SumCaps { new_device_per_24h: Some(8), ..NO_SUMS };
    let tiers = vec![Tier { until_age: HOUR, caps: Caps { per_day: 6, ..OPEN_HANDED } }];
    let figures = LimitFigures::new(Currency::JPY, OPEN_HANDED, tiers, device, sums, burst(3, MINUTE)).unwrap();
    let line = figures.to_string();
    assert!(line.starts_with("currency=JPY burst=3 burst_every_ms=60000 per_withdrawal=4294967295 per_day="), "{line}");
    for part in [" until_3600s_per_day=6 ", " device_per_day=7 ", " institution_new_device_per_24h=8"] {
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn a_young_device_is_bound_by_its_tier_and_by_what_binds_every_device() {
    let tier = Caps { per_withdrawal: 50, per_day: 50, ..OPEN_HANDED };
    let device = Caps { per_day: 300, withdrawals_per_day: 1, ..OPEN_HANDED };
    let tiers = vec![Tier { until_age: 72 * HOUR, caps: tier }];
    let figures = LimitFigures::new(Currency::JPY, OPEN_HANDED, tiers, Some(device), NO_SUMS, ANY_PACE).unwrap();
    let (young, old) = (figures.device_caps_for(HOUR).unwrap(), figures.device_caps_for(72 * HOUR).unwrap());
    assert_eq!((young.per_day, young.withdrawals_per_day), (50, 1));
    assert_eq!((old.per_day, old.withdrawals_per_day), (300, 1));

    let many =
        LimitFigures::new(Currency::JPY, OPEN_HANDED, figures.tiers().to_vec(), Some(OPEN_HANDED), NO_SUMS, ANY_PACE);
    let hanako = Customer::new(many.unwrap()).aged(HOUR);
    hanako.withdraw(yen(50));
    assert_eq!(hanako.with_account("taro").refused(yen(1)), Some("device_day"));
}
