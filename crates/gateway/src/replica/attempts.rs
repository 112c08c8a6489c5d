//! Who asked for money, as the ledger tells it part by part, and which alarms come of it.
//!
//! No IO: who reads, and when, is the follower's business. So the simulation hears with the same code.

use std::sync::Arc;

use cashgate_ledger::{AttemptsPart, ReplicaId, Sequence, StoredNotice};
use cashgate_wire::{journal, notices};
use cashgate_withdrawal::notice::{Happening, Notice};
#[cfg(feature = "planted")]
use cashgate_withdrawal::planted::{Bug, is};
use cashgate_withdrawal::time::Timestamp;

use super::alarms::SharedAlarms;
use crate::admission::Desk;

/// Who asked for money, as far as one replica has heard of it.
#[derive(Debug)]
pub struct Attempts {
    desk: Arc<Desk>,
    through: Sequence,
    alarms: SharedAlarms,
}

impl Attempts {
    /// The notices that tell who asked for money, and what stood out.
    pub const NOTICES: [&'static str; 2] = ["approval_refused", "alarm"];

    /// A replica's, which hears what lies behind a sequence; what lies before it the desk has recalled.
    #[must_use]
    pub fn behind(after: Sequence, id: ReplicaId, desk: Arc<Desk>) -> Self {
        Self { desk, through: after, alarms: SharedAlarms::of_replica(id) }
    }

    /// Up to where it has heard; the next part is the one behind it.
    #[must_use]
    pub const fn through(&self) -> Sequence {
        self.through
    }

    /// Takes what came of the next part. Says whether that was all.
    pub fn take(&mut self, heard: Heard, now: Timestamp) -> bool {
        let Heard { through, is_whole, told } = heard;
        for one in told {
            match one {
                Told::Raised(alarm) => self.alarms.raised(alarm, now),
                Told::Alarm(notice) => self.alarms.heard(&notice),
            }
        }
        self.through = through;
        #[cfg(feature = "planted")]
        if is(Bug::PartOverlooked) && !is_whole {
            self.through.0 += 1;
        }
        is_whole
    }

    /// Tells of what stands out, unless another replica has told of it in time. Says of how much.
    pub fn tell_due(&mut self, now: Timestamp) -> usize {
        let due = self.alarms.due(now);
        let told = due.len();
        due.into_iter().for_each(|alarm| self.desk.tell_alarm(alarm));
        told
    }

    /// How many alarms wait for another replica to tell of them.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.alarms.waiting()
    }
}

/// What came of a part.
#[derive(Debug)]
pub struct Heard {
    through: Sequence,
    is_whole: bool,
    told: Vec<Told>,
}

#[derive(Debug)]
enum Told {
    /// A pattern stands out in what was heard.
    Raised(Notice),
    /// Some replica has told of one.
    Alarm(Notice),
}

impl Heard {
    /// Has the desk remember a part, in the ledger's order.
    #[must_use]
    pub fn of(part: AttemptsPart, desk: &Desk) -> Self {
        let AttemptsPart { approved, notices, through, is_whole } = part;
        let mut notices = notices.into_iter().peekable();
        let mut told = Vec::new();
        for (summary, first) in approved {
            while let Some(notice) = notices.next_if(|notice| notice.sequence < first.sequence) {
                hear_notice(desk, &notice, &mut told);
            }
            match journal::replay(summary.id, [(first.number, first.at, first.body.as_slice())]) {
                Ok(withdrawal) => told.extend(desk.hear_approved(&withdrawal.terms).into_iter().map(Told::Raised)),
                // It is only remembered as a pattern; whoever adopts it will say what is wrong.
                Err(error) => tracing::error!(%error, "an approval cannot be read"),
            }
        }
        notices.for_each(|notice| hear_notice(desk, &notice, &mut told));
        Self { through, is_whole, told }
    }
}

fn hear_notice(desk: &Desk, stored: &StoredNotice, told: &mut Vec<Told>) {
    match notices::decode(&stored.body) {
        Ok(Notice { at, what: Happening::ApprovalRefused(refused) }) => {
            told.extend(desk.hear_refused(&refused, at).into_iter().map(Told::Raised));
        }
        Ok(notice) => told.push(Told::Alarm(notice)),
        Err(error) => tracing::error!(sequence = %stored.sequence, %error, "a notice cannot be read"),
    }
}
