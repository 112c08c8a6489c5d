//! Pauses between repetitions.

use std::time::Duration;

use super::LaneSettings;
use crate::ids::WithdrawalId;

/// The pause after the `attempt`-th try (from 1): doubled each time up to a cap, then spread over its upper half, so that a thousand
/// withdrawals that failed together do not come back together. The spread comes from the withdrawal's id, so a world replays exactly.
pub(super) fn pause_after(attempt: u32, id: WithdrawalId, settings: &LaneSettings) -> Duration {
    let doublings = attempt.saturating_sub(1).min(20);
    let whole = settings.retry_first.saturating_mul(1 << doublings).min(settings.retry_max);
    let half = whole / 2;
    let spread_ms = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
    half.saturating_add(Duration::from_millis(mix(id, attempt) % spread_ms))
}

/// FNV-1a (64 bits) over id and attempt: any even spread will do.
fn mix(id: WithdrawalId, attempt: u32) -> u64 {
    let bytes = id.as_bytes().iter().chain(&attempt.to_be_bytes()).copied().collect::<Vec<u8>>();
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_stay_in_their_upper_half() {
        let settings = LaneSettings::default();
        for attempt in 1..=200 {
            let whole =
                Duration::from_millis(500).saturating_mul(1 << (attempt - 1).min(20)).min(Duration::from_secs(60));
            for id in 0..50 {
                let pause = pause_after(attempt, WithdrawalId::from_bytes([id; 16]), &settings);
                assert!(pause >= whole / 2 && pause <= whole, "{attempt}: {pause:?}");
            }
        }
    }

    #[test]
    fn without_a_pause_to_spread_there_is_none() {
        let settings = LaneSettings { retry_first: Duration::ZERO, ..LaneSettings::default() };
        assert_eq!(pause_after(7, WithdrawalId::from_bytes([1; 16]), &settings), Duration::ZERO);
    }

    /// A world replays exactly, on any machine and with any compiler. The figures come from another program.
    #[test]
    fn the_spread_is_fnv_1a_over_id_and_attempt() {
        let id = WithdrawalId::from_bytes([0xff, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
        assert_eq!(mix(id, 1), 0x962a_1a71_b31e_1092);
        assert_eq!(mix(id, 0x0102_0304), 0x077f_0369_66b5_76ad);
    }

    #[test]
    fn withdrawals_that_fail_together_come_back_apart() {
        let settings = LaneSettings::default();
        let pauses: std::collections::BTreeSet<Duration> =
            (0..100).map(|id| pause_after(9, WithdrawalId::from_bytes([id; 16]), &settings)).collect();
        assert!(pauses.len() > 90, "{}", pauses.len());
    }
}
