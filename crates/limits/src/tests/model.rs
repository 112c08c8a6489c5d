//! The same withdrawals against [`Limits`] and against the plain model of [`super::history`]. Both must decide alike, to the figure,
//! through days of 23 and 25 hours, clocks that step back, other figures, forgetting and restarts.

use proptest::prelude::*;
use proptest::sample::Index;

use super::history::{History, Question, Who};
use super::*;

const INSTITUTIONS: [&str; 2] = ["bank-a", "bank-b"];
const ACCOUNTS: [&str; 3] = ["hanako", "taro", "jiro"];
const DEVICES: [&str; 3] = ["phone-1", "phone-2", "phone-3"];
const ATMS: [&str; 2] = ["atm-1", "atm-2"];
const DAY_LENGTHS_H: [u64; 5] = [24, 23, 24, 25, 24];
const PACE_MS: u64 = 90_000;

/// One thing that happens. An `Index` picks among the reservations that are held at that moment.
#[derive(Clone, Debug)]
enum Happening {
    Reserve { who: (usize, usize, usize, usize), amount: u64, age_h: u64 },
    Settle { held: Index, dispensed: u64 },
    Release { held: Index },
    Drop { held: Index },
    Wait { s: u64 },
    ClockStepsBack { s: u64 },
    Figures { established: [u64; 7], rest: u8 },
    AttemptFailed { institution: usize, device: usize },
    AttemptSucceeded { institution: usize, device: usize },
    LockReleased { institution: usize, device: usize },
    ForgetIdle,
    Restart,
}

fn happening() -> impl Strategy<Value = Happening> {
    let held = any::<Index>;
    let who = (0..2_usize, 0..3_usize, 0..3_usize, 0..2_usize);
    let wait = prop_oneof![0..120_u64, 0..7_200_u64, 0..200_000_u64, Just(86_400), Just(7 * 86_400 - 1)];
    prop_oneof![
        16 => (who, 0..14_u64, 0..100_u64).prop_map(|(who, amount, age_h)| Happening::Reserve { who, amount, age_h }),
        6 => (held(), 0..14_u64).prop_map(|(held, dispensed)| Happening::Settle { held, dispensed }),
        1 => held().prop_map(|held| Happening::Release { held }),
        1 => held().prop_map(|held| Happening::Drop { held }),
        6 => wait.prop_map(|s| Happening::Wait { s }),
        1 => (0..3_600_u64).prop_map(|s| Happening::ClockStepsBack { s }),
        2 => (prop::array::uniform7(2..30_u64), any::<u8>())
            .prop_map(|(established, rest)| Happening::Figures { established, rest }),
        1 => (0..2_usize, 0..3_usize).prop_map(|(institution, device)| Happening::AttemptFailed { institution, device }),
        1 => (0..2_usize, 0..3_usize).prop_map(|(institution, device)| Happening::AttemptSucceeded { institution, device }),
        1 => (0..2_usize, 0..3_usize).prop_map(|(institution, device)| Happening::LockReleased { institution, device }),
        2 => Just(Happening::ForgetIdle),
        1 => Just(Happening::Restart),
    ]
}

/// Figures drawn so that each of them refuses now and then; the bits of `rest` say what else is limited.
fn drawn_figures(established: [u64; 7], rest: u8) -> (LimitFigures, SumCaps) {
    let [per_withdrawal, day, per_24h, per_7d, day_count, count_24h, count_7d] = established;
    let number = |drawn: u64| u32::try_from(drawn / 3).unwrap();
    let established = Caps {
        per_withdrawal,
        per_day: day * 2,
        per_24h: per_24h * 2,
        per_7d: per_7d * 4,
        withdrawals_per_day: number(day_count),
        withdrawals_per_24h: number(count_24h),
        withdrawals_per_7d: number(count_7d) * 2,
    };
    let half = |caps: Caps| Caps {
        per_withdrawal: caps.per_withdrawal.div_ceil(2),
        per_day: caps.per_day / 2,
        withdrawals_per_24h: caps.withdrawals_per_24h.div_ceil(2),
        withdrawals_per_7d: caps.withdrawals_per_7d / 2,
        ..caps
    };
    let is_set = |bit: u8| rest & (1 << bit) != 0;
    let little = half(established);
    let nothing = Caps { per_withdrawal: 0, ..little };
    let mut tiers = Vec::new();
    if is_set(0) {
        tiers.push(Tier { until_age: 12 * HOUR, caps: nothing });
    }
    if is_set(1) {
        tiers.push(Tier { until_age: 72 * HOUR, caps: little });
    }
    let device = is_set(2).then(|| half(established));
    let sums = |bit: u8| SumCaps {
        per_24h: is_set(bit).then_some(per_7d * 2),
        withdrawals_per_24h: is_set(bit + 1).then_some(number(count_7d)),
        new_device_per_24h: is_set(bit).then_some(per_24h),
        new_device_withdrawals_per_24h: is_set(bit + 1).then_some(number(count_24h)),
    };
    let pace = burst(2, Duration::from_millis(PACE_MS));
    (LimitFigures::new(Currency::JPY, established, tiers, device, sums(3), pace).unwrap(), sums(5))
}

/// The real limits and the model, side by side.
struct World {
    figures: LimitFigures,
    atm_caps: SumCaps,
    limits: Arc<Limits>,
    model: History,
    /// With the place of its record.
    held: Vec<(usize, Reservation)>,
    now: Timestamp,
    latest: Timestamp,
    admitted: usize,
}

impl World {
    fn new() -> Self {
        let (figures, atm_caps) = drawn_figures([14; 7], 0xff);
        let (limits, model, held) = (Arc::new(Limits::with_shards(2)), History::default(), Vec::new());
        Self { figures, atm_caps, limits, model, held, now: NOON, latest: NOON, admitted: 0 }
    }

    /// The last midnight, in a place where one day in five is an hour short and one an hour long.
    fn day_began(&self) -> Timestamp {
        let (mut began, mut lengths) = (MONDAY, DAY_LENGTHS_H.iter().cycle());
        loop {
            let next = began.after(HOUR * u32::try_from(*lengths.next().unwrap()).unwrap());
            if next > self.now {
                return began;
            }
            began = next;
        }
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Reserve { who: (institution, account, device, atm), amount, age_h } => {
                let (institution, account) = (INSTITUTIONS[institution], ACCOUNTS[account]);
                let who = Who { institution, account, device: DEVICES[device], atm: ATMS[atm] };
                self.reserve(who, amount, HOUR * u32::try_from(age_h).unwrap());
            }
            Happening::Settle { held, dispensed } => self.settle(held, dispensed),
            Happening::Release { held } => {
                if let Some((record, reservation)) = self.take(held) {
                    self.model.records[record].dispensed = Some(0);
                    reservation.release();
                }
            }
            // Nothing happens in the model: it stays open.
            Happening::Drop { held } => drop(self.take(held)),
            Happening::Wait { s } => self.now = self.now.after(Duration::from_secs(s)),
            Happening::ClockStepsBack { s } => {
                let earliest = self.latest.unix_ms() - 3_600_000;
                self.now = Timestamp::from_unix_ms((self.now.unix_ms() - s * 1_000).max(earliest));
            }
            Happening::Figures { established, rest } => {
                (self.figures, self.atm_caps) = drawn_figures(established, rest)
            }
            Happening::AttemptFailed { institution, device } => self.attempt(
                institution,
                device,
                |limits, bank, phone| {
                    _ = limits.attempt_failed(bank, phone, 2.try_into().unwrap());
                },
                |(failed, locked)| (failed + 1, locked || failed + 1 >= 2),
            ),
            Happening::AttemptSucceeded { institution, device } => {
                self.attempt(institution, device, Limits::attempt_succeeded, |(_, locked)| (0, locked));
            }
            Happening::LockReleased { institution, device } => {
                self.attempt(institution, device, Limits::release_lock, |_| (0, false));
            }
            Happening::ForgetIdle => self.forget_idle(),
            Happening::Restart => self.restart(),
        }
        self.latest = self.latest.max(self.now);
    }

    fn reserve(&mut self, who: Who, amount: u64, device_age: Duration) {
        let day_began = self.day_began();
        let Self { figures, atm_caps, now, .. } = self;
        let question = Question { who, amount, device_age, day_began, now: *now, figures, atm_caps };
        let customer = Customer {
            institution: who.institution.parse().unwrap(),
            device_age,
            day_began,
            now: *now,
            atm_caps: *atm_caps,
            limits: Arc::clone(&self.limits),
            ..Customer::new(figures.clone()).with_account(who.account).with_device(who.device).at_atm(who.atm)
        };
        let max = customer.withdrawal_max();
        let expected = |amount| self.model.decide(&Question { amount, ..question }).is_ok();
        assert!(max == 0 || expected(max), "the headroom of {max} is not admitted");
        assert!(!expected(max + 1), "more than the headroom of {max} is admitted");

        let expected = self.model.reserve(&question);
        let outcome = customer.reserve(yen(amount));
        assert_eq!(outcome.as_ref().map(|_| ()).map_err(Clone::clone), expected);
        if let Ok(reservation) = outcome {
            self.held.push((self.model.records.len() - 1, reservation));
            self.admitted += 1;
        }
    }

    fn settle(&mut self, held: Index, dispensed: u64) {
        let Some((record, reservation)) = self.take(held) else { return };
        self.model.records[record].dispensed = Some(dispensed);
        let too_much = dispensed > reservation.amount().minor_units();
        assert_eq!(reservation.settle(yen(dispensed)).is_err(), too_much);
    }

    fn attempt(
        &mut self,
        institution: usize,
        device: usize,
        real: impl Fn(&Limits, &InstitutionId, &DeviceId),
        model: impl Fn((u8, bool)) -> (u8, bool),
    ) {
        let key = (INSTITUTIONS[institution], DEVICES[device]);
        let (bank, phone) = (key.0.parse().unwrap(), key.1.parse().unwrap());
        let known = self.model.attempts.entry(key).or_default();
        *known = model(*known);
        real(&self.limits, &bank, &phone);
        let attempts = self.limits.attempts(&bank, &phone);
        assert_eq!((attempts.failed, attempts.locked), *known);
    }

    fn forget_idle(&mut self) {
        self.limits.forget_idle(self.now);
        let in_use = self.model.accounts_in_use(self.now);
        if self.now == self.latest {
            assert_eq!(self.limits.accounts(), in_use);
        }
    }

    /// The process ends; what the records say is counted again in a new one, open withdrawals and ended ones, against everyone.
    fn restart(&mut self) {
        self.held.clear();
        self.limits = Arc::new(Limits::with_shards(2));
        for (place, record) in self.model.records.iter_mut().enumerate() {
            record.counts_for = [true; 3];
            let customer = Customer::new(self.figures.clone()).of_institution(record.customer.institution);
            let customer = customer.with_account(record.customer.account).with_device(record.customer.device);
            let customer = Customer { now: record.approved_at, ..customer.at_atm(record.customer.atm) };
            let amount = yen(record.dispensed.unwrap_or(record.amount));
            let restored = Restored { is_new_device: record.is_new_device, ..customer.restored(amount) };
            match record.dispensed {
                Some(_) => self.limits.restore_spent(&restored),
                None => self.held.push((place, self.limits.restore_reservation(&restored))),
            }
        }
        for ((institution, device), (failed, locked)) in &self.model.attempts {
            let (institution, device) = (institution.parse().unwrap(), device.parse().unwrap());
            self.limits.restore_attempts(&institution, &device, *failed, *locked);
        }
    }

    fn agrees(&self) {
        let open: Vec<u64> = self.model.records.iter().filter(|r| r.dispensed.is_none()).map(|r| r.amount).collect();
        assert_eq!(self.limits.open_total(), (open.len() as u64, open.iter().sum()));
    }

    fn take(&mut self, held: Index) -> Option<(usize, Reservation)> {
        (!self.held.is_empty()).then(|| self.held.swap_remove(held.index(self.held.len())))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]
    #[test]
    fn limits_decide_like_the_plain_model(happenings in prop::collection::vec(happening(), 1..120)) {
        let mut world = World::new();
        for happening in happenings {
            world.happens(happening);
            world.agrees();
        }
    }
}
