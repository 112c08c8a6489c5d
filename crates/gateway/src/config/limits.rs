//! `[institution.limits]` and `[atm_limits]`: what accounts, phones, machines and institutions may draw.

use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use cashgate_limits::{Burst, Caps, FiguresError, LimitFigures, SumCaps, Tier};
use cashgate_withdrawal::money::Currency;

use super::reader::Reader;

const HOUR: Duration = Duration::from_secs(3_600);

/// A new phone draws nothing for 12 hours, and 50,000 yen a day until it is 72 hours old, if nothing else is said. (MAS and ABS ask banks in
/// Singapore for 12 hours; UPI in India allows 5,000 rupees in the first 24 hours.)
const NEW_DEVICE_USUAL: [(Duration, u64); 2] = [(HOUR.saturating_mul(12), 0), (HOUR.saturating_mul(72), 50_000)];

/// What accounts may draw with an established phone if nothing else is said: the 200,000 yen a withdrawal and 500,000 a day of 2020, and no more than
/// four such days a week.
const USUAL: Caps = Caps {
    per_withdrawal: 200_000,
    per_day: 500_000,
    per_24h: 500_000,
    per_7d: 2_000_000,
    withdrawals_per_day: 10,
    withdrawals_per_24h: 10,
    withdrawals_per_7d: 40,
};

const BURST_USUAL: NonZeroU32 = NonZeroU32::MIN.saturating_add(2);
const BURST_EVERY_USUAL: Duration = Duration::from_secs(60);

/// PSD2 RTS article 4(3)(b): at most five failed attempts in a row.
pub const FAILED_ATTEMPTS_USUAL: NonZeroU8 = NonZeroU8::MIN.saturating_add(4);

/// The limits of an institution whose configuration says nothing about them, in yen or in as many minor units of another currency.
///
/// # Errors
/// None with the figures as they are; a test sees to it.
pub fn usual_limits(currency: Currency) -> Result<LimitFigures, FiguresError> {
    let burst = Burst { withdrawals: BURST_USUAL, every: BURST_EVERY_USUAL };
    LimitFigures::new(currency, USUAL, usual_tiers(USUAL), None, SumCaps::default(), burst)
}

/// An institution's limits, and after how many failed attempts in a row a phone is locked. Every key is read, whatever is wrong with another.
pub(super) fn read(institution: &Reader, currency: Option<Currency>) -> Option<(LimitFigures, NonZeroU8)> {
    let table = institution.table("limits");
    let established = read_caps(&table, USUAL);
    let base = established.unwrap_or(USUAL);
    let tiers = read_tiers(&table, base);
    let device = if table.has("device") { read_inner_caps(&table, "device", base).map(Some) } else { Some(None) };
    let whole =
        if table.has("institution") { read_sums(&table.table("institution")) } else { Some(SumCaps::default()) };
    let at_once = table.number("burst", Some(BURST_USUAL.get().into()), 1..=1_000);
    let every = table.seconds("burst_every_s", BURST_EVERY_USUAL, 0..=86_400);
    let failed_attempts_max = table.number("failed_attempts_max", Some(FAILED_ATTEMPTS_USUAL.get().into()), 1..=5);
    table.close();
    let burst = Burst { withdrawals: NonZeroU32::new(u32::try_from(at_once?).ok()?)?, every: every? };
    let failed_attempts_max = NonZeroU8::new(u8::try_from(failed_attempts_max?).ok()?)?;
    let figures = LimitFigures::new(currency?, established?, tiers?, device?, whole?, burst);
    match figures {
        Ok(figures) => Some((figures, failed_attempts_max)),
        Err(error) => {
            institution.error("limits", error);
            None
        }
    }
}

/// What any machine may pay out, to customers of all institutions together.
pub(super) fn read_atm(root: &Reader) -> Option<SumCaps> {
    if root.has("atm_limits") { read_sums(&root.table("atm_limits")) } else { Some(SumCaps::default()) }
}

/// The figures of a table; `usual` for those that it leaves out. Who says what a day may have, and nothing of longer times, means any 24 hours, and
/// seven times as much in seven days.
fn read_caps(table: &Reader, usual: Caps) -> Option<Caps> {
    let Caps { per_withdrawal: amount_max, withdrawals_per_7d: count_max, .. } = Caps::UNLIMITED;
    let amount = |key, usual| table.number(key, Some(usual), 0..=amount_max);
    let count = |key, usual: u32| {
        let number = table.number(key, Some(usual.into()), 0..=count_max.into());
        number.and_then(|number| u32::try_from(number).ok())
    };
    let per_withdrawal = amount("per_withdrawal", usual.per_withdrawal);
    let per_day = amount("per_day", usual.per_day);
    let (of_24h, of_7d) = match per_day.filter(|_| table.has("per_day")) {
        Some(per_day) => (per_day, per_day.saturating_mul(7).min(amount_max)),
        None => (usual.per_24h, usual.per_7d),
    };
    let (per_24h, per_7d) = (amount("per_24h", of_24h), amount("per_7d", of_7d));
    let withdrawals_per_day = count("withdrawals_per_day", usual.withdrawals_per_day);
    let (of_24h, of_7d) = match withdrawals_per_day.filter(|_| table.has("withdrawals_per_day")) {
        Some(per_day) => (per_day, per_day.saturating_mul(7).min(count_max)),
        None => (usual.withdrawals_per_24h, usual.withdrawals_per_7d),
    };
    let (withdrawals_per_24h, withdrawals_per_7d) =
        (count("withdrawals_per_24h", of_24h), count("withdrawals_per_7d", of_7d));
    if per_withdrawal > per_day {
        table.error("per_day", "is less than per_withdrawal");
    }
    Some(Caps {
        per_withdrawal: per_withdrawal?,
        per_day: per_day?,
        per_24h: per_24h?,
        per_7d: per_7d?,
        withdrawals_per_day: withdrawals_per_day?,
        withdrawals_per_24h: withdrawals_per_24h?,
        withdrawals_per_7d: withdrawals_per_7d?,
    })
}

fn read_inner_caps(table: &Reader, key: &str, usual: Caps) -> Option<Caps> {
    let inner = table.table(key);
    let caps = read_caps(&inner, usual);
    inner.close();
    caps
}

/// `[[institution.limits.new_device]]`, the youngest first; without any, the usual ones. `new_device = []` says that age does not matter.
fn read_tiers(table: &Reader, established: Caps) -> Option<Vec<Tier>> {
    if !table.has("new_device") {
        return Some(usual_tiers(established));
    }
    let read = |inner: &Reader| {
        let until = inner.number("until_h", None, 1..=24 * 365);
        let most = inner.number("per_day", None, 0..=Caps::UNLIMITED.per_day);
        let caps = read_caps(inner, at_most(established, most.unwrap_or(0)));
        inner.close();
        Some(Tier { until_age: HOUR.saturating_mul(u32::try_from(until?).ok()?), caps: caps? })
    };
    let tiers: Vec<Option<Tier>> = table.tables("new_device").iter().map(read).collect();
    tiers.into_iter().collect()
}

fn usual_tiers(established: Caps) -> Vec<Tier> {
    let usual = |(until_age, most): (Duration, u64)| Tier { until_age, caps: at_most(established, most) };
    NEW_DEVICE_USUAL.map(usual).to_vec()
}

/// The caps with no amount above one.
fn at_most(caps: Caps, most: u64) -> Caps {
    Caps {
        per_withdrawal: caps.per_withdrawal.min(most),
        per_day: caps.per_day.min(most),
        per_24h: caps.per_24h.min(most),
        per_7d: caps.per_7d.min(most.saturating_mul(7)),
        ..caps
    }
}

/// Sums over 24 hours; what is left out is not limited.
fn read_sums(table: &Reader) -> Option<SumCaps> {
    let amount = |key: &str| -> Option<Option<u64>> {
        if table.has(key) { table.number(key, None, 0..=Caps::UNLIMITED.per_day).map(Some) } else { Some(None) }
    };
    let number = |key: &str| -> Option<Option<u32>> {
        if !table.has(key) {
            return Some(None);
        }
        table.number(key, None, 0..=1_000_000).and_then(|number| u32::try_from(number).ok()).map(Some)
    };
    let sums = (
        amount("per_24h"),
        number("withdrawals_per_24h"),
        amount("new_device_per_24h"),
        number("new_device_withdrawals_per_24h"),
    );
    table.close();
    Some(SumCaps {
        per_24h: sums.0?,
        withdrawals_per_24h: sums.1?,
        new_device_per_24h: sums.2?,
        new_device_withdrawals_per_24h: sums.3?,
    })
}
