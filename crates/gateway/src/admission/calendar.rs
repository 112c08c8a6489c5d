//! Days and hours as an institution's calendar has them.

use cashgate_withdrawal::time::{CalendarDay, Timestamp};

use crate::config::Institution;

/// The calendar day at an institution.
#[must_use]
pub fn calendar_day(institution: &Institution, now: Timestamp) -> CalendarDay {
    let date = zoned(institution, now).date();
    let epoch = jiff::civil::date(1970, 1, 1);
    CalendarDay(epoch.until(date).map_or(0, |span| span.get_days()))
}

/// When that day began: at local midnight, or at the first moment after it where a clock was set forward over midnight. A day in which
/// clocks change has 23 or 25 hours.
#[must_use]
pub fn day_began(institution: &Institution, now: Timestamp) -> Timestamp {
    let began = zoned(institution, now).start_of_day();
    // Only at the very ends of the calendar is there no such moment; everything counts then.
    began.map_or(Timestamp::from_unix_ms(0), |began| {
        Timestamp::from_unix_ms(u64::try_from(began.timestamp().as_millisecond()).unwrap_or(0))
    })
}

/// The hour of the day at an institution, 0 to 23.
#[must_use]
pub fn local_hour(institution: &Institution, now: Timestamp) -> u8 {
    u8::try_from(zoned(institution, now).hour()).unwrap_or(0)
}

fn zoned(institution: &Institution, now: Timestamp) -> jiff::Zoned {
    let ms = i64::try_from(now.unix_ms()).unwrap_or(i64::MAX);
    let instant = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    instant.to_zoned(institution.time_zone.clone())
}
