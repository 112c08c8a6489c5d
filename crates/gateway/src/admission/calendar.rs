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

#[cfg(test)]
mod tests {
    use cashgate_limits::{Burst, Caps, LimitFigures, SumCaps};
    use cashgate_withdrawal::evidence::EvidenceGrade;
    use cashgate_withdrawal::money::Currency;

    use super::*;
    use crate::config::CoreBanking;

    fn institution(time_zone: &str) -> Institution {
        let burst = Burst { withdrawals: 1.try_into().unwrap(), every: std::time::Duration::ZERO };
        let limits = LimitFigures::new(Currency::JPY, Caps::UNLIMITED, vec![], None, SumCaps::default(), burst);
        Institution {
            id: "bank-a".parse().unwrap(),
            currency: Currency::JPY,
            time_zone: jiff::tz::TimeZone::get(time_zone).unwrap(),
            limits: limits.unwrap(),
            failed_attempts_max: 5.try_into().unwrap(),
            evidence_demanded: EvidenceGrade::C,
            core_banking: CoreBanking {
                endpoint: String::new(),
                server_name: String::new(),
                call_timeout: std::time::Duration::ZERO,
            },
        }
    }

    fn at(text: &str) -> Timestamp {
        let moment: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_unix_ms(u64::try_from(moment.as_millisecond()).unwrap())
    }

    #[test]
    fn a_day_begins_at_local_midnight_also_when_clocks_change() {
        for (zone, now, began, hour) in [
            ("Asia/Tokyo", "2026-11-28T14:59:59Z", "2026-11-27T15:00:00Z", 23),
            ("Asia/Tokyo", "2026-11-28T15:00:00Z", "2026-11-28T15:00:00Z", 0),
            // 23 hours: the clock jumps from 02:00 to 03:00.
            ("Europe/Berlin", "2026-03-29T21:59:59Z", "2026-03-28T23:00:00Z", 23),
            ("Europe/Berlin", "2026-03-29T22:00:00Z", "2026-03-29T22:00:00Z", 0),
            ("Europe/Berlin", "2026-03-29T00:59:59Z", "2026-03-28T23:00:00Z", 1),
            ("Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-28T23:00:00Z", 3),
            // 25 hours: 02:00 to 03:00 comes twice.
            ("Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-24T22:00:00Z", 2),
            ("Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-24T22:00:00Z", 2),
            ("Europe/Berlin", "2026-10-25T22:59:59Z", "2026-10-24T22:00:00Z", 23),
            ("Europe/Berlin", "2026-10-25T23:00:00Z", "2026-10-25T23:00:00Z", 0),
            // Midnight itself does not exist: the day begins at 01:00.
            ("America/Santiago", "2026-09-06T10:00:00Z", "2026-09-06T04:00:00Z", 7),
        ] {
            let institution = institution(zone);
            assert_eq!(day_began(&institution, at(now)), at(began), "{zone} {now}");
            assert_eq!(local_hour(&institution, at(now)), hour, "{zone} {now}");
            let (day, first) = (calendar_day(&institution, at(now)), calendar_day(&institution, at(began)));
            assert_eq!(day, first, "a day is one day: {zone} {now}");
        }
    }
}
