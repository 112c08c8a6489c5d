//! When customers withdraw, and how much.

use crate::calendar::Day;
use crate::chance::Chance;
use crate::population::person::{Kind, Person};

/// The steps in which machines of this network pay.
pub(crate) const MAN_YEN: u64 = 10_000;
/// The most of one withdrawal in 2020, in steps: 200,000 yen.
const AMOUNT_MAX_MAN: u64 = 20;
/// Of 1,000 days with a withdrawal, those with a second one in the evening.
pub(crate) const SECOND_VISIT_PER_MILLE: u64 = 40;

/// Of a million such days, those on which this customer withdraws.
pub(crate) fn visits_per_million(person: &Person, day: Day) -> u64 {
    // A month has 30.4 days; the weight of a day is in thousandths.
    u64::from(person.visits_a_month_milli) * day_weight_milli(person.kind, day) * 10 / 304
}

fn day_weight_milli(kind: Kind, day: Day) -> u64 {
    if kind == Kind::Elderly {
        return if day.is_pension_day() { 6_000 } else { 950 };
    }
    match day.weekday() {
        _ if day.is_payday() => 2_600,
        _ if Day(day.0 - 1).is_payday() => 1_700,
        _ if day.is_month_end() => 1_400,
        4 => 1_250,
        5 => 1_050,
        6 => 750,
        _ => 850,
    }
}

/// Of withdrawals, by the hour at which they begin.
const HOURS: [(u64, u64); 24] = [
    (8, 0),
    (5, 1),
    (3, 2),
    (2, 3),
    (2, 4),
    (4, 5),
    (10, 6),
    (25, 7),
    (45, 8),
    (55, 9),
    (65, 10),
    (70, 11),
    (80, 12),
    (65, 13),
    (60, 14),
    (65, 15),
    (70, 16),
    (85, 17),
    (90, 18),
    (75, 19),
    (55, 20),
    (40, 21),
    (28, 22),
    (16, 23),
];

/// The hour of a withdrawal.
pub(crate) fn hour(person: &Person, chance: &mut Chance) -> u64 {
    let hour = chance.weighted(&HOURS, 12);
    match person.kind {
        Kind::NightWorker => (hour + 8) % 24,
        Kind::Elderly => hour.clamp(8, 18),
        _ => hour,
    }
}

/// What a customer mostly takes, in steps.
pub(crate) fn usual_amount_man(kind: Kind, chance: &mut Chance) -> u8 {
    if kind == Kind::Elderly {
        return chance.weighted(&[(250, 3), (350, 5), (200, 8), (150, 10), (50, 15)], 5);
    }
    chance.weighted(&[(290, 1), (250, 2), (270, 3), (80, 4), (60, 5), (30, 10), (20, 15)], 3)
}

/// How often a customer withdraws, in thousandths a month.
pub(crate) fn visits_a_month_milli(kind: Kind, chance: &mut Chance) -> u32 {
    if kind == Kind::Elderly {
        return chance.weighted(&[(500, 600), (500, 1_000)], 800);
    }
    chance.weighted(&[(250, 700), (400, 1_500), (250, 3_000), (100, 5_000)], 1_500)
}

/// How much this time, in steps.
pub(crate) fn amount_man(person: &Person, chance: &mut Chance) -> u64 {
    let usual = u64::from(person.usual_amount_man);
    let amount = match chance.below(100) {
        0..70 => usual,
        70..80 => usual + 1,
        80..90 => usual.saturating_sub(1),
        90..97 => usual * 2,
        // Rent, a wedding, a second-hand car.
        _ => chance.between(5, AMOUNT_MAX_MAN),
    };
    amount.clamp(1, AMOUNT_MAX_MAN)
}

/// Codes or PINs mistyped before a withdrawal: once in 70, twice in 900, three times in 8,000.
pub(crate) fn mistyped(chance: &mut Chance) -> u8 {
    match chance.below(100_000) {
        0..12 => 3,
        12..110 => 2,
        110..1_400 => 1,
        _ => 0,
    }
}
