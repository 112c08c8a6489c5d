//! Each refusal, and which comes first.

use super::*;
use crate::Scope;

/// Figures in which one thing after the other can be in the way.
#[derive(Clone, Copy)]
struct Case {
    account: Caps,
    device: Option<Caps>,
    atm: SumCaps,
    institution: SumCaps,
    pace: Burst,
    device_age: Duration,
}

const NOTHING_IN_THE_WAY: Case = Case {
    account: OPEN_HANDED,
    device: None,
    atm: NO_SUMS,
    institution: NO_SUMS,
    pace: ANY_PACE,
    device_age: Duration::from_secs(3_600),
};

impl Case {
    fn figures(&self) -> LimitFigures {
        // The tier allows what the account may: it makes devices new for 72 hours, and nothing else.
        let tiers = vec![Tier { until_age: 72 * HOUR, caps: self.account }];
        LimitFigures::new(Currency::JPY, self.account, tiers, self.device, self.institution, self.pace).unwrap()
    }

    /// Why an amount is refused, with 100,000 yen drawn and 50,000 open before. A refusal changes nothing.
    fn refusal(&self, amount: Money) -> Option<LimitRefusal> {
        let free = Case { device: Some(OPEN_HANDED), atm: any_sums(), institution: any_sums(), ..NOTHING_IN_THE_WAY };
        let mut hanako = Customer { atm_caps: free.atm, ..Customer::new(Case { pace: self.pace, ..free }.figures()) };
        hanako.device_age = HOUR;
        hanako.withdraw(yen(100_000));
        let _open = hanako.reserve(yen(50_000)).unwrap();
        hanako.device_age = self.device_age;
        (hanako.figures, hanako.atm_caps) = (self.figures(), self.atm);
        // Somebody nobody has an entry of, at the same time.
        let stranger = hanako.with_account("stranger").with_device("strange-phone").at_atm("strange-atm");
        let before = state(&hanako.limits);
        let outcome = hanako.reserve(amount);
        assert_eq!(
            state(&hanako.limits) == before,
            outcome.is_err(),
            "a refusal changes nothing, an admission something"
        );
        if outcome.is_err() {
            let _ = stranger.reserve(yen(u64::from(u32::MAX) + 1)).unwrap_err();
            assert_eq!(state(&hanako.limits), before, "a refusal leaves no entry behind");
        }
        outcome.err()
    }
}

fn any_sums() -> SumCaps {
    SumCaps { per_24h: Some(u64::MAX), ..NO_SUMS }
}

/// All that is stored.
fn state(limits: &Limits) -> Vec<String> {
    fn note<V: std::fmt::Debug>(mut state: Vec<String>, entry: &V) -> Vec<String> {
        state.push(format!("{entry:?}"));
        state
    }
    let state = limits.accounts.fold(Vec::new(), note);
    let state = limits.devices.fold(state, note);
    let state = limits.atms.fold(state, note);
    limits.institutions.fold(state, note)
}

fn sum(scope: Scope, counted_minor_units: u64, limit_minor_units: u64) -> Option<LimitRefusal> {
    Some(LimitRefusal::AboveSum { scope, amount: yen(50_001), counted_minor_units, limit_minor_units })
}

fn number(scope: Scope) -> Option<LimitRefusal> {
    Some(LimitRefusal::TooMany { scope, counted: 2, limit: 2 })
}

#[test]
fn each_limit_refuses_from_just_above_it() {
    let check_sum = |case: Case, scope| {
        assert_eq!(case.refusal(yen(50_000)), None, "{scope:?}");
        assert_eq!(case.refusal(yen(50_001)), sum(scope, 150_000, 200_000), "{scope:?}");
    };
    let check_number = |limit: &dyn Fn(u32) -> Case, scope| {
        assert_eq!(limit(3).refusal(yen(1)), None, "{scope:?}");
        assert_eq!(limit(2).refusal(yen(1)), number(scope), "{scope:?}");
    };
    let account = |caps| Case { account: caps, device: None, ..NOTHING_IN_THE_WAY };
    check_sum(account(Caps { per_day: 200_000, ..OPEN_HANDED }), Scope::AccountDay);
    check_sum(account(Caps { per_24h: 200_000, ..OPEN_HANDED }), Scope::Account24h);
    check_sum(account(Caps { per_7d: 200_000, ..OPEN_HANDED }), Scope::Account7d);
    check_number(&|limit| account(Caps { withdrawals_per_day: limit, ..OPEN_HANDED }), Scope::AccountDay);
    check_number(&|limit| account(Caps { withdrawals_per_24h: limit, ..OPEN_HANDED }), Scope::Account24h);
    check_number(&|limit| account(Caps { withdrawals_per_7d: limit, ..OPEN_HANDED }), Scope::Account7d);
    let device = |caps| Case { device: Some(caps), ..NOTHING_IN_THE_WAY };
    check_sum(device(Caps { per_day: 200_000, ..OPEN_HANDED }), Scope::DeviceDay);
    check_sum(device(Caps { per_24h: 200_000, ..OPEN_HANDED }), Scope::Device24h);
    check_sum(device(Caps { per_7d: 200_000, ..OPEN_HANDED }), Scope::Device7d);
    check_number(&|limit| device(Caps { withdrawals_per_day: limit, ..OPEN_HANDED }), Scope::DeviceDay);
    check_number(&|limit| device(Caps { withdrawals_per_24h: limit, ..OPEN_HANDED }), Scope::Device24h);
    check_number(&|limit| device(Caps { withdrawals_per_7d: limit, ..OPEN_HANDED }), Scope::Device7d);

    let sums = SumCaps { per_24h: Some(200_000), ..NO_SUMS };
    let sums_new = SumCaps { new_device_per_24h: Some(200_000), ..NO_SUMS };
    let numbers = |limit| SumCaps { withdrawals_per_24h: Some(limit), ..NO_SUMS };
    let numbers_new = |limit| SumCaps { new_device_withdrawals_per_24h: Some(limit), ..NO_SUMS };
    let atm = |caps| Case { atm: caps, ..NOTHING_IN_THE_WAY };
    check_sum(atm(sums), Scope::Atm24h);
    check_sum(atm(sums_new), Scope::AtmNewDevice24h);
    check_number(&|limit| atm(numbers(limit)), Scope::Atm24h);
    check_number(&|limit| atm(numbers_new(limit)), Scope::AtmNewDevice24h);
    let institution = |caps| Case { institution: caps, ..NOTHING_IN_THE_WAY };
    check_sum(institution(sums), Scope::Institution24h);
    check_sum(institution(sums_new), Scope::InstitutionNewDevice24h);
    check_number(&|limit| institution(numbers(limit)), Scope::Institution24h);
    check_number(&|limit| institution(numbers_new(limit)), Scope::InstitutionNewDevice24h);

    // Established devices are not held to the sums of new ones.
    for case in [atm(sums_new), atm(numbers_new(2)), institution(sums_new), institution(numbers_new(2))] {
        assert_eq!(Case { device_age: 72 * HOUR, ..case }.refusal(yen(50_001)), None);
    }
}

#[test]
fn an_amount_is_judged_by_itself_first() {
    let check = |amount, account: Caps, expected| {
        let case = Case { account, ..NOTHING_IN_THE_WAY };
        assert_eq!(case.refusal(amount), expected, "{amount}");
    };
    check(yen(0), OPEN_HANDED, Some(LimitRefusal::ZeroAmount));
    let expected = Currency::JPY;
    check(euro_cents(1), OPEN_HANDED, Some(LimitRefusal::WrongCurrency { amount: euro_cents(1), expected }));
    let limited = Caps { per_withdrawal: 20_000, ..OPEN_HANDED };
    check(yen(20_000), limited, None);
    let above = |amount, limit_minor_units| Some(LimitRefusal::AboveWithdrawalLimit { amount, limit_minor_units });
    check(yen(20_001), limited, above(yen(20_001), 20_000));
    let too_large = yen(u64::from(u32::MAX) + 1);
    check(too_large, OPEN_HANDED, above(too_large, u32::MAX.into()));
    check(yen(1), Caps { per_withdrawal: 0, ..OPEN_HANDED }, above(yen(1), 0));
}

#[test]
fn a_new_device_is_told_how_long_it_has_to_wait() {
    let check = |age: Duration, amount, expected| {
        let hanako = Customer::new(tiered_figures()).aged(age);
        assert_eq!(hanako.reserve(yen(amount)).err(), expected, "{age:?} {amount}");
    };
    let wait = |hours| Some(LimitRefusal::NewDeviceWait { until: NOON.after(hours * HOUR) });
    check(Duration::ZERO, 1, wait(12));
    check(11 * HOUR, 1, wait(1));
    check(12 * HOUR, 50_000, None);
    let above = |amount, limit| LimitRefusal::AboveWithdrawalLimit { amount: yen(amount), limit_minor_units: limit };
    check(72 * HOUR - Duration::from_millis(1), 50_001, Some(above(50_001, 50_000)));
    check(72 * HOUR, 200_000, None);
    check(72 * HOUR, 200_001, Some(above(200_001, 200_000)));
}

#[test]
fn what_a_young_device_may_counts_for_account_and_device() {
    let hanako = Customer::new(tiered_figures());
    let with_new_phone = hanako.with_device("new-phone").aged(20 * HOUR);
    hanako.withdraw(yen(40_000));
    assert_eq!(with_new_phone.withdrawal_max(), 10_000, "the account has drawn, by another device");
    with_new_phone.withdraw(yen(10_000));
    assert_eq!(with_new_phone.refused(yen(1)), Some("account_day"));
    assert_eq!(
        with_new_phone.with_account("taro").withdrawal_max(),
        40_000,
        "the device has drawn, from another account"
    );
    with_new_phone.with_account("taro").withdraw(yen(40_000));
    assert_eq!(with_new_phone.with_account("jiro").refused(yen(1)), Some("device_day"));
    assert_eq!(hanako.withdrawal_max(), 200_000, "the account with its old device goes on");
}

#[test]
fn a_young_device_may_not_do_more_than_an_old_one() {
    let device = Some(Caps { per_withdrawal: 3, per_day: 5, ..OPEN_HANDED });
    let tiers = vec![Tier { until_age: HOUR, caps: OPEN_HANDED }];
    let figures = LimitFigures::new(Currency::JPY, OPEN_HANDED, tiers, device, NO_SUMS, ANY_PACE).unwrap();
    for age in [MINUTE, DAY] {
        let hanako = Customer::new(figures.clone()).aged(age);
        assert_eq!(hanako.refused(yen(4)), Some("above_withdrawal_limit"));
        hanako.withdraw(yen(3));
        assert_eq!((hanako.refused(yen(3)), hanako.withdrawal_max()), (Some("device_day"), 2));
    }
}

#[test]
fn the_burst_limit_says_when_to_come_back() {
    let minute = Case { pace: burst(2, MINUTE), ..NOTHING_IN_THE_WAY };
    assert_eq!(minute.refusal(yen(1)), Some(LimitRefusal::TooFast { retry_at: NOON.after(MINUTE) }));
    let hanako = Customer::new(figures(OPEN_HANDED, burst(1, MINUTE)));
    hanako.withdraw(yen(1));
    assert_eq!(hanako.later(MINUTE - Duration::from_millis(1)).refused(yen(1)), Some("too_fast"));
    assert_eq!(hanako.later(MINUTE).refused(yen(1)), None);
}

#[test]
fn the_first_that_applies_is_reported() {
    let none = Caps { per_withdrawal: 0, per_day: 0, per_24h: 0, per_7d: 0, ..no_withdrawal() };
    let no_sums = SumCaps {
        per_24h: Some(0),
        withdrawals_per_24h: Some(0),
        new_device_per_24h: Some(0),
        new_device_withdrawals_per_24h: Some(0),
    };
    // Everything is in the way; what is reported goes, until nothing is left.
    let mut case = Case { account: none, device: Some(none), atm: no_sums, institution: no_sums, ..NOTHING_IN_THE_WAY };
    case.pace = burst(2, MINUTE);
    let mut reported = Vec::new();
    while let Some(refusal) = case.refusal(yen(1)) {
        reported.push(refusal.reason());
        lift(&mut case, refusal.reason());
        assert!(reported.len() < 30, "{reported:?}");
    }
    let expected = "above_withdrawal_limit account_count_day account_count_24h account_count_7d account_day account_24h account_7d \
        too_fast device_count_day device_count_24h device_count_7d device_day device_24h device_7d \
        atm_count_24h atm_24h atm_new_device_count_24h atm_new_device_24h \
        institution_count_24h institution_24h institution_new_device_count_24h institution_new_device_24h";
    assert_eq!(reported.join(" "), expected);
}

fn no_withdrawal() -> Caps {
    Caps { withdrawals_per_day: 0, withdrawals_per_24h: 0, withdrawals_per_7d: 0, ..OPEN_HANDED }
}

/// Takes away what a reason names.
fn lift(case: &mut Case, reason: &str) {
    let (amount, count) = (Caps::MINOR_UNITS_MAX, Caps::WITHDRAWALS_MAX);
    if reason == "above_withdrawal_limit" {
        case.account.per_withdrawal = amount;
        case.device.as_mut().unwrap().per_withdrawal = amount;
    } else if reason == "too_fast" {
        case.pace = ANY_PACE;
    } else if let Some(window) = reason.strip_prefix("account_") {
        lift_caps(&mut case.account, window, amount, count);
    } else if let Some(window) = reason.strip_prefix("device_") {
        lift_caps(case.device.as_mut().unwrap(), window, amount, count);
    } else if let Some(window) = reason.strip_prefix("atm_") {
        lift_sums(&mut case.atm, window);
    } else if let Some(window) = reason.strip_prefix("institution_") {
        lift_sums(&mut case.institution, window);
    }
}

fn lift_caps(caps: &mut Caps, window: &str, amount: u64, count: u32) {
    match window {
        "day" => caps.per_day = amount,
        "24h" => caps.per_24h = amount,
        "7d" => caps.per_7d = amount,
        "count_day" => caps.withdrawals_per_day = count,
        "count_24h" => caps.withdrawals_per_24h = count,
        _ => caps.withdrawals_per_7d = count,
    }
}

fn lift_sums(caps: &mut SumCaps, window: &str) {
    match window {
        "24h" => caps.per_24h = None,
        "count_24h" => caps.withdrawals_per_24h = None,
        "new_device_24h" => caps.new_device_per_24h = None,
        _ => caps.new_device_withdrawals_per_24h = None,
    }
}

#[test]
fn a_locked_device_comes_before_what_it_has_drawn_and_after_what_was_asked() {
    let hanako = Customer::new(tiered_figures()).aged(HOUR);
    assert_eq!(hanako.refused(yen(1)), Some("new_device_wait"));
    hanako.limits.restore_attempts(&hanako.institution, &hanako.device, 5, true);
    assert_eq!(hanako.refused(yen(1)), Some("device_locked"));
    assert_eq!(hanako.refused(euro_cents(1)), Some("wrong_currency"));
    assert_eq!(hanako.refused(yen(0)), Some("zero_amount"));
}

#[test]
fn an_account_and_a_device_count_in_one_currency_at_a_time() {
    let in_euro = |customer: &Customer| {
        let caps = Some(OPEN_HANDED);
        let euro = "EUR".parse().unwrap();
        let figures = LimitFigures::new(euro, OPEN_HANDED, Vec::new(), caps, any_sums(), ANY_PACE).unwrap();
        Customer { figures, atm_caps: any_sums(), ..customer.clone() }
    };
    let hanako = Customer::new(in_euro(&Customer::new(usual_figures())).figures);
    let yen_figures =
        LimitFigures::new(Currency::JPY, OPEN_HANDED, Vec::new(), Some(OPEN_HANDED), any_sums(), ANY_PACE).unwrap();
    let hanako = Customer { figures: yen_figures, atm_caps: any_sums(), ..hanako };
    let open = hanako.reserve(yen(1_000)).unwrap();
    for customer in [in_euro(&hanako), in_euro(&hanako).with_account("taro"), in_euro(&hanako).with_device("other")] {
        let expected = LimitRefusal::WrongCurrency { amount: euro_cents(100), expected: Currency::JPY };
        assert_eq!(customer.reserve(euro_cents(100)).unwrap_err(), expected);
        assert_eq!(customer.withdrawal_max(), 0);
    }
    let others = in_euro(&hanako).with_account("taro").with_device("other");
    assert_eq!(others.refused(euro_cents(100)), None, "ATM and institution sum each currency by itself");
    open.settle(yen(1_000)).unwrap();
    assert_eq!(in_euro(&hanako).refused(euro_cents(100)), Some("wrong_currency"), "yen were drawn");
    assert_eq!(in_euro(&hanako).later(WEEK + MINUTE).refused(euro_cents(100)), None);
}
