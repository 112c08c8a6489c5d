//! A restart: what the ledger says is counted again, in every dimension.

use super::*;
use crate::Caps;

/// A dimension with room for 100 yen and one withdrawal of them, who meets it, and what is said then.
struct Dimension {
    reason: &'static str,
    figures: LimitFigures,
    atm_caps: SumCaps,
    rival: fn(&Customer) -> Customer,
}

fn dimensions() -> Vec<Dimension> {
    let account = |caps: Caps| figures(caps, ANY_PACE);
    let device =
        |caps: Caps| LimitFigures::new(Currency::JPY, OPEN_HANDED, Vec::new(), Some(caps), NO_SUMS, ANY_PACE).unwrap();
    let institution = |caps: SumCaps| {
        let tiers = vec![Tier { until_age: 1_000 * DAY, caps: OPEN_HANDED }];
        LimitFigures::new(Currency::JPY, OPEN_HANDED, tiers, None, caps, ANY_PACE).unwrap()
    };
    let sums = |caps: SumCaps| SumCaps { ..caps };
    let same_account = |hanako: &Customer| hanako.with_device("other").at_atm("other");
    let same_device = |hanako: &Customer| hanako.with_account("other").at_atm("other");
    let same_atm = |hanako: &Customer| hanako.with_account("other").with_device("other").of_institution("other");
    let same_institution = |hanako: &Customer| hanako.with_account("other").with_device("other").at_atm("other");
    let caps = [
        ("day", Caps { per_day: 100, ..OPEN_HANDED }),
        ("24h", Caps { per_24h: 100, ..OPEN_HANDED }),
        ("7d", Caps { per_7d: 100, ..OPEN_HANDED }),
        ("count_day", Caps { withdrawals_per_day: 1, ..OPEN_HANDED }),
        ("count_24h", Caps { withdrawals_per_24h: 1, ..OPEN_HANDED }),
        ("count_7d", Caps { withdrawals_per_7d: 1, ..OPEN_HANDED }),
    ];
    let sum_caps = [
        ("24h", SumCaps { per_24h: Some(100), ..NO_SUMS }),
        ("count_24h", SumCaps { withdrawals_per_24h: Some(1), ..NO_SUMS }),
        ("new_device_24h", SumCaps { new_device_per_24h: Some(100), ..NO_SUMS }),
        ("new_device_count_24h", SumCaps { new_device_withdrawals_per_24h: Some(1), ..NO_SUMS }),
    ];
    let mut dimensions = Vec::new();
    let mut add = |whose: &str, window: &str, figures, atm_caps, rival| {
        let reason = format!("{whose}_{window}").leak();
        dimensions.push(Dimension { reason, figures, atm_caps, rival });
    };
    for (window, caps) in caps {
        add("account", window, account(caps), NO_SUMS, same_account);
        add("device", window, device(caps), NO_SUMS, same_device);
    }
    for (window, caps) in sum_caps {
        add("atm", window, institution(NO_SUMS), sums(caps), same_atm);
        add("institution", window, institution(caps), NO_SUMS, same_institution);
    }
    dimensions
}

#[test]
fn every_dimension_counts_again_what_counted_before() {
    for Dimension { reason, figures, atm_caps, rival } in dimensions() {
        let hanako = Customer { atm_caps, ..Customer::new(figures) };
        let after = rival(&hanako);
        // Open, then settled by the one who took it up again.
        let open = hanako.limits.restore_reservation(&hanako.restored(yen(100)));
        assert_eq!(after.refused(yen(1)), Some(reason));
        assert_eq!((open.amount(), open.basis().as_str()), (yen(100), "basis=restored"));
        open.settle(yen(100)).unwrap();
        assert_eq!(after.refused(yen(1)), Some(reason), "settled");
        // Open, and released.
        let again = Customer { limits: Arc::new(Limits::with_shards(2)), ..hanako.clone() };
        again.limits.restore_reservation(&again.restored(yen(100))).release();
        assert_eq!(rival(&again).refused(yen(100)), None, "{reason} released");
        // Ended before the restart, with money or without.
        again.limits.restore_spent(&again.restored(yen(0)));
        assert_eq!(rival(&again).refused(yen(100)), None, "{reason} nothing left the machine");
        again.limits.restore_spent(&again.restored(yen(100)));
        assert_eq!(rival(&again).refused(yen(1)), Some(reason), "ended");
    }
}

#[test]
fn pace_goes_on_after_a_restart() {
    for spent in [yen(0), yen(5)] {
        let hanako = Customer::new(figures(OPEN_HANDED, burst(2, MINUTE)));
        hanako.limits.restore_spent(&hanako.restored(spent));
        drop(hanako.limits.restore_reservation(&hanako.restored(yen(5))));
        assert_eq!(hanako.refused(yen(1)), Some("too_fast"));
        assert_eq!(hanako.later(MINUTE).refused(yen(1)), None);
    }
}

#[test]
fn more_withdrawals_than_are_told_apart_lose_no_yen() {
    let hanako = Customer::new(figures(Caps { per_7d: 3_000, ..OPEN_HANDED }, ANY_PACE));
    for minute in 0..300 {
        hanako.limits.restore_spent(&hanako.later(minute * MINUTE).restored(yen(10)));
    }
    let later = hanako.later(300 * MINUTE);
    assert_eq!(later.refused(yen(1)), Some("account_count_day"));
    let since = crate::window::Since::new(MONDAY, later.now);
    let entry = later.limits.accounts.fold(None, |_, account| Some(account.drawn.counted(&since))).unwrap();
    assert_eq!((entry.last_7d.withdrawals, entry.last_7d.minor_units), (255, 3_000));
}

#[test]
fn an_account_restored_in_two_currencies_is_full() {
    let euro = "EUR".parse().unwrap();
    let in_euro = LimitFigures::new(euro, OPEN_HANDED, Vec::new(), None, NO_SUMS, ANY_PACE).unwrap();
    for figures in [usual_figures(), in_euro] {
        let hanako = Customer::new(figures);
        hanako.limits.restore_spent(&hanako.restored(yen(1)));
        let open = hanako.limits.restore_reservation(&hanako.restored(euro_cents(1)));
        assert_eq!(hanako.withdrawal_max(), 0);
        open.release();
        hanako.limits.restore_spent(&hanako.restored(euro_cents(1)));
        assert_eq!((hanako.withdrawal_max(), hanako.limits.open_total()), (0, (0, 0)));
        assert_ne!(hanako.later(WEEK + MINUTE).withdrawal_max(), 0);
    }
}

#[test]
fn the_largest_amounts_do_not_overflow() {
    let hanako =
        Customer { atm_caps: SumCaps { per_24h: Some(u64::MAX), ..NO_SUMS }, ..Customer::new(usual_figures()) };
    let largest = yen(Money::MINOR_UNITS_MAX);
    let open = hanako.limits.restore_reservation(&hanako.restored(largest));
    (0..3).for_each(|_| hanako.limits.restore_spent(&hanako.restored(largest)));
    let unlimited = Customer { figures: figures(OPEN_HANDED, ANY_PACE), ..hanako.clone() };
    assert_eq!(unlimited.refused(yen(1)), Some("account_day"));
    open.settle(largest).unwrap();
    assert_eq!(unlimited.refused(yen(1)), Some("account_day"));
    assert_eq!(unlimited.limits.open_total(), (0, 0));
}
