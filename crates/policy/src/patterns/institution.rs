//! What is remembered of an institution as a whole.

use super::alarm::Pattern;
use super::hours::{DAY_S, Hours, PastHour, WEEK_S};

pub(super) struct Institution {
    /// Withdrawals by new devices.
    pub(super) past_hour: PastHour,
    pub(super) new_devices: Hours,
    /// Devices on the day they became strange.
    pub(super) strange_devices: Hours,
    /// When each pattern last stood out, in the order of [`Pattern::ALL`].
    stood_out_s: [Option<u32>; Pattern::ALL.len()],
    /// When each pattern was last told.
    told_s: [Option<u32>; Pattern::ALL.len()],
}

impl Institution {
    pub(super) fn new() -> Self {
        Self {
            past_hour: PastHour::default(),
            new_devices: Hours::new(),
            strange_devices: Hours::new(),
            stood_out_s: [None; Pattern::ALL.len()],
            told_s: [None; Pattern::ALL.len()],
        }
    }

    /// Whether a pattern stood out in the past 7 days.
    pub(super) fn is_alarmed(&self, now_s: u32) -> bool {
        self.stood_out_s.iter().flatten().any(|at_s| now_s.saturating_sub(*at_s) < WEEK_S)
    }

    /// Notes that a pattern stands out; true if it was not told of late.
    pub(super) fn is_news(&mut self, pattern: Pattern, now_s: u32) -> bool {
        let place = Pattern::ALL.iter().position(|one| *one == pattern);
        let Some(place) = place else { return false };
        if let Some(at_s) = self.stood_out_s.get_mut(place) {
            *at_s = Some(now_s);
        }
        self.told_s.get_mut(place).is_some_and(|told_s| is_news(pattern, told_s, now_s))
    }
}

/// An alarm that goes on is told again only after its window, or after a day where that is longer.
pub(super) fn is_news(pattern: Pattern, told_s: &mut Option<u32>, now_s: u32) -> bool {
    let quiet_s = pattern.window().as_secs().min(DAY_S.into());
    let is_old = told_s.is_some_and(|told_s| u64::from(now_s.saturating_sub(told_s)) < quiet_s);
    if !is_old {
        *told_s = Some(now_s);
    }
    !is_old
}
