//! All that is counted against one account: what was drawn, and its pace.

use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::Timestamp;

use crate::Burst;
use crate::burst::Pace;
use crate::drawn::DrawnList;
use crate::window::{SLACK_S, Since};

/// One account's entry.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) drawn: DrawnList,
    pub(crate) pace: Pace,
}

impl Account {
    /// Counts a withdrawal that is admitted.
    pub(crate) fn admit(&mut self, amount: Money, since: &Since, now: Timestamp, burst: Burst) {
        self.drawn.admit(amount, since);
        self.pace = self.pace.after(now, burst);
    }

    /// Whether no decision at `now` or later would miss this entry. Lets go of what no decision would look at.
    pub(crate) fn is_idle(&mut self, since: &Since, now: Timestamp) -> bool {
        self.drawn.forget_before(since.kept_s());
        let slack_ago = Timestamp::from_unix_ms(now.unix_ms().saturating_sub(u64::from(SLACK_S) * 1_000));
        self.drawn.is_empty() && self.pace.is_rested(slack_ago)
    }
}
