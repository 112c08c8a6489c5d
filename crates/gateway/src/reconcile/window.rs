//! Which withdrawals are compared.

use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::time::Timestamp;

/// A span of time. A withdrawal lies in it by the moment inside its id (UUID version 7), because all three parties have that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// From this moment on; `None`: from the beginning.
    pub since: Option<Timestamp>,
    /// Before this moment; `None`: to the end.
    pub until: Option<Timestamp>,
}

impl Window {
    /// Whether an id lies in it. One that is no UUID of version 7 has no moment and lies in every window: nobody here made it.
    pub(super) fn holds(&self, id: WithdrawalId) -> bool {
        let Some(made_at) = moment_of(id) else { return true };
        self.since.is_none_or(|since| made_at >= since) && self.until.is_none_or(|until| made_at < until)
    }

    /// The first id that is too late, where the window has an end.
    pub(super) fn end(&self) -> Option<WithdrawalId> {
        self.until.map(first_id_at)
    }

    /// The first id that is not too early.
    pub(super) fn begin(&self) -> WithdrawalId {
        self.since.map_or(WithdrawalId::from_bytes([0; 16]), first_id_at)
    }
}

/// The moment inside an id (RFC 9562, section 5.7).
fn moment_of(id: WithdrawalId) -> Option<Timestamp> {
    let &[a, b, c, d, e, f, version, ..] = id.as_bytes();
    (version >> 4 == 7).then(|| Timestamp::from_unix_ms(u64::from_be_bytes([0, 0, a, b, c, d, e, f])))
}

fn first_id_at(moment: Timestamp) -> WithdrawalId {
    let [_, _, a, b, c, d, e, f] = moment.unix_ms().min((1 << 48) - 1).to_be_bytes();
    WithdrawalId::from_bytes([a, b, c, d, e, f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_withdrawal_lies_in_the_window_by_the_moment_in_its_id() {
        let at = |ms| Some(Timestamp::from_unix_ms(ms));
        let id = |ms: u64| {
            let mut bytes = *first_id_at(Timestamp::from_unix_ms(ms)).as_bytes();
            (bytes[6], bytes[15]) = (0x70, 0xff);
            WithdrawalId::from_bytes(bytes)
        };
        let window = Window { since: at(1_000), until: at(2_000) };
        let check = |ms, expected| {
            assert_eq!(window.holds(id(ms)), expected, "{ms}");
            let by_order = id(ms) >= window.begin() && window.end().is_none_or(|end| id(ms) < end);
            assert_eq!(by_order, expected, "{ms}, by the order of ids");
        };
        [(999, false), (1_000, true), (1_999, true), (2_000, false)].into_iter().for_each(|(ms, held)| check(ms, held));
        assert!(Window::default().holds(id(0)) && Window::default().end().is_none());
        assert!(window.holds(WithdrawalId::from_bytes([0x11; 16])), "version 1: nobody here made it");
    }
}
