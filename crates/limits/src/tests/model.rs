//! The same withdrawals against [`Limits`] and against a plain model that keeps everything that ever happened and adds it up anew
//! for each decision. Both must decide alike, to the figure, through days, forgetting and restarts.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::Headroom;

const ACCOUNTS: [&str; 3] = ["hanako", "taro", "jiro"];

/// All of one account's history.
#[derive(Default)]
struct History {
    withdrawals: Vec<Record>,
    pace: LeakyBucket,
}

struct Record {
    id: WithdrawalId,
    amount: u64,
    day: CalendarDay,
    approved_at: Timestamp,
    /// What left the machine; `None` while it is open.
    dispensed: Option<u64>,
}

/// The Generic Cell Rate Algorithm in its other form, the continuous-state leaky bucket of ITU-T I.371 Annex A.
#[derive(Default)]
struct LeakyBucket {
    level_ms: i128,
    last_ms: i128,
}

impl LeakyBucket {
    /// How far the bucket overflows at a moment; not positive means that one more fits.
    fn overflow_ms(&self, now: Timestamp, burst: Burst) -> i128 {
        let level_ms = self.level_ms - (i128::from(now.unix_ms()) - self.last_ms);
        level_ms - burst.every.as_millis() as i128 * i128::from(burst.withdrawals.get() - 1)
    }

    fn fill(&mut self, now: Timestamp, burst: Burst) {
        let drained_ms = (self.level_ms - (i128::from(now.unix_ms()) - self.last_ms)).max(0);
        self.level_ms = drained_ms + burst.every.as_millis() as i128;
        self.last_ms = i128::from(now.unix_ms());
    }
}

impl History {
    fn reserve(
        &mut self,
        id: WithdrawalId,
        amount: u64,
        figures: &LimitFigures,
        day: CalendarDay,
        now: Timestamp,
    ) -> Result<CalendarDay, LimitRefusal> {
        let open = self.withdrawals.iter().find(|record| record.id == id && record.dispensed.is_none());
        let overflow_ms = self.pace.overflow_ms(now, figures.burst());
        let (count, sum) = self.counted(day);
        if amount == 0 {
            Err(LimitRefusal::ZeroAmount)
        } else if let Some(open) = open {
            Err(LimitRefusal::DuplicateReservation { withdrawal: id, reserved: yen(open.amount) })
        } else if amount > figures.per_withdrawal().minor_units() {
            Err(LimitRefusal::AboveWithdrawalLimit { amount: yen(amount), limit: figures.per_withdrawal() })
        } else if count + 1 > figures.withdrawals_per_day() {
            Err(LimitRefusal::TooManyToday { counted: count, limit: figures.withdrawals_per_day() })
        } else if sum + amount > figures.per_day().minor_units() {
            let limit = figures.per_day();
            Err(LimitRefusal::AboveDayLimit { amount: yen(amount), counted_minor_units: sum, limit })
        } else if overflow_ms > 0 {
            let retry_at = now.after(Duration::from_millis(u64::try_from(overflow_ms).unwrap()));
            Err(LimitRefusal::TooFast { retry_at })
        } else {
            let day = self.latest_spent_day().map_or(day, |latest| latest.max(day));
            self.withdrawals.push(Record { id, amount, day, approved_at: now, dispensed: None });
            self.pace.fill(now, figures.burst());
            Ok(day)
        }
    }

    /// What may be withdrawn now, found by counting pretended withdrawals up.
    fn headroom(&self, figures: &LimitFigures, day: CalendarDay, now: Timestamp) -> Headroom {
        let (count, sum) = self.counted(day);
        let mut bucket = LeakyBucket { ..self.pace };
        let mut left = 0;
        while count + left < figures.withdrawals_per_day() && bucket.overflow_ms(now, figures.burst()) <= 0 {
            bucket.fill(now, figures.burst());
            left += 1;
        }
        let money = figures.per_day().minor_units().saturating_sub(sum).min(figures.per_withdrawal().minor_units());
        if left == 0 || money == 0 {
            return Headroom { withdrawal_max: yen(0), withdrawals_left: 0 };
        }
        Headroom { withdrawal_max: yen(money), withdrawals_left: left }
    }

    /// The number and the sum of what counts: all that is open, and what left the machine for that day or the latest.
    fn counted(&self, day: CalendarDay) -> (u32, u64) {
        let counting_day = self.latest_spent_day().map_or(day, |latest| latest.max(day));
        let counting = self.withdrawals.iter().filter_map(|record| match record.dispensed {
            None => Some(record.amount),
            Some(dispensed) => (dispensed > 0 && record.day == counting_day).then_some(dispensed),
        });
        counting.fold((0, 0), |(count, sum), amount| (count + 1, sum + amount))
    }

    fn latest_spent_day(&self) -> Option<CalendarDay> {
        self.withdrawals.iter().filter(|record| record.dispensed.is_some_and(|d| d > 0)).map(|record| record.day).max()
    }

    fn is_idle(&self, oldest_day: CalendarDay, now: Timestamp) -> bool {
        self.withdrawals.iter().all(|record| record.dispensed.is_some())
            && self.latest_spent_day().is_none_or(|day| day < oldest_day)
            && self.pace.level_ms <= i128::from(now.unix_ms()) - self.pace.last_ms
    }

    /// What rule 8 of the design promises: no day, as it stands in the records, exceeds its limits. (What a machine paid out
    /// beyond its reservation was never admitted by anyone.)
    fn keeps(&self, figures: &LimitFigures) -> bool {
        let mut days: BTreeMap<CalendarDay, (u32, u64)> = BTreeMap::new();
        for record in self.withdrawals.iter().filter(|record| record.dispensed != Some(0)) {
            let (count, sum) = days.entry(record.day).or_default();
            *count += 1;
            *sum += record.dispensed.unwrap_or(record.amount).min(record.amount);
        }
        days.values()
            .all(|(count, sum)| *count <= figures.withdrawals_per_day() && *sum <= figures.per_day().minor_units())
    }
}

/// One thing that happens. An `Index` picks among the reservations that are held at that moment.
#[derive(Clone, Debug)]
enum Happening {
    Reserve { account: usize, amount: u64, day_skew: i32 },
    ReserveAgain { held: Index, amount: u64 },
    Settle { held: Index, dispensed: u64 },
    Release { held: Index },
    Drop { held: Index },
    Wait { ms: u64 },
    Midnight,
    ForgetIdle,
    Restart,
}

fn happening() -> impl Strategy<Value = Happening> {
    let held = any::<Index>;
    prop_oneof![
        8 => (0..ACCOUNTS.len(), 0..14_u64, -1..=1).prop_map(|(account, amount, day_skew)| {
            Happening::Reserve { account, amount, day_skew }
        }),
        1 => (held(), 0..14_u64).prop_map(|(held, amount)| Happening::ReserveAgain { held, amount }),
        5 => (held(), 0..14_u64).prop_map(|(held, dispensed)| Happening::Settle { held, dispensed }),
        2 => held().prop_map(|held| Happening::Release { held }),
        1 => held().prop_map(|held| Happening::Drop { held }),
        3 => (0..150_u64).prop_map(|ms| Happening::Wait { ms }),
        2 => Just(Happening::Midnight),
        2 => Just(Happening::ForgetIdle),
        1 => Just(Happening::Restart),
    ]
}

/// The real limits and the model, side by side.
struct World {
    figures: LimitFigures,
    limits: Arc<Limits>,
    model: BTreeMap<&'static str, History>,
    held: Vec<(&'static str, Reservation)>,
    today: CalendarDay,
    now: Timestamp,
    withdrawals: u64,
}

impl World {
    fn new(figures: LimitFigures) -> Self {
        let model = ACCOUNTS.into_iter().map(|name| (name, History::default())).collect();
        let (limits, held) = (Arc::new(Limits::with_shards(2)), Vec::new());
        Self { figures, limits, model, held, today: TUESDAY, now: NOON, withdrawals: 0 }
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Reserve { account, amount, day_skew } => {
                self.withdrawals += 1;
                let day = CalendarDay(self.today.0 + day_skew);
                self.reserve(ACCOUNTS[account], withdrawal(self.withdrawals), amount, day);
            }
            Happening::ReserveAgain { held, amount } => {
                let Some(picked) = self.pick(held) else { return };
                let (name, id) = (self.held[picked].0, self.held[picked].1.withdrawal());
                self.reserve(name, id, amount, self.today);
            }
            Happening::Settle { held, dispensed } => self.settle(held, dispensed),
            Happening::Release { held } => {
                if let Some((name, reservation)) = self.take(held) {
                    self.record(name, &reservation).dispensed = Some(0);
                    reservation.release();
                }
            }
            // Nothing happens in the model: it stays open.
            Happening::Drop { held } => drop(self.take(held)),
            Happening::Wait { ms } => self.now = self.now.after(Duration::from_millis(ms)),
            Happening::Midnight => self.today = CalendarDay(self.today.0 + 1),
            Happening::ForgetIdle => self.forget_idle(),
            Happening::Restart => self.restart(),
        }
    }

    fn reserve(&mut self, name: &'static str, id: WithdrawalId, amount: u64, day: CalendarDay) {
        let expected = self.model.get_mut(name).unwrap().reserve(id, amount, &self.figures, day, self.now);
        let outcome = self.limits.reserve(&account(name), id, yen(amount), &self.figures, day, self.now);
        assert_eq!(outcome.as_ref().map(Reservation::day).map_err(Clone::clone), expected);
        self.held.extend(outcome.ok().map(|reservation| (name, reservation)));
    }

    fn settle(&mut self, held: Index, dispensed: u64) {
        let Some((name, reservation)) = self.take(held) else { return };
        self.record(name, &reservation).dispensed = Some(dispensed);
        let too_much = dispensed > reservation.amount().minor_units();
        assert_eq!(reservation.settle(yen(dispensed)).is_err(), too_much);
    }

    fn forget_idle(&mut self) {
        // Callers may be a day behind: yesterday must not be forgotten.
        let oldest_day = CalendarDay(self.today.0 - 1);
        self.limits.forget_idle(self.now, |_| oldest_day);
        let counting = self.model.values().filter(|history| !history.is_idle(oldest_day, self.now)).count();
        assert_eq!(self.limits.accounts(), counting);
    }

    /// The process ends; what the records say is counted again in a new one, open withdrawals and ended ones.
    fn restart(&mut self) {
        self.held.clear();
        self.limits = Arc::new(Limits::with_shards(2));
        let burst = self.figures.burst();
        for (name, history) in &self.model {
            for Record { id, amount, day, approved_at, dispensed } in &history.withdrawals {
                let key = account(name);
                if let Some(dispensed) = dispensed {
                    self.limits.restore_spent(&key, yen(*dispensed), *day, *approved_at, burst);
                } else {
                    let amount = yen(*amount);
                    let restored = self.limits.restore_reservation(&key, *id, amount, *day, *approved_at, burst);
                    self.held.push((name, restored.unwrap()));
                }
            }
        }
    }

    fn agrees(&self) {
        for (name, history) in &self.model {
            for day in [self.today.0 - 1, self.today.0, self.today.0 + 1].map(CalendarDay) {
                let expected = history.headroom(&self.figures, day, self.now);
                assert_eq!(
                    self.limits.headroom(&account(name), &self.figures, day, self.now),
                    expected,
                    "{name} {day:?}"
                );
            }
            assert!(history.keeps(&self.figures), "{name} exceeded a day");
        }
        let open = |(name, history): (&&str, &History)| {
            let open = history.withdrawals.iter().filter(|record| record.dispensed.is_none());
            open.map(|record| (account(name), record.id, yen(record.amount))).collect::<Vec<_>>()
        };
        let mut reserved: Vec<_> = self.model.iter().flat_map(open).collect();
        reserved.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        assert_eq!(self.limits.reserved(), reserved);
    }

    fn pick(&self, held: Index) -> Option<usize> {
        (!self.held.is_empty()).then(|| held.index(self.held.len()))
    }

    fn take(&mut self, held: Index) -> Option<(&'static str, Reservation)> {
        self.pick(held).map(|picked| self.held.swap_remove(picked))
    }

    fn record(&mut self, name: &str, reservation: &Reservation) -> &mut Record {
        let records = &mut self.model.get_mut(name).unwrap().withdrawals;
        records.iter_mut().find(|record| record.id == reservation.withdrawal()).unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn limits_decide_like_the_plain_model(
        per_withdrawal in 5..14_u64,
        per_day in 10..40_u64,
        withdrawals_per_day in 1..6_u32,
        at_once in 1..4_u32,
        every_ms in 0..120_u64,
        happenings in prop::collection::vec(happening(), 1..80),
    ) {
        let burst = Burst { withdrawals: NonZeroU32::new(at_once).unwrap(), every: Duration::from_millis(every_ms) };
        let mut world = World::new(figures(yen(per_withdrawal), yen(per_day), withdrawals_per_day, burst));
        for happening in happenings {
            world.happens(happening);
            world.agrees();
        }
    }
}
